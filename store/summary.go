package store

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dgraph-io/badger/v4"

	"homemail/mail"
)

// A Summary is what a list of messages shows of one. Its bytes are valid during
// the call that it is passed to.
type Summary struct {
	UID    mail.UID
	Date   time.Time // internal date
	Saved  time.Time // when it came into this mailbox, RFC 8514
	Size   int64     // RFC822.SIZE
	Email  EmailID
	Thread ThreadID
	// Envelope and Structure are ENVELOPE and BODYSTRUCTURE as they go on the
	// wire, to any client: what is not 7-bit is a literal. Both are empty if the
	// message has so many parts or addresses that it is not kept rendered: then
	// Message has the structure.
	Envelope, Structure []byte
}

// An EmailID names a message's content, a ThreadID a conversation, RFC 8474.
type (
	EmailID  [emailIDSize]byte
	ThreadID uint64
)

func (id EmailID) String() string { return "M" + hex.EncodeToString(id[:]) }

// String is "" for a thread that is not known yet, which is NIL on the wire.
func (id ThreadID) String() string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("T%016x", uint64(id))
}

// ObjectID is MAILBOXID, RFC 8474 §4: a number is never used again.
func (m *Mailbox) ObjectID() string { return "F" + strconv.FormatUint(uint64(m.ID), 10) }

// decode reads a summary into s, whose bytes are parts of v then.
func (s *Summary) decode(v []byte) error {
	if len(v) <= summaryFixed || v[0] != shownVersion {
		return wrong("summary of message %d", s.UID)
	}
	s.Saved = time.UnixMilli(int64(binary.BigEndian.Uint64(v[1:])))
	s.Date = time.UnixMilli(int64(binary.BigEndian.Uint64(v[9:])))
	s.Size = int64(binary.BigEndian.Uint64(v[17:]))
	s.Email = EmailID(v[25:])
	s.Thread = ThreadID(binary.BigEndian.Uint64(v[25+emailIDSize:]))
	n, w := binary.Uvarint(v[summaryFixed:])
	rest := v[summaryFixed:]
	if w <= 0 || n > uint64(len(rest)-w) {
		return wrong("summary of message %d", s.UID)
	}
	rest = rest[w:]
	s.Envelope, s.Structure = rest[:n:n], rest[n:]
	return nil
}

// Summaries gives fn the summaries of those messages that exist, in the order of
// uids, which ascend. They are read as they lie on the disk, one after another,
// and little is copied. Fn runs outside of any transaction. A message that is
// damaged ends it with ErrCorrupt.
func (a *Account) Summaries(mbox mail.MailboxID, uids []mail.UID, fn func(*Summary) error) error {
	w := rowWalk{table: tSummary, account: a.ID, mailbox: mbox, shown: func(sh *shown, m *Message) []byte { return m.summary(sh, 0) }}
	var s Summary
	return w.each(a, uids, func(uid mail.UID, v []byte) error {
		s.UID = uid
		if err := s.decode(v); err != nil {
			return fmt.Errorf("message %d: %w", uid, err)
		}
		return fn(&s)
	})
}

// A rowWalk reads rows of a table that has some for each message, a batch at a
// time.
type rowWalk struct {
	table   byte
	account mail.AccountID
	mailbox mail.MailboxID
	// shown makes a message's row anew, if it is missing.
	shown func(*shown, *Message) []byte

	bytes []byte
	rows  []walkedRow
	it    *badger.Iterator
	copy  func([]byte) error
	key   []byte // of the row that copy copies
}

// A walkedRow is a message's row, or its rows one after another.
type walkedRow struct {
	uid      mail.UID
	from, to int // in bytes
}

// Limits of a batch.
const (
	walkRows  = 512
	walkBytes = 256 << 10
	// walkNext is how many rows of others are passed over before it is quicker to
	// seek.
	walkNext = 8
)

// each gives fn each message's row.
func (w *rowWalk) each(a *Account, uids []mail.UID, fn func(mail.UID, []byte) error) error {
	w.copy = func(v []byte) error {
		v, err := unseal(w.key, v)
		w.bytes = append(w.bytes, v...)
		return err
	}
	for len(uids) > 0 {
		n := 0
		err := a.s.view(func(r reader) (err error) {
			n, err = w.batch(r.(snapshot), uids)
			return err
		})
		for _, row := range w.rows {
			if err := fn(row.uid, w.bytes[row.from:row.to]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		uids = uids[n:]
	}
	return nil
}

// batch reads rows in one snapshot and tells how many of uids it did.
func (w *rowWalk) batch(s snapshot, uids []mail.UID) (n int, err error) {
	w.bytes, w.rows = w.bytes[:0], w.rows[:0]
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false
	o.Prefix = inMailbox(w.table, w.account, w.mailbox)
	w.it = s.txn.NewIterator(o)
	defer w.it.Close()
	w.it.Seek(inMailbox(w.table, w.account, w.mailbox).uid(uids[0]))
	for n < len(uids) && n < walkRows && len(w.bytes) < walkBytes {
		uid := uids[n]
		n++
		from := len(w.bytes)
		err := w.row(uid)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
			w.bytes = w.bytes[:from]
			err = w.anew(s, uid)
		}
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("message %d: %w", uid, err)
		}
		w.rows = append(w.rows, walkedRow{uid, from, len(w.bytes)})
	}
	return n, nil
}

// uidAt is where a key of these tables has the UID.
const uidAt = 1 + 4 + 4

// row copies a message's rows.
func (w *rowWalk) row(uid mail.UID) error {
	for range walkNext {
		if !w.it.Valid() || w.uid() >= uid {
			break
		}
		w.it.Next()
	}
	if w.it.Valid() && w.uid() < uid {
		w.it.Seek(inMailbox(w.table, w.account, w.mailbox).uid(uid))
	}
	for n := uint8(0); ; n++ {
		if !w.it.Valid() || w.uid() != uid {
			return ErrNotFound
		}
		item := w.it.Item()
		w.key = item.Key()
		if len(w.key) > uidAt+4 && w.key[uidAt+4] != n {
			return ErrCorrupt
		}
		before := len(w.bytes)
		if err := item.Value(w.copy); err != nil {
			return err
		}
		w.it.Next()
		if w.table != tSummary || len(w.bytes)-before < shownPart {
			return nil
		}
	}
}

func (w *rowWalk) uid() mail.UID {
	return mail.UID(binary.BigEndian.Uint32(w.it.Item().Key()[uidAt:]))
}

// anew makes a row of the message's record.
func (w *rowWalk) anew(r reader, uid mail.UID) error {
	m, err := getMessage(r, w.account, w.mailbox, uid)
	if err != nil {
		return err
	}
	st, err := m.Structure()
	if err != nil {
		return err
	}
	var head []byte
	if w.table == tSortKeys { // which have the preview
		head, _ = r.get(chunkKey(m.Blob, 0))
	}
	sh := newShown(st, head)
	w.bytes = append(w.bytes, w.shown(sh, m)...)
	return nil
}
