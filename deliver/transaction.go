package deliver

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"homemail/mail"
	"homemail/mail/message"
	"homemail/store"
)

// maxReceived is how many servers a message may pass, RFC 5321 §6.3; as in
// Postfix.
const maxReceived = 50

// A Transaction is a message that comes in for one or more recipients. It is
// used by one goroutine at a time, and Discard must be called in the end.
type Transaction struct {
	a       *Agent
	from    mail.Path
	by      mail.AccountID // who signed in to send it, 0 for strangers
	sp      *store.Spool
	targets []target
	away    []departure
	seals   seals
	sum     hash.Hash // of the bytes, while there may be something to compare with

	held   string  // why the queue keeps what was submitted
	resend *resend // after a commit: what to remember if nobody heard of it
}

// A target is an account that gets the message.
type target struct {
	who     person
	id      mail.AccountID
	mailbox mail.MailboxID
	address mail.Path // through which the account was reached first
	only    bool      // it forwards all its mail and keeps none, unless it is junk
}

// Begin starts a message from a reverse-path. By is the account that signed in
// to send it, 0 for a stranger: only who signed in may write to the outside.
func (a *Agent) Begin(from mail.Path, by mail.AccountID) *Transaction {
	return &Transaction{a: a, from: from, by: by}
}

// Rcpt adds a recipient of a message whose size is as declared, 0 if it was
// not. An account that is reached twice gets one copy. The error is one of
// package mail: ErrUnknownRecipient, ErrNotLocal, ErrNoWayOut, ErrDisabled,
// ErrMailboxFull.
func (t *Transaction) Rcpt(p mail.Path, size int64) error {
	if to := t.unwrapped(p); to != "" { // before a catch-all has it
		if !t.a.s.IsLocal(to.Domain()) {
			t.depart(departure{reached: reached{outside: to, via: p}, bounce: true})
			return nil
		}
		p = to // one of ours, whose mail another domain of ours forwarded
	}
	found, err := t.a.accounts(p)
	switch {
	case errors.Is(err, mail.ErrNotLocal):
		return t.rcptOutside(p, err)
	case err != nil:
		return err
	}
	if found, err = t.a.withForwards(found); err != nil {
		return err
	}
	before, full := len(t.targets), false
	for _, r := range found {
		if r.id == 0 {
			continue
		}
		if slices.ContainsFunc(t.targets, func(o target) bool { return o.id == r.id }) {
			continue
		}
		to, err := t.a.target(r, size)
		if r.more && errors.Is(err, mail.ErrMailboxFull) { // no reason that who forwards gets none
			t.a.o.Log.Warn("an account that mail is forwarded to is full", "account", to.who.address, "rcpt", p)
			full = true
			continue
		}
		if err != nil {
			t.targets = t.targets[:before]
			return fmt.Errorf("%s: %w", p, err)
		}
		to.address, to.only = p, r.only
		t.targets = append(t.targets, to)
	}
	for i := before; full && i < len(t.targets); i++ {
		t.targets[i].only = false
	}
	for _, r := range found {
		if r.id == 0 {
			t.depart(departure{reached: r})
		}
	}
	return nil
}

// target finds the mailbox for a message that reaches an account, if there is
// room.
func (a *Agent) target(r reached, size int64) (target, error) {
	who, err := a.people.get(r.id)
	if err != nil {
		return target{}, err
	}
	to := target{who: who, id: r.id, mailbox: who.inbox}
	if who.quota > 0 {
		used, err := who.account.Usage()
		if err != nil {
			return to, err
		}
		if used.Bytes >= who.quota || used.Bytes+size > who.quota {
			return to, mail.ErrMailboxFull
		}
	}
	if r.detail == "" {
		return to, nil
	}
	list, err := who.account.Mailboxes()
	if err != nil {
		return to, err
	}
	for _, m := range list {
		// Strangers choose the detail: they shall not file mail under Sent or Trash.
		if m.Use == mail.NoUse && strings.EqualFold(m.Name, r.detail) {
			to.mailbox = m.ID
		}
	}
	return to, nil
}

// Write takes the message's next bytes.
func (t *Transaction) Write(p []byte) (int, error) {
	if t.sp == nil {
		t.open()
	}
	if t.sum != nil {
		t.sum.Write(p)
	}
	if err := t.pass(p); err != nil {
		return 0, err
	}
	n, err := t.sp.Write(p)
	return n, known(err)
}

func (t *Transaction) open() {
	t.sp = t.a.s.NewSpool()
	if t.a.resends.any() {
		t.sum = sha256.New()
	}
}

// Structure ends the writing and tells what the message looks like.
func (t *Transaction) Structure() *message.Structure {
	if t.sp == nil {
		t.open()
	}
	return t.sp.Structure()
}

