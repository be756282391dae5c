package deliver

import (
	"errors"
	"fmt"
	"slices"

	"homemail/mail"
	"homemail/store"
)

// aliasDepth is how far aliases of aliases are followed. The store refuses
// circles; this is for the day it does not.
const aliasDepth = 20

// A reached is where an address leads: an account, or an address outside.
type reached struct {
	id     mail.AccountID // 0 if it is outside
	detail string         // of plus addressing: a mailbox to prefer
	only   bool           // the account forwards all its mail and keeps none
	more   bool           // it gets mail only because another account forwards

	outside mail.Path
	via     mail.Path      // the address of ours that leads there
	owner   mail.AccountID // the account that forwards; 0 if an alias does
}

// same reports whether mail to both comes to the same place.
func (r reached) same(o reached) bool {
	return r.id == o.id && r.outside.Key() == o.outside.Key()
}

// accounts returns where mail for p comes to, each place once, leaving out
// accounts that are disabled. The error is one of package mail: ErrNotLocal,
// ErrUnknownRecipient, ErrDisabled if nobody else is left.
func (a *Agent) accounts(p mail.Path) ([]reached, error) {
	all, err := a.expand(nil, p, p, "", aliasDepth)
	if err != nil {
		return nil, err
	}
	enabled := all[:0]
	for _, r := range all {
		if r.id == 0 {
			enabled = append(enabled, r)
			continue
		}
		who, err := a.people.get(r.id)
		switch {
		case errors.Is(err, store.ErrNotFound): // removed a moment ago
		case err != nil:
			return nil, err
		case !who.disabled:
			enabled = append(enabled, r)
		}
	}
	if len(enabled) > 0 {
		return enabled, nil
	}
	if isRole(p) { // somebody must get these, RFC 5321 §4.5.1
		return a.oldest()
	}
	return nil, fmt.Errorf("%s: %w", p, mail.ErrDisabled)
}

// withForwards adds where the accounts among all forward their mail to. An
// account that keeps no copy keeps one nevertheless if nobody else gets any.
func (a *Agent) withForwards(all []reached) ([]reached, error) {
	for i := 0; i < len(all); i++ { // it grows
		if all[i].id == 0 {
			continue
		}
		who, err := a.people.get(all[i].id)
		if err != nil {
			return all, err
		}
		before := len(all)
		for _, to := range who.forward {
			more, err := a.forward(all, to, who, all[i].id)
			if err != nil {
				a.o.Log.Warn("an account forwards to an address that takes no mail", "account", who.address, "to", to, "err", err)
				continue
			}
			for n := len(all); n < len(more); n++ {
				more[n].more = true
			}
			all = more
		}
		all[i].only = who.only && len(all) > before
	}
	if !slices.ContainsFunc(all, func(r reached) bool { return !r.only }) {
		for i := range all {
			all[i].only = false
		}
	}
	return all, nil
}

// forward adds one address that an account forwards to.
func (a *Agent) forward(all []reached, to mail.Path, who person, owner mail.AccountID) ([]reached, error) {
	if !a.s.IsLocal(to.Domain()) && to.Domain() != "" {
		return add(all, reached{outside: to, via: who.address, owner: owner}), nil
	}
	found, err := a.accounts(to) // a disabled account gets no mail this way either
	for _, r := range found {
		all = add(all, r)
	}
	return all, err
}

// add adds a place that is not among all yet.
func add(all []reached, r reached) []reached {
	if slices.ContainsFunc(all, r.same) {
		return all
	}
	return append(all, r)
}

// expand adds where p leads. Via is the address through which it came to p.
func (a *Agent) expand(all []reached, p, via mail.Path, detail string, depth int) ([]reached, error) {
	if depth == 0 {
		return all, fmt.Errorf("aliases that lead to %s: %w", p, mail.ErrLoop)
	}
	route, plus, err := a.route(p.Key())
	if errors.Is(err, mail.ErrNotLocal) && depth < aliasDepth {
		return add(all, reached{outside: p, via: via}), nil
	}
	if err != nil {
		return all, err
	}
	if detail == "" {
		detail = plus
	}
	if route.Account != 0 {
		return add(all, reached{id: route.Account, detail: detail}), nil
	}
	for _, to := range route.Alias {
		if all, err = a.expand(all, to, p, detail, depth-1); err != nil {
			return all, err
		}
	}
	return all, nil
}

// route finds what an address means: itself, without its plus detail, by the
// domain's catch-all, or as a name that every domain must have.
func (a *Agent) route(key mail.Path) (route store.Route, detail string, err error) {
	if key.Domain() == "" { // "postmaster", the only such path
		return a.ourPostmaster()
	}
	if route, err = a.s.Resolve(key); !errors.Is(err, store.ErrNotFound) {
		return route, "", err
	}
	if !a.s.IsLocal(key.Domain()) {
		return route, "", fmt.Errorf("%s: %w", key, mail.ErrNotLocal)
	}
	if base, detail := key.Detail(a.o.Separator); base != key {
		if route, err = a.s.Resolve(base.Key()); !errors.Is(err, store.ErrNotFound) {
			return route, detail, err
		}
	}
	if route, err = a.s.Resolve(mail.Path("@" + key.Domain())); !errors.Is(err, store.ErrNotFound) {
		return route, "", err // the domain's catch-all
	}
	if isRole(key) {
		return a.oldestRoute()
	}
	return route, "", fmt.Errorf("%s: %w", key, mail.ErrUnknownRecipient)
}

// isRole reports whether p is a name that has to work in every domain of ours:
// RFC 5321 §4.5.1 and RFC 2142 §4.
func isRole(p mail.Path) bool {
	switch p.Key().Local() {
	case "postmaster", "abuse":
		return true
	}
	return false
}

// ourPostmaster is postmaster without a domain: that of the first of our
// domains that has one.
func (a *Agent) ourPostmaster() (store.Route, string, error) {
	domains, err := a.s.Domains()
	if err != nil {
		return store.Route{}, "", err
	}
	for _, d := range domains {
		route, err := a.s.Resolve(mail.Path("postmaster@" + d))
		if !errors.Is(err, store.ErrNotFound) {
			return route, "", err
		}
	}
	return a.oldestRoute()
}

func (a *Agent) oldestRoute() (store.Route, string, error) {
	r, err := a.oldest()
	if err != nil {
		return store.Route{}, "", err
	}
	return store.Route{Account: r[0].id}, "", nil
}

// oldest is the first account that is not disabled: whoever set this up.
func (a *Agent) oldest() ([]reached, error) {
	profiles, err := a.s.Accounts()
	if err != nil {
		return nil, err
	}
	for _, p := range profiles {
		if !p.Disabled {
			return []reached{{id: p.ID}}, nil
		}
	}
	return nil, fmt.Errorf("there is no account: %w", mail.ErrUnknownRecipient)
}
