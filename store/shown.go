package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"homemail/mail"
	"homemail/mail/message"
	texts "homemail/mail/text"
)

// What is shown of messages is made once, when they come in, and kept beside
// their records in two small rows: the summary, which lists of messages show,
// and the sort keys. Both can be made anew from the record, and are, where they
// are missing: mail that is older than these tables has none until Run has been
// through it.

// A shown is what a structure looks like, ready for the rows of any copy.
type shown struct {
	list []byte // ENVELOPE and BODYSTRUCTURE
	keys []byte // the row of sort keys
	id   uint64 // of the message, 0 if it has none
	root uint64 // the first of its references
	up   uint64 // the message that it answers
}

const (
	shownVersion = 1
	// shownPart keeps rows in the tables, where neighbours are read together,
	// and out of the value log, where bodies are between them.
	shownPart = valueThreshold - sumSize - 1
	// copyShownMax is how many messages are copied with what is shown of them.
	// Who copies more does not wait for rows that Run can make.
	copyShownMax = 1000
	// shownMax bounds what is kept rendered of a message. Few have 3 KiB.
	shownMax = 32 << 10
)

// newShown makes what is shown of a message that begins with head.
func newShown(st *message.Structure, head []byte) *shown {
	sh := &shown{}
	env := st.Envelope.AppendEnvelope(make([]byte, 0, 1<<10))
	sh.list = binary.AppendUvarint(make([]byte, 0, 2*len(env)+256), uint64(len(env)))
	sh.list = st.Root.AppendStructure(append(sh.list, env...), true)
	if len(sh.list) > shownMax {
		sh.list = []byte{0}
	}
	keys := keysOf(&st.Envelope)
	keys.Preview = []byte(texts.Preview(st, bytes.NewReader(head), 0))
	sh.keys = keys.encode()
	sh.link(keys)
	return sh
}

// link takes the links of threads from sort keys.
func (sh *shown) link(k *SortKeys) {
	sh.id = k.ID
	if n := len(k.References); n > 0 {
		sh.root, sh.up = k.References[0], k.References[n-1]
	}
}

// siblingShown takes what is shown of a message from another of the account
// with the same bytes; nil if there is none. It saves reading them.
func siblingShown(r reader, a mail.AccountID, m *Message) (sh *shown) {
	_ = r.keys(k(tReference).blob(m.Blob).acct(a), nil, func(key []byte) (bool, error) {
		p := parse(key)
		p.u64()
		p.u32()
		box, uid := mail.MailboxID(p.u32()), mail.UID(p.u32())
		list, err := getSummary(r, a, box, uid)
		if err != nil || len(list) <= summaryFixed {
			return true, nil
		}
		var keys SortKeys
		row, err := r.get(inMailbox(tSortKeys, a, box).uid(uid))
		if err != nil || keys.decode(row) != nil {
			return true, nil
		}
		sh = &shown{list: list[summaryFixed:], keys: row}
		sh.link(&keys)
		return false, nil
	})
	return sh
}

// show makes what is shown of a message whose bytes are in the store.
func (t *tx) show(m *Message) *shown { return showStored(t, m) }

func showStored(r reader, m *Message) *shown {
	st, err := m.Structure()
	if err != nil {
		return nil // it is damage, which is told when the message is read
	}
	head, _ := r.get(chunkKey(m.Blob, 0))
	return newShown(st, head)
}

// summaryFixed is the length of what precedes the rendered part of a summary:
// version, dates, size, EMAILID, THREADID.
const summaryFixed = 1 + 3*8 + emailIDSize + 8

const emailIDSize = 12

// emailID names a message's content, RFC 8474 §5.1: copies have the same.
func (m *Message) emailID() [emailIDSize]byte {
	h := sha256.Sum256(append(m.Hash[:len(m.Hash):len(m.Hash)], m.Prefix...))
	return [emailIDSize]byte(h[:])
}

// summary makes the summary of a message.
func (m *Message) summary(sh *shown, thread uint64) []byte {
	b := make([]byte, 0, summaryFixed+len(sh.list))
	b = append(b, shownVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Saved.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Date.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Size))
	id := m.emailID()
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint64(b, thread)
	return append(b, sh.list...)
}

