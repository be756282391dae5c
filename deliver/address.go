package deliver

import (
	"errors"
	"fmt"

	"homemail/mail"
	"homemail/store"
)

// aliasDepth is how far aliases of aliases are followed. The store refuses
// circles; this is for the day it does not.
const aliasDepth = 20

// A reached is an account that an address leads to.
type reached struct {
	id     mail.AccountID
	detail string // of plus addressing: a mailbox to prefer
}

// accounts returns the accounts that mail for p comes to, each once, leaving
// out those that are disabled. The error is one of package mail: ErrNotLocal,
// ErrUnknownRecipient, ErrDisabled if nobody else is left.
func (a *Agent) accounts(p mail.Path) ([]reached, error) {
	all, err := a.expand(nil, p, "", aliasDepth)
	if err != nil {
		return nil, err
	}
	enabled := all[:0]
	for _, r := range all {
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

// expand adds the accounts that p leads to.
func (a *Agent) expand(all []reached, p mail.Path, detail string, depth int) ([]reached, error) {
	if depth == 0 {
		return all, fmt.Errorf("aliases that lead to %s: %w", p, mail.ErrLoop)
	}
	route, plus, err := a.route(p.Key())
	if err != nil {
		return all, err
	}
	if detail == "" {
		detail = plus
	}
	if route.Account != 0 {
		for _, r := range all {
			if r.id == route.Account {
				return all, nil
			}
		}
		return append(all, reached{route.Account, detail}), nil
	}
	for _, to := range route.Alias {
		if all, err = a.expand(all, to, detail, depth-1); err != nil {
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
