package store

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"homemail/mail"
)

// fillBatch is how many messages get what is shown of them in one commit.
const fillBatch = 100

// fillShown makes what is shown of messages that came before it was kept, or
// while another version of homemail had the store, and removes what is left of
// messages that such a version removed. It tells of how many it made it, and
// takes half of a processor's time at most.
func (s *Store) fillShown(ctx context.Context) (filled int, err error) {
	err = s.eachMailbox(func(a *Account, m Mailbox) error {
		lack, orphans, err := a.lackShown(m.ID)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(orphans, fillBatch) {
			if err := a.dropOrphans(m.ID, part); err != nil {
				return err
			}
		}
		for part := range slices.Chunk(lack, fillBatch) {
			start := time.Now()
			n, err := a.fillSome(m.ID, part)
			if filled += n; err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Since(start)):
			}
		}
		return nil
	})
	if filled > 0 {
		s.log.Info("made summaries of older messages", "messages", filled)
	}
	return filled, err
}

// fillSoon lets Run make what is shown of messages that have none.
func (s *Store) fillSoon() {
	select {
	case s.unfilled <- struct{}{}:
	default:
	}
}

// runFill calls fillShown now, and whenever there is something for it.
func (s *Store) runFill(ctx context.Context) {
	for {
		if _, err := s.fillShown(ctx); err != nil && ctx.Err() == nil && s.Broken() == nil {
			s.log.Warn("summaries of messages were not made", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.unfilled:
		}
		select { // let the commit be done, and others that may follow
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// eachMailbox calls fn for all mailboxes of all accounts, and passes over those
// that are removed meanwhile.
func (s *Store) eachMailbox(fn func(*Account, Mailbox) error) error {
	profiles, err := s.Accounts()
	if err != nil {
		return err
	}
	for _, p := range profiles {
		a := &Account{ID: p.ID, s: s}
		boxes, err := a.Mailboxes()
		if err != nil {
			return err
		}
		for _, m := range boxes {
			if err := fn(a, m); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// lackShown compares the keys of records and summaries.
func (a *Account) lackShown(box mail.MailboxID) (lack, orphans []mail.UID, err error) {
	err = a.s.view(func(r reader) error {
		lists := [2][]mail.UID{}
		for i, table := range []byte{tMessage, tSummary} {
			err := r.keys(inMailbox(table, a.ID, box), nil, func(key []byte) (bool, error) {
				uid := mail.UID(binary.BigEndian.Uint32(key[uidAt:]))
				if n := len(lists[i]); n == 0 || lists[i][n-1] != uid {
					lists[i] = append(lists[i], uid)
				}
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		lack, orphans = differ(lists[0], lists[1])
		return nil
	})
	return lack, orphans, err
}

// differ returns what only one of two ascending lists has.
func differ(a, b []mail.UID) (onlyA, onlyB []mail.UID) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			onlyA, a = append(onlyA, a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			onlyB, b = append(onlyB, b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return onlyA, onlyB
}

// fillSome makes what is shown of some messages. Those that are damaged stay
// without.
func (a *Account) fillSome(box mail.MailboxID, uids []mail.UID) (n int, err error) {
	var list []*Message
	err = a.s.view(func(r reader) error {
		for _, uid := range uids {
			m, err := getMessage(r, a.ID, box, uid)
			if missing(err) != nil {
				return err
			}
			if err == nil {
				if m.shown = siblingShown(r, a.ID, m); m.shown == nil {
					m.shown = showStored(r, m)
				}
				if m.shown != nil {
					list = append(list, m)
				}
			}
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	err = a.s.update(toChange, func(t *tx) error {
		for _, m := range list {
			there, err := t.has(inMailbox(tMessage, a.ID, box).uid(m.UID))
			if err != nil || !there {
				continue // gone, or damaged, meanwhile
			}
			if err := t.putShown(a.ID, m); err != nil {
				return err
			}
		}
		return nil
	})
	return len(list), err
}

func (a *Account) dropOrphans(box mail.MailboxID, uids []mail.UID) error {
	return a.s.update(toShrink, func(t *tx) error {
		for _, uid := range uids {
			if there, err := t.has(inMailbox(tMessage, a.ID, box).uid(uid)); err == nil && !there {
				t.dropShown(a.ID, box, uid)
			}
		}
		return nil
	})
}

// sweepThreads removes the rows of threads whose messages are gone.
func (s *Store) sweepThreads(ctx context.Context) error {
	profiles, err := s.Accounts()
	if err != nil {
		return err
	}
	for _, p := range profiles {
		a := &Account{ID: p.ID, s: s}
		var rows, ids []uint64
		err := s.view(func(r reader) error {
			err := r.keys(k(tThread).acct(a.ID), nil, func(key []byte) (bool, error) {
				rows = append(rows, binary.BigEndian.Uint64(key[5:]))
				return true, nil
			})
			if err != nil || len(rows) == 0 {
				return err
			}
			return tolerant(r, k(tSortKeys).acct(a.ID), func(_, v []byte) error {
				var k SortKeys
				if err := k.decode(v); err == nil {
					ids = append(ids, k.ID)
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
		slices.Sort(ids)
		rows = slices.DeleteFunc(rows, func(id uint64) bool {
			_, there := slices.BinarySearch(ids, id)
			return there
		})
		for part := range slices.Chunk(rows, fillBatch) {
			err := s.update(toShrink, func(t *tx) error {
				for _, id := range part {
					t.del(threadKey(a.ID, id))
				}
				return nil
			})
			if err := errors.Join(err, ctx.Err()); err != nil {
				return err
			}
		}
	}
	return nil
}
