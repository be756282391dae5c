package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"
	"unicode/utf8"

	"homemail/mail"
	"homemail/store"
)

const (
	// attemptMax ends an attempt that goes on for ever: the largest message over
	// the slowest line takes less.
	attemptMax = 2 * time.Hour
	// perSend is how many recipients one transaction has at most: a server must
	// take so many, RFC 5321 §4.5.3.1.8.
	perSend = 100
	// stuckEach is how long to wait before a result that could not be written is
	// written again.
	stuckEach = 5 * time.Second
)

// A parcel is recipients of one message that are worked on together. All are
// claimed.
type parcel struct {
	it  *store.Item
	to  []*store.QueueRecipient
	hop string
}

// start starts a job. Who goes along is asked here and not by the job itself:
// the next job would begin with one of them. The lock is not held meanwhile.
func (q *Queue) start(ctx context.Context, j job) {
	q.mu.Unlock()
	defer q.mu.Lock()
	var p parcel
	ok := false
	err := guard(func() error {
		if j.class != dead {
			p, ok = q.gather(j, j.places[0], true)
		}
		return nil
	})
	q.tasks.Go(func() { q.do(ctx, j, p, ok, err) })
}

// do does a job, with what was gathered for it.
func (q *Queue) do(ctx context.Context, j job, p parcel, ok bool, err error) {
	defer q.kick()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.plan.end(j, time.Now())
	}()
	if err == nil {
		err = guard(func() error {
			q.work(ctx, j, p, ok)
			return nil
		})
	}
	if err != nil {
		q.log.Error("the queue could not do its work", "domain", j.domain, "err", err)
		q.lookLater(j.domain)
	}
}

// guard turns a panic into an error: a bug costs time, never mail nor the house.
func guard(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v\n%s", r, debug.Stack())
		}
	}()
	return fn()
}

func (q *Queue) work(ctx context.Context, j job, p parcel, ok bool) {
	if j.class == dead {
		q.deferAll(j)
		return
	}
	q.stats.active.Add(1)
	defer q.stats.active.Add(-1)
	defer q.release(p.it, p.to)
	if ok {
		q.send(ctx, j, p)
	}
}

// gather reads the message of a claimed place, and claims those of its
// recipients that go to the same hop now. It returns false if nothing is to be
// done; what was claimed is to be released in any case.
func (q *Queue) gather(j job, place store.Place, others bool) (p parcel, ok bool) {
	it, to, err := q.read(place.Item)
	if err != nil {
		q.unreadable(j.domain, place, err)
		q.unclaim(ref{place.Item, place.N})
		return p, false
	}
	p = parcel{it: it}
	var first *store.QueueRecipient
	for _, r := range to {
		if r.N == place.N {
			first = r
		}
	}
	if first == nil || first.State != store.Queued || first.Hold != "" {
		q.bury(j.domain, place, first)
		q.unclaim(ref{place.Item, place.N})
		return p, false
	}
	p.to, p.hop = append(p.to, first), q.hopOf(first) // the row knows better than its place
	now := time.Now()
	if !q.mayTry(first, j.reach, now) {
		return p, false
	}
	if !others || len(to) == 1 {
		return p, true
	}
	if err := q.gatherOthers(&p, to, j.reach, now); err != nil {
		q.log.Error("a message of the queue cannot be read", "id", it.Trace, "err", err)
		first.Due = now.Add(lookEach) // on disk it is as it was
		return p, false
	}
	return p, true
}

// read reads a message. A panic there must not keep what is claimed claimed.
func (q *Queue) read(id mail.ItemID) (it *store.Item, to []*store.QueueRecipient, err error) {
	err = guard(func() (err error) {
		it, to, err = q.disk.Item(id)
		return err
	})
	return it, to, err
}

// gatherOthers claims the others of the message that go along. What was read
// before it was claimed may have been settled meanwhile, so it is read again.
func (q *Queue) gatherOthers(p *parcel, to []*store.QueueRecipient, reach reach, now time.Time) error {
	goes := func(r *store.QueueRecipient) bool {
		return r.State == store.Queued && r.Hold == "" && q.mayTry(r, reach, now) && q.hopOf(r) == p.hop
	}
	var mine []uint32
	q.mu.Lock()
	for _, r := range to {
		if len(mine)+1 < perSend && goes(r) && q.plan.claim(ref{r.Item, r.N}) {
			mine = append(mine, r.N)
		}
	}
	q.mu.Unlock()
	if len(mine) == 0 {
		return nil
	}
	_, to, err := q.read(p.it.ID)
	if err != nil {
		to = nil
	}
	for _, n := range mine {
		i := indexOf(to, n)
		if i < 0 || !goes(to[i]) {
			q.unclaim(ref{p.it.ID, n})
			continue
		}
		p.to = append(p.to, to[i])
	}
	return err
}

// hopOf names the next hop of a recipient, as its place in the schedule does.
func (q *Queue) hopOf(r *store.QueueRecipient) string {
	return q.o.Transport.Hop(r.From, r.Path.Domain(), min(r.Tries, store.PlaceTries))
}

func indexOf(to []*store.QueueRecipient, n uint32) int {
	for i, r := range to {
		if r.N == n {
			return i
		}
	}
	return -1
}

