package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/dgraph-io/badger/v4"

	"homemail/mail"
)

// A reader reads rows: a snapshot, or a transaction with its changes on top.
type reader interface {
	// get returns a row's payload, or ErrNotFound or ErrCorrupt.
	get(key []byte) ([]byte, error)
	// scan gives the rows whose keys start with prefix, from a key on, in
	// order, until fn returns false. Key and payload are valid during fn.
	scan(prefix, from []byte, fn func(key, payload []byte) (bool, error)) error
	// keys is scan without payloads.
	keys(prefix, from []byte, fn func(key []byte) (bool, error)) error
}

// A snapshot reads the database as it was at one moment.
type snapshot struct{ txn *badger.Txn }

func (s snapshot) get(key []byte) ([]byte, error) {
	item, err := s.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	v, err := item.ValueCopy(nil)
	if err != nil {
		return nil, err
	}
	return unseal(key, v)
}

func (s snapshot) scan(prefix, from []byte, fn func(key, payload []byte) (bool, error)) error {
	return s.iterate(prefix, from, func(item *badger.Item) (more bool, err error) {
		valueErr := item.Value(func(v []byte) error {
			var payload []byte
			if payload, err = unseal(item.Key(), v); err == nil {
				more, err = fn(item.Key(), payload)
			}
			return nil
		})
		return more, errors.Join(err, valueErr)
	})
}

func (s snapshot) keys(prefix, from []byte, fn func(key []byte) (bool, error)) error {
	return s.iterate(prefix, from, func(item *badger.Item) (bool, error) { return fn(item.Key()) })
}

func (s snapshot) iterate(prefix, from []byte, fn func(*badger.Item) (bool, error)) error {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false
	o.Prefix = prefix
	it := s.txn.NewIterator(o)
	defer it.Close()
	if from == nil {
		from = prefix
	}
	for it.Seek(from); it.Valid(); it.Next() {
		if more, err := fn(it.Item()); !more || err != nil {
			return err
		}
	}
	return nil
}