// putShown writes the rows of a message that has a number, if what is shown was
// made: copies have theirs from copyShown.
func (t *tx) putShown(a mail.AccountID, m *Message) error {
	sh := m.shown
	if sh == nil {
		return nil
	}
	thread, err := t.thread(a, m, sh)
	if err != nil {
		return err
	}
	t.putSummary(a, m.Mailbox, m.UID, m.summary(sh, thread))
	t.put(inMailbox(tSortKeys, a, m.Mailbox).uid(m.UID), sh.keys)
	return nil
}

// putSummary writes a summary in rows of shownPart bytes; one that is shorter
// is the last.
func (t *tx) putSummary(a mail.AccountID, box mail.MailboxID, uid mail.UID, b []byte) {
	for n := uint8(0); ; n++ {
		part := b[:min(len(b), shownPart)]
		t.put(summaryKey(a, box, uid, n), part)
		if b = b[len(part):]; len(part) < shownPart {
			return
		}
	}
}

// getSummary reads a summary whole.
func getSummary(r reader, a mail.AccountID, box mail.MailboxID, uid mail.UID) (b []byte, err error) {
	for n := uint8(0); ; n++ {
		part, err := r.get(summaryKey(a, box, uid, n))
		if err != nil {
			return nil, err
		}
		if b = append(b, part...); len(part) < shownPart {
			return b, nil
		}
	}
}

// copyShown gives a copy the rows of the message that it is made of. A row that
// is missing or damaged is made anew later.
func (t *tx) copyShown(a mail.AccountID, from mail.MailboxID, uid mail.UID, to mail.MailboxID, as mail.UID, saved time.Time) error {
	b, err := getSummary(t, a, from, uid)
	if err == nil && len(b) > summaryFixed {
		binary.BigEndian.PutUint64(b[1:], uint64(saved.UnixMilli()))
		t.putSummary(a, to, as, b)
	}
	if missing(err) != nil {
		return err
	}
	keys, err := t.get(inMailbox(tSortKeys, a, from).uid(uid))
	if err == nil {
		t.put(inMailbox(tSortKeys, a, to).uid(as), keys)
	}
	return missing(err)
}

// missing is nil for what a row says that can be made anew.
func missing(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
		return nil
	}
	return err
}

// dropShown removes the rows of a message.
func (t *tx) dropShown(a mail.AccountID, box mail.MailboxID, uid mail.UID) {
	for n := uint8(0); ; n++ {
		key := summaryKey(a, box, uid, n)
		part, err := t.get(key)
		if errors.Is(err, ErrNotFound) {
			break
		}
		t.del(key)
		if err == nil && len(part) < shownPart {
			break
		}
	}
	t.del(inMailbox(tSortKeys, a, box).uid(uid))
}

// thread finds the thread of a message, RFC 8474 §5.2, and notes it for those
// that will answer. A thread is named after the message at its root, so that
// most answers know it from their References; only one that does not start
// its thread has a row, for answers that name nothing else.
func (t *tx) thread(a mail.AccountID, m *Message, sh *shown) (uint64, error) {
	thread := sh.root
	for _, id := range []uint64{sh.up, sh.root} {
		v, err := t.get(threadKey(a, id))
		if id == 0 || errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, missing(err)
		}
		if len(v) == 8 {
			thread = binary.BigEndian.Uint64(v)
			break
		}
	}
	switch {
	case thread == 0 && sh.id != 0:
		return sh.id, nil
	case thread == 0:
		id := m.emailID()
		return binary.BigEndian.Uint64(id[:]), nil
	case sh.id != 0 && sh.id != thread:
		t.put(threadKey(a, sh.id), binary.BigEndian.AppendUint64(nil, thread))
	}
	return thread, nil
}

// messageID names a message id of RFC 5322 §3.6.4 in 64 bits; 0 is none.
func messageID(s string) uint64 {
	_, s, ok := strings.Cut(s, "<")
	if id, _, closed := strings.Cut(s, ">"); ok && closed && id != "" {
		h := sha256.Sum256([]byte(id))
		return max(binary.BigEndian.Uint64(h[:]), 1)
	}
	return 0
}
