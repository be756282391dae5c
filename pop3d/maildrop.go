package pop3d

import (
	"errors"
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
	damage   error      // not nil: some messages could not be listed

	next    int              // the place after the one asked for last
	records []*store.Message // read ahead, by UID

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
	if err != nil && !errors.Is(err, store.ErrCorrupt) { // some rows are damaged: the others are mail
		return nil, err
	}
	d := &maildrop{damage: err, account: a, mailbox: mbox, keepDays: p.KeepDays, messages: make([]entry, 0, len(entries))}
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
	uid := d.messages[i].uid
	for len(d.records) > 0 && d.records[0].UID < uid {
		d.records = d.records[1:]
	}
	var err error
	if len(d.records) == 0 || d.records[0].UID != uid {
		err = d.readAhead(i)
	}
	d.next = i + 1
	switch {
	case len(d.records) > 0 && d.records[0].UID == uid: // an error was a later one's
		return d.records[0], nil
	case err != nil:
		return nil, err
	}
	return nil, errGone
}

// readAhead reads the records from place i on, up to the first damaged one.
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
	return d.mark(fetched, fetchedKeyword)
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
	if !d.keeps() {
		return nil
	}
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
