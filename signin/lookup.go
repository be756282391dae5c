package signin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"homemail/mail"
	"homemail/store"
)

// A person is who a name stands for. One that does not exist looks the same
// but has no account, and a device whose password nobody knows.
type person struct {
	name    string         // as it was given, for the log
	key     string         // the name in its one form
	account *store.Account // nil: nobody
	id      mail.AccountID
	address mail.Path
	devices []store.Device
}

// limitKey names the account in the limiter, however it was called.
func (p person) limitKey() string {
	if p.id != 0 {
		return accountKey(p.id)
	}
	return p.key
}

func accountKey(id mail.AccountID) string { return fmt.Sprint(id) }

// person looks up name and makes strangers wait whose account many have
// guessed at. An authz that is not the same account makes it nobody.
func (c *Checker) person(ctx context.Context, at Attempt, authz, name string) (person, error) {
	who, err := c.lookup(name)
	if err != nil {
		return person{}, err
	}
	if authz != "" && authz != name {
		other, err := c.lookup(authz)
		if err != nil {
			return person{}, err
		}
		if other.id != who.id {
			who.account = nil
		}
	}
	return who, sleep(ctx, c.limits.delay(at.Remote, who.limitKey()))
}

// lookup finds the account that name means.
func (c *Checker) lookup(name string) (person, error) {
	nobody := person{name: name, devices: []store.Device{c.dummy}}
	path, err := c.path(name)
	if err != nil {
		return nobody, err
	}
	nobody.key = string(path)
	if path.IsNull() {
		return nobody, nil
	}
	id, err := c.resolve(path)
	if err != nil || id == 0 {
		return nobody, err
	}
	a, p, err := c.profile(id)
	if err != nil || p.Disabled || len(p.Devices) == 0 {
		return nobody, err
	}
	return person{name: name, key: string(path), account: a, id: id, address: p.Address, devices: p.Devices}, nil
}

// path makes an address of a sign-in name; null if it cannot be one. A bare
// local part will do where there is only one domain.
func (c *Checker) path(name string) (mail.Path, error) {
	const longest = 320 // 64 + @ + 255, RFC 5321 §4.5.3.1
	if name = strings.TrimSpace(name); name == "" || len(name) > longest {
		return "", nil
	}
	if !strings.Contains(name, "@") {
		domains, err := c.store.Domains()
		if err != nil || len(domains) != 1 {
			return "", err
		}
		name += "@" + domains[0]
	}
	p, err := mail.ParsePath(name)
	if err != nil {
		return "", nil
	}
	return p.Key(), nil
}

// aliasDepth bounds the way from an alias to its account.
const aliasDepth = 8

// resolve finds the one account that gets the mail of p; 0 if there is none or
// there are several.
func (c *Checker) resolve(p mail.Path) (mail.AccountID, error) {
	var one mail.AccountID
	next := []mail.Path{p}
	for range aliasDepth {
		var deeper []mail.Path
		for _, p := range next {
			r, err := c.store.Resolve(p)
			if errors.Is(err, store.ErrNotFound) {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			if r.Account != 0 {
				if one != 0 && one != r.Account {
					return 0, nil
				}
				one = r.Account
			}
			deeper = append(deeper, r.Alias...)
		}
		if len(deeper) == 0 {
			return one, nil
		}
		next = deeper
	}
	return 0, nil
}
