package torture

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Kinds of operations on the queue, and on notes that a thing was done.
const (
	Enqueue = "enqueue" // one message to recipients outside, perhaps with copies to accounts
	Settle  = "settle"  // what became of recipients, perhaps with a report of that to an account
	Hold    = "hold"    // all that still wait, because of Name
	Release = "release"
	Remove  = "remove"
	Sweep   = "sweep"  // forget what was done before a moment
	Fetch   = "fetch"  // one message and the note Name, unless the note is there
	Forget  = "forget" // a note
)

// queued is the state of a recipient that the message has not left for.
const queued = "queued"

// A Rcpt is a recipient of the queue, as it is or as an operation leaves it.
// Times are in milliseconds, 0 if nobody said.
type Rcpt struct {
	N     uint32 `json:"n"`
	Path  string `json:"p,omitempty"`
	State string `json:"s"`
	Hold  string `json:"h,omitempty"`
	Due   int64  `json:"d,omitempty"`
	Tries int    `json:"t,omitempty"`
	Ended int64  `json:"e,omitempty"`
}

// An ItemNow is a message of the queue with the recipients that are remembered.
type ItemNow struct {
	ID     uint32 `json:"q"`
	Trace  string `json:"id"`
	To     []Rcpt `json:"to"`
	SHA    string `json:"s,omitempty"` // as of a MessageNow; while somebody waits
	Prefix string `json:"p,omitempty"`
	Err    string `json:"e,omitempty"`
	size   int64
}

func (it *ItemNow) rcpt(n uint32) *Rcpt {
	for i := range it.To {
		if it.To[i].N == n {
			return &it.To[i]
		}
	}
	return nil
}

func (it *ItemNow) waits() bool {
	return slices.ContainsFunc(it.To, func(r Rcpt) bool { return r.State == queued })
}

// apply does to an item what an operation does. Who is done stays as it is.
func (it *ItemNow) apply(op *Op) {
	for _, want := range op.Rcpts {
		if r := it.rcpt(want.N); op.Kind == Settle && r != nil && r.State == queued {
			r.State, r.Due, r.Tries, r.Ended = want.State, want.Due, want.Tries, want.Ended
		}
	}
	for i := range it.To {
		r := &it.To[i]
		switch {
		case r.State != queued:
		case op.Kind == Hold:
			r.Hold = op.Name
		case op.Kind == Release:
			r.Hold, r.Due = "", op.At
		case op.Kind == Remove:
			r.State, r.Ended = "removed", op.At
		}
	}
}

// old reports whether a recipient was done before a moment.
func (r Rcpt) old(before int64) bool { return r.State != queued && r.Ended < before }

func (it *ItemNow) clone() *ItemNow {
	c := *it
	c.To = slices.Clone(it.To)
	return &c
}

// A queue is what the ledger knows of a store's queue and notes.
type queue struct {
	items map[uint32]*ItemNow
	known map[uint32]bool // numbers that were ever seen
	high  uint32          // of them
	swept int64           // who was done before may be forgotten

	notes map[string]string
	ended map[string]bool // notes that were removed
}

func newQueue(st State) queue {
	q := queue{known: map[uint32]bool{}, ended: map[string]bool{}}
	q.adopt(st)
	return q
}

func (q *queue) adopt(st State) {
	for path := range q.notes {
		q.ended[path] = true
	}
	q.items, q.notes = map[uint32]*ItemNow{}, map[string]string{}
	for _, it := range st.Queue {
		q.items[it.ID] = it.clone()
		q.know(it.ID)
	}
	for path, v := range st.Notes {
		q.notes[path] = v
		delete(q.ended, path)
	}
}

func (q *queue) know(id uint32) {
	q.known[id] = true
	q.high = max(q.high, id)
}

// begin notes how things are when an operation is announced.
func (q *queue) begin(p *pending) {
	p.item = q.high
	if p.Kind == Sweep {
		q.swept = max(q.swept, p.At)
		p.old = map[uint32][]uint32{}
		for id, it := range q.items {
			for _, r := range it.To {
				if r.old(p.At) {
					p.old[id] = append(p.old[id], r.N)
				}
			}
		}
	}
}

// doneQueue does to the ledger what an operation did to the queue or to notes.
func (l *Ledger) doneQueue(p *pending, r Result) {
	switch p.Kind {
	case Enqueue:
		if l.queue.known[r.Item] || r.Item <= p.item {
			l.bad("queue item %d is not new; %d was there before", r.Item, p.item)
		}
		l.queue.know(r.Item)
		l.queue.items[r.Item] = &ItemNow{ID: r.Item, Trace: p.Name, To: slices.Clone(p.Rcpts), SHA: p.SHA, Prefix: p.Prefix}
	case Sweep:
		for id, list := range p.old {
			it := l.queue.items[id]
			if it == nil {
				continue // another sweep was faster
			}
			it.To = slices.DeleteFunc(it.To, func(r Rcpt) bool { return slices.Contains(list, r.N) })
			if len(it.To) == 0 {
				delete(l.queue.items, id)
			}
		}
	case Fetch:
		if _, there := l.queue.notes[p.Name]; there {
			l.bad("DONE TWICE: %s", p.Name)
		}
		l.queue.notes[p.Name] = p.Prefix
	case Forget:
		delete(l.queue.notes, p.Name)
		l.queue.ended[p.Name] = true
	default:
		if it := l.queue.items[p.Item]; it != nil {
			it.apply(p.Op)
		}
	}
}

