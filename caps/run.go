package caps

import (
	"context"
	"errors"
	"time"

	"homemail/mail"
	"homemail/store"
)

// Run writes counts to disk a moment after they change, and has the owner told
// of pauses, until ctx ends. The store has to stay open until it returns.
func (c *Caps) Run(ctx context.Context) error {
	if err := c.sweep(); err != nil {
		c.o.Log.Error("cannot look for what accounts that are gone have left", "err", err)
	}
	c.wake() // for pauses of before
	for {
		select {
		case <-ctx.Done():
			return c.write()
		case <-c.news:
		}
		wait(ctx, lazy)
		if err := errors.Join(c.write(), c.tell(ctx)); err != nil && ctx.Err() == nil {
			c.o.Log.Error("cannot keep what accounts have sent, or tell of a pause; trying again", "err", err, "wait", patience)
			time.AfterFunc(patience, c.wake)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// tell has the owner told of the pauses that he was not told of.
func (c *Caps) tell(ctx context.Context) error {
	if c.o.Tell == nil {
		return nil
	}
	list, err := c.Paused()
	for _, p := range list {
		if !p.Told && ctx.Err() == nil {
			err = errors.Join(err, c.tellOf(ctx, p))
		}
	}
	return err
}

func (c *Caps) tellOf(ctx context.Context, p Pause) error {
	n := Notice{Pause: p}
	a, err := c.s.AccountByID(p.Account)
	var profile store.Profile
	if err == nil {
		profile, err = a.Profile()
	}
	switch {
	case errors.Is(err, store.ErrNotFound): // there is nobody to tell of
	case err != nil:
		return err
	default:
		n.Address, n.Name, n.Language = profile.Address, profile.Name, profile.Language
		if err := c.o.Tell(ctx, n); err != nil {
			return err
		}
	}
	return c.told(p)
}

// told notes that the owner was told of a pause, if it is still the one.
func (c *Caps) told(p Pause) error {
	return c.with(p.Account, func(a *account) error {
		if a.pause == nil || !a.pause.Since.Equal(p.Since) {
			return nil
		}
		now := *a.pause
		now.Told = true
		if err := c.s.PutState(pausePath(a.id), now.encode()); err != nil {
			return err
		}
		a.pause = &now
		return nil
	})
}

// sweepMax is how many rows sweep removes in one commit.
const sweepMax = 1000

// sweep removes the rows of accounts that are gone.
func (c *Caps) sweep() error {
	profiles, err := c.s.Accounts()
	if err != nil {
		return err
	}
	here := make(map[mail.AccountID]bool)
	for _, p := range profiles {
		here[p.ID] = true
	}
	for _, prefix := range []string{pauses, countz, knowns} {
		rows := make(map[string][]byte)
		err := c.s.States(prefix, func(path string, _ []byte) bool {
			if id, ok := accountOf(path, prefix); !ok || !here[id] {
				rows[path] = nil
			}
			return len(rows) < sweepMax // the rest goes next time
		})
		if err = errors.Join(err, c.commit(rows)); err != nil {
			return err
		}
	}
	return nil
}
