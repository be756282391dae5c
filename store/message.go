package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"homemail/mail"
	"homemail/mail/message"
)

// A Message is what is kept about an entry of a mailbox besides its flags. It
// never changes.
type Message struct {
	Mailbox  mail.MailboxID
	UID      mail.UID
	Blob     mail.BlobID
	Hash     [32]byte // SHA-256 of the blob
	BlobSize int64
	Size     int64  // of prefix and blob
	Prefix   []byte // header lines before the blob
	Date     time.Time
	Saved    time.Time // when it came into this mailbox, RFC 8514

	structure []byte
	shown     *shown // what was made of the structure, if it was
}

// recordVersion is the first byte of a message record.
const recordVersion = 1

func (m *Message) encode() []byte {
	e := encoder{recordVersion}
	e.uint(uint64(m.Blob))
	e = append(e, m.Hash[:]...)
	e.uint(uint64(m.BlobSize))
	e.int(m.Date.UnixMilli())
	e.int(m.Saved.UnixMilli())
	e.bytes(m.Prefix)
	e.bytes(m.structure)
	return e
}

// decodeMessage reads a record; v must stay as it is.
func decodeMessage(mbox mail.MailboxID, uid mail.UID, v []byte) (*Message, error) {
	if len(v) < 1 || v[0] != recordVersion {
		return nil, wrong("record of message %d", uid)
	}
	d := decoder{rest: v[1:]}
	m := &Message{Mailbox: mbox, UID: uid, Blob: mail.BlobID(d.uint())}
	if len(d.rest) < len(m.Hash) {
		return nil, wrong("record of message %d", uid)
	}
	d.rest = d.rest[copy(m.Hash[:], d.rest):]
	m.BlobSize = int64(d.uint())
	m.Date, m.Saved = time.UnixMilli(d.int()), time.UnixMilli(d.int())
	m.Prefix, m.structure = d.bytes(), d.bytes()
	m.Size = m.BlobSize + int64(len(m.Prefix))
	return m, d.err
}

// Structure tells what the message looks like. Its offsets count from the
// blob's first byte: add the prefix's length for places in the Body.
func (m *Message) Structure() (*message.Structure, error) {
	s, err := message.Decode(m.structure)
	if err != nil {
		return nil, fmt.Errorf("%w: structure of message %d: %w", ErrCorrupt, m.UID, err)
	}
	return s, nil
}

// An Entry is what changes about a message.
type Entry struct {
	UID      mail.UID
	ModSeq   mail.ModSeq
	Flags    mail.Flags
	Keywords []string // sorted
	Size     int64    // of the whole message
}

func (e *Entry) encode() []byte {
	b := encoder{}
	b.uint(uint64(e.ModSeq))
	b.uint(uint64(e.Flags))
	b.uint(uint64(e.Size))
	for _, w := range e.Keywords {
		b.string(w)
	}
	return b
}

func decodeEntry(uid mail.UID, v []byte) (Entry, error) {
	d := decoder{rest: v}
	e := Entry{UID: uid, ModSeq: mail.ModSeq(d.uint()), Flags: mail.Flags(d.uint()), Size: int64(d.uint())}
	for len(d.rest) > 0 {
		e.Keywords = append(e.Keywords, d.string())
	}
	return e, d.err
}

func getEntry(r reader, a mail.AccountID, m mail.MailboxID, uid mail.UID) (Entry, error) {
	v, err := r.get(inMailbox(tFlags, a, m).uid(uid))
	if err != nil {
		return Entry{}, err
	}
	return decodeEntry(uid, v)
}

// entries reads all rows of a mailbox, and notices when one is missing.
func entries(r reader, a mail.AccountID, id mail.MailboxID) ([]Entry, error) {
	m, err := getMailbox(r, a, id)
	if err != nil {
		return nil, err
	}
	list := make([]Entry, 0, m.Messages)
	uids := uint32(0)
	err = r.scan(inMailbox(tFlags, a, id), nil, func(key, v []byte) (bool, error) {
		p := parse(key)
		p.u32()
		p.u32()
		e, err := decodeEntry(mail.UID(p.u32()), v)
		uids ^= uint32(e.UID)
		list = append(list, e)
		return true, err
	})
	if err == nil && (len(list) != int(m.Messages) || uids != m.uids) {
		err = wrong("mailbox %d has %d messages and should have %d", id, len(list), m.Messages)
	}
	return list, err
}

