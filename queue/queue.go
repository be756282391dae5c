// Package queue holds mail that still has to leave the house and tries again
// until it has left or five days have passed (RFC 5321 §4.5.4.1). It decides
// what is tried when, and tells senders what became of it. It never opens a
// connection; a Transport does.
package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A Transport hands messages on.
type Transport interface {
	// Hop names the next hop of a domain after some tries, for what from wrote,
	// who is one of ours or "" for all others, without asking the network or the
	// Queue. Recipients with equal names may share a connection and a
	// transaction.
	Hop(from mail.Path, domain string, tries int) string
	// Send tries once to hand a message on. It calls settle exactly once, with
	// an outcome for each of m.Envelope.To in order, before it uses the
	// connection for anything else: after a crash only what was in flight may
	// be sent twice. If settle fails the connection should be given up.
	Send(ctx context.Context, hop string, m mail.Handover, settle func([]mail.Outcome) error)
}

// A Clock knows whether the time of day can be relied on.
type Clock interface{ Trusted() bool }

// Options say what a Queue works with. Zero values are the defaults.
type Options struct {
	Store     *store.Store
	Transport Transport
	Clock     Clock
	Log       *slog.Logger
	Host      string // our name, in DSNs
	// Postmaster is who gets a copy of what can neither be sent nor returned.
	Postmaster func() (mail.AccountID, bool)
	// Told is told where a recipient stands after each attempt: its newest one
	// says how that ended. It must not wait for anything. It may be nil.
	Told func(it *store.Item, r *store.QueueRecipient, hop string)

	Steps       []time.Duration // how long to wait after each failed try; the last is used again
	GiveUp      time.Duration   // how old a message gets
	DelayNotice time.Duration   // after which age the sender is told that it still waits
	Keep        time.Duration   // how long what is done is remembered
	Concurrency int             // attempts at once at hops that answer quickly
	PerHop      int             // attempts at once at one hop
	Waiting     int             // attempts at once at all other hops: waiting costs little
}

// defaultSteps is the usual schedule.
var defaultSteps = [...]time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}

// The other defaults.
const (
	defaultGiveUp      = 5 * 24 * time.Hour // RFC 5321 §4.5.4.1: at least 4-5 days
	defaultDelayNotice = 4 * time.Hour
	defaultKeep        = 7 * 24 * time.Hour
	defaultConcurrency = 20
	defaultPerHop      = 5 // what large sites take from one address without complaint
	defaultWaiting     = 100
)

func (o *Options) fill() {
	if len(o.Steps) == 0 {
		o.Steps = defaultSteps[:]
	}
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{{&o.GiveUp, defaultGiveUp}, {&o.DelayNotice, defaultDelayNotice}, {&o.Keep, defaultKeep}} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	for _, n := range []struct {
		at    *int
		value int
	}{{&o.Concurrency, defaultConcurrency}, {&o.PerHop, defaultPerHop}, {&o.Waiting, defaultWaiting}} {
		if *n.at <= 0 {
			*n.at = n.value
		}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Told == nil {
		o.Told = func(*store.Item, *store.QueueRecipient, string) {}
	}
	if o.Postmaster == nil {
		o.Postmaster = func() (mail.AccountID, bool) { return 0, false }
	}
}

// A Queue sends what is queued in a store. Run it.
type Queue struct {
	o     Options
	log   *slog.Logger
	disk  disk
	wake  chan struct{}
	tasks sync.WaitGroup
	stats counters

	mu    sync.Mutex
	plan  plan
	stuck int // results that could not be written; nothing is sent meanwhile
}

// New makes a Queue.
func New(o Options) *Queue { return newQueue(o, onDisk{o.Store}) }

func newQueue(o Options, d disk) *Queue {
	o.fill()
	q := &Queue{o: o, log: o.Log, disk: d, wake: make(chan struct{}, 1)}
	q.plan = newPlan(o)
	return q
}

// Times of the loop.
const (
	lookEach   = time.Minute      // at the clock
	reloadEach = 10 * time.Minute // the heads of all domains, should a word have got lost
	sweepEach  = 24 * time.Hour
	sweepFirst = 10 * time.Minute // after the start: a house that is switched off at night sweeps too
	// drift is how far the time of day may go from the time that passed before
	// it counts as a jump.
	drift = time.Minute
)

// Run sends mail until ctx ends, and then lets attempts end that have begun.
func (q *Queue) Run(ctx context.Context) error {
	news, stop := q.disk.watch()
	defer stop()
	defer q.tasks.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	look := time.NewTicker(lookEach)
	defer look.Stop()
	q.reload()
	last := time.Now()
	reloaded, swept := last, last.Add(sweepFirst-sweepEach)
	for {
		timer.Reset(q.pump(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-q.wake:
		case <-news:
			q.hear()
		case <-look.C:
			now := time.Now() // its monotonic reading tells how much time passed
			if jumped(now.Sub(last), now.Round(0).Sub(last.Round(0))) || now.Sub(reloaded) >= reloadEach {
				q.reload()
				reloaded = now
			}
			if now.Sub(swept) >= sweepEach && q.o.Clock.Trusted() {
				q.tasks.Go(q.sweep)
				swept = now
			}
			q.forgetHops(now)
			last = now
		}
	}
}

// jumped reports whether the time of day was changed while some time passed and
// the clock showed another.
func jumped(passed, shown time.Duration) bool { return (shown - passed).Abs() > drift }

// kick has the loop look for what to do.
func (q *Queue) kick() {
	select {
	case q.wake <- struct{}{}:
	default: // it will
	}
}

// reload reads the heads of all domains.
func (q *Queue) reload() {
	heads, err := q.disk.QueueHeads()
	if err != nil {
		q.log.Error("the queue cannot be read", "err", err)
		return // again at the next reload
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, h := range heads {
		q.plan.later(h.Domain, h.Due, now)
	}
}

// hear looks at the domains that others changed.
func (q *Queue) hear() {
	domains, all := q.disk.QueueNews()
	if all {
		q.reload()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, d := range domains {
		q.plan.later(d, now, now)
	}
}

// pump starts what can be started, and returns when there will be more.
func (q *Queue) pump(ctx context.Context) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ctx.Err() == nil {
		now := time.Now()
		q.plan.wake(now)
		if d := q.plan.opening(); d != nil {
			q.load(d)
			continue
		}
		if q.stuck > 0 {
			break
		}
		j, ok := q.plan.take(now)
		if !ok {
			break
		}
		q.start(ctx, j)
	}
	return q.plan.sleep(time.Now(), lookEach)
}

// load reads what is next in a domain. The lock is not held while it reads.
func (q *Queue) load(d *domain) {
	name, after := d.name, d.after
	q.mu.Unlock()
	places, err := q.disk.QueueDue(name, after, windowSize)
	q.mu.Lock()
	if err != nil {
		q.log.Error("the queue of a domain cannot be read", "domain", name, "err", err)
		d.at = time.Now().Add(lookEach)
	}
	q.plan.fill(d, places, time.Now())
}

// sweep forgets what was done long ago.
func (q *Queue) sweep() {
	if err := q.disk.SweepQueue(time.Now().Add(-q.o.Keep)); err != nil {
		q.log.Error("the queue's past cannot be removed", "err", err)
	}
}

func (q *Queue) forgetHops(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.plan.forgetHops(now)
}
