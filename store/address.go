package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"homemail/mail"
)

// A Route is what an address means: an account, or a list of addresses here or
// outside.
type Route struct {
	Account mail.AccountID // 0 if it is an alias
	Alias   []mail.Path
}

// An Alias is an address that leads to others. The Address "@domain" takes all
// mail of the domain that no other address takes.
type Alias struct {
	Address mail.Path
	To      []mail.Path
}

const (
	aliasTargets = 100 // of one alias
	aliasDepth   = 10  // aliases that lead to aliases
)

func (t *tx) putRoute(address mail.Path, r Route) {
	e := encoder{}
	e.uint(uint64(r.Account))
	e.uint(uint64(len(r.Alias)))
	for _, to := range r.Alias {
		e.string(string(to))
	}
	t.put(routeKey(address), e)
}

func decodeRoute(v []byte) (Route, error) {
	d := decoder{rest: v}
	r := Route{Account: mail.AccountID(d.uint())}
	for range d.uint() {
		if d.err != nil {
			break
		}
		r.Alias = append(r.Alias, mail.Path(d.string()))
	}
	return r, d.err
}

func getRoute(r reader, address mail.Path) (Route, error) {
	v, err := r.get(routeKey(address))
	if err != nil {
		return Route{}, err
	}
	return decodeRoute(v)
}

