package signin

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A Session is a sign-in that was right and is still good until Done is closed.
type Session struct {
	Account *store.Account
	Address mail.Path // the account's primary address
	Device  string    // the id of the device
	Name    string    // its name
	// Rewrite has mail of the device that is not by the account made its own,
	// where others' is refused.
	Rewrite bool

	id   mail.AccountID
	hash []byte
	done chan struct{}
	c    *Checker
}

// Done is closed when the account is disabled or removed or the device's
// password is revoked. The connection has to end then.
func (s *Session) Done() <-chan struct{} { return s.done }

// Close forgets the session. It does not close Done.
func (s *Session) Close() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.drop(s)
}

func (c *Checker) add(s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[s.id] == nil {
		c.sessions[s.id] = make(map[*Session]struct{})
	}
	c.sessions[s.id][s] = struct{}{}
	c.stats.Sessions.Add(1)
}

// drop removes s and reports whether it was there. c.mu is held.
func (c *Checker) drop(s *Session) bool {
	if _, ok := c.sessions[s.id][s]; !ok {
		return false
	}
	delete(c.sessions[s.id], s)
	if len(c.sessions[s.id]) == 0 {
		delete(c.sessions, s.id)
	}
	c.stats.Sessions.Add(-1)
	return true
}

// recheckAfter is how soon the accounts are looked at again when the store
// could not be read; sessions have to end within 5 s of a change.
const recheckAfter = 2 * time.Second

// Run ends the sessions of accounts and devices that were turned off, until
// ctx ends.
func (c *Checker) Run(ctx context.Context) error {
	w := c.store.WatchProfiles()
	defer w.Close()
	for {
		var again <-chan time.Time
		if err := c.revoke(); err != nil {
			c.o.Log.Error("cannot look for revoked sessions; trying again", "err", err)
			again = time.After(recheckAfter)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.C:
		case <-again:
		}
	}
}

// revoke looks at the account of every session once.
func (c *Checker) revoke() error {
	var errs error
	for _, id := range c.accountsInUse() {
		_, p, err := c.profile(id)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		c.mu.Lock()
		for s := range c.sessions[id] {
			if !allows(p, s) && c.drop(s) {
				close(s.done)
				c.stats.Revoked.Add(1)
				c.o.Log.Info("session revoked", "address", s.Address, "device", s.Device)
			}
		}
		c.mu.Unlock()
	}
	return errs
}

func (c *Checker) accountsInUse() []mail.AccountID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]mail.AccountID, 0, len(c.sessions))
	for id := range c.sessions {
		ids = append(ids, id)
	}
	return ids
}

// valid reports whether s may still go on.
func (c *Checker) valid(s *Session) (bool, error) {
	_, p, err := c.profile(s.id)
	return err == nil && allows(p, s), err
}

// profile reads an account and its profile; that of an account that is gone is
// a disabled one.
func (c *Checker) profile(id mail.AccountID) (*store.Account, store.Profile, error) {
	a, err := c.store.AccountByID(id)
	if err == nil {
		var p store.Profile
		if p, err = a.Profile(); err == nil {
			return a, p, nil
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, store.Profile{Disabled: true}, nil
	}
	return nil, store.Profile{}, err
}

// allows compares hashes and not ids alone: an id may be given again.
func allows(p store.Profile, s *Session) bool {
	return !p.Disabled && slices.ContainsFunc(p.Devices, func(d store.Device) bool {
		return d.ID == s.Device && bytes.Equal(d.Hash, s.hash)
	})
}
