package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"homemail/mail"
)

// A Mailbox is an IMAP mailbox as it was at one moment.
type Mailbox struct {
	ID          mail.MailboxID
	Name        string // UTF-8, "/" between levels
	Use         mail.SpecialUse
	Subscribed  bool
	UIDValidity uint32
	UIDNext     mail.UID
	ModSeq      mail.ModSeq // the highest
	Messages    uint32
	Unseen      uint32
	Deleted     uint32 // messages that have the flag
	Size        int64  // bytes of all messages
	DeletedSize int64
	// Keywords are those that messages have, or had until the last repair, in
	// the order of their coming. More than 200 are not listed.
	Keywords []string

	// since is the modseq up to which the journal of changes has been cut.
	since mail.ModSeq
	// uids is the exclusive or of all UIDs: with Messages it tells whether a
	// row went missing.
	uids uint32
}

// Limits of names. What a name is made of matters to nobody: mailboxes are
// kept by number.
const (
	nameBytes    = 1000
	nameLevels   = 50
	mailboxesMax = 10000
)

func (m *Mailbox) encode() []byte {
	e := encoder{}
	e.string(m.Name)
	e.string(string(m.Use))
	e.bool(m.Subscribed)
	for _, n := range []uint64{uint64(m.UIDValidity), uint64(m.UIDNext), uint64(m.ModSeq), uint64(m.Messages),
		uint64(m.Unseen), uint64(m.Deleted), uint64(m.since), uint64(m.uids)} {
		e.uint(n)
	}
	e.int(m.Size)
	e.int(m.DeletedSize)
	for _, w := range m.Keywords {
		e.string(w)
	}
	return e
}

func decodeMailbox(id mail.MailboxID, v []byte) (m Mailbox, err error) {
	d := decoder{rest: v}
	m.ID = id
	m.Name, m.Use, m.Subscribed = d.string(), mail.SpecialUse(d.string()), d.bool()
	m.UIDValidity, m.UIDNext, m.ModSeq = uint32(d.uint()), mail.UID(d.uint()), mail.ModSeq(d.uint())
	m.Messages, m.Unseen, m.Deleted = uint32(d.uint()), uint32(d.uint()), uint32(d.uint())
	m.since, m.uids = mail.ModSeq(d.uint()), uint32(d.uint())
	m.Size, m.DeletedSize = d.int(), d.int()
	for len(d.rest) > 0 {
		m.Keywords = append(m.Keywords, d.string())
	}
	return m, d.err
}

func getMailbox(r reader, a mail.AccountID, id mail.MailboxID) (m Mailbox, err error) {
	v, err := r.get(mailboxKey(a, id))
	if err != nil {
		return m, err
	}
	return decodeMailbox(id, v)
}

func (t *tx) putMailbox(a mail.AccountID, m *Mailbox) {
	t.put(mailboxKey(a, m.ID), m.encode())
	t.tell(watchKey{a, m.ID})
	t.tell(watchKey{mailbox: anyMailbox})
}

// mailboxID looks a name up; INBOX is the same in any case, RFC 9051 §5.1.
func mailboxID(r reader, a mail.AccountID, name string) (mail.MailboxID, error) {
	v, err := r.get(nameKey(a, canonical(name)))
	if err != nil {
		return 0, err
	}
	d := decoder{rest: v}
	return mail.MailboxID(d.uint()), d.err
}

func canonical(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	if len(name) > 6 && strings.EqualFold(name[:6], "INBOX/") {
		return "INBOX" + name[5:]
	}
	return name
}

// checkName tells whether a mailbox may have a name.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > nameBytes:
		return fmt.Errorf("%w: a mailbox name has 1 to %d bytes", ErrInvalid, nameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: the mailbox name is not UTF-8", ErrInvalid)
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.Contains(name, "//"):
		return fmt.Errorf("%w: a level of the mailbox name is empty", ErrInvalid)
	case strings.Count(name, "/") >= nameLevels:
		return fmt.Errorf("%w: a mailbox name has at most %d levels", ErrInvalid, nameLevels)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 }):
		return fmt.Errorf("%w: the mailbox name has a control character", ErrInvalid)
	}
	return nil
}

