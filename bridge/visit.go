package bridge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A remote is a message there.
type remote struct {
	key      string // names it in its mailbox
	size     int64  // as the server says; 0 if it was not asked
	flags    mail.Flags
	keywords []string
	date     time.Time // its internal date; zero if there is none
}

// A box is a mailbox there that is open.
type box interface {
	// scope changes when keys lose their meaning.
	scope() string
	// list calls fn for each message; unless all is set it may leave out those
	// that it has listed before.
	list(all bool, fn func(key string) error) error
	// fetch calls file for those of the messages that the server gives, in any
	// order, and ends with the first error of file.
	fetch(keys []string, file func(m remote, body io.Reader) error) error
	// remove deletes messages.
	remove(keys []string) error
}

// A visitor fetches for one account. It is used by one goroutine.
type visitor struct {
	b       *Bridge
	a       Account
	log     *slog.Logger
	failed  map[string]failure // by path of the note
	knock   chan struct{}
	healthy func() // called when a visit did all it could
}

// A failure is about a message that could not be fetched.
type failure struct {
	times int
	next  time.Time // not before
}

const (
	batchSize = 50 // messages asked for at once
	// listedMax is how many messages a mailbox may have. The list of their keys
	// is in memory.
	listedMax = 500_000
	// A message that could not be fetched some times holds nothing up any more:
	// it is tried again much later.
	failuresMax  = 5
	failureRest  = 6 * time.Hour
	failuresKept = 10_000
)

// visit connects, and fetches all there is. By IMAP it stays until something
// goes wrong.
func (v *visitor) visit(ctx context.Context) error {
	if _, err := v.b.s.AccountByID(v.a.Into); err != nil {
		return nobody(err)
	}
	password, err := v.b.password(v.a.ID)
	if err != nil {
		return err
	}
	if v.a.Kind == POP3 {
		return v.visitPOP3(ctx, password)
	}
	return v.visitIMAP(ctx, password)
}

// nobody says more of an account that is not there.
func nobody(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", errNobody, err)
	}
	return err
}

func (v *visitor) policy() policy {
	p := policy{keepDays: v.a.KeepDays, maxMessage: v.b.o.MaxMessage}
	if v.b.o.ClockIsRight() {
		p.today = day(time.Now())
	}
	return p
}

// A transfer is what is known of one mailbox during a visit.
type transfer struct {
	v     *visitor
	f     folder
	to    store.Delivery // where its messages go
	notes *notes         // nil before the first full listing
	full  time.Time      // when that was
	again bool           // a message did not come: list all the next time
	open  *imapBox       // as it was last opened; nil for POP3
	// trouble is that messages cannot be deleted. It stops nothing else.
	trouble error
}

