package store

import (
	"errors"
	"fmt"
	"slices"
)

// Derived rows are what another package makes of an account's mail and can make
// anew: an index to search. They are written like all else, but nobody waits
// for the disk: after a power cut the last of them may be missing, none before
// others that are there. They go with the account.

// A DerivedRow is such a row. A nil value removes it.
type DerivedRow struct {
	Path  string
	Value []byte
}

// derivedMax bounds what one call writes: it is one change, held in memory.
const derivedMax = 8 << 20

// PutDerived writes rows, all or none. ErrDiskFull.
func (a *Account) PutDerived(rows []DerivedRow) error {
	size, need := 0, toShrink
	for _, r := range rows {
		size += len(r.Value)
		if r.Value != nil {
			need = toGrow
		}
	}
	if size > derivedMax {
		return fmt.Errorf("%w: %d bytes of derived rows at once", ErrInvalid, size)
	}
	a.s.space.wrote(2 * int64(size))
	return a.s.submit(&request{need: need, lazy: true, fn: func(t *tx) error {
		if _, err := getOwner(t, a.ID); err != nil {
			return err // the account was removed
		}
		for _, r := range rows {
			key := k(tDerived).acct(a.ID).str(r.Path)
			old, err := t.get(key)
			if missing(err) != nil {
				return err
			}
			if len(old) >= valueThreshold {
				t.freed += int64(len(old))
			}
			if r.Value == nil {
				t.del(key)
			} else {
				t.put(key, r.Value)
			}
		}
		return nil
	}})
}

// ViewDerived runs fn with a function that reads rows of one moment: ErrNotFound,
// ErrCorrupt. Fn must not wait for a client nor call the store.
func (a *Account) ViewDerived(fn func(get func(path string) ([]byte, error)) error) error {
	return a.s.view(func(r reader) error {
		return fn(func(path string) ([]byte, error) { return r.get(k(tDerived).acct(a.ID).str(path)) })
	})
}

// DerivedPaths returns the paths that start with a prefix.
func (a *Account) DerivedPaths(prefix string) (list []string, err error) {
	err = a.s.view(func(r reader) error {
		return r.keys(k(tDerived).acct(a.ID).str(prefix), nil, func(key []byte) (bool, error) {
			list = append(list, string(key[5:]))
			return true, nil
		})
	})
	return list, err
}

// DropDerived removes all rows whose paths start with a prefix.
func (a *Account) DropDerived(prefix string) error {
	list, err := a.DerivedPaths(prefix)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(list, 1000) {
		rows := make([]DerivedRow, len(part))
		for i, path := range part {
			rows[i].Path = path
		}
		if err := a.PutDerived(rows); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// anyMailbox stands for all mailboxes of all accounts among what can be
// watched.
const anyMailbox = 2

// WatchMail watches all mailboxes of all accounts.
func (s *Store) WatchMail() *Watch { return s.watchers.add(watchKey{mailbox: anyMailbox}) }
