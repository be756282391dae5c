package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"homemail/mail"
)

// A Head is a domain that mail waits for, and when the first of it is due.
type Head struct {
	Domain string
	Due    time.Time
}

// QueueHeads returns the domains that mail waits for, held mail aside.
func (s *Store) QueueHeads() (list []Head, err error) {
	err = s.view(func(r reader) error {
		from := []byte{tDue}
		for from != nil {
			at := from
			from = nil
			err := r.keys([]byte{tDue}, at, func(key []byte) (bool, error) {
				v, err := r.get(key)
				if err != nil && !errors.Is(err, ErrCorrupt) {
					return false, err
				}
				domain, place, err := decodePlace(key, v)
				if err != nil {
					s.log.Error("a place in the queue's schedule cannot be read", "err", err)
					rcpt, err := getPending(r, place.Item, place.N) // whose row has the domain too
					if err != nil {
						return true, nil // the domain's next one will do
					}
					domain = rcpt.Path.Domain()
				}
				list = append(list, Head{Domain: domain, Due: place.Due})
				if h := parse(key).u64(); h < 1<<64-1 {
					from = k(tDue).u64(h + 1)
				}
				return false, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// getPending reads a recipient that is queued.
func getPending(r reader, id mail.ItemID, n uint32) (*QueueRecipient, error) {
	key := pendingKey(id, n)
	v, err := r.get(key)
	if err != nil {
		return nil, err
	}
	return decodeRecipient(key, v)
}

// QueueDue returns the places of a domain that come after one, in their order
// and at most n; after the zero Place the first of all.
func (s *Store) QueueDue(domain string, after Place, n int) (list []Place, err error) {
	h := hashDomain(domain)
	var from key
	if after.Item != 0 {
		from = append(after.key(domain), 0)
	}
	err = s.view(func(r reader) error {
		return r.keys(append(k(tDue), h[:]...), from, func(key []byte) (bool, error) {
			v, err := r.get(key)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				return false, err
			}
			if _, place, _ := decodePlace(key, v); place.Item != 0 { // the key says enough if the rest is damaged
				list = append(list, place)
			}
			return len(list) < n, nil
		})
	})
	return list, err
}

// SetAside takes a place out of the schedule if what it leads to cannot be
// read, or does not wait any more: it must not hold up what comes after.
func (s *Store) SetAside(domain string, p Place) error {
	return s.update(toShrink, func(t *tx) error {
		_, itemErr := getItem(t, p.Item)
		r, err := getRecipient(t, p.Item, p.N)
		if itemErr == nil && err == nil && r.State == Queued && r.Hold == "" && bytes.Equal(dueKey(r), p.key(domain)) {
			return nil // it is in order after all
		}
		t.del(p.key(domain))
		return nil
	})
}

// Item returns a message of the queue with its recipients, those that are done
// included. Recipients that cannot be read are left out, which is logged.
func (s *Store) Item(id mail.ItemID) (it *Item, to []*QueueRecipient, err error) {
	err = s.view(func(r reader) error {
		it, to, err = s.itemAndRecipients(r, id)
		return err
	})
	return it, to, err
}

func (s *Store) itemAndRecipients(r reader, id mail.ItemID) (*Item, []*QueueRecipient, error) {
	it, err := getItem(r, id)
	if err != nil {
		return nil, nil, err
	}
	list := make([]*QueueRecipient, 0, it.Count)
	for n := range it.Count {
		rcpt, err := getRecipient(r, id, n)
		switch {
		case errors.Is(err, ErrNotFound): // forgotten
		case errors.Is(err, ErrCorrupt):
			s.log.Error("a recipient of the queue cannot be read", "err", err)
		case err != nil:
			return nil, nil, err
		default:
			list = append(list, rcpt)
		}
	}
	return it, list, nil
}

// getRecipient reads a recipient. That it is done counts, should it be there as
// queued too: what is back from the dead is never sent again.
func getRecipient(r reader, id mail.ItemID, n uint32) (*QueueRecipient, error) {
	for _, key := range []key{doneKey(id, n), pendingKey(id, n)} {
		v, err := r.get(key)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("recipient %d of queue item %d: %w", n, id, err)
		}
		return decodeRecipient(key, v)
	}
	return nil, ErrNotFound
}

// Items gives fn the messages of the queue, oldest first, until it returns
// false; with done also those that nobody waits for any more. Fn runs outside
// of any transaction.
func (s *Store) Items(done bool, fn func(*Item, []*QueueRecipient) bool) error {
	const batch = 64
	from := key{tItem}
	for {
		var ids []mail.ItemID
		err := s.view(func(r reader) error {
			return r.keys([]byte{tItem}, from, func(key []byte) (bool, error) {
				ids = append(ids, mail.ItemID(parse(key).u32()))
				return len(ids) < batch, nil
			})
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			it, to, err := s.Item(id)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if errors.Is(err, ErrCorrupt) {
				s.log.Error("a message of the queue cannot be read", "err", err)
				continue
			}
			if err != nil {
				return err
			}
			if (done || waits(to)) && !fn(it, to) {
				return nil
			}
		}
		last := ids[len(ids)-1]
		if last == 1<<32-1 {
			return nil
		}
		from = itemKey(last + 1)
	}
}

func waits(to []*QueueRecipient) bool {
	for _, r := range to {
		if r.State == Queued {
			return true
		}
	}
	return false
}

// ItemBody returns the bytes of a message of the queue.
func (s *Store) ItemBody(it *Item) *Body {
	return (&Account{s: s}).Body(&Message{UID: mail.UID(it.ID), Blob: it.Blob, BlobSize: it.BlobSize, Size: it.Size(), Prefix: it.Prefix})
}

// ChangeRecipients lets the owner change the recipients of items that are
// still queued: their Due, their Hold, or their State. It tells how many were.
func (s *Store) ChangeRecipients(ids []mail.ItemID, fn func(*QueueRecipient)) (changed int, err error) {
	for part := range slices.Chunk(ids, changeMax) {
		var domains []string
		err = s.update(toShrink, func(t *tx) error {
			for _, id := range part {
				list, err := t.changeItem(id, fn)
				if err != nil {
					return err
				}
				domains = append(domains, list...)
			}
			return nil
		})
		if err != nil {
			return changed, err
		}
		changed += len(domains)
		s.tellQueue(domains)
	}
	return changed, nil
}

// changeMax is how many items one commit of ChangeRecipients changes.
const changeMax = 64

// changeItem returns the domains of those who were changed.
func (t *tx) changeItem(id mail.ItemID, fn func(*QueueRecipient)) (domains []string, err error) {
	_, list, err := t.store.itemAndRecipients(t, id)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if r.State != Queued {
			continue
		}
		if _, err := t.takePending(id, r.N); err != nil {
			return nil, err
		}
		fn(r)
		if err := t.putSettled(r); err != nil {
			return nil, err
		}
		domains = append(domains, r.Path.Domain())
	}
	return domains, nil
}

// SweepQueue forgets recipients that were done before a moment, and items that
// have none left.
func (s *Store) SweepQueue(before time.Time) error {
	for from := (key{tDone}); from != nil; {
		var old []key
		var err error
		if old, from, err = s.doneBefore(before, from); err != nil {
			return err
		}
		err = s.update(toShrink, func(t *tx) error {
			for _, key := range old {
				if err := t.forget(key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepMax is how many rows SweepQueue reads in one snapshot, and removes in
// one commit at most: deliveries wait meanwhile.
const sweepMax = 1000

// doneBefore returns the rows of recipients that were done before a moment, and
// where to go on reading; nil at the end. A damaged row stays, and a check tells.
func (s *Store) doneBefore(before time.Time, from key) (old []key, next key, err error) {
	read := 0
	err = s.view(func(r reader) error {
		return r.keys([]byte{tDone}, from, func(key []byte) (bool, error) {
			if read++; read > sweepMax {
				next = bytes.Clone(key)
				return false, nil
			}
			v, err := r.get(key)
			if err != nil {
				return true, nil
			}
			if rcpt, err := decodeRecipient(key, v); err == nil && rcpt.Ended.Before(before) {
				old = append(old, bytes.Clone(key))
			}
			return true, nil
		})
	})
	return old, next, err
}

// forget removes the row of a recipient that is done, and the item with its
// last one.
func (t *tx) forget(done key) error {
	t.del(done)
	id := mail.ItemID(parse(done).u32())
	it, err := getItem(t, id)
	if err != nil {
		return nil // a check tells
	}
	for n := range it.Count {
		if _, err := getRecipient(t, id, n); !errors.Is(err, ErrNotFound) {
			return nil
		}
	}
	t.del(itemKey(id))
	return nil
}

// A QueueSize is how much the queue holds.
type QueueSize struct {
	Queued int             // recipients, held ones too
	Due    int             // of them those whose time has come
	Oldest *QueueRecipient // who waits longest; nil if nobody does
}

// QueueSize measures the queue. It looks at each recipient's key.
func (s *Store) QueueSize(now time.Time) (size QueueSize, err error) {
	err = s.view(func(r reader) error {
		err := r.keys([]byte{tPending}, nil, func(key []byte) (bool, error) {
			size.Queued++
			if size.Oldest != nil {
				return true, nil
			}
			if v, err := r.get(key); err == nil {
				size.Oldest, _ = decodeRecipient(key, v) // a check tells what is damaged
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		return r.keys([]byte{tDue}, nil, func(key []byte) (bool, error) {
			if _, p, _ := decodePlace(key, nil); !p.Due.After(now) {
				size.Due++
			}
			return true, nil
		})
	})
	return size, err
}

// ItemsOf returns the messages of the queue that came in under a trace.
func (s *Store) ItemsOf(trace string) (ids []mail.ItemID, err error) {
	err = s.view(func(r reader) error {
		return r.keys([]byte{tItem}, nil, func(key []byte) (bool, error) {
			v, err := r.get(key)
			if err != nil || !bytes.Contains(v, []byte(trace)) { // most are told apart without decoding
				return true, nil
			}
			id := mail.ItemID(parse(key).u32())
			if it, err := decodeItem(id, v); err == nil && it.Trace == trace {
				ids = append(ids, id)
			}
			return true, nil
		})
	})
	return ids, err
}
