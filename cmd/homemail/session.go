package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"homemail/admin"
	"homemail/mail"
)

// sessionCommands are about who may sign in on the web, and who has.
func sessionCommands() []command {
	return []command{
		{"owner list", "", "list the owners, who may change the house in the web pages", 0, 0, listOwners},
		{"owner add", "ADDRESS", "make somebody an owner", 1, 1, simply("owner.add")},
		{"owner remove", "ADDRESS", "make an owner a person like the others", 1, 1, simply("owner.remove")},
		{"owner reset", "[ADDRESS]", "make a new password for an owner who cannot get in, shown this once", 0, 1, resetOwner},
		{"session list", "[ADDRESS]", "list who is signed in on the web", 0, 1, listSessions},
		{"session end", "ADDRESS [ID]", "sign somebody out on the web, everywhere or in one browser", 1, 2, endSessions},
		{"ban list", "", "list the addresses that may not sign in for a while, as too many sign-ins from there failed", 0, 0, listBans},
		{"ban lift", "IP-ADDRESS", "let an address try again at once", 1, 1, simply("ban.lift")},
	}
}

// optional is the address among the arguments, "" if there is none.
func optional(args []string) mail.Path { return mail.Path(strings.Join(args, "")) }

func listOwners(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.Person
		if err := in.ask(ctx, "owner.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, p := range list {
			state := "active"
			if p.Disabled {
				state = "disabled"
			}
			rows = append(rows, []string{string(p.Address), p.Name, state, signsInBy(p)})
		}
		return in.table("ADDRESS NAME STATE SIGNS-IN-BY", rows)
	}
}

func signsInBy(p admin.Person) string {
	var by []string
	if p.Password {
		by = append(by, "password")
	}
	if p.Factors.TOTP {
		by = append(by, "code")
	}
	for _, k := range p.Factors.Passkeys {
		by = append(by, "passkey "+k.Name)
	}
	return strings.Join(by, ", ")
}

func resetOwner(in *invocation, f *flag.FlagSet) action {
	second := f.Bool("second-factor", false, "remove the owner's codes and passkeys too")
	return func(ctx context.Context, args []string) error {
		var p admin.NewPassword
		if err := in.ask(ctx, "owner.reset", admin.Reset{Address: optional(args), SecondFactor: *second}, &p); err != nil {
			return err
		}
		if in.global.json {
			return in.print(p)
		}
		in.tellPassword(p.Address, p.Password)
		in.line("session.once", "address", p.Address)
		if !*second {
			in.line("session.factors")
		}
		return nil
	}
}

func listSessions(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		var list []admin.WebSession
		if err := in.ask(ctx, "session.list", admin.Address{Address: optional(args)}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, s := range list {
			rows = append(rows, []string{string(s.Address), s.ID, string(s.Role), s.Created.Local().Format(time.DateTime),
				s.Seen.Local().Format("2006-01-02 15h"), s.Remote, s.Browser})
		}
		return in.table("ADDRESS ID ROLE SINCE LAST-USED FROM BROWSER", rows)
	}
}

func endSessions(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		q := admin.EndSessions{Address: mail.Path(args[0])}
		if len(args) > 1 {
			q.ID = args[1]
		}
		return in.ask(ctx, "session.end", q, &admin.Empty{})
	}
}

func listBans(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.Ban
		if err := in.ask(ctx, "ban.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, b := range list {
			rows = append(rows, []string{b.Address, b.Until.Local().Format(time.DateTime), fmt.Sprint(b.Refused)})
		}
		return in.table("ADDRESS UNTIL TRIES", rows)
	}
}
