package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"homemail/admin"
	"homemail/firstboot"
	"homemail/store"
	"homemail/web/api"
)

// tokenCommands are about the tokens of the JSON API.
func tokenCommands() []command {
	return []command{
		{"token add", "NAME -scope SCOPE[,SCOPE...]", "make a token for a program that uses the JSON API, shown this once", 1, 1, addToken},
		{"token list", "", "list the tokens of the JSON API", 0, 0, listTokens},
		{"token remove", "NAME", "take a token back", 1, 1, removeToken},
	}
}

func addToken(in *invocation, f *flag.FlagSet) action {
	scopes := f.String("scope", "", "what it may do: one or more `SCOPES` of "+scopeText(admin.Scopes(), ", ")+", with commas between them")
	life := f.String("expires", "", "how long it is good for: `TIME` such as 90d or 12h; without it until it is removed")
	return func(ctx context.Context, args []string) error {
		q := admin.AddToken{Name: args[0]}
		for _, s := range strings.FieldsFunc(*scopes, func(r rune) bool { return r == ',' || r == ' ' }) {
			q.Scopes = append(q.Scopes, admin.Scope(s))
		}
		if *life != "" {
			d, err := parseLife(*life)
			if err != nil {
				return err
			}
			q.Expires = time.Now().Add(d)
		}
		var t admin.NewToken
		if err := in.ask(ctx, "token.add", q, &t); err != nil {
			return err
		}
		if in.global.json {
			return in.print(t)
		}
		fmt.Fprintf(in.stdout, "%s\n\n%s\n", t.Secret, in.say("token.once", "scopes", scopeText(t.Scopes, ", ")))
		return nil
	}
}

// parseLife reads a time such as "90d", or as Go has it.
func parseLife(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n == 0 {
			return 0, refuse("no-days-right", "text", s)
		}
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, refuse("no-span", "text", s)
	}
	return d, nil
}

func scopeText(scopes []admin.Scope, between string) string {
	list := make([]string, len(scopes))
	for i, s := range scopes {
		list[i] = string(s)
	}
	return strings.Join(list, between)
}

func listTokens(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.Token
		if err := in.ask(ctx, "token.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		day := func(t time.Time, none string) string {
			if t.IsZero() {
				return none
			}
			return t.Local().Format(time.DateOnly)
		}
		var rows [][]string
		for _, t := range list {
			rows = append(rows, []string{t.Name, scopeText(t.Scopes, ","), day(t.Created, ""), day(t.Expires, "never"), day(t.LastUse, "never"), t.LastFrom})
		}
		return in.table("NAME SCOPES MADE EXPIRES LAST-USED FROM", rows)
	}
}

func removeToken(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		return in.ask(ctx, "token.remove", admin.Name{Name: args[0]}, &admin.Empty{})
	}
}

// setupByToken goes on with the set-up of a house that has an owner. Before, a
// token says nothing of whose the house is to be.
type setupByToken struct{ engine *firstboot.Engine }

func (s setupByToken) Do(ctx context.Context, verb string, request json.RawMessage) (any, error) {
	switch v, err := s.engine.Step(ctx, firstboot.Address); {
	case err != nil:
		return nil, err
	case v.Status != firstboot.Done && verb != "setup.show" && verb != "setup.step" && verb != "setup.plan":
		return nil, fmt.Errorf("%w: the steps up to the address come first, in a browser or with: homemail setup", store.ErrInvalid)
	}
	return s.engine.Do(ctx, verb, request)
}

// newAPI makes the JSON API of a house. It is open to the network of the house
// alone, unless its owner says otherwise.
func (h *house) newAPI(setup *firstboot.Engine) (*api.API, error) {
	a := h.admin()
	a.Setup = setupByToken{setup}
	return api.New(api.Options{
		House: a, Tokens: admin.NewTokens(h.store), Metrics: h.metrics().Handler(h.health), Log: h.log,
		Hosts: func() []string { return append(h.domains(), h.config.Host(), h.localName()) },
		Allowed: func(a netip.Addr) bool {
			return slices.Contains(h.config.Web.Outside, openAPI) || h.near(&http.Request{RemoteAddr: netip.AddrPortFrom(a, 0).String()})
		},
	})
}