// lastKey returns the last key with a prefix, nil if there is none.
func (s snapshot) lastKey(prefix []byte) []byte {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false
	o.Reverse = true
	it := s.txn.NewIterator(o)
	defer it.Close()
	it.Seek(append(slices.Clone(prefix), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
	if !it.ValidForPrefix(prefix) {
		return nil
	}
	return it.Item().KeyCopy(nil)
}

// changes are the rows that were written on top of a snapshot, in the order
// of writing; a key is there once.
type changes struct {
	list  []change
	index map[string]int
	bytes int
	// references has the reference rows by blob: whether a blob is still
	// used is asked for each message that goes.
	references map[mail.BlobID][][]byte
}

func (c *changes) set(key, value []byte) {
	if c.index == nil {
		c.index = make(map[string]int)
	}
	c.bytes += len(key) + len(value)
	if key[0] == tReference && value != nil {
		if c.references == nil {
			c.references = make(map[mail.BlobID][][]byte)
		}
		id := mail.BlobID(parse(key).u64())
		c.references[id] = append(c.references[id], key)
	}
	if i, ok := c.index[string(key)]; ok {
		c.list[i].value = value
		return
	}
	c.index[string(key)] = len(c.list)
	c.list = append(c.list, change{key, value})
}

// take takes over the changes of a request that succeeded.
func (c *changes) take(own *changes) {
	if len(c.list) == 0 {
		*c = *own
		return
	}
	for _, ch := range own.list {
		c.set(ch.key, ch.value)
	}
}

// lookup returns a row's new value; nil if it was removed.
func (c *changes) lookup(key []byte) (value []byte, ok bool) {
	i, ok := c.index[string(key)]
	if !ok {
		return nil, false
	}
	return c.list[i].value, true
}

// under returns the changes with a prefix from a key on, by key.
func (c *changes) under(prefix, from []byte) []change {
	var found []change
	for _, ch := range c.list {
		if bytes.HasPrefix(ch.key, prefix) && bytes.Compare(ch.key, from) >= 0 {
			found = append(found, ch)
		}
	}
	sort.Slice(found, func(i, j int) bool { return bytes.Compare(found[i].key, found[j].key) < 0 })
	return found
}

// A tx is one caller's part of a batch: it reads what the callers before it
// wrote, and what it writes is dropped if it fails.
type tx struct {
	snapshot
	store *Store
	batch *changes // of those before
	own   changes
	told  []watchKey // whom to tell once all is on disk
	freed int64      // bytes of bodies removed
}

func (t *tx) lookup(key []byte) ([]byte, bool) {
	if v, ok := t.own.lookup(key); ok {
		return v, true
	}
	return t.batch.lookup(key)
}

func (t *tx) get(key []byte) ([]byte, error) {
	if v, ok := t.lookup(key); ok {
		if v == nil {
			return nil, ErrNotFound
		}
		return unseal(key, v)
	}
	return t.snapshot.get(key)
}

func (t *tx) put(key, payload []byte) { t.own.set(key, seal(key, payload)) }
func (t *tx) del(key []byte)          { t.own.set(key, nil) }
func (t *tx) tell(w watchKey)         { t.told = append(t.told, w) }

// has reports whether a row is there.
func (t *tx) has(key []byte) (bool, error) {
	_, err := t.get(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (t *tx) scan(prefix, from []byte, fn func(key, payload []byte) (bool, error)) error {
	return t.merge(prefix, from, func(k []byte, item *badger.Item, value []byte) (more bool, err error) {
		if item == nil {
			payload, err := unseal(k, value)
			if err != nil {
				return false, err
			}
			return fn(k, payload)
		}
		valueErr := item.Value(func(v []byte) error {
			var payload []byte
			if payload, err = unseal(k, v); err == nil {
				more, err = fn(k, payload)
			}
			return nil
		})
		return more, errors.Join(err, valueErr)
	})
}

func (t *tx) keys(prefix, from []byte, fn func(key []byte) (bool, error)) error {
	return t.merge(prefix, from, func(k []byte, _ *badger.Item, _ []byte) (bool, error) { return fn(k) })
}

// dropAll removes all rows with a prefix.
func (t *tx) dropAll(prefix []byte) error {
	var rows [][]byte
	err := t.keys(prefix, nil, func(key []byte) (bool, error) {
		rows = append(rows, slices.Clone(key))
		return true, nil
	})
	for _, key := range rows {
		t.del(key)
	}
	return err
}

// merge walks the snapshot and the changes on top of it in one order.
func (t *tx) merge(prefix, from []byte, fn func(k []byte, item *badger.Item, value []byte) (bool, error)) error {
	if from == nil {
		from = prefix
	}
	over := changes{}
	for _, c := range t.batch.under(prefix, from) {
		over.set(c.key, c.value)
	}
	for _, c := range t.own.under(prefix, from) {
		over.set(c.key, c.value)
	}
	list := over.under(prefix, from)
	stopped := false
	before := func(limit []byte) (bool, error) {
		for len(list) > 0 && (limit == nil || bytes.Compare(list[0].key, limit) < 0) {
			c := list[0]
			list = list[1:]
			if c.value == nil {
				continue
			}
			if more, err := fn(c.key, nil, c.value); !more || err != nil {
				stopped = true
				return false, err
			}
		}
		return true, nil
	}
	err := t.iterate(prefix, from, func(item *badger.Item) (bool, error) {
		if more, err := before(item.Key()); !more || err != nil {
			return more, err
		}
		if _, changed := over.lookup(item.Key()); changed {
			return true, nil // it comes from the list
		}
		more, err := fn(item.Key(), item, nil)
		stopped = !more
		return more, err
	})
	if err != nil || stopped {
		return err
	}
	_, err = before(nil)
	return err
}

// wrong says that rows contradict each other.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