// Commit files the message in a mailbox of every account it is for, or in none.
// It is on disk when Commit returns without an error. The id is the trace's, or
// that of the same message from before if this one is a resend (see Unconfirmed).
// The error is one of package mail, or a fault of ours.
func (t *Transaction) Commit(e mail.Envelope, tr mail.Trace) (id string, err error) {
	s := t.Structure()
	if err := t.acceptable(s); err != nil {
		return "", err
	}
	t.resend = newResend(e, tr, s)
	if id, ok := t.again(); ok {
		t.Discard()
		return id, nil
	}
	junk := t.by == 0 && (tr.Junk || s.Junk)
	done, err := t.deliver(e, tr, junk)
	if err != nil {
		return "", known(err)
	}
	t.a.count.messages.Add(1)
	t.a.count.copies.Add(int64(len(done.Placed)))
	t.a.count.queued.Add(int64(len(done.Items)))
	if t.resend != nil {
		t.resend.sum = done.Hash
	}
	t.tell(e, tr, s, junk, done.Placed)
	t.Discard()
	t.confirm(e, tr.ID, s)
	return tr.ID, nil
}

// acceptable refuses what goes round or has a header that no two readers would
// understand alike.
func (t *Transaction) acceptable(s *message.Structure) error {
	switch {
	case len(t.targets)+len(t.away) == 0:
		return errors.New("a message without recipients")
	case s.HeaderBad != "":
		return fmt.Errorf("%w: %s", mail.ErrBadHeader, s.HeaderBad)
	case s.HasFrom > 1: // RFC 5322 §3.6; DMARC would check one and people see the other
		return fmt.Errorf("%w: more than one From", mail.ErrBadHeader)
	case s.Received >= maxReceived:
		t.a.count.loops.Add(1)
		return fmt.Errorf("%w: it has passed %d servers", mail.ErrLoop, s.Received)
	}
	for _, d := range s.Delivered {
		p, err := mail.ParsePath(d)
		if err != nil {
			continue
		}
		for _, to := range t.targets {
			if p.Key() == to.address.Key() {
				t.a.count.loops.Add(1)
				return fmt.Errorf("%w: it was delivered to %s before", mail.ErrLoop, p)
			}
		}
		for _, d := range t.away {
			if p.Key() == d.via.Key() && !d.bounce {
				t.a.count.loops.Add(1)
				return fmt.Errorf("%w: it was forwarded for %s before", mail.ErrLoop, p)
			}
		}
	}
	return nil
}

// deliver makes the copies, and what leaves the house, in one commit. A mailbox
// that went away since its RCPT is no reason to lose mail: then all goes to the
// inboxes.
func (t *Transaction) deliver(e mail.Envelope, tr mail.Trace, junk bool) (store.Committed, error) {
	b, err := t.batch(e, tr, junk)
	if err != nil {
		return store.Committed{}, err
	}
	done, err := t.a.s.Commit(t.sp, b)
	if errors.Is(err, store.ErrNotFound) {
		copies := t.kept(junk)
		for i := range b.Copies {
			b.Copies[i].Mailbox = copies[i].who.inbox
		}
		done, err = t.a.s.Commit(t.sp, b)
	}
	if err == nil && junk {
		t.a.count.junk.Add(1)
	}
	return done, err
}

func (t *Transaction) batch(e mail.Envelope, tr mail.Trace, junk bool) (b store.Batch, err error) {
	trace := received(t.a.o.Host, e, tr)
	for _, to := range t.kept(junk) {
		d := store.Delivery{
			Account: to.id, Mailbox: to.mailbox,
			Prefix: prefix(e.From, to.address, trace, tr.Results), Date: internalDate(tr),
		}
		if junk {
			if m, err := to.who.account.MailboxFor(mail.Junk); err == nil {
				d.Mailbox = m.ID
			}
		}
		b.Copies = append(b.Copies, d)
	}
	switch {
	case !junk:
		b.Queue, err = t.outgoing(e, tr)
	case len(b.Copies) == 0: // what leads only outside would be lost
		err = mail.ErrJunk
	}
	return b, err
}

// kept returns the accounts that get a copy: all of them if it is junk, which
// is never forwarded.
func (t *Transaction) kept(junk bool) []target {
	list := make([]target, 0, len(t.targets))
	for _, to := range t.targets {
		if junk || !to.only {
			list = append(list, to)
		}
	}
	return list
}

// Discard frees what was not committed. It may be called again.
func (t *Transaction) Discard() {
	if t.sp != nil {
		t.sp.Discard()
		t.sp = nil
	}
}