// Resolve tells what an address means, just as it is: plus addressing is
// deliver's, and so is asking for a catch-all, whose address is "@domain".
// ErrNotFound if it means nothing.
func (s *Store) Resolve(p mail.Path) (route Route, err error) {
	address, err := aliasAddress(p)
	if err != nil {
		return route, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	err = s.view(func(r reader) error {
		route, err = getRoute(r, address)
		return err
	})
	return route, err
}

// IsLocal reports whether we take mail for a domain.
func (s *Store) IsLocal(domain string) bool {
	err := s.view(func(r reader) error {
		_, err := r.get(domainKey(mail.Path("x@" + domain).Domain()))
		return err
	})
	// A damaged row still says that the domain is ours: refusing its mail for
	// good would be worse than looking further.
	return err == nil || errors.Is(err, ErrCorrupt)
}

// Domains returns the domains that we take mail for.
func (s *Store) Domains() (list []string, err error) {
	err = s.view(func(r reader) error {
		return r.keys([]byte{tDomain}, nil, func(key []byte) (bool, error) {
			list = append(list, string(key[1:]))
			return true, nil
		})
	})
	return list, err
}

// AddDomain makes us take mail for a domain. ErrExists, ErrInvalid.
func (s *Store) AddDomain(domain string) error {
	p, err := mail.ParsePath("postmaster@" + domain)
	if err != nil || strings.HasPrefix(domain, "[") {
		return fmt.Errorf("%w: %q is not a domain name", ErrInvalid, domain)
	}
	return s.update(toChange, func(t *tx) error {
		key := domainKey(p.Domain())
		if there, err := t.has(key); err != nil || there {
			return errors.Join(err, fmt.Errorf("domain %s: %w", domain, ErrExists))
		}
		t.put(key, nil)
		t.tell(watchKey{mailbox: domainsMailbox})
		return nil
	})
}

// domainsMailbox stands for the list of domains among what can be watched.
const domainsMailbox = 2

// WatchDomains watches for new domains.
func (s *Store) WatchDomains() *Watch { return s.watchers.add(watchKey{mailbox: domainsMailbox}) }

// RemoveDomain ends that we take mail for a domain. ErrInvalid while an
// address there is in use.
func (s *Store) RemoveDomain(domain string) error {
	domain = mail.Path("x@" + domain).Domain()
	return s.update(toShrink, func(t *tx) error {
		if there, err := t.has(domainKey(domain)); err != nil || !there {
			return errors.Join(err, fmt.Errorf("domain %s: %w", domain, ErrNotFound))
		}
		err := t.keys([]byte{tRoute}, nil, func(key []byte) (bool, error) {
			if address := mail.Path(key[1:]); address.Domain() == domain {
				return false, fmt.Errorf("%w: domain %s still has the address %s", ErrInvalid, domain, address)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		t.del(domainKey(domain))
		return nil
	})
}

// freeAddress checks that an address is of a domain of ours and means nothing
// yet.
func (t *tx) freeAddress(p mail.Path) error {
	if there, err := t.has(domainKey(p.Domain())); err != nil {
		return err
	} else if !there {
		return fmt.Errorf("%w: %s is not a domain of this server", ErrInvalid, p.Domain())
	}
	there, err := t.has(routeKey(p))
	if err == nil && there {
		err = ErrExists
	}
	return err
}

// Aliases returns all aliases by address.
func (s *Store) Aliases() (list []Alias, err error) {
	err = s.view(func(r reader) error {
		list, err = allAliases(r)
		return err
	})
	return list, err
}

func allAliases(r reader) (list []Alias, err error) {
	err = r.scan([]byte{tRoute}, nil, func(key, v []byte) (bool, error) {
		route, err := decodeRoute(v)
		if err == nil && route.Account == 0 {
			list = append(list, Alias{mail.Path(key[1:]), route.Alias})
		}
		return true, err
	})
	return list, err
}

// aliasAddress checks an alias's own address: a path, or "@domain".
func aliasAddress(p mail.Path) (mail.Path, error) {
	if domain, all := strings.CutPrefix(string(p), "@"); all {
		q, err := mail.ParsePath("x@" + domain)
		return mail.Path("@" + q.Domain()), err
	}
	q, err := mail.ParsePath(string(p))
	return q.Key(), err
}

// SetAlias makes or replaces an alias. ErrInvalid, in words, if a target is of a
// domain of ours and
// unknown, or leads back here; ErrExists if the address is an account's.
func (s *Store) SetAlias(a Alias) error {
	address, err := aliasAddress(a.Address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(a.To) == 0 || len(a.To) > aliasTargets {
		return fmt.Errorf("%w: an alias leads to 1 to %d addresses", ErrInvalid, aliasTargets)
	}
	for _, to := range a.To {
		if _, err := mail.ParsePath(string(to)); err != nil {
			return fmt.Errorf("%w: %q: %w", ErrInvalid, to, err)
		}
	}
	return s.update(toChange, func(t *tx) error {
		route, err := t.aliasRoute(a.To)
		if err != nil {
			return err
		}
		if there, err := t.has(domainKey(address.Domain())); err != nil || !there {
			return errors.Join(err, fmt.Errorf("%w: %s is not a domain of this server", ErrInvalid, address.Domain()))
		}
		old, err := getRoute(t, address)
		if err == nil && old.Account != 0 {
			return fmt.Errorf("%w: %s is an account's address", ErrExists, address)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		for _, to := range route.Alias {
			if err := leadsAway(t, to, address, aliasDepth); err != nil {
				return err
			}
		}
		t.putRoute(address, route)
		return nil
	})
}

// aliasRoute is the route of an alias with some targets, each once. Addresses
// of ours are in their key form; of others only they know what is the same.
func (t *tx) aliasRoute(to []mail.Path) (route Route, err error) {
	for _, p := range to {
		ours, err := t.has(domainKey(p.Domain()))
		if err != nil {
			return route, err
		}
		if ours {
			p = p.Key()
		}
		if !slices.Contains(route.Alias, p) {
			route.Alias = append(route.Alias, p)
		}
	}
	return route, nil
}

// leadsAway checks that an alias's target is known, and does not lead back to
// the alias.
func leadsAway(r reader, to, alias mail.Path, depth int) error {
	if to == alias {
		return fmt.Errorf("%w: %s would lead to itself", ErrInvalid, alias)
	}
	if depth == 0 {
		return fmt.Errorf("%w: more than %d aliases in a row lead from %s", ErrInvalid, aliasDepth, alias)
	}
	route, err := getRoute(r, to)
	if errors.Is(err, ErrNotFound) {
		return isOutside(r, to)
	}
	if err != nil {
		return err
	}
	for _, next := range route.Alias {
		if err := leadsAway(r, next, alias, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// isOutside checks that an address which means nothing here is not meant to.
func isOutside(r reader, p mail.Path) error {
	_, err := r.get(domainKey(p.Domain()))
	switch {
	case errors.Is(err, ErrNotFound) && p.Domain() != "":
		return nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	}
	return fmt.Errorf("%w: there is no address %s", ErrInvalid, p)
}

// RemoveAlias removes an alias. ErrInvalid while another alias leads to it.
func (s *Store) RemoveAlias(p mail.Path) error {
	address, err := aliasAddress(p)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s.update(toShrink, func(t *tx) error {
		route, err := getRoute(t, address)
		if err == nil && route.Account != 0 {
			err = ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("alias %s: %w", address, err)
		}
		list, err := allAliases(t)
		if err != nil {
			return err
		}
		for _, other := range list {
			if slices.Contains(other.To, address) {
				return fmt.Errorf("%w: the alias %s leads to %s", ErrInvalid, other.Address, address)
			}
		}
		t.del(routeKey(address))
		return nil
	})
}

// dropFromAliases removes an address that is gone from every alias, and the
// aliases that lead nowhere then.
func (t *tx) dropFromAliases(gone mail.Path) error {
	list, err := allAliases(t)
	if err != nil {
		return err
	}
	for _, a := range list {
		if !slices.Contains(a.To, gone) {
			continue
		}
		a.To = slices.DeleteFunc(a.To, func(p mail.Path) bool { return p == gone })
		if len(a.To) > 0 {
			t.putRoute(a.Address, Route{Alias: a.To})
			continue
		}
		t.del(routeKey(a.Address))
		if err := t.dropFromAliases(a.Address); err != nil {
			return err
		}
	}
	return nil
}

// AddressesOf returns the addresses that lead to an account: its own first,
// then aliases, "@domain" for a catch-all.
func (s *Store) AddressesOf(a mail.AccountID) (list []mail.Path, err error) {
	err = s.view(func(r reader) error {
		own, err := getOwner(r, a)
		if err != nil {
			return err
		}
		aliases, err := allAliases(r)
		if err != nil {
			return err
		}
		list = []mail.Path{own}
		for found := true; found; {
			found = false
			for _, alias := range aliases {
				leads := slices.ContainsFunc(alias.To, func(p mail.Path) bool { return slices.Contains(list, p) })
				if leads && !slices.Contains(list, alias.Address) {
					list, found = append(list, alias.Address), true
				}
			}
		}
		return nil
	})
	return list, err
}
