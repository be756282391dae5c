package queue

import (
	"errors"
	"slices"
	"time"

	"homemail/clock"
	"homemail/dsn"
	"homemail/mail"
	"homemail/store"
)

// A telling is what a sender is told about a recipient.
type telling int

const (
	silence telling = iota
	success
	delay
	failure
)

// conclude turns outcomes into what is kept, and writes it. It returns those
// who are done and whose state could not be written.
func (q *Queue) conclude(a *attempt, list []mail.Outcome) ([]*store.QueueRecipient, error) {
	now := time.Now()
	var until time.Time
	if a.p.hop == a.j.hop.name {
		q.mu.Lock()
		until = q.plan.learn(a.j.hop, list, now)
		q.mu.Unlock()
	}
	stopping := a.ctx.Err() != nil
	var groups [failure + 1][]*store.QueueRecipient
	for i, r := range a.p.to {
		o := list[i]
		if stopping && o.Fate != mail.Relayed && o.Fate != mail.Delivered && o.Fate != mail.Permanent {
			continue // cut short by us: it was no try
		}
		t := q.advance(a.p.it, r, store.Attempt{At: now, Outcome: o}, now, until)
		groups[t] = append(groups[t], r)
	}
	unsaved, err := q.write(a.p.it, groups)
	for _, r := range a.p.to {
		q.report(a, r, now)
	}
	return unsaved, err
}

// advance takes a recipient to where it stands after an attempt, and returns
// what the sender should be told.
// A hop that could not be reached is left alone until a moment; a message that
// was not tried counts from when the hop failed.
func (q *Queue) advance(it *store.Item, r *store.QueueRecipient, a store.Attempt, died, until time.Time) telling {
	now := a.At
	r.Attempts = append(r.Attempts, a)
	r.Age += clock.Step(r.Last, now, max(r.Due.Sub(r.Last), q.o.Steps[0]))
	r.Last = now
	r.Tries++
	trusted := q.o.Clock.Trusted()
	switch {
	case a.Fate == mail.Relayed || a.Fate == mail.Delivered:
		r.State, r.Ended = store.Relayed, now
		return q.tell(it, r, success)
	case a.Fate == mail.Permanent && !(a.Cause == mail.CauseNoDomain && r.Tries < domainTries):
		r.State, r.Ended = store.Failed, now
		return q.tell(it, r, failure)
	case trusted && r.Age >= q.o.GiveUp:
		r.State, r.Ended = store.Expired, now
		return q.tell(it, r, failure)
	}
	r.Due = q.due(r, now, died, until)
	if !a.Untried {
		r.Due = r.Due.Add(time.Millisecond) // behind those that are put off with it: another one tries next
	}
	// Told at the try that is nearest to the time of the notice.
	if trusted && !r.Delayed && r.Age+r.Due.Sub(now)/2 >= q.o.DelayNotice {
		if t := q.tell(it, r, delay); t == delay {
			r.Delayed = true
			return t
		}
	}
	return silence
}

// domainTries is how often a name has to be denied before a message is given up
// for it: there are routers that deny every name while the line is down.
const domainTries = 2

// due is when a recipient is tried again.
func (q *Queue) due(r *store.QueueRecipient, now, died, until time.Time) time.Time {
	wait := q.o.Steps[min(r.Tries, len(q.o.Steps))-1]
	if left := q.o.GiveUp - r.Age; left > 0 {
		wait = min(wait, left)
	}
	if early := wait - now.Sub(died); early > 0 { // by the time that passed: the clock may have been set meanwhile
		wait = min(wait, early)
	}
	if left := until.Sub(now); wait < left {
		wait = left + untilSlack
	}
	return now.Add(wait).Round(0)
}

// untilSlack is for the milliseconds that are lost on the way to disk.
const untilSlack = 10 * time.Millisecond

// tell decides whether something is told, RFC 3461 §4.1 and §5.2. Without
// NOTIFY a sender hears of failure and of delay.
func (q *Queue) tell(it *store.Item, r *store.QueueRecipient, t telling) telling {
	word := [...]string{success: "SUCCESS", delay: "DELAY", failure: "FAILURE"}[t]
	switch {
	case it.Origin == store.Bounced: // a bounce of a stranger's that nobody takes: the log has it
		return silence
	case it.Origin == store.Submitted && slices.Contains(r.Notify, "NEVER"): // such as an out-of-office reply
		return silence
	case it.Envelope.From.IsNull(): // the postmaster or who forwards hears of it
		if t == failure {
			return failure
		}
		return silence
	case it.Origin != store.Submitted: // who forwards hears of it, and no stranger's wish counts
		if t == failure {
			return failure
		}
		return silence
	case t == success && r.Attempts[len(r.Attempts)-1].DSN: // the next hop tells
		return silence
	case len(r.Notify) == 0:
		if t == success {
			return silence
		}
		return t
	case slices.Contains(r.Notify, word):
		return t
	}
	return silence
}

// write commits recipients by what is told about them: first those of whom
// nothing is told, then each group with its notice in one commit.
func (q *Queue) write(it *store.Item, groups [failure + 1][]*store.QueueRecipient) (unsaved []*store.QueueRecipient, err error) {
	for t, list := range groups {
		if len(list) == 0 {
			continue
		}
		bad, e := q.writeGroup(it, telling(t), list)
		unsaved, err = append(unsaved, bad...), errors.Join(err, e)
	}
	return unsaved, err
}

