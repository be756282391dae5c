// Package bridge fetches mail from accounts that people have elsewhere into
// their mailboxes here, by IMAP (RFC 3501, 9051) or POP3 (RFC 1939), each
// message exactly once. It needs no open port and no name in DNS. It owns the
// accounts elsewhere, their passwords, and a note of each message that it has
// fetched and that is still there. It never sends mail, and what it files is
// never forwarded: no message can go round through it.
//
// A message and the note that it was fetched are one commit of the store. Only
// then may it be deleted there, and nothing is deleted that has no note.
package bridge

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"homemail/mail"
	"homemail/store"
)

// Options are the settings of a Bridge. The zero value is right for a home.
type Options struct {
	Log        *slog.Logger   // slog.Default() if nil
	Roots      *x509.CertPool // who may vouch for servers; the system's if nil
	Poll       time.Duration  // between visits where the server cannot tell of news; 5 min if 0
	Idle       time.Duration  // how long one IDLE lasts at most; 9 min if 0
	Stall      time.Duration  // how long a server may say nothing when it should; 1 min if 0
	MaxMessage int64          // larger messages stay where they are; 100 MiB if 0
	// Waits are the pauses after the first, second, ... failed visit in a row;
	// the last is repeated.
	Waits []time.Duration
	// ClockIsRight reports whether the date can be relied on. While it cannot,
	// nothing is deleted for its age. It always can if nil.
	ClockIsRight func() bool
	// Dial opens connections; a net.Dialer's if nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Told is told of each message that was fetched. It may be nil.
	Told func(Fetched)
}

// A Fetched is a message that has come from an account elsewhere.
type Fetched struct {
	Account   Account
	Mailbox   string    // here
	From      mail.Path // the author, as the header has it
	Subject   string    // as raw as in the header
	MessageID string
	Size      int64
}

const (
	pollInterval = 5 * time.Minute // what providers of POP3 ask for at least
	// idleMax is below the 29 minutes of RFC 2177, because home routers forget
	// a connection on which nothing moves for ten.
	idleMax    = 9 * time.Minute
	stallMax   = time.Minute
	messageMax = 100 << 20 // twice what large providers take
)

// waits leave a provider alone that is down, and find it soon when it is back.
var waits = [...]time.Duration{30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}

// waitsRefused are those after a refused password: each further try brings
// the owner closer to being locked out there.
var waitsRefused = [...]time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Poll == 0 {
		o.Poll = pollInterval
	}
	if o.Idle == 0 {
		o.Idle = idleMax
	}
	if o.Stall == 0 {
		o.Stall = stallMax
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = messageMax
	}
	if o.Waits == nil {
		o.Waits = waits[:]
	}
	if o.ClockIsRight == nil {
		o.ClockIsRight = func() bool { return true }
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: o.Stall}).DialContext
	}
	return o
}

// A Bridge fetches for all accounts elsewhere. It is safe for concurrent use.
type Bridge struct {
	s *store.Store
	o Options

	changed chan struct{} // an account was added, changed or removed

	mu     sync.Mutex
	status map[string]*Status
	now    map[string]chan struct{} // asks a worker to look at once
}

// New returns a Bridge into s. It starts nothing.
func New(s *store.Store, o Options) *Bridge {
	return &Bridge{
		s: s, o: o.withDefaults(), changed: make(chan struct{}, 1),
		status: make(map[string]*Status), now: make(map[string]chan struct{}),
	}
}

// A worker fetches for one account, as it was when the worker started.
type worker struct {
	account Account
	cancel  context.CancelFunc
	done    chan struct{}
}

// Run fetches until ctx is done. An account that is changed gets a new worker
// when its old one has ended: two never fetch for the same account.
func (b *Bridge) Run(ctx context.Context) error {
	workers := map[string]*worker{}
	defer func() {
		for _, w := range workers {
			w.cancel()
		}
		for _, w := range workers {
			<-w.done
		}
	}()
	if err := b.sweep(); err != nil {
		return err
	}
	for {
		list, err := b.List()
		if err != nil {
			return err
		}
		b.adjust(ctx, workers, list)
		select {
		case <-ctx.Done():
			return nil
		case <-b.changed:
		}
	}
}

// adjust ends the workers whose account is not as it was, and starts others.
func (b *Bridge) adjust(ctx context.Context, workers map[string]*worker, list []Account) {
	now := map[string]Account{}
	for _, a := range list {
		now[a.ID] = a
	}
	for id, w := range workers {
		if a, ok := now[id]; ok && a.same(w.account) {
			continue
		}
		w.cancel()
		<-w.done
		delete(workers, id)
	}
	for _, a := range list {
		if workers[a.ID] != nil || a.Paused {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		w := &worker{account: a, cancel: cancel, done: make(chan struct{})}
		workers[a.ID] = w
		go func() {
			defer close(w.done)
			defer cancel()
			b.work(ctx, a)
		}()
	}
}

// tell lets Run look at the accounts again.
func (b *Bridge) tell() {
	select {
	case b.changed <- struct{}{}:
	default: // already told
	}
}

// FetchNow lets an account's worker look at once, also while it waits after an
// error.
func (b *Bridge) FetchNow(id string) error {
	a, err := b.account(id)
	if err != nil {
		return err
	}
	if a.Paused {
		return errPaused
	}
	select {
	case b.knock(id) <- struct{}{}:
	default: // already asked
	}
	return nil
}

var errPaused = errors.New("the account is paused")

func (b *Bridge) knock(id string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now[id] == nil {
		b.now[id] = make(chan struct{}, 1)
	}
	return b.now[id]
}

// work visits an account's server again and again.
func (b *Bridge) work(ctx context.Context, a Account) {
	log := b.o.Log.With("bridge", a.ID, "address", a.Address)
	v := &visitor{b: b, a: a, log: log, failed: map[string]failure{}, knock: b.knock(a.ID), healthy: func() {}}
	failures := 0
	for ctx.Err() == nil {
		v.healthy = func() { failures = 0 }
		b.report(a.ID, func(s *Status) { s.State = Connecting })
		err := v.visit(ctx)
		if ctx.Err() != nil {
			break
		}
		wait := b.o.Poll
		if err != nil {
			wait = b.wait(failures, err)
			failures++
			log.Warn("fetching failed", "try", failures, "again_in", wait, "err", err)
		}
		b.ended(a, err, wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		case <-v.knock:
		}
	}
	b.report(a.ID, func(s *Status) { s.State = Stopped })
}

// wait is how long to leave a server alone after so many failures before.
func (b *Bridge) wait(failures int, err error) time.Duration {
	list := b.o.Waits
	if errors.Is(err, errRefused) {
		list = waitsRefused[:]
	}
	return list[min(failures, len(list)-1)]
}