// run brings over what is new, and deletes what is due.
func (t *transfer) run(bx box, all bool) error {
	if t.notes == nil || t.notes.scope != bx.scope() {
		all = true
	}
	listed := map[string]bool{}
	var order []string
	err := bx.list(all, func(key string) error {
		if len(order) >= listedMax {
			return fmt.Errorf("%w: more than %d", errTooMany, listedMax)
		}
		if !listed[key] {
			listed[key] = true
			order = append(order, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if all {
		t.notes, err = readNotes(t.v.b.s, t.v.a.ID, t.f.there, bx.scope(), listed, t.v.policy())
		if err != nil {
			return err
		}
		t.full = time.Now()
	}
	t.again = false
	if err := t.fetchNew(bx, order); err != nil {
		return err
	}
	t.trouble = nil
	if err = t.removeDue(bx); errors.Is(err, errDelete) {
		t.trouble, err = err, nil
	}
	return err
}

// fetchNew fetches those of the keys that have no note.
func (t *transfer) fetchNew(bx box, keys []string) error {
	keys = t.todo(keys)
	if len(keys) == 0 {
		return nil
	}
	var err error
	if t.to, err = t.v.target(t.f); err != nil {
		return err
	}
	t.v.b.report(t.v.a.ID, func(st *Status) { st.State = Fetching })
	for batch := range slices.Chunk(keys, batchSize) {
		err := bx.fetch(batch, func(m remote, body io.Reader) error {
			return t.file(m, body)
		})
		missed := slices.DeleteFunc(slices.Clone(batch), func(key string) bool { return t.notes.known[key] })
		if err != nil && len(missed) > 1 {
			missed = missed[:1] // the others had no chance
		}
		if ours := oursToMend(err); len(missed) > 0 && !ours {
			t.again = true
			t.v.missed(t.notes, missed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// todo returns the keys that are to be fetched, those last that failed before:
// one bad message must not keep the others from coming.
func (t *transfer) todo(keys []string) (list []string) {
	now := time.Now()
	for _, k := range keys {
		if !t.notes.known[k] && !t.v.failed[t.notes.path(k)].next.After(now) {
			list = append(list, k)
		}
	}
	slices.SortStableFunc(list, func(a, b string) int {
		return cmp.Compare(t.v.failed[t.notes.path(a)].times, t.v.failed[t.notes.path(b)].times)
	})
	return list
}

// missed notes that messages did not come.
func (v *visitor) missed(n *notes, keys []string) {
	if len(v.failed) > failuresKept {
		clear(v.failed)
	}
	for _, k := range keys {
		f := v.failed[n.path(k)]
		f.times++
		if f.times >= failuresMax {
			f.next = time.Now().Add(failureRest)
			v.log.Warn("a message cannot be fetched", "mailbox_scope", n.scope, "key", k, "tries", f.times)
		}
		v.failed[n.path(k)] = f
	}
	v.b.report(v.a.ID, func(st *Status) { st.Stuck = len(v.failed) })
}

// file puts a message into a mailbox here, and its note beside it: in one
// commit, and only if there is no note yet.
func (t *transfer) file(m remote, body io.Reader) error {
	b, path := t.v.b, t.notes.path(m.key)
	if m.size > b.o.MaxMessage {
		return t.skip(m, m.size)
	}
	sp, hash := b.s.NewSpool(), sha256.New()
	defer sp.Discard()
	n, err := io.Copy(io.MultiWriter(hash, sp), io.LimitReader(body, b.o.MaxMessage+1))
	switch {
	case err != nil:
		return err
	case n > b.o.MaxMessage:
		return errors.Join(errTooLarge, t.skip(m, n)) // the rest of it is in the way of what follows
	case n == 0 && m.size > 0:
		return nil // a failure that some servers do not call one
	}
	row := note{size: n, day: t.v.policy().today}
	hash.Sum(row.hash[:0])
	err = t.commit(sp, path, row, m)
	if errors.Is(err, store.ErrExists) {
		err = nil // it came twice
	}
	if err != nil {
		return err
	}
	t.notes.known[m.key] = true
	delete(t.v.failed, path)
	if t.v.a.KeepDays == 0 {
		t.notes.due = append(t.notes.due, m.key)
	}
	return nil
}

// commit files a message, or only moves its note if it was here before under
// another key.
func (t *transfer) commit(sp *store.Spool, path string, row note, m remote) error {
	b := t.v.b
	if old := t.notes.orphan(row.hash); old != "" {
		_, err := b.s.Commit(nil, store.Batch{State: map[string][]byte{path: row.encode(), old: nil}, Unless: path})
		if err == nil {
			b.report(t.v.a.ID, func(st *Status) { st.Known++ })
		}
		return err
	}
	envelope, d := sp.Structure().Envelope, t.to
	d.Flags, d.Keywords, d.Date = m.flags, m.keywords, m.date
	batch := store.Batch{Copies: []store.Delivery{d}, State: map[string][]byte{path: row.encode()}, Unless: path}
	_, err := b.s.Commit(sp, batch)
	if errors.Is(err, store.ErrNotFound) { // the mailbox went away meanwhile
		if t.to, err = t.v.target(folder{}); err != nil {
			return err
		}
		batch.Copies[0].Mailbox = t.to.Mailbox
		_, err = b.s.Commit(sp, batch)
	}
	if err == nil {
		b.report(t.v.a.ID, func(st *Status) { st.Fetched++; st.LastFetch = time.Now() })
		if b.o.Told != nil {
			f := Fetched{Account: t.v.a, Mailbox: t.v.mailboxName(batch.Copies[0]), Size: row.size, Subject: envelope.Subject, MessageID: envelope.MessageID}
			if len(envelope.From) > 0 {
				f.From = mail.Path(envelope.From[0].Mailbox + "@" + envelope.From[0].Host)
			}
			b.o.Told(f)
		}
	}
	return err
}

func (v *visitor) mailboxName(d store.Delivery) string {
	a, err := v.b.s.AccountByID(d.Account)
	if err != nil {
		return ""
	}
	m, err := a.MailboxByID(d.Mailbox)
	if err != nil {
		return ""
	}
	return m.Name
}

// skip notes that a message is too large. It is never deleted there.
func (t *transfer) skip(m remote, size int64) error {
	row := note{size: size, day: t.v.policy().today, skipped: true}
	if err := t.v.b.s.PutState(t.notes.path(m.key), row.encode()); err != nil {
		return err
	}
	t.notes.known[m.key] = true
	t.v.log.Warn("a message is too large and stays where it is", "key", m.key, "size", size, "max", t.v.b.o.MaxMessage)
	t.v.b.report(t.v.a.ID, func(st *Status) { st.TooLarge++ })
	return nil
}

// target is where messages of a folder go. A mailbox that is missing is no
// reason to lose mail: then it is the inbox.
func (v *visitor) target(f folder) (store.Delivery, error) {
	d := store.Delivery{Account: v.a.Into}
	acct, err := v.b.s.AccountByID(v.a.Into)
	if err != nil {
		return d, nobody(err)
	}
	var m store.Mailbox
	switch {
	case f.junk:
		m, err = acct.MailboxFor(mail.Junk)
	case f.here != "":
		m, err = acct.Mailbox(f.here)
	default:
		err = store.ErrNotFound
	}
	if errors.Is(err, store.ErrNotFound) {
		m, err = acct.MailboxFor(mail.Inbox)
	}
	d.Mailbox = m.ID
	return d, err
}

// removeDue deletes there what is stored here and has been there long enough.
func (t *transfer) removeDue(bx box) error {
	due := t.notes.due
	if len(due) == 0 {
		return nil
	}
	for batch := range slices.Chunk(due, batchSize) {
		if err := bx.remove(batch); err != nil {
			return err
		}
		t.notes.due = t.notes.due[len(batch):]
		t.v.b.report(t.v.a.ID, func(st *Status) { st.Removed += len(batch) })
	}
	t.notes.due = nil
	return nil
}
