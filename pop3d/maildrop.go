package pop3d

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"homemail/mail"
	"homemail/store"
)

// The keywords that remember over sessions what happened to a message by POP3,
// for accounts that keep mail for some days after a client took it.
const (
	fetchedKeyword = "$POPFetched" // RETR was given for it
	hiddenKeyword  = "$POPDeleted" // DELE was given for it: POP3 no longer shows it
)

// A maildrop is INBOX as it was at sign-in, RFC 1939 §3. Messages have their
// places in it as numbers, from 0.
//
// KeepDays N > 0 means: "Mail that a program took by POP3 stays here for N
// days after it came in, even if the program deletes it, and is then removed
// when the program asks for mail the next time." Otherwise a program's
// deletions count at once and nothing else is ever removed.
type maildrop struct {
	account  *store.Account
	mailbox  store.Mailbox
	keepDays int
	messages []entry
	taken    []mail.UID // fetched or deleted in an earlier session

	next    int              // the place after the one read last
	records []*store.Message // read ahead, of the places from next on

	retrieved, removed int
	octets             int64
}

// An entry is small, as a maildrop may hold 100,000.
type entry struct {
	uid              mail.UID
	size             int64
	deleted, fetched bool
}

func openMaildrop(a *store.Account) (*maildrop, error) {
	p, err := a.Profile()
	if err != nil {
		return nil, err
	}
	mbox, err := a.Mailbox("INBOX")
	if err != nil {
		return nil, err
	}
	entries, err := a.Entries(mbox.ID)
	if err != nil {
		return nil, err
	}
	d := &maildrop{account: a, mailbox: mbox, keepDays: p.KeepDays, messages: make([]entry, 0, len(entries))}
	for _, e := range entries {
		hidden := slices.Contains(e.Keywords, hiddenKeyword)
		if hidden || slices.Contains(e.Keywords, fetchedKeyword) {
			d.taken = append(d.taken, e.UID)
		}
		if !hidden {
			d.messages = append(d.messages, entry{uid: e.UID, size: e.Size})
		}
	}
	return d, nil
}

// keeps reports whether deletions wait for the account's days to be over. Zero
// does not count: a setting nobody made must not remove mail.
func (d *maildrop) keeps() bool { return d.keepDays > 0 }

// expire is the account's policy in the words of RFC 2449 §6.7.
func (d *maildrop) expire() string {
	if d.keeps() {
		return strconv.Itoa(d.keepDays)
	}
	return "NEVER"
}

func (d *maildrop) totals() (n int, size int64) {
	for _, m := range d.messages {
		if !m.deleted {
			n++
			size += m.size
		}
	}
	return n, size
}

func (d *maildrop) reset() {
	for i := range d.messages {
		d.messages[i].deleted = false
	}
}

// number takes a message number as a client writes it.
func (d *maildrop) number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, refusal("that is no message number")
	}
	if n > uint64(len(d.messages)) {
		return 0, refusal("no such message, only " + strconv.Itoa(len(d.messages)) + " in maildrop")
	}
	if d.messages[n-1].deleted {
		return 0, refusal("message " + s + " is deleted")
	}
	return int(n) - 1, nil
}

func (d *maildrop) size(b []byte, i int) []byte {
	return strconv.AppendInt(b, d.messages[i].size, 10)
}

// uniqueID appends what names the message for good, RFC 1939 §7: the UID of a
// mailbox is never used again under one UIDVALIDITY.
func (d *maildrop) uniqueID(b []byte, i int) []byte {
	b = strconv.AppendUint(b, uint64(d.mailbox.UIDValidity), 10)
	return strconv.AppendUint(append(b, '-'), uint64(d.messages[i].uid), 10)
}

var errGone = refusal("another program has deleted that message meanwhile")

// record returns the record of place i. A client that goes through the
// messages one after another gets them read ahead, some at once.
func (d *maildrop) record(i int) (*store.Message, error) {
	for len(d.records) > 0 && d.records[0].UID < d.messages[i].uid {
		d.records = d.records[1:]
	}
	if len(d.records) == 0 || d.records[0].UID != d.messages[i].uid {
		if err := d.readAhead(i); err != nil {
			return nil, err
		}
	}
	d.next = i + 1
	if len(d.records) == 0 || d.records[0].UID != d.messages[i].uid {
		return nil, errGone
	}
	return d.records[0], nil
}

