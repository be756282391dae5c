package search

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A keeper changes the index of an account.
type keeper struct {
	x   *Index
	a   *store.Account
	cat *catalog
}

// load reads the catalog, or begins an index.
func (k *keeper) load() error {
	err := k.view(func(get getter) (err error) {
		k.cat, err = readCatalog(get)
		return err
	})
	if err != nil || k.cat != nil {
		return err
	}
	k.cat = &catalog{nextDoc: 1, nextSeg: 1}
	k.x.forgetKnown(k.a.ID)
	return k.a.DropDerived("")
}

func (k *keeper) view(fn func(getter) error) error {
	return k.a.ViewDerived(func(get func(string) ([]byte, error)) error { return fn(get) })
}

// read reads a row of the moment.
func (k *keeper) read(path string) (v []byte, err error) {
	err = k.view(func(get getter) error {
		v, err = get(path)
		return err
	})
	return v, err
}

// mailboxes indexes what is new in the account's mailboxes, and forgets those
// that are gone.
func (k *keeper) mailboxes(ctx context.Context) error {
	boxes, err := k.a.Mailboxes()
	if err != nil {
		return err
	}
	there := map[mail.MailboxID]bool{}
	for _, m := range boxes {
		there[m.ID] = true
		id := boxID{k.a.ID, m.ID}
		if k.x.known[id] == m.ModSeq {
			continue
		}
		err := k.mailbox(ctx, m)
		if errors.Is(err, store.ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		k.x.known[id] = m.ModSeq
	}
	return k.forget(there)
}

// forget removes what is kept of mailboxes that are gone, and rows that a merge
// or a crash left.
func (k *keeper) forget(there map[mail.MailboxID]bool) error {
	states, err := k.a.DerivedPaths("s")
	if err != nil {
		return err
	}
	for _, path := range states {
		n, err := strconv.ParseUint(path[1:], 16, 32)
		if err == nil && there[mail.MailboxID(n)] {
			continue
		}
		if err := errors.Join(k.a.DropDerived("b"+path[1:]), k.a.DropDerived(path)); err != nil {
			return err
		}
	}
	return nil
}

// mailbox indexes what is new in a mailbox.
func (k *keeper) mailbox(ctx context.Context, m store.Mailbox) error {
	var st boxState
	err := k.view(func(get getter) (err error) {
		st, err = readState(get, m.ID)
		return err
	})
	if err != nil {
		return err
	}
	written := st.at // up to known all was done, though the row may not say so
	if written != 0 {
		st.at = max(st.at, k.x.known[boxID{k.a.ID, m.ID}])
	}
	in := &intake{k: k, box: m.ID, st: st}
	var gone, fresh []mail.UID
	if st.at == 0 || st.validity != m.UIDValidity {
		in.st = boxState{validity: m.UIDValidity}
		fresh, err = in.compare(&gone)
	} else {
		gone, fresh, err = in.changes(&m)
	}
	if err != nil {
		return err
	}
	if err := in.remove(gone); err != nil {
		return err
	}
	for part := range slices.Chunk(fresh, partMessages) {
		start, before := time.Now(), k.x.store.Stats().Messages
		if err := errors.Join(ctx.Err(), in.part(part)); err != nil {
			return err
		}
		if err := k.mergeSmall(ctx); err != nil {
			return err
		}
		k.standBack(ctx, time.Since(start), k.x.store.Stats().Messages-before)
	}
	if len(fresh) > partMessages {
		k.x.log.Info("search: indexed a mailbox", "account", k.a.ID, "mailbox", m.ID, "messages", len(fresh))
	}
	if len(fresh)+len(gone) == 0 && written != 0 && m.ModSeq-written < 10_000 {
		return nil // only flags changed: the state can wait
	}
	in.st.at = m.ModSeq
	return k.a.PutDerived([]store.DerivedRow{{Path: statePath(m.ID), Value: in.st.encode()}})
}

// standBack waits while mail comes in.
func (k *keeper) standBack(ctx context.Context, took time.Duration, came int64) {
	if came == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(deference * took):
	}
}