// Entries returns what a mailbox holds, by UID. With ErrCorrupt it returns
// what could be read: rows are missing or damaged.
func (a *Account) Entries(mbox mail.MailboxID) (list []Entry, err error) {
	err = a.s.view(func(r reader) error {
		list, err = entries(r, a.ID, mbox)
		return err
	})
	return list, err
}

// Message returns a message's record.
func (a *Account) Message(mbox mail.MailboxID, uid mail.UID) (m *Message, err error) {
	err = a.s.view(func(r reader) error {
		m, err = getMessage(r, a.ID, mbox, uid)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("message %d: %w", uid, err)
	}
	return m, nil
}

// getMessage reads a record. One that is missing though the message has flags
// is damage.
func getMessage(r reader, a mail.AccountID, mbox mail.MailboxID, uid mail.UID) (*Message, error) {
	v, err := r.get(inMailbox(tMessage, a, mbox).uid(uid))
	if errors.Is(err, ErrNotFound) {
		if _, err := getEntry(r, a, mbox, uid); !errors.Is(err, ErrNotFound) {
			return nil, wrong("the record is missing")
		}
	}
	if err != nil {
		return nil, err
	}
	return decodeMessage(mbox, uid, v)
}

// recordBatch is how many records one snapshot reads.
const recordBatch = 64

// Messages gives fn the records of those messages that exist, in the order of
// uids. Fn runs outside of any transaction. A damaged record ends it with
// ErrCorrupt.
func (a *Account) Messages(mbox mail.MailboxID, uids []mail.UID, fn func(*Message) error) error {
	for part := range slices.Chunk(uids, recordBatch) {
		batch := make([]*Message, 0, len(part))
		err := a.s.view(func(r reader) error {
			for _, uid := range part {
				m, err := getMessage(r, a.ID, mbox, uid)
				if errors.Is(err, ErrNotFound) {
					continue
				}
				if err != nil {
					return fmt.Errorf("message %d: %w", uid, err)
				}
				batch = append(batch, m)
			}
			return nil
		})
		for _, m := range batch {
			if err := fn(m); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A Delivery says where a copy of a message goes.
type Delivery struct {
	Account  mail.AccountID
	Mailbox  mail.MailboxID
	Flags    mail.Flags
	Keywords []string
	Prefix   []byte    // header lines before the stored bytes, each ending in CRLF
	Date     time.Time // internal date; now if zero
	Notice   bool      // from us to the account: its quota does not count
}

// Placed tells where a copy is.
type Placed struct {
	Mailbox     mail.MailboxID
	UIDValidity uint32
	UID         mail.UID
	ModSeq      mail.ModSeq
}

func (t *tx) deliver(m Message, d Delivery) (p Placed, err error) {
	box, err := getMailbox(t, d.Account, d.Mailbox)
	if err != nil {
		return p, fmt.Errorf("mailbox %d: %w", d.Mailbox, err)
	}
	m.Prefix, m.Date, m.Saved = d.Prefix, d.Date, time.Now()
	if m.Date.IsZero() {
		m.Date = m.Saved
	}
	m.Size = m.BlobSize + int64(len(m.Prefix))
	if !d.Notice {
		if err := t.checkQuota(d.Account, m.Size); err != nil {
			return p, err
		}
	}
	if err := t.addUsage(d.Account, m.Size, 1); err != nil {
		return p, err
	}
	if m.shown == nil {
		m.shown = t.show(&m)
	}
	e, err := t.add(d.Account, &box, &m, Entry{Flags: d.Flags, Keywords: d.Keywords})
	if err != nil {
		return p, err
	}
	t.putMailbox(d.Account, &box)
	return Placed{box.ID, box.UIDValidity, e.UID, e.ModSeq}, nil
}

func (t *tx) checkQuota(a mail.AccountID, size int64) error {
	address, err := getOwner(t, a)
	if err != nil {
		return err
	}
	quota, err := t.quota(a, address)
	if err != nil || quota == 0 {
		return err
	}
	u, err := getUsage(t, a)
	if err == nil && u.Bytes+size > quota {
		err = ErrOverQuota
	}
	return err
}

// A knownQuota is what a profile's row says of the quota.
type knownQuota struct {
	row   []byte
	quota int64
}

// quota returns an account's quota. A profile is decoded once: each message
// asks.
func (t *tx) quota(a mail.AccountID, address mail.Path) (int64, error) {
	v, err := t.get(accountKey(address))
	if err != nil {
		return 0, err
	}
	known, ok := t.store.quotas[a]
	if !ok || !bytes.Equal(known.row, v) {
		var p Profile
		if err := json.Unmarshal(v, &p); err != nil {
			return 0, wrong("profile of %s: %v", address, err)
		}
		known = knownQuota{bytes.Clone(v), p.Quota}
		t.store.quotas[a] = known
	}
	return known.quota, nil
}

// add puts a message into a mailbox as its newest. The caller writes the
// mailbox's row.
func (t *tx) add(a mail.AccountID, box *Mailbox, m *Message, e Entry) (Entry, error) {
	if box.UIDNext == 0 || box.UIDNext == 1<<32-1 {
		return e, fmt.Errorf("%w: mailbox %d has no UIDs left", ErrInvalid, box.ID)
	}
	m.Mailbox, m.UID = box.ID, box.UIDNext
	box.UIDNext++
	box.ModSeq++
	e.UID, e.ModSeq, e.Size = m.UID, box.ModSeq, m.Size
	e.Keywords = sortedKeywords(e.Keywords)
	t.put(inMailbox(tMessage, a, box.ID).uid(m.UID), m.encode())
	t.put(referenceKey(m.Blob, a, box.ID, m.UID), nil)
	if err := t.putShown(a, m); err != nil {
		return e, err
	}
	t.putEntry(a, box.ID, &e, 0)
	box.count(&e, 1)
	box.know(e.Keywords)
	return e, nil
}

// putEntry writes an entry and moves its place in the history from old, 0 if
// it is new.
func (t *tx) putEntry(a mail.AccountID, box mail.MailboxID, e *Entry, old mail.ModSeq) {
	t.put(inMailbox(tFlags, a, box).uid(e.UID), e.encode())
	if old != 0 {
		t.del(inMailbox(tChange, a, box).mod(old))
	}
	t.putChange(a, box, e.ModSeq, e.UID, false)
}

func (t *tx) putChange(a mail.AccountID, box mail.MailboxID, at mail.ModSeq, uid mail.UID, gone bool) {
	c := encoder{}
	c.uint(uint64(uid))
	c.bool(gone)
	t.put(inMailbox(tChange, a, box).mod(at), c)
}

// count adds an entry to the mailbox's counts, or with -1 takes it out.
func (m *Mailbox) count(e *Entry, n int) {
	m.Messages += uint32(n)
	m.Size += int64(n) * e.Size
	m.uids ^= uint32(e.UID)
	m.countFlags(e, n)
}

// know adds keywords to those that the mailbox has.
func (m *Mailbox) know(keywords []string) {
	for _, w := range keywords {
		if len(m.Keywords) < keywordsMax && !slices.ContainsFunc(m.Keywords, func(x string) bool { return strings.EqualFold(x, w) }) {
			m.Keywords = append(m.Keywords, w)
		}
	}
}

func (m *Mailbox) countFlags(e *Entry, n int) {
	if !e.Flags.Has(mail.Seen) {
		m.Unseen += uint32(n)
	}
	if e.Flags.Has(mail.Deleted) {
		m.Deleted += uint32(n)
		m.DeletedSize += int64(n) * e.Size
	}
}

func sortedKeywords(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