// mayTry reports whether a recipient's time has come.
func (q *Queue) mayTry(r *store.QueueRecipient, reach reach, now time.Time) bool {
	switch {
	case q.plan.ripe(r.Due, now), reach == everything:
		return true
	case reach == whatWaited && len(r.Attempts) > 0:
		return isUnreachable(r.Attempts[len(r.Attempts)-1].Outcome)
	}
	return false
}

// unreadable deals with a place whose message cannot be read.
func (q *Queue) unreadable(domain string, place store.Place, err error) {
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
		q.log.Error("a message of the queue cannot be read and is set aside", "item", place.Item, "recipient", place.N, "err", err)
		err = q.disk.SetAside(domain, place)
	}
	if err != nil {
		q.log.Error("a message of the queue cannot be worked on", "item", place.Item, "err", err)
		q.lookLater(domain)
	}
}

// bury takes a place out of the schedule that should not be in it: its
// recipient is done, is held or cannot be read.
func (q *Queue) bury(domain string, place store.Place, r *store.QueueRecipient) {
	var err error
	if r != nil && r.State != store.Queued {
		q.log.Warn("a recipient of the queue is back though it is done; nothing is sent", "item", place.Item, "recipient", place.N, "state", r.State)
		err = q.disk.settle([]*store.QueueRecipient{r}, nil)
	}
	if err = errors.Join(err, q.disk.SetAside(domain, place)); err != nil {
		q.log.Error("the queue's schedule cannot be put right", "item", place.Item, "err", err)
		q.lookLater(domain)
	}
}

// lookLater has a domain looked at again when what failed may work.
func (q *Queue) lookLater(domain string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.plan.later(domain, now.Add(lookEach), now)
}

func (q *Queue) unclaim(r ref) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.plan.claimed, r)
}

// release gives up claims, and has the domains looked at when more is due.
func (q *Queue) release(it *store.Item, list []*store.QueueRecipient) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, r := range list {
		delete(q.plan.claimed, ref{it.ID, r.N})
		if r.State == store.Queued {
			q.plan.later(r.Path.Domain(), r.Due, now)
		}
	}
}

// send makes one attempt.
func (q *Queue) send(ctx context.Context, j job, p parcel) {
	a := &attempt{q: q, j: j, p: p, ctx: ctx, start: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, attemptMax)
	defer cancel()
	err := guard(func() error {
		q.o.Transport.Send(ctx, p.hop, q.handover(p), a.settle)
		return nil
	})
	if err != nil {
		q.log.Error("an attempt failed", "id", p.it.Trace, "hop", p.hop, "err", err)
	}
	if a.end(q.failure("the attempt ended without a result")) {
		q.log.Error("an attempt ended without a result", "id", p.it.Trace, "hop", p.hop)
	}
	a.persist()
}

// failure is the outcome of a fault of ours.
func (q *Queue) failure(what string) mail.Outcome {
	return mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseOurs, Reply: mail.Reply{Text: what}}
}

func (q *Queue) handover(p parcel) mail.Handover {
	h := mail.Handover{ID: p.it.Trace, Envelope: p.it.Envelope, Size: p.it.Size()}
	s, err := p.it.Structure()
	h.EightBit = err != nil || s.EightBit || bytes.ContainsFunc(p.it.Prefix, func(r rune) bool { return r >= utf8.RuneSelf })
	for _, r := range p.to {
		h.Envelope.To = append(h.Envelope.To, r.Recipient)
	}
	h.Open = func() (io.Reader, error) { return q.disk.open(p.it), nil }
	return h
}

// An attempt is a call of Transport.Send.
type attempt struct {
	q     *Queue
	j     job
	p     parcel
	ctx   context.Context // ends when the queue stops
	start time.Time

	mu      sync.Mutex
	settled bool
	unsaved []*store.QueueRecipient // done, and not on disk
}

// errSettled says that a Transport broke its promise.
var errSettled = errors.New("the result was told before")

// settle writes the outcomes. It does not ask ctx: what happened has happened.
func (a *attempt) settle(list []mail.Outcome) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.settled {
		a.q.log.Error("a second result of an attempt is ignored", "id", a.p.it.Trace, "hop", a.p.hop)
		return errSettled
	}
	a.settled = true
	for len(list) < len(a.p.to) {
		list = append(list, a.q.failure("no result for this recipient"))
	}
	unsaved, err := a.q.conclude(a, list[:len(a.p.to)])
	a.unsaved = unsaved
	return err
}

// end settles with one outcome for all, unless it is settled.
func (a *attempt) end(o mail.Outcome) bool {
	a.mu.Lock()
	settled := a.settled
	a.mu.Unlock()
	if settled {
		return false
	}
	list := make([]mail.Outcome, len(a.p.to))
	for i := range list {
		list[i] = o
	}
	a.settle(list) // what cannot be written is kept in unsaved
	return true
}

// persist writes what was sent and could not be noted on disk. Until it is, no
// other message leaves: each would be sent twice after a crash.
func (a *attempt) persist() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.unsaved) == 0 {
		return
	}
	a.q.addStuck(1)
	defer a.q.addStuck(-1)
	for stopped := false; ; {
		err := a.q.disk.settle(a.unsaved, nil)
		if err == nil {
			return
		}
		if stopped || errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrClosed) {
			a.q.log.Error("what became of a message could not be noted; it may be sent again", "id", a.p.it.Trace, "err", err)
			return
		}
		select {
		case <-a.ctx.Done():
			stopped = true
		case <-time.After(stuckEach):
		}
	}
}

func (q *Queue) addStuck(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stuck += n
}
