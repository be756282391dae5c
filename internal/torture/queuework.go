package torture

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

const (
	waitingMax  = 8                      // messages that a worker keeps in the queue
	rememberMax = 12                     // and with those that are done
	sweepAge    = 500 * time.Millisecond // after which what is done is forgotten
)

// ownQueue takes what belongs to this worker.
func (k *worker) ownQueue(st State) {
	for i := range st.Queue {
		if it := &st.Queue[i]; int(it.ID)%k.Workers == k.id {
			k.items = append(k.items, it.clone())
		}
	}
	for path := range st.Notes {
		h := fnv.New32()
		h.Write([]byte(path))
		if int(h.Sum32())%k.Workers == k.id {
			k.notes = append(k.notes, path)
		}
	}
	slices.Sort(k.notes)
}

// waiting are the messages that somebody waits for.
func (k *worker) waiting() (list []*ItemNow) {
	for _, it := range k.items {
		if it.waits() {
			list = append(list, it)
		}
	}
	return list
}

// makeQueue completes an operation on the queue or on notes.
func (k *worker) makeQueue(op *Op) (*Op, []byte, bool) {
	switch op.Kind {
	case Enqueue, Fetch:
		body := k.message()
		op.SHA, op.Prefix = sha(body), k.prefixLine()
		if op.Kind == Fetch { // some share a name with others
			op.Name = fmt.Sprintf("%s%x/%d", notePrefix, k.Seed, k.n/12)
			op.To = []Box{k.anyBox("")}
			return op, body, true
		}
		k.recipients(op)
		return op, body, true
	case Sweep:
		op.At = time.Now().Add(-sweepAge).UnixMilli()
		return op, nil, true
	case Forget:
		if len(k.notes) == 0 {
			return nil, nil, false
		}
		op.Name = k.notes[0]
		return op, nil, true
	}
	list := k.waiting()
	if op.Kind == Settle && k.rand.IntN(10) == 0 { // who is done must stay so
		list = k.items
	}
	if len(list) == 0 {
		return nil, nil, false
	}
	it := list[k.rand.IntN(len(list))]
	op.Item, op.At = it.ID, time.Now().UnixMilli()
	switch op.Kind {
	case Hold:
		op.Name = fmt.Sprintf("reason %d", k.rand.IntN(100))
	case Settle:
		return k.settle(op, it)
	}
	return op, nil, true
}

// notePrefix starts the paths of notes.
const notePrefix = "torture/"

// prefixLine makes header lines that no other message has.
func (k *worker) prefixLine() string {
	return fmt.Sprintf("Return-Path: <%x-%d-%d@example.test>\r\n", k.Seed, k.id, k.n)
}

// recipients addresses a new message.
func (k *worker) recipients(op *Op) {
	op.Name = fmt.Sprintf("%x-%d-%d", k.Seed, k.id, k.n)
	op.Box.Account = k.account()
	hold := ""
	if k.rand.IntN(6) == 0 {
		hold = "over the cap"
	}
	for n := range 1 + k.rand.IntN(4) {
		op.Rcpts = append(op.Rcpts, Rcpt{N: uint32(n), State: queued, Hold: hold,
			Path: fmt.Sprintf("r%d@d%d.outside.test", k.rand.IntN(100), k.rand.IntN(8))})
	}
	if k.rand.IntN(2) == 0 {
		op.To = []Box{k.inbox(k.account())}
	}
}

// settle decides what became of some recipients of a message. The sender gets a
// report of most failures, unless nothing may come in.
func (k *worker) settle(op *Op, it *ItemNow) (*Op, []byte, bool) {
	report := false
	for _, r := range it.To {
		if k.rand.IntN(3) == 0 && len(op.Rcpts) > 0 {
			continue
		}
		r.Tries++
		switch n := k.rand.IntN(20); {
		case n < 9:
			r.State = "relayed"
		case n < 13:
			r.State, report = "failed", true
		case n < 14:
			r.State, report = "expired", true
		default:
			r.State, r.Ended = queued, 0
			r.Due = op.At + int64(k.rand.IntN(100_000))
		}
		if r.State != queued {
			r.Ended = op.At
		}
		op.Rcpts = append(op.Rcpts, r)
	}
	if !k.may(Enqueue) || !report && k.rand.IntN(20) > 0 || report && k.rand.IntN(8) == 0 {
		return op, nil, true
	}
	body := k.message()
	op.SHA, op.Prefix, op.To = sha(body), k.prefixLine(), []Box{k.inbox(k.account())}
	return op, body, true
}

// noteQueue keeps track of what belongs to this worker.
func (k *worker) noteQueue(op *Op, r Result) {
	switch op.Kind {
	case Enqueue:
		k.items = append(k.items, &ItemNow{ID: r.Item, Trace: op.Name, To: slices.Clone(op.Rcpts), SHA: op.SHA, Prefix: op.Prefix})
	case Forget:
		k.notes = k.notes[1:]
	case Settle, Hold, Release, Remove:
		for _, it := range k.items {
			if it.ID == op.Item {
				it.apply(op)
			}
		}
	}
	if len(k.items) > rememberMax {
		if i := slices.IndexFunc(k.items, func(it *ItemNow) bool { return !it.waits() }); i >= 0 {
			k.items = slices.Delete(k.items, i, i+1)
		}
	}
}