func (d *maildrop) readAhead(i int) error {
	n := 1
	if i == d.next {
		n = prefetch
	}
	var uids []mail.UID
	for _, m := range d.messages[i:min(i+n, len(d.messages))] {
		if !m.deleted {
			uids = append(uids, m.uid)
		}
	}
	d.records = make([]*store.Message, 0, len(uids))
	return d.account.Messages(d.mailbox.ID, uids, func(m *store.Message) error {
		d.records = append(d.records, m)
		return nil
	})
}

// update makes the session's deletions: all in one commit, or none. RFC 1939 §6.
func (d *maildrop) update() error {
	var deleted, fetched []mail.UID
	for _, m := range d.messages {
		switch {
		case m.deleted:
			deleted = append(deleted, m.uid)
		case m.fetched:
			fetched = append(fetched, m.uid)
		}
	}
	if !d.keeps() {
		return d.expunge(deleted)
	}
	if err := d.mark(deleted, hiddenKeyword); err != nil {
		return err
	}
	d.removed = len(deleted) // as far as POP3 is concerned
	if err := d.mark(fetched, fetchedKeyword); err != nil {
		return err
	}
	return d.expireTaken()
}

func (d *maildrop) mark(uids []mail.UID, keyword string) error {
	if len(uids) == 0 {
		return nil
	}
	_, _, err := d.account.StoreFlags(d.mailbox.ID, uids, store.FlagChange{Mode: store.AddFlags, Keywords: []string{keyword}})
	return err
}

func (d *maildrop) expunge(uids []mail.UID) error {
	if len(uids) == 0 {
		return nil
	}
	gone, err := d.account.Expunge(d.mailbox.ID, uids)
	d.removed += len(gone)
	return err
}

// expireTaken removes what a program took in an earlier session and the
// account has kept for its days.
func (d *maildrop) expireTaken() error {
	before := time.Now().AddDate(0, 0, -d.keepDays)
	var old []mail.UID
	err := d.account.Messages(d.mailbox.ID, d.taken, func(m *store.Message) error {
		if m.Date.Before(before) {
			old = append(old, m.UID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.expunge(old)
}

// send replies with a message, or with its header and some lines of its body.
func (c *conn) send(i, lines int) error {
	m, err := c.drop.record(i)
	var no refusal
	if errors.As(err, &no) {
		return no
	}
	if err != nil {
		return c.unreadable(i, err)
	}
	body := c.drop.account.Body(m)
	// The first piece is read before the reply is begun: after +OK there is no
	// way to say that something is wrong but to hang up.
	first, err := io.ReadFull(body, c.buffer())
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return c.unreadable(i, err)
	}
	if lines < 0 {
		c.ok("%d octets", m.Size)
	} else {
		c.ok("top of message follows")
	}
	c.drop.octets += m.Size
	out := &dotWriter{w: c.w}
	var w io.Writer = out
	if lines >= 0 {
		w = &topWriter{w: out, lines: lines}
	}
	if err := c.stream(w, body, first); err != nil {
		return fmt.Errorf("message %d cut short: %v", i+1, err)
	}
	return out.Close()
}

// stream writes the first piece, which is in the buffer, and then the others.
func (c *conn) stream(w io.Writer, body io.Reader, n int) error {
	for {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		if _, err := w.Write(c.buf[:n]); errors.Is(err, errTopDone) {
			return nil
		} else if err != nil {
			return err
		}
		if n < len(c.buf) {
			return nil
		}
		var err error
		n, err = io.ReadFull(body, c.buf)
		if err == io.EOF {
			return nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
	}
}

func (c *conn) buffer() []byte {
	if c.buf == nil {
		c.buf = make([]byte, writeBuffer)
	}
	return c.buf
}

func (c *conn) unreadable(i int, err error) error {
	c.s.o.Log.Error("cannot read a message", "door", "pop3", "address", c.session.Address, "uid", c.drop.messages[i].uid, "err", err)
	return refusal("[SYS/TEMP] that message cannot be read just now")
}
