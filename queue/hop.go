package queue

import (
	"time"

	"homemail/mail"
)

// A hop is what the plan knows about a next hop. It is in memory only: after a
// start nothing is known of any.
//
// One attempt at a time goes to a hop until it answers, then more and more. One
// that cannot be reached is left alone for a while: what is due meanwhile is
// deferred without being tried, and then one message tries again.
type hop struct {
	name    string
	domains line[*domain] // that have mail for it
	listed  bool          // it stands in line for a slot
	active  int           // jobs under way
	used    time.Time     // when the last ended

	answers bool // it answered, and did not fail since
	slow    bool // the last attempt took long
	limit   int  // attempts at once
	doubts  int  // failures in a row that may be the message's fault
	fails   int  // failures to reach it in a row
	until   time.Time
	died    time.Time    // when it failed
	last    mail.Outcome // how
}

// hopSteps is how long to leave a hop alone after its n-th failure in a row.
// Short: one message that tries costs nothing, and when a server is back all of
// its mail goes at once.
var hopSteps = [...]time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute}

// slowAfter is how long an attempt takes at a hop that makes us wait, be it a
// tarpit or that the message is large.
const slowAfter = 10 * time.Second

// rest is how long to leave a hop alone that has failed n times before: no longer
// than a message would be.
func (p *plan) rest(n int) time.Duration {
	return min(hopSteps[min(n, len(hopSteps)-1)], p.steps[min(n, len(p.steps)-1)])
}

// A class of hops has slots of its own, so that hops which make us wait take
// none from those that answer at once.
type class int

const (
	alive class = iota
	unknown
	dead
	classes
)

func (h *hop) class(now time.Time) class {
	switch {
	case now.Before(h.until):
		return dead
	case h.answers && !h.slow:
		return alive
	}
	return unknown
}

// free reports whether one more job may go to the hop. A dead one is not asked.
func (h *hop) free(now time.Time) bool { return now.Before(h.until) || h.active < h.limit }

// hopForget is how long what is known about a hop is kept; hopStale is how long
// one that answered counts as alive.
const (
	hopForget = 6 * time.Hour
	hopStale  = 10 * time.Minute
)

func (p *plan) hop(name string, now time.Time) *hop {
	h := p.hops[name]
	if h == nil {
		h = &hop{name: name, limit: 1, used: now}
		p.hops[name] = h
	}
	if h.active == 0 && now.Sub(h.used) > hopStale {
		h.answers, h.limit = false, 1
	}
	return h
}

func (p *plan) forgetHops(now time.Time) {
	for name, h := range p.hops {
		if h.active == 0 && h.domains.len() == 0 && now.Sub(h.used) > hopForget {
			delete(p.hops, name)
		}
	}
}

// list puts a hop in line for a slot if there is something to do for it.
func (p *plan) list(h *hop, now time.Time) {
	if h.listed || h.domains.len() == 0 || !h.free(now) {
		return
	}
	h.listed = true
	p.ready[h.class(now)].push(h)
}

// A finding is what an attempt tells about its hop.
type finding int

const (
	nothing     finding = iota // it was not asked
	answered                   // it took or refused something
	doubtful                   // it failed, perhaps because of the message
	unreachable                // it failed whatever the message
)

// find tells what outcomes say about the hop, and which of them does.
func find(list []mail.Outcome) (found finding, by mail.Outcome) {
	for _, o := range list {
		f := findOne(o)
		if f == answered {
			return f, o
		}
		if f > found {
			found, by = f, o
		}
	}
	return found, by
}

func findOne(o mail.Outcome) finding {
	switch {
	case o.Fate == mail.Relayed || o.Fate == mail.Delivered:
		return answered
	case isUnreachable(o):
		return unreachable
	case o.Fate == mail.Permanent && o.Reply.Code == 0:
		return nothing
	case o.Cause == mail.CauseTimeout, o.Cause == mail.CauseLost, o.Cause == mail.CauseBroken,
		o.Reply.Code == 421: // RFC 5321 §3.8: it closes, for a reason of its own
		return doubtful
	case o.Reply.Code != 0:
		return answered
	}
	return nothing
}

// isUnreachable reports whether an attempt failed before it came to the
// message: any other would have failed too.
func isUnreachable(o mail.Outcome) bool {
	if o.Fate != mail.Temporary {
		return false
	}
	switch o.Cause {
	case mail.CauseDNS, mail.CauseConnect, mail.CauseTLS, mail.CauseAuth, mail.CauseNotSetUp:
		return true
	case mail.CauseTimeout, mail.CauseLost:
		return o.Remote == ""
	}
	return false
}

// learn notes what an attempt found. It returns until when the hop is to be
// left alone.
func (p *plan) learn(h *hop, list []mail.Outcome, now time.Time) time.Time {
	found, by := find(list)
	switch found {
	case answered:
		h.doubts, h.answers, h.until = 0, true, time.Time{}
		h.limit = min(h.limit+1, p.perHop)
		if h.fails > 0 {
			h.fails = 0
			p.revive(h, now)
		}
	case doubtful:
		if h.doubts++; h.doubts > 1 {
			p.fail(h, by, now)
		}
	case unreachable:
		p.fail(h, by, now)
	}
	return h.until
}

// fail notes that a hop cannot be reached. One that answered gets another
// chance first: it may only have had enough of us for now.
func (p *plan) fail(h *hop, o mail.Outcome, now time.Time) {
	switch {
	case h.answers:
		h.answers, h.limit = false, 1
	case !now.Before(h.until):
		h.until = now.Add(p.rest(h.fails))
		h.fails++
		h.last, h.died = o, now
	}
}

// revive has what waited for a hop tried soon: it answers again.
func (p *plan) revive(h *hop, now time.Time) {
	for _, d := range p.domains {
		if d.hop == h.name {
			d.next = max(d.next, whatWaited)
			p.later(d.name, now, now)
		}
	}
}
