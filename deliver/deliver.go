// Package deliver is the MDA: it says which accounts an address means, files a
// message in a mailbox of each, and queues it for addresses outside, all in one
// commit. It decides about addresses, trace fields and loops; it keeps nothing
// itself and never opens a connection.
package deliver

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"homemail/mail"
	"homemail/store"
)

// Options are the settings of an Agent.
type Options struct {
	Host string       // our name, in Received
	Log  *slog.Logger // slog.Default() if nil
	// Separator is between a name and its detail, as "+" in anna+shop@; "" turns
	// that off.
	Separator string
	// Outside is the way out of the house; the zero Outside has none.
	Outside Outside
	// Confirm tells a sender what is in mailboxes here; nil tells nobody.
	Confirm func(Confirmation)
	// Told is told what became of each message, before its sender is. It must
	// not wait for anything. It may be nil.
	Told func(Story)
}

// An Agent delivers into a store. It is safe for concurrent use.
type Agent struct {
	s       *store.Store
	o       Options
	people  people
	resends resends
	count   counters
}

// New returns an Agent for the accounts of s. It starts nothing.
func New(s *store.Store, o Options) *Agent {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Agent{
		s: s, o: o,
		people:  people{s: s, changed: s.WatchProfiles()},
		resends: resends{sent: make(map[digest]sent)},
	}
}

// Stats are counters since the start.
type Stats struct {
	Messages int64 // stored
	Copies   int64 // of them, one for each account
	Junk     int64 // messages filed under Junk
	Loops    int64 // messages refused because they went round
	Resends  int64 // messages not stored again after a lost connection
	Queued   int64 // messages put into the queue, once for each sender that they have there
}

type counters struct{ messages, copies, junk, loops, resends, queued atomic.Int64 }

// Stats returns the counters as they are now.
func (a *Agent) Stats() Stats {
	c := &a.count
	return Stats{
		Messages: c.messages.Load(), Copies: c.copies.Load(), Junk: c.junk.Load(),
		Loops: c.loops.Load(), Resends: c.resends.Load(), Queued: c.queued.Load(),
	}
}

// Room reports whether a message of the given size fits the disk: nil or
// mail.ErrNoSpace.
func (a *Agent) Room(size int64) error { return known(a.s.Room(size)) }

// Owns reports whether an account may write as p: whether mail to p would come
// to it. The owner of a catch-all may so use any address that is nobody's. Of
// addresses elsewhere it may use those that are noted for it.
func (a *Agent) Owns(id mail.AccountID, p mail.Path) bool {
	found, err := a.accounts(p)
	if errors.Is(err, mail.ErrNotLocal) {
		who, err := a.people.get(id)
		return err == nil && !who.disabled && slices.Contains(who.sendAs, p.Key())
	}
	if err != nil {
		return false
	}
	for _, f := range found {
		if f.id == id {
			return true
		}
	}
	return false
}

// known gives the store's errors the names that doors know.
func known(err error) error {
	switch {
	case errors.Is(err, store.ErrOverQuota):
		return errors.Join(mail.ErrMailboxFull, err)
	case errors.Is(err, store.ErrDiskFull):
		return errors.Join(mail.ErrNoSpace, err)
	}
	return err
}

// people remembers what every RCPT asks about an account.
type people struct {
	s       *store.Store
	changed *store.Watch

	mu    sync.Mutex
	known map[mail.AccountID]person
}

type person struct {
	account  *store.Account
	address  mail.Path
	disabled bool
	quota    int64
	inbox    mail.MailboxID // it is always the same
	forward  []mail.Path
	only     bool        // keeps no copy of what is forwarded
	sendAs   []mail.Path // addresses elsewhere
}

// get returns an account's person, as of the last change of any account.
func (p *people) get(id mail.AccountID) (person, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.changed.C:
		p.known = nil
	default:
	}
	if who, ok := p.known[id]; ok {
		return who, nil
	}
	who, err := p.read(id)
	if err == nil {
		if p.known == nil {
			p.known = make(map[mail.AccountID]person)
		}
		p.known[id] = who
	}
	return who, err
}

func (p *people) read(id mail.AccountID) (who person, err error) {
	if who.account, err = p.s.AccountByID(id); err != nil {
		return who, err
	}
	profile, err := who.account.Profile()
	if err != nil {
		return who, err
	}
	inbox, err := who.account.MailboxFor(mail.Inbox)
	who.address, who.disabled, who.quota, who.inbox = profile.Address, profile.Disabled, profile.Quota, inbox.ID
	who.forward, who.only, who.sendAs = profile.Forward, profile.ForwardOnly, profile.SendAs
	return who, err
}
