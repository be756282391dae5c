package store

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"homemail/mail"
)

// A cursor gets the rows of a mailbox's messages in order: the next one is most
// often the one that is asked for, and need not be sought.
type cursor struct {
	t      *tx
	prefix key
	it     *badger.Iterator
	key    key
	value  []byte
	copy   func([]byte) error
}

// cursor starts at no row. It must be closed.
func (t *tx) cursor(table byte, a mail.AccountID, m mail.MailboxID) *cursor {
	c := &cursor{t: t, prefix: inMailbox(table, a, m)}
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false
	o.Prefix = c.prefix
	c.it = t.txn.NewIterator(o)
	c.copy = func(v []byte) error {
		c.value = append(c.value[:0], v...)
		return nil
	}
	return c
}

func (c *cursor) close() { c.it.Close() }

// get is tx.get of a message's row. The payload is valid until the next get.
func (c *cursor) get(uid mail.UID) ([]byte, error) {
	c.key = append(c.key[:0], c.prefix...).uid(uid)
	if v, ok := c.t.lookup(c.key); ok {
		if v == nil {
			return nil, ErrNotFound
		}
		return unseal(c.key, v)
	}
	for n := 0; ; n++ {
		if !c.it.Valid() || n == walkNext {
			c.it.Seek(c.key)
			break
		}
		if order := bytes.Compare(c.it.Item().Key(), c.key); order == 0 {
			break
		} else if order > 0 { // the row is missing, or before
			c.it.Seek(c.key)
			break
		}
		c.it.Next()
	}
	if !c.it.Valid() || !bytes.Equal(c.it.Item().Key(), c.key) {
		return nil, ErrNotFound
	}
	if err := c.it.Item().Value(c.copy); err != nil {
		return nil, err
	}
	return unseal(c.key, c.value)
}

// A copySource reads the messages of a mailbox that are copied.
type copySource struct {
	box             mail.MailboxID
	entries, record *cursor
}

func (t *tx) copySource(a mail.AccountID, box mail.MailboxID) *copySource {
	return &copySource{box, t.cursor(tFlags, a, box), t.cursor(tMessage, a, box)}
}

func (s *copySource) close() {
	s.entries.close()
	s.record.close()
}

// message returns a message, valid until the next one. ErrNotFound if there is
// none.
func (s *copySource) message(uid mail.UID) (e Entry, m *Message, err error) {
	v, err := s.entries.get(uid)
	if err != nil {
		return e, nil, err
	}
	if e, err = decodeEntry(uid, v); err != nil {
		return e, nil, err
	}
	if v, err = s.record.get(uid); err != nil {
		if errors.Is(err, ErrNotFound) {
			err = wrong("the record is missing")
		}
		return e, nil, err
	}
	if m, err = decodeMessage(s.box, uid, v); err != nil {
		err = fmt.Errorf("record: %w", err)
	}
	return e, m, err
}
