package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"homemail/mail"
)

// A FlagMode says what a FlagChange does to the flags that are there.
type FlagMode int

// The modes of STORE, RFC 9051 §6.4.6.
const (
	SetFlags FlagMode = iota
	AddFlags
	RemoveFlags
)

// A FlagChange changes flags and keywords.
type FlagChange struct {
	Mode           FlagMode
	Flags          mail.Flags
	Keywords       []string
	UnchangedSince mail.ModSeq // leave alone what changed later, RFC 7162 §3.1.3; 0 changes all
}

const (
	keywordsMax  = 200 // of one message
	keywordBytes = 200
	changeBatch  = 2000 // messages whose flags change in one commit
)

func (c *FlagChange) apply(e *Entry) {
	switch c.Mode {
	case SetFlags:
		e.Flags, e.Keywords = c.Flags, sortedKeywords(c.Keywords)
	case AddFlags:
		e.Flags |= c.Flags
		e.Keywords = sortedKeywords(slices.Concat(e.Keywords, c.Keywords))
	case RemoveFlags:
		e.Flags &^= c.Flags
		e.Keywords = slices.DeleteFunc(slices.Clone(e.Keywords), func(w string) bool {
			return slices.ContainsFunc(c.Keywords, func(x string) bool { return strings.EqualFold(w, x) })
		})
	}
}

// StoreFlags changes the flags of those messages that exist. It returns their
// state afterwards, and the UIDs that UnchangedSince left alone.
func (a *Account) StoreFlags(mbox mail.MailboxID, uids []mail.UID, c FlagChange) (changed []Entry, failed []mail.UID, err error) {
	for _, w := range c.Keywords {
		if w == "" || len(w) > keywordBytes {
			return nil, nil, fmt.Errorf("%w: a keyword has 1 to %d bytes", ErrInvalid, keywordBytes)
		}
	}
	for part := range slices.Chunk(uids, changeBatch) {
		var some []Entry
		var left []mail.UID
		err := a.s.update(toChange, func(t *tx) (err error) {
			some, left, err = t.storeFlags(a.ID, mbox, part, &c)
			return err
		})
		if err != nil {
			return changed, failed, err
		}
		changed, failed = append(changed, some...), append(failed, left...)
	}
	return changed, failed, nil
}

func (t *tx) storeFlags(a mail.AccountID, mbox mail.MailboxID, uids []mail.UID, c *FlagChange) (changed []Entry, failed []mail.UID, err error) {
	box, err := getMailbox(t, a, mbox)
	if err != nil {
		return nil, nil, err
	}
	touched := false
	for _, uid := range uids {
		e, err := getEntry(t, a, mbox, uid)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("message %d: %w", uid, err)
		}
		if c.UnchangedSince != 0 && e.ModSeq > c.UnchangedSince {
			failed = append(failed, uid)
			continue
		}
		was := e
		c.apply(&e)
		if len(e.Keywords) > keywordsMax {
			return nil, nil, fmt.Errorf("%w: a message has at most %d keywords", ErrInvalid, keywordsMax)
		}
		if e.Flags != was.Flags || !slices.Equal(e.Keywords, was.Keywords) {
			box.countFlags(&was, -1)
			box.countFlags(&e, 1)
			box.know(e.Keywords)
			box.ModSeq++
			e.ModSeq = box.ModSeq
			t.putEntry(a, mbox, &e, was.ModSeq)
			touched = true
		}
		changed = append(changed, e)
	}
	if touched {
		t.putMailbox(a, &box)
	}
	return changed, failed, nil
}

// Expunge removes messages for good, whatever their flags, in one commit. It
// returns those that existed.
func (a *Account) Expunge(mbox mail.MailboxID, uids []mail.UID) (gone []mail.UID, err error) {
	err = a.s.update(toShrink, func(t *tx) error {
		box, err := getMailbox(t, a.ID, mbox)
		if err != nil {
			return err
		}
		gone, err = t.expunge(a.ID, &box, uids)
		return err
	})
	return gone, err
}

// expunge removes messages and writes the mailbox's row.
func (t *tx) expunge(a mail.AccountID, box *Mailbox, uids []mail.UID) (gone []mail.UID, err error) {
	blobs := make(map[mail.BlobID]droppedBlob)
	bytes := int64(0)
	for _, uid := range uids {
		e, err := getEntry(t, a, box.ID, uid)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", uid, err)
		}
		m, err := getMessage(t, a, box.ID, uid)
		switch {
		case err == nil:
			blobs[m.Blob] = droppedBlob{m.Hash, m.BlobSize}
			t.del(referenceKey(m.Blob, a, box.ID, uid))
		case errors.Is(err, ErrCorrupt):
			// The person wants it gone. Its bytes stay until a repair finds
			// that nothing refers to them.
			t.store.log.Error("removing a message whose record is damaged", "account", a, "mailbox", box.ID, "uid", uid, "err", err)
		default:
			return nil, fmt.Errorf("message %d: %w", uid, err)
		}
		bytes += e.Size
		box.count(&e, -1)
		box.ModSeq++
		t.del(inMailbox(tMessage, a, box.ID).uid(uid))
		t.dropShown(a, box.ID, uid)
		t.del(inMailbox(tFlags, a, box.ID).uid(uid))
		t.del(inMailbox(tChange, a, box.ID).mod(e.ModSeq))
		t.putChange(a, box.ID, box.ModSeq, uid, true)
		gone = append(gone, uid)
	}
	if len(gone) == 0 {
		return nil, nil
	}
	t.putMailbox(a, box)
	if err := t.addUsage(a, -bytes, -int64(len(gone))); err != nil {
		return nil, err
	}
	return gone, t.dropUnreferenced(blobs)
}

