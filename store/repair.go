package store

import (
	"crypto/sha256"
	"errors"
	"time"

	"homemail/mail"
	"homemail/mail/message"
)

// A mend is the repair of a finding.
type mend struct {
	finding int
	need    need
	fn      func(*tx) (string, error)
}

// repair runs the mends, each in a transaction of its own.
func (c *checker) repair() {
	for _, m := range c.mends {
		var done string
		err := c.s.update(m.need, func(t *tx) (err error) {
			done, err = m.fn(t)
			return err
		})
		if err != nil {
			done = "not mended: " + err.Error()
		}
		c.report.Findings[m.finding].Done = done
		c.s.log.Info("repaired the store", "what", c.report.Findings[m.finding].What, "done", done)
	}
}

func (c *checker) recount(a mail.AccountID, id mail.MailboxID) func(*tx) (string, error) {
	return func(t *tx) (string, error) { return "counted anew", t.recount(a, id) }
}

// recount computes a mailbox's row from its messages.
func (t *tx) recount(a mail.AccountID, id mail.MailboxID) error {
	old, err := getMailbox(t, a, id)
	if err != nil {
		return err
	}
	m := old
	m.Messages, m.Unseen, m.Deleted, m.Size, m.DeletedSize, m.uids = 0, 0, 0, 0, 0, 0
	m.Keywords = nil
	err = t.scan(inMailbox(tFlags, a, id), nil, func(key, v []byte) (bool, error) {
		e, err := decodeEntry(mail.UID(parse(key[8:]).u32()), v)
		m.count(&e, 1)
		m.know(e.Keywords)
		m.UIDNext = max(m.UIDNext, e.UID+1)
		m.ModSeq = max(m.ModSeq, e.ModSeq)
		return true, err
	})
	if err != nil {
		return err
	}
	t.putMailbox(a, &m)
	return t.recountUsage(a)
}

func (t *tx) recountUsage(a mail.AccountID) error {
	list, err := allMailboxes(t, a)
	u := Usage{}
	for _, m := range list {
		u.Bytes += m.Size
		u.Messages += int64(m.Messages)
	}
	t.putUsage(a, u)
	return err
}

// restoreFlags gives a message whose flags are lost new ones: unread.
func (c *checker) restoreFlags(a mail.AccountID, box mail.MailboxID, uid mail.UID, size int64) func(*tx) (string, error) {
	return func(t *tx) (string, error) {
		m, err := getMailbox(t, a, box)
		if err != nil {
			return "", err
		}
		e, err := getEntry(t, a, box, uid)
		old := e.ModSeq
		if err != nil {
			e, old = Entry{UID: uid}, 0
		}
		m.ModSeq++
		m.UIDNext = max(m.UIDNext, uid+1)
		e.ModSeq, e.Size = m.ModSeq, size
		t.putEntry(a, box, &e, old)
		t.putMailbox(a, &m)
		return "the message is unread again", t.recount(a, box)
	}
}

// restoreRecord makes a lost record anew from the message's bytes, which its
// reference leads to. If they are lost too, the message is gone.
func (c *checker) restoreRecord(a mail.AccountID, box mail.MailboxID, uid mail.UID) func(*tx) (string, error) {
	return func(t *tx) (string, error) {
		for ref := range c.claims {
			b := c.blobs[ref.blob]
			if ref.a != a || ref.m != box || ref.uid != uid || b == nil {
				continue
			}
			p := message.NewParser()
			m := Message{Mailbox: box, UID: uid, Blob: ref.blob, Hash: b.hash, BlobSize: b.size, Size: b.size, Date: time.Now(), Saved: time.Now()}
			for n := range chunksOf(b.size) {
				v, err := t.get(chunkKey(ref.blob, n))
				if err != nil {
					return "", err
				}
				p.Write(v)
			}
			m.structure = p.Structure().AppendBinary(nil)
			t.put(inMailbox(tMessage, a, box).uid(uid), m.encode())
			_, err := c.restoreFlags(a, box, uid, m.Size)(t)
			return "made anew from the message's bytes; its date is now", err
		}
		e, err := getEntry(t, a, box, uid)
		if err == nil {
			t.del(inMailbox(tChange, a, box).mod(e.ModSeq))
		}
		t.del(inMailbox(tFlags, a, box).uid(uid))
		return "the message is lost, and its entry was removed", t.recount(a, box)
	}
}

// restoreBlob writes a blob's lost row anew, if its chunks have the bytes.
func (c *checker) restoreBlob(id mail.BlobID, hash [32]byte, size int64) func(*tx) (string, error) {
	return func(t *tx) (string, error) {
		if _, err := t.get(blobKey(hash)); err == nil {
			return "", nil // another message's mend wrote it
		} else if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return "", err
		}
		h := sha256.New()
		for n := range chunksOf(size) {
			v, err := t.get(chunkKey(id, n))
			if err != nil {
				return "", err
			}
			h.Write(v)
		}
		if [32]byte(h.Sum(nil)) != hash {
			return "", wrong("the bytes of blob %s have changed", id)
		}
		t.putBlobRow(hash, blob{id, size})
		return "written anew", nil
	}
}

// restoreMailbox makes a lost row of a mailbox anew from its messages and its
// name, which is removed if there are none. Its UIDVALIDITY is new, and so its
// UIDs need not be those that clients know.
func (c *checker) restoreMailbox(a mail.AccountID, id mail.MailboxID, name string) func(*tx) (string, error) {
	return func(t *tx) (string, error) {
		_, err := getMailbox(t, a, id)
		if err == nil || !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return "", err
		}
		m := Mailbox{ID: id, Name: name, Subscribed: true, UIDNext: 1, ModSeq: 1}
		empty := errors.Is(err, ErrNotFound)
		for _, table := range []byte{tMessage, tFlags} {
			err := t.keys(inMailbox(table, a, id), nil, func(key []byte) (bool, error) {
				empty = false
				m.UIDNext = max(m.UIDNext, mail.UID(parse(key[8:]).u32())+1)
				return true, nil
			})
			if err != nil {
				return "", err
			}
		}
		if empty {
			t.del(nameKey(a, name))
			return "the name was removed", nil
		}
		err = t.keys(inMailbox(tChange, a, id), nil, func(key []byte) (bool, error) {
			m.ModSeq = max(m.ModSeq, mail.ModSeq(parse(key[8:]).u64()))
			if v, err := t.get(key); err == nil {
				d := decoder{rest: v}
				m.UIDNext = max(m.UIDNext, mail.UID(d.uint())+1)
			}
			return true, nil
		})
		if err != nil {
			return "", err
		}
		if m.UIDValidity, err = t.uidValidity(); err != nil {
			return "", err
		}
		m.ModSeq++
		m.since = m.ModSeq
		for _, s := range standardMailboxes {
			if s.name == name {
				m.Use = s.use
			}
		}
		t.putMailbox(a, &m)
		return "made anew from its messages", t.recount(a, id)
	}
}
