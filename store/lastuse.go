package store

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"homemail/mail"
)

// A Use tells when and from where a device signed in last.
type Use struct {
	Time time.Time `json:"time"`
	From string    `json:"from"`
}

type deviceKey struct {
	account mail.AccountID
	device  string
}

// lastUses gathers sign-ins, so that each needs no write of its own.
type lastUses struct {
	mu  sync.Mutex
	new map[deviceKey]Use
}

func lastUseKey(a mail.AccountID, device string) key { return k(tLastUse).acct(a).str(device) }

// Touch notes that a device signed in. It is written within a minute or so; a
// crash loses it.
func (s *Store) Touch(a mail.AccountID, device string, t time.Time, from string) {
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	if s.uses.new == nil {
		s.uses.new = make(map[deviceKey]Use)
	}
	s.uses.new[deviceKey{a, device}] = Use{t.UTC().Truncate(time.Second), from}
}

// saveLastUse writes what Touch gathered.
func (s *Store) saveLastUse() error {
	s.uses.mu.Lock()
	list := s.uses.new
	s.uses.new = nil
	s.uses.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	return s.update(toChange, func(t *tx) error {
		for k, u := range list {
			if _, err := getOwner(t, k.account); err != nil {
				continue // removed meanwhile
			}
			b, err := json.Marshal(u)
			if err != nil {
				return err
			}
			t.put(lastUseKey(k.account, k.device), b)
		}
		return nil
	})
}

// LastUse returns the last use of each device, by its id.
func (a *Account) LastUse() (map[string]Use, error) {
	uses := make(map[string]Use)
	err := a.s.view(func(r reader) error {
		return r.scan(k(tLastUse).acct(a.ID), nil, func(key, v []byte) (bool, error) {
			p := parse(key)
			p.u32()
			var u Use
			if err := json.Unmarshal(v, &u); err != nil {
				return false, wrong("last use: %v", err)
			}
			uses[p.str()] = u
			return true, nil
		})
	})
	a.s.uses.mu.Lock()
	defer a.s.uses.mu.Unlock()
	for k, u := range a.s.uses.new {
		if k.account == a.ID {
			uses[k.device] = u
		}
	}
	return uses, errors.Join(err)
}