// addMailbox makes a mailbox. Its UIDVALIDITY is larger than that of every
// mailbox before it, also after the clock was set back.
func (t *tx) addMailbox(a mail.AccountID, name string, use mail.SpecialUse) (m Mailbox, err error) {
	if there, err := t.has(nameKey(a, name)); err != nil || there {
		return m, errors.Join(err, ErrExists)
	}
	id, err := t.next("mailbox")
	if err != nil {
		return m, err
	}
	validity, err := t.uidValidity()
	if err != nil {
		return m, err
	}
	m = Mailbox{ID: mail.MailboxID(id), Name: name, Use: use, Subscribed: true, UIDValidity: validity, UIDNext: 1, ModSeq: 1}
	t.putMailbox(a, &m)
	t.putName(a, name, m.ID)
	t.tell(watchKey{a, 0})
	return m, nil
}

func (t *tx) putName(a mail.AccountID, name string, id mail.MailboxID) {
	e := encoder{}
	e.uint(uint64(id))
	t.put(nameKey(a, name), e)
}

func (t *tx) uidValidity() (uint32, error) {
	key := settingKey("uidvalidity")
	v, err := t.get(key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	last := uint64(0)
	if err == nil {
		d := decoder{rest: v}
		if last = d.uint(); d.err != nil {
			return 0, d.err
		}
	}
	n := max(last+1, uint64(time.Now().Unix())&0xffffffff)
	e := encoder{}
	e.uint(n)
	t.put(key, e)
	return uint32(n), nil
}

// Mailboxes returns all mailboxes by name, INBOX first.
func (a *Account) Mailboxes() (list []Mailbox, err error) {
	err = a.s.view(func(r reader) error {
		list, err = allMailboxes(r, a.ID)
		return err
	})
	slices.SortFunc(list, func(x, y Mailbox) int {
		if (x.Name == "INBOX") != (y.Name == "INBOX") {
			if x.Name == "INBOX" {
				return -1
			}
			return 1
		}
		return strings.Compare(x.Name, y.Name)
	})
	return list, err
}

func allMailboxes(r reader, a mail.AccountID) (list []Mailbox, err error) {
	err = r.scan(k(tMailbox).acct(a), nil, func(key, v []byte) (bool, error) {
		p := parse(key)
		p.u32()
		m, err := decodeMailbox(mail.MailboxID(p.u32()), v)
		list = append(list, m)
		return true, err
	})
	return list, err
}

// Mailbox returns the mailbox of a name.
func (a *Account) Mailbox(name string) (m Mailbox, err error) {
	err = a.s.view(func(r reader) error {
		m, err = mailboxNamed(r, a.ID, name)
		return err
	})
	return m, err
}

func mailboxNamed(r reader, a mail.AccountID, name string) (m Mailbox, err error) {
	id, err := mailboxID(r, a, name)
	if err != nil {
		return m, fmt.Errorf("mailbox %q: %w", name, err)
	}
	if m, err = getMailbox(r, a, id); errors.Is(err, ErrNotFound) {
		err = wrong("mailbox %d has a name and no row", id)
	}
	return m, err
}

// MailboxByID returns a mailbox by its number.
func (a *Account) MailboxByID(id mail.MailboxID) (m Mailbox, err error) {
	err = a.s.view(func(r reader) error {
		m, err = getMailbox(r, a.ID, id)
		return err
	})
	return m, err
}

// MailboxFor returns the mailbox for a special use. ErrNotFound if the person
// has removed it.
func (a *Account) MailboxFor(use mail.SpecialUse) (Mailbox, error) {
	if use == mail.Inbox {
		return a.Mailbox("INBOX")
	}
	list, err := a.Mailboxes()
	for _, m := range list {
		if m.Use == use {
			return m, nil
		}
	}
	return Mailbox{}, errors.Join(err, fmt.Errorf("mailbox for %s: %w", use, ErrNotFound))
}

// Create makes a mailbox, and those above it that are missing. ErrExists,
// ErrInvalid.
func (a *Account) Create(name string, use mail.SpecialUse) (m Mailbox, err error) {
	name = canonical(name)
	if err := checkName(name); err != nil {
		return m, err
	}
	err = a.s.update(toGrow, func(t *tx) error {
		list, err := allMailboxes(t, a.ID)
		if err != nil {
			return err
		}
		if len(list) >= mailboxesMax {
			return fmt.Errorf("%w: an account has at most %d mailboxes", ErrInvalid, mailboxesMax)
		}
		if use != mail.NoUse && slices.ContainsFunc(list, func(m Mailbox) bool { return m.Use == use }) {
			return fmt.Errorf("%w: there is a mailbox for %s", ErrExists, use)
		}
		if err := t.addParents(a.ID, name); err != nil {
			return err
		}
		m, err = t.addMailbox(a.ID, name, use)
		return err
	})
	return m, err
}

// addParents makes the mailboxes above a name that are missing.
func (t *tx) addParents(a mail.AccountID, name string) error {
	for i := range name {
		if name[i] != '/' {
			continue
		}
		if _, err := t.addMailbox(a, name[:i], mail.NoUse); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
	}
	return nil
}

// Delete removes a mailbox with its messages. Mailboxes below it stay.
// ErrInvalid for INBOX.
func (a *Account) Delete(name string) error {
	name = canonical(name)
	if name == "INBOX" {
		return fmt.Errorf("%w: INBOX stays", ErrInvalid)
	}
	return a.s.update(toShrink, func(t *tx) error {
		m, err := mailboxNamed(t, a.ID, name)
		if err != nil {
			return err
		}
		return t.removeMailbox(a.ID, m.ID)
	})
}

// removeMailbox removes a mailbox, its messages and its history.
func (t *tx) removeMailbox(a mail.AccountID, id mail.MailboxID) error {
	m, err := getMailbox(t, a, id)
	if err != nil {
		return err
	}
	entries, err := entries(t, a, id)
	if err != nil {
		return err
	}
	uids := make([]mail.UID, len(entries))
	for i, e := range entries {
		uids[i] = e.UID
	}
	if _, err := t.expunge(a, &m, uids); err != nil {
		return err
	}
	err = errors.Join(t.dropAll(inMailbox(tChange, a, id)), t.dropAll(annotationKey(a, id, "")))
	t.del(nameKey(a, m.Name))
	t.del(mailboxKey(a, id))
	t.tell(watchKey{a, id})
	t.tell(watchKey{a, 0})
	return err
}

// Rename gives a mailbox and those below it another name. INBOX stays, and
// its messages move to the new mailbox, RFC 9051 §6.3.6.
func (a *Account) Rename(from, to string) error {
	from, to = canonical(from), canonical(to)
	if err := checkName(to); err != nil {
		return err
	}
	if strings.HasPrefix(to, from+"/") && from != "INBOX" {
		return fmt.Errorf("%w: a mailbox cannot move below itself", ErrInvalid)
	}
	return a.s.update(toChange, func(t *tx) error {
		m, err := mailboxNamed(t, a.ID, from)
		if err != nil {
			return err
		}
		if there, err := t.has(nameKey(a.ID, to)); err != nil || there {
			return errors.Join(err, fmt.Errorf("mailbox %q: %w", to, ErrExists))
		}
		if err := t.addParents(a.ID, to); err != nil {
			return err
		}
		if from == "INBOX" {
			return t.moveInbox(a.ID, m, to)
		}
		return t.renameTree(a.ID, from, to)
	})
}

func (t *tx) renameTree(a mail.AccountID, from, to string) error {
	list, err := allMailboxes(t, a)
	if err != nil {
		return err
	}
	for _, m := range list {
		rest, below := strings.CutPrefix(m.Name, from)
		if !below || rest != "" && rest[0] != '/' {
			continue
		}
		t.del(nameKey(a, m.Name))
		m.Name = to + rest
		if err := checkName(m.Name); err != nil {
			return err
		}
		if there, err := t.has(nameKey(a, m.Name)); err != nil || there {
			return errors.Join(err, fmt.Errorf("mailbox %q: %w", m.Name, ErrExists))
		}
		t.putName(a, m.Name, m.ID)
		t.putMailbox(a, &m)
	}
	t.tell(watchKey{a, 0})
	return nil
}

func (t *tx) moveInbox(a mail.AccountID, inbox Mailbox, to string) error {
	dest, err := t.addMailbox(a, to, mail.NoUse)
	if err != nil {
		return err
	}
	list, err := entries(t, a, inbox.ID)
	if err != nil {
		return err
	}
	uids := make([]mail.UID, len(list))
	for i, e := range list {
		uids[i] = e.UID
	}
	if _, err := t.copyMessages(a, &inbox, uids, &dest); err != nil {
		return err
	}
	_, err = t.expunge(a, &inbox, uids)
	return err
}

// Subscribe says whether a person wants to see a mailbox in lists.
func (a *Account) Subscribe(name string, on bool) error {
	return a.s.update(toChange, func(t *tx) error {
		m, err := mailboxNamed(t, a.ID, canonical(name))
		if err != nil || m.Subscribed == on {
			return err
		}
		m.Subscribed = on
		t.putMailbox(a.ID, &m)
		return nil
	})
}