// A Pair is a message's UID before and after it was copied or moved.
type Pair struct{ From, To mail.UID }

// Copy copies those messages that exist to the end of another mailbox of the
// account, in one commit.
func (a *Account) Copy(from mail.MailboxID, uids []mail.UID, to mail.MailboxID) (pairs []Pair, err error) {
	err = a.s.update(toGrow, func(t *tx) (err error) {
		pairs, err = t.transfer(a.ID, from, uids, to, false)
		return err
	})
	return pairs, err
}

// Move moves those messages that exist to the end of another mailbox of the
// account, in one commit.
func (a *Account) Move(from mail.MailboxID, uids []mail.UID, to mail.MailboxID) (pairs []Pair, err error) {
	err = a.s.update(toChange, func(t *tx) (err error) {
		pairs, err = t.transfer(a.ID, from, uids, to, true)
		return err
	})
	return pairs, err
}

func (t *tx) transfer(a mail.AccountID, from mail.MailboxID, uids []mail.UID, to mail.MailboxID, move bool) ([]Pair, error) {
	src, err := getMailbox(t, a, from)
	if err != nil {
		return nil, err
	}
	dst, err := getMailbox(t, a, to)
	if err != nil {
		return nil, err
	}
	pairs, err := t.copyMessages(a, &src, uids, &dst)
	if err == nil && !move {
		err = t.checkQuota(a, 0)
	}
	if err != nil || !move || len(pairs) == 0 {
		return pairs, err
	}
	if from == to {
		src = dst
	}
	gone := make([]mail.UID, len(pairs))
	for i, p := range pairs {
		gone[i] = p.From
	}
	_, err = t.expunge(a, &src, gone)
	return pairs, err
}

// copyMessages copies and writes the destination's row and the usage.
func (t *tx) copyMessages(a mail.AccountID, src *Mailbox, uids []mail.UID, dst *Mailbox) ([]Pair, error) {
	var pairs []Pair
	bytes := int64(0)
	later := len(uids) > copyShownMax
	if later {
		defer t.store.fillSoon()
	}
	from := t.copySource(a, src.ID)
	defer from.close()
	for _, uid := range uids {
		e, m, err := from.message(uid)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", uid, err)
		}
		m.Saved = time.Now()
		if !later {
			if err := t.copyShown(a, src.ID, uid, dst.ID, dst.UIDNext, m.Saved); err != nil {
				return nil, err
			}
		}
		c, err := t.add(a, dst, m, Entry{Flags: e.Flags, Keywords: e.Keywords})
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, Pair{uid, c.UID})
		bytes += m.Size
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	t.putMailbox(a, dst)
	return pairs, t.addUsage(a, bytes, int64(len(pairs)))
}

// Changes are what happened to a mailbox after some moment.
type Changes struct {
	Changed []Entry    // new or with other flags, as they are now, by UID
	Gone    []mail.UID // ascending
	ModSeq  mail.ModSeq
	// Whole says that the history does not reach back that far: the caller
	// has to compare with all Entries.
	Whole bool
}

// Changes returns what happened to a mailbox after since.
func (a *Account) Changes(mbox mail.MailboxID, since mail.ModSeq) (c Changes, err error) {
	err = a.s.view(func(r reader) error {
		box, err := getMailbox(r, a.ID, mbox)
		if err != nil {
			return err
		}
		c.ModSeq = box.ModSeq
		if since < box.since {
			c.Whole = true
			return nil
		}
		if since >= box.ModSeq {
			return nil
		}
		return c.read(r, a.ID, mbox, since)
	})
	slices.SortFunc(c.Changed, func(x, y Entry) int { return int(int64(x.UID) - int64(y.UID)) })
	slices.Sort(c.Gone)
	return c, err
}

func (c *Changes) read(r reader, a mail.AccountID, mbox mail.MailboxID, since mail.ModSeq) error {
	prefix := inMailbox(tChange, a, mbox)
	return r.scan(prefix, inMailbox(tChange, a, mbox).mod(since+1), func(key, v []byte) (bool, error) {
		d := decoder{rest: v}
		uid, gone := mail.UID(d.uint()), d.bool()
		if d.err != nil {
			return false, d.err
		}
		if gone {
			c.Gone = append(c.Gone, uid)
			return true, nil
		}
		e, err := getEntry(r, a, mbox, uid)
		if errors.Is(err, ErrNotFound) {
			return false, wrong("message %d changed and has no flags", uid)
		}
		c.Changed = append(c.Changed, e)
		return true, err
	})
}