// An effect tells whether an unanswered operation was done.
type effect int

const (
	unknown effect = iota // it would have made no difference
	undone
	done
)

// queue judges the messages of the queue and the notes.
func (v *verifier) queue() {
	now := map[uint32]*ItemNow{}
	for i := range v.st.Queue {
		now[v.st.Queue[i].ID] = &v.st.Queue[i]
	}
	for id, it := range v.l.queue.items {
		v.item(it, now[id])
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if v.l.queue.items[id] == nil {
			v.newItem(now[id])
		}
	}
	v.notes()
}

// item judges a message that the ledger knows: it is as it was acknowledged, or
// as the operation leaves it that was not answered.
func (v *verifier) item(it, now *ItemNow) {
	wrong := v.l.queue.compare(it, now)
	for _, p := range v.l.unsure {
		if p.Item != it.ID || it.ID == 0 {
			continue
		}
		after := it.clone()
		after.apply(p.Op)
		as := v.l.queue.compare(after, now)
		switch {
		case reflect.DeepEqual(after, it):
		case len(as) == 0 && len(wrong) > 0:
			p.effect, wrong = done, nil
		case len(wrong) == 0:
			p.effect = undone
		}
	}
	v.wrong = append(v.wrong, wrong...)
}

// compare tells how an item differs from what it has to be.
func (q *queue) compare(want, now *ItemNow) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if now == nil {
		now = &ItemNow{ID: want.ID}
	}
	for _, r := range want.To {
		where := fmt.Sprintf("recipient %d of queue item %d", r.N, want.ID)
		is := now.rcpt(r.N)
		switch {
		case is == nil && r.State == queued:
			bad("LOST: %s", where)
		case is == nil && !r.old(q.swept):
			bad("LOST: that %s is done", where)
		case is == nil: // forgotten
		case is.State == queued && r.State != queued:
			bad("RESURRECTED: %s, which is %s", where, r.State)
		case !r.equal(is):
			bad("%s is %+v and should be %+v", where, *is, r)
		}
	}
	for _, r := range now.To {
		if want.rcpt(r.N) == nil {
			bad("CAME BACK: recipient %d of queue item %d", r.N, want.ID)
		}
	}
	switch {
	case !want.waits() || !now.waits():
	case now.Err != "":
		bad("LOST: queue item %d: %s", want.ID, now.Err)
	case now.SHA != want.SHA || now.Prefix != want.Prefix || now.Trace != want.Trace:
		bad("WRONG BYTES: queue item %d", want.ID)
	}
	return wrong
}

func (r Rcpt) equal(is *Rcpt) bool {
	now := *is
	if r.Due == 0 || r.State != queued {
		now.Due = r.Due
	}
	return now == r
}

// newItem judges a message that the ledger does not know.
func (v *verifier) newItem(now *ItemNow) {
	if v.l.queue.known[now.ID] {
		v.bad("CAME BACK: queue item %d", now.ID)
		return
	}
	for _, p := range v.l.unsure {
		if p.Kind == Enqueue && p.Name == now.Trace && p.effect != done {
			p.effect = done
			want := &ItemNow{ID: now.ID, Trace: p.Name, To: p.Rcpts, SHA: p.SHA, Prefix: p.Prefix}
			v.wrong = append(v.wrong, v.l.queue.compare(want, now)...)
			return
		}
	}
	v.bad("queue item %d came from nowhere", now.ID)
}

func (v *verifier) notes() {
	may := func(kind, path string) *pending {
		for _, p := range v.l.unsure {
			if p.Kind == kind && p.Name == path && (kind != Fetch || p.Prefix == v.st.Notes[path]) {
				return p
			}
		}
		return nil
	}
	for path, want := range v.l.queue.notes {
		switch got, there := v.st.Notes[path]; {
		case !there && may(Forget, path) == nil:
			v.bad("LOST: note %s", path)
		case there && got != want:
			v.bad("DONE TWICE: note %s says %q and should say %q", path, got, want)
		}
	}
	for path := range v.st.Notes {
		if _, there := v.l.queue.notes[path]; there {
			continue
		}
		switch p := may(Fetch, path); {
		case v.l.queue.ended[path]:
			v.bad("CAME BACK: note %s", path)
		case p == nil:
			v.bad("note %s came from nowhere", path)
		default:
			p.effect = done
		}
	}
}

// wholeBatch makes sure that an unanswered batch did all of what it should, or
// nothing.
func (v *verifier) wholeBatch(p *pending) {
	if p.effect == unknown && (p.Kind == Enqueue || p.Kind == Fetch) {
		p.effect = undone // it would have been seen
	}
	v.l.halves[p.effect]++
	made := len(p.found)
	if made != 0 && made != len(p.To) || len(p.To) > 0 && p.effect != unknown && (made != 0) != (p.effect == done) {
		v.bad("HALF: %s reached %d of %d mailboxes, and the rest was done: %v", p.Kind, made, len(p.To), p.effect == done)
	}
}
