package store

import (
	"bytes"
	"errors"

	"github.com/dgraph-io/badger/v4"
)

// Events are what happened, in rows of bytes that package events understands. A
// row is named by the number of its first event, which only grows. Nothing else
// refers to them: should one be damaged or lost, an event is.

// EventBytes is how long a row may be. A longer one would lie in a value log
// file, among the bodies, and a search would have to fetch each from there.
const EventBytes = valueThreshold - sumSize - 20

// An EventRow is a row of events; without bytes, one that is to be removed.
type EventRow struct {
	First uint64
	Bytes []byte
}

// PutEvents writes and removes rows in one commit. With flush they are on disk
// when it returns; else they are once anything else is, or the system has
// written them by itself, and only a power cut loses them.
func (s *Store) PutEvents(rows []EventRow, flush bool) error {
	need := toShrink
	for _, r := range rows {
		if len(r.Bytes) > EventBytes {
			return wrong("a row of events has %d bytes", len(r.Bytes))
		}
		if r.Bytes != nil {
			need = toChange
		}
	}
	return s.submit(&request{need: need, lazy: !flush, fn: func(t *tx) error {
		for _, r := range rows {
			if r.Bytes == nil {
				t.del(eventKey(r.First))
			} else {
				t.put(eventKey(r.First), r.Bytes)
			}
		}
		return nil
	}})
}

// Events gives fn the rows whose first event is before a number, the newest
// first, until it returns false. A row that is damaged comes as nil: it must
// not hide the others. The bytes are valid during fn, which must neither block
// nor ask the store.
func (s *Store) Events(before uint64, fn func(first uint64, row []byte) bool) error {
	if before == 0 {
		return nil
	}
	return s.disk.read(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		o.Reverse = true
		o.Prefix = []byte{tEvent}
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Seek(eventKey(before - 1)); it.Valid(); it.Next() {
			if more, err := s.eventRow(it.Item(), fn); !more || err != nil {
				return err
			}
		}
		return nil
	})
}

// EventsFrom is Events from a number on, the oldest first.
func (s *Store) EventsFrom(from uint64, fn func(first uint64, row []byte) bool) error {
	return s.disk.read(func(txn *badger.Txn) error {
		return snapshot{txn}.iterate([]byte{tEvent}, eventKey(from), func(item *badger.Item) (bool, error) {
			return s.eventRow(item, fn)
		})
	})
}

func (s *Store) eventRow(item *badger.Item, fn func(first uint64, row []byte) bool) (more bool, err error) {
	key := item.Key()
	p := parse(key)
	first := p.u64()
	if !p.ok {
		return true, nil // a check tells
	}
	valueErr := item.Value(func(v []byte) error {
		row, damaged := unseal(key, v)
		if damaged != nil {
			row = nil
		}
		more = fn(first, row)
		return nil
	})
	if errors.Is(valueErr, badger.ErrKeyNotFound) {
		return true, nil
	}
	return more, valueErr
}

// checkEvents looks at the keys; what the rows say only package events knows.
func (c *checker) checkEvents(r reader) error {
	return r.keys([]byte{tEvent}, nil, func(key []byte) (bool, error) {
		if p := parse(key); p.u64() != 0 && p.ok && len(p.rest) == 0 {
			return true, nil
		}
		stray := bytes.Clone(key)
		c.find(func(t *tx) (string, error) {
			t.del(stray)
			return "removed", nil
		}, "a row of events has the key %x", stray)
		return true, nil
	})
}