func (q *Queue) writeGroup(it *store.Item, t telling, list []*store.QueueRecipient) (unsaved []*store.QueueRecipient, err error) {
	err = guard(func() error {
		n, err := q.notice(it, t, list)
		if err != nil {
			return err
		}
		return q.disk.settle(list, n)
	})
	if err == nil {
		return nil, nil
	}
	q.log.Error("the result of an attempt cannot be written", "id", it.Trace, "notice", t != silence, "err", err)
	switch {
	case t == success, t == failure && list[0].Age > 2*q.o.GiveUp: // that it is over counts more than the notice
		if q.disk.settle(list, nil) == nil {
			return nil, nil
		}
		return list, err
	case t != silence: // no notice, no end: it is tried again
		q.putOff(list)
		if e := q.disk.settle(list, nil); e != nil {
			return nil, errors.Join(err, e) // as it was before
		}
		return nil, nil
	}
	for _, r := range list {
		if r.State != store.Queued {
			unsaved = append(unsaved, r)
		}
	}
	for _, r := range list {
		if r.State == store.Queued {
			r.Due = time.Now().Add(lookEach) // on disk it is due earlier
		}
	}
	return unsaved, err
}

// putOff makes recipients wait whose senders could not be told.
func (q *Queue) putOff(list []*store.QueueRecipient) {
	for _, r := range list {
		if r.State != store.Queued {
			r.State, r.Ended = store.Queued, time.Time{}
			now := time.Now()
			r.Due = q.due(r, now, now, now)
		}
		r.Delayed = false
	}
}

// report logs how an attempt ended for a recipient, and counts.
func (q *Queue) report(a *attempt, r *store.QueueRecipient, now time.Time) {
	if len(r.Attempts) == 0 || !r.Attempts[len(r.Attempts)-1].At.Equal(now) {
		return // cut short
	}
	last := r.Attempts[len(r.Attempts)-1]
	args := []any{"id", a.p.it.Trace, "to", r.Path, "hop", a.p.hop, "remote", last.Remote, "try", r.Tries,
		"cause", last.Cause, "reply", last.Reply.String(), "ms", now.Sub(a.start).Milliseconds()}
	switch r.State {
	case store.Relayed:
		q.stats.relayed.Add(1)
		q.log.Info("relayed", args...)
	case store.Queued:
		q.stats.deferred.Add(1)
		q.log.Info("deferred", append(args, "next", r.Due)...)
	default:
		q.stats.failed.Add(1)
		q.log.Info("failed", append(args, "state", r.State)...)
	}
	q.o.Told(a.p.it, r, a.p.hop)
}

// deferAll puts off what is due at a hop that cannot be reached, in one commit.
// Each has it among its attempts, as one that was not made.
func (q *Queue) deferAll(j job) {
	var batch []*store.QueueRecipient
	var held []parcel
	defer func() {
		for _, p := range held {
			q.release(p.it, p.to)
		}
	}()
	for _, place := range j.places {
		p, ok := q.gather(j, place, false)
		held = append(held, p)
		now := time.Now()
		if !ok || !q.plan.ripe(p.to[0].Due, now) {
			continue
		}
		if p.hop != j.hop.name { // it has another since its place was read
			p.to[0].Due = now.Add(lookEach)
			continue
		}
		batch = append(batch, q.deferOne(j, p)...)
	}
	if len(batch) == 0 {
		return
	}
	if err := q.disk.settle(batch, nil); err != nil {
		q.log.Error("mail cannot be put off", "hop", j.hop.name, "err", err)
		for _, r := range batch {
			r.Due = time.Now().Add(lookEach)
		}
		return
	}
	q.stats.deferred.Add(int64(len(batch)))
	q.log.Info("put off: the next hop cannot be reached", "hop", j.hop.name, "domain", j.domain, "recipients", len(batch), "cause", j.last.Cause, "reply", j.last.Reply.String())
}

// deferOne takes a recipient on without a try. What the sender has to be told
// of is written at once, the rest returned.
func (q *Queue) deferOne(j job, p parcel) []*store.QueueRecipient {
	a := store.Attempt{At: time.Now(), Outcome: j.last, Untried: true}
	a.Fate = mail.Temporary // nobody is given up for what became of another
	t := q.advance(p.it, p.to[0], a, j.died, j.until)
	if r := p.to[0]; r.Tries == 1 || r.State != store.Queued { // a server that is down is told of once a message
		defer q.o.Told(p.it, r, j.hop.name)
	}
	if t == silence {
		return p.to
	}
	if _, err := q.writeGroup(p.it, t, p.to); err == nil && t == failure {
		q.stats.failed.Add(1)
		q.log.Info("failed", "id", p.it.Trace, "to", p.to[0].Path, "hop", j.hop.name, "state", p.to[0].State, "cause", j.last.Cause)
	}
	return nil
}

// words of a telling for a DSN.
func (t telling) kind() dsn.Kind {
	return [...]dsn.Kind{success: dsn.Success, delay: dsn.Delay, failure: dsn.Failure}[t]
}
