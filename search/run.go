package search

import (
	"context"
	"errors"
	"maps"
	"time"

	"homemail/mail"
	"homemail/store"
)

const (
	// settle is how long new mail waits for more to be indexed with it. Until
	// then a search reads it.
	settle = 2 * time.Second
	// retry is the wait after an error: the disk may be full.
	retry = time.Minute
	// partMessages are read and indexed at once.
	partMessages = 250
	// deference is how many times as long as a part took the index stands back
	// while mail comes in: that has to be quick, and a search can read.
	deference = 20
	// tidyEvery is how often expunged mail is sought in the index.
	tidyEvery = 24 * time.Hour
)

type boxID struct {
	a mail.AccountID
	m mail.MailboxID
}

// Run makes the index in the background and keeps it up to date. It returns
// nil when ctx ends.
func (x *Index) Run(ctx context.Context) error {
	w := x.store.WatchMail()
	defer w.Close()
	tidied := time.Now()
	for {
		err := x.Update(ctx)
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			x.log.Error("search: the index was not brought up to date", "err", err)
			again = time.After(retry)
		}
		if time.Since(tidied) > tidyEvery && ctx.Err() == nil {
			tidied = time.Now()
			if err := x.tidy(ctx); err != nil && ctx.Err() == nil {
				x.log.Error("search: expunged mail was not removed from the index", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-x.poke:
		case <-w.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(x.settle):
		}
	}
}

// Update brings the index up to date with all mailboxes of all accounts.
func (x *Index) Update(ctx context.Context) error {
	return x.each(ctx, func(k *keeper) error {
		if err := k.mailboxes(ctx); err != nil {
			return err
		}
		return k.mergeSmall(ctx)
	})
}

// tidy removes from the index what is of expunged messages.
func (x *Index) tidy(ctx context.Context) error {
	return x.each(ctx, func(k *keeper) error { return k.rewrite(ctx, 10) })
}

// each calls fn for each account. An index that is damaged is dropped, and made
// anew with the next Update.
func (x *Index) each(ctx context.Context, fn func(*keeper) error) error {
	profiles, err := x.store.Accounts()
	if err != nil {
		return err
	}
	var all error
	for _, p := range profiles {
		a, err := x.store.AccountByID(p.ID)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			err = x.with(a, fn)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errDamaged) || errors.Is(err, store.ErrCorrupt):
			x.log.Error("search: the index is damaged, and is made anew", "account", p.ID, "err", err)
			x.Rebuild(a)
			err = nil
		}
		all = errors.Join(all, err)
	}
	return all
}

// with calls fn while nobody else changes the index.
func (x *Index) with(a *store.Account, fn func(*keeper) error) error {
	x.work.Lock()
	defer x.work.Unlock()
	k := &keeper{x: x, a: a}
	if x.isDoomed(a.ID) {
		if err := a.DropDerived(""); err != nil {
			return err
		}
		x.spare(a.ID)
	}
	if err := k.load(); err != nil {
		return err
	}
	return fn(k)
}

// forgetKnown lets the mailboxes of an account be looked at again.
func (x *Index) forgetKnown(a mail.AccountID) {
	maps.DeleteFunc(x.known, func(id boxID, _ mail.ModSeq) bool { return id.a == a })
}

// distrust notes that an index could not be read.
func (x *Index) distrust(a *store.Account, err error) {
	x.log.Error("search: the index could not be used; the messages are read", "account", a.ID, "err", err)
	if errors.Is(err, errDamaged) || errors.Is(err, store.ErrCorrupt) {
		x.Rebuild(a)
	}
}

// Rebuild lets Run make an account's index anew. Searches use the old one until
// it is dropped, and then read what is not yet in the new one.
func (x *Index) Rebuild(a *store.Account) {
	x.mu.Lock()
	x.doomed[a.ID] = true
	x.mu.Unlock()
	select {
	case x.poke <- struct{}{}:
	default:
	}
}

func (x *Index) isDoomed(a mail.AccountID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.doomed[a]
}

func (x *Index) spare(a mail.AccountID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.doomed, a)
}

// A Progress tells how far the index of an account is.
type Progress struct {
	Messages int   // in all mailboxes
	Indexed  int   // of these, in the index
	Bytes    int64 // that the index takes
}

// Progress tells how far the index of an account is.
func (x *Index) Progress(a *store.Account) (p Progress, err error) {
	boxes, err := a.Mailboxes()
	if err != nil {
		return p, err
	}
	err = a.ViewDerived(func(get func(string) ([]byte, error)) error {
		c, err := readCatalog(get)
		if c == nil || err != nil {
			return err
		}
		p.Bytes = c.bytes()
		for _, m := range boxes {
			s, err := readState(get, m.ID)
			if err != nil {
				return err
			}
			p.Indexed += int(s.count)
		}
		return nil
	})
	for _, m := range boxes {
		p.Messages += int(m.Messages)
	}
	p.Indexed = min(p.Indexed, p.Messages)
	return p, err
}

// Total tells how far the indexes of all accounts are.
func (x *Index) Total() (sum Progress, err error) {
	profiles, err := x.store.Accounts()
	if err != nil {
		return sum, err
	}
	for _, p := range profiles {
		a, err := x.store.AccountByID(p.ID)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return sum, err
		}
		one, err := x.Progress(a)
		if err != nil {
			return sum, err
		}
		sum.Messages += one.Messages
		sum.Indexed += one.Indexed
		sum.Bytes += one.Bytes
	}
	return sum, nil
}
