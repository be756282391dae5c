package queue

import (
	"container/heap"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A plan knows which domains have mail that is due and which hops answer, and
// decides what is done next. In memory are a line for each domain and hop and a
// window of places, never the queue itself. It does no I/O; whoever calls holds
// the queue's lock.
//
// A domain is in exactly one place: it sleeps in the heap until mail of it is
// due; then its window is to be filled; then it stands in line at the hop of
// the first place in its window. Hops stand in line for a free slot of their
// class. All lines are first come, first served, and who was served goes to the
// end: each domain gets its turn whatever the others have.
type plan struct {
	hopOf   func(from mail.Path, domain string, tries int) string
	steps   []time.Duration
	perHop  int
	slots   [classes]int
	busy    [classes]int
	longest time.Duration // of the steps between two tries

	domains map[string]*domain
	hops    map[string]*hop
	asleep  sleepers
	empty   line[*domain] // whose windows are to be filled
	ready   [classes]line[*hop]
	claimed map[ref]struct{} // recipients that are being worked on
}

// A ref names a recipient of the queue.
type ref struct {
	item mail.ItemID
	n    uint32
}

// windowSize is how many places of a domain are read at once.
const windowSize = 32

// deferrals is how many windows of dead hops are deferred at once: it is work
// for the disk alone, and the living come first.
const deferrals = 2

func newPlan(o Options) plan {
	p := plan{
		hopOf: o.Transport.Hop, perHop: o.PerHop, steps: o.Steps,
		domains: make(map[string]*domain), hops: make(map[string]*hop), claimed: make(map[ref]struct{}),
	}
	p.slots = [classes]int{alive: o.Concurrency, unknown: o.Waiting, dead: deferrals}
	for _, step := range o.Steps {
		p.longest = max(p.longest, step)
	}
	return p
}

// A reach says which mail of a domain is taken.
type reach int

const (
	whatIsDue  reach = iota
	whatWaited       // also what only waited because the hop could not be reached
	everything       // the owner wants it tried now
)

// A domain is what the plan knows about one.
type domain struct {
	name   string
	index  int           // in the heap, -1 outside
	awake  bool          // it is in a line, or its window is being filled
	at     time.Time     // when to look again; zero is never
	next   reach         // of the next pass
	reach  reach         // of this pass
	window []store.Place // of this pass, not begun
	after  store.Place   // the last place that was read in this pass
	last   bool          // the window is the pass's last
	hop    string        // where it last stood in line
}

// later notes that mail of a domain is due at a time.
func (p *plan) later(name string, at, now time.Time) {
	d := p.domains[name]
	if d == nil {
		d = &domain{name: name, index: -1}
		p.domains[name] = d
	}
	if p.astray(at, now) {
		at = now
	}
	if d.at.IsZero() || at.Before(d.at) {
		d.at = at
	}
	switch {
	case d.awake: // when the pass ends
	case d.index < 0:
		heap.Push(&p.asleep, d)
	default:
		heap.Fix(&p.asleep, d.index)
	}
}

// astray reports whether a time is further ahead than any step leads: the clock
// was set back since. What is due then is due now.
func (p *plan) astray(due, now time.Time) bool {
	return due.After(now.Add(p.longest + drift + p.rest(len(hopSteps))))
}

// ripe reports whether mail that is due at a time may be tried.
func (p *plan) ripe(due, now time.Time) bool { return !due.After(now) || p.astray(due, now) }

// wake starts a pass over each domain whose time has come.
func (p *plan) wake(now time.Time) {
	for len(p.asleep) > 0 && !p.asleep[0].at.After(now) {
		d := heap.Pop(&p.asleep).(*domain)
		d.awake, d.at, d.after, d.last = true, time.Time{}, store.Place{}, false
		d.reach, d.next = d.next, whatIsDue
		p.empty.push(d)
	}
}

// sleep is how long nothing will be due, at most some time.
func (p *plan) sleep(now time.Time, most time.Duration) time.Duration {
	if len(p.asleep) == 0 {
		return most
	}
	return max(0, min(most, p.asleep[0].at.Round(0).Sub(now.Round(0))))
}

// opening returns a domain whose window is to be filled, nil if there is none.
func (p *plan) opening() *domain {
	d, _ := p.empty.pop()
	return d
}

// fill gives a domain the places that come after d.after.
func (p *plan) fill(d *domain, places []store.Place, now time.Time) {
	d.window, d.last = d.window[:0], len(places) < windowSize
	for _, place := range places {
		d.after = place
		if !p.ripe(place.Due, now) {
			if d.at.IsZero() || place.Due.Before(d.at) {
				d.at = place.Due
			}
			if d.reach == whatIsDue {
				d.last = true
				break
			}
		}
		d.window = append(d.window, place)
	}
	p.queueUp(d, now)
}

// queueUp puts a domain in line at the hop of its next place, or ends its pass.
func (p *plan) queueUp(d *domain, now time.Time) {
	for len(d.window) > 0 && p.isClaimed(d.window[0]) {
		d.window = d.window[1:]
	}
	switch {
	case len(d.window) > 0:
		h := p.hop(p.placeHop(d), now)
		d.hop = h.name
		h.domains.push(d)
		p.list(h, now)
	case !d.last:
		p.empty.push(d)
	default: // the window's memory goes: most domains sleep
		d.awake, d.window = false, nil
		if d.at.IsZero() {
			delete(p.domains, d.name)
			return
		}
		heap.Push(&p.asleep, d)
	}
}

// placeHop is the next hop of what is next in a domain.
func (p *plan) placeHop(d *domain) string {
	return p.hopOf(d.window[0].From, d.name, d.window[0].Tries)
}

func (p *plan) isClaimed(place store.Place) bool {
	_, ok := p.claimed[ref{place.Item, place.N}]
	return ok
}

// claim takes a recipient, unless somebody works on it.
func (p *plan) claim(r ref) bool {
	if _, ok := p.claimed[r]; ok {
		return false
	}
	p.claimed[r] = struct{}{}
	return true
}

// A job is what is to be done next: to send to the recipient of a place and to
// those of the same message at the same hop, or to defer what is at a dead hop.
type job struct {
	class  class
	hop    *hop
	domain string
	reach  reach
	places []store.Place // claimed; one, but for a dead hop
	last   mail.Outcome  // of the dead hop
	died   time.Time     // when that was
	until  time.Time     // when it will be asked again
	begun  time.Time
}

// take returns the next job.
func (p *plan) take(now time.Time) (job, bool) {
	for again := true; again; {
		again = false
		for c := range classes {
			for p.busy[c] < p.slots[c] {
				h, ok := p.ready[c].pop()
				if !ok {
					break
				}
				h.listed = false
				if h.class(now) != c || !h.free(now) {
					p.list(h, now) // where it belongs now
					again = true
					continue
				}
				if j, ok := p.begin(h, now); ok {
					return j, true
				}
			}
		}
	}
	return job{}, false
}

// begin starts a job of the first domain in line at a hop.
func (p *plan) begin(h *hop, now time.Time) (job, bool) {
	d, ok := h.domains.pop()
	if !ok {
		return job{}, false
	}
	j := job{class: h.class(now), hop: h, domain: d.name, reach: d.reach, last: h.last, died: h.died, until: h.until, begun: now}
	for len(d.window) > 0 && (len(j.places) == 0 || j.class == dead && p.placeHop(d) == h.name) {
		place := d.window[0]
		d.window = d.window[1:]
		if p.claim(ref{place.Item, place.N}) {
			j.places = append(j.places, place)
		}
	}
	if len(j.places) > 0 {
		p.busy[j.class]++
		h.active++
	}
	p.queueUp(d, now)
	p.list(h, now)
	return j, len(j.places) > 0
}

// end gives back the slot of a job.
func (p *plan) end(j job, now time.Time) {
	p.busy[j.class]--
	j.hop.active--
	j.hop.used = now
	if j.class != dead {
		j.hop.slow = now.Sub(j.begun) > slowAfter
	}
	p.list(j.hop, now)
}

// A line is first in, first out.
type line[T any] struct {
	list []T
	head int
}

func (l *line[T]) push(v T) { l.list = append(l.list, v) }

func (l *line[T]) pop() (v T, ok bool) {
	if l.head == len(l.list) {
		return v, false
	}
	v, l.list[l.head] = l.list[l.head], v
	l.head++
	switch {
	case l.head == len(l.list):
		l.list, l.head = l.list[:0], 0
	case l.head > 64 && l.head > len(l.list)/2: // keep no more than twice what is needed
		l.list = append(l.list[:0], l.list[l.head:]...)
		l.head = 0
	}
	return v, true
}

func (l *line[T]) len() int { return len(l.list) - l.head }

// sleepers is a heap of domains by when to look at them.
type sleepers []*domain

func (s sleepers) Len() int           { return len(s) }
func (s sleepers) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s sleepers) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *sleepers) Push(x any) {
	d := x.(*domain)
	d.index = len(*s)
	*s = append(*s, d)
}

func (s *sleepers) Pop() any {
	old := *s
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*s, d.index = old[:len(old)-1], -1
	return d
}
