package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Work says what a set of workers does.
type Work struct {
	Driver   Driver
	Out      *Printer
	Seed     uint64
	Workers  int
	Messages int  // that a worker tries to keep
	Large    int  // bytes of the largest message
	Maintain bool // one worker asks for maintenance now and then
	Only     []string
	Bare     bool // no lines before the messages: those are the server's to write
}

// Run does random operations, starting from a state, until ctx ends or the
// store fails. Each message belongs to one worker, so that the order of its
// changes is known; mailboxes are shared.
func (w Work) Run(ctx context.Context, state State) {
	var wg sync.WaitGroup
	for n := range w.Workers {
		k := newWorker(w, n, state)
		wg.Go(func() {
			for ctx.Err() == nil && k.step() {
			}
		})
	}
	wg.Wait()
}

// A worker does one operation after the other.
type worker struct {
	Work
	id       int
	n        int
	rand     *rand.Rand
	accounts []string
	shared   []Box
	own      []Box
	mine     map[Box][]uint32 // its messages
	items    []*ItemNow       // its messages in the queue
	notes    []string         // its to forget
}

func newWorker(w Work, id int, state State) *worker {
	k := &worker{Work: w, id: id, rand: rand.New(rand.NewPCG(w.Seed, uint64(id))), mine: map[Box][]uint32{}}
	for _, b := range state.Boxes {
		box := b.Box
		if !slices.Contains(k.accounts, box.Account) {
			k.accounts = append(k.accounts, box.Account)
		}
		owned := strings.HasPrefix(box.Name, ownPrefix)
		switch {
		case owned && strings.HasPrefix(box.Name, k.prefix()):
			k.own = append(k.own, box)
		case !owned:
			k.shared = append(k.shared, box)
		}
		for _, m := range b.Messages {
			if owned && strings.HasPrefix(box.Name, k.prefix()) || !owned && int(m.UID)%w.Workers == id {
				k.mine[box] = append(k.mine[box], m.UID)
			}
		}
	}
	k.ownQueue(state)
	return k
}

// ownPrefix starts the names of mailboxes that belong to one worker.
const ownPrefix = "own-"

func (k *worker) prefix() string { return fmt.Sprintf("%s%d-", ownPrefix, k.id) }

// chances are the relative frequencies of the operations.
var chances = []struct {
	kind   string
	chance int
}{
	{Deliver, 25}, {Append, 15}, {SetFlags, 8}, {AddFlags, 8}, {DelFlags, 6}, {Copy, 8}, {Move, 10},
	{Expunge, 12}, {Create, 2}, {Rename, 2}, {Delete, 1}, {Profile, 3}, {Maintain, 1},
	{Enqueue, 12}, {Settle, 16}, {Hold, 2}, {Release, 3}, {Remove, 1}, {Sweep, 2}, {Fetch, 6}, {Forget, 4},
}

func (k *worker) choose() string {
	if k.count() > k.Messages && k.rand.IntN(3) > 0 {
		return Expunge
	}
	if k.may(Settle) && len(k.waiting()) > waitingMax && k.rand.IntN(3) > 0 {
		return Settle
	}
	total := 0
	for _, c := range chances {
		total += c.chance
	}
	n := k.rand.IntN(total)
	for _, c := range chances {
		if n -= c.chance; n < 0 {
			if k.may(c.kind) {
				return c.kind
			}
			return k.choose()
		}
	}
	return Deliver
}

func (k *worker) may(kind string) bool { return k.Only == nil || slices.Contains(k.Only, kind) }

func (k *worker) count() int {
	n := 0
	for _, list := range k.mine {
		n += len(list)
	}
	return n
}

// step does one operation; false ends the worker.
func (k *worker) step() bool {
	ok, _ := k.do(k.choose())
	return ok
}

// do does an operation of a kind, if there is something to do it on.
func (k *worker) do(kind string) (ok bool, err error) {
	op, body, ok := k.make(kind)
	if !ok {
		return true, nil
	}
	return k.ask(op, body)
}

// ask announces an operation, does it and tells how it ended.
func (k *worker) ask(op *Op, body []byte) (ok bool, err error) {
	k.n++
	op.Worker, op.N = k.id, k.n
	if err := k.Out.Print(Line{T: "begin", Op: op}); err != nil {
		return false, err
	}
	r, err := k.Driver.Do(op, body)
	l := Line{T: "end", Op: &Op{Worker: k.id, N: k.n}, Result: &r}
	if err != nil {
		l.Err, l.Unsure, l.Result = err.Error(), !errors.Is(err, ErrRefused), nil
	}
	if k.Out.Print(l) != nil || l.Unsure {
		return false, err
	}
	if err == nil {
		k.note(op, r)
	}
	return true, err
}

// make makes an operation of a kind, if there is something to do it on.
func (k *worker) make(kind string) (op *Op, body []byte, ok bool) {
	op = &Op{Kind: kind}
	switch kind {
	case Deliver, Append:
		body = k.message()
		op.SHA = sha(body)
		if !k.Bare {
			op.Prefix = k.prefixLine()
		}
		if kind == Append {
			op.To, op.Flags = []Box{k.anyBox("")}, k.flags()
			return op, body, true
		}
		for _, i := range k.rand.Perm(len(k.accounts))[:1+k.rand.IntN(len(k.accounts))] {
			op.To = append(op.To, k.inbox(k.accounts[i]))
		}
		return op, body, true
	case Create:
		op.Box.Account, op.Name = k.account(), fmt.Sprintf("%s%d", k.prefix(), k.rand.Uint32())
		return op, nil, len(k.own) < 6
	case Rename, Delete:
		if len(k.own) == 0 {
			return nil, nil, false
		}
		op.Box = k.own[k.rand.IntN(len(k.own))]
		if kind == Rename {
			op.Name = fmt.Sprintf("%s%d", k.prefix(), k.rand.Uint32())
		}
		return op, nil, true
	case Profile:
		op.Box.Account, op.Name = k.account(), fmt.Sprint(k.rand.Uint32())
		return op, nil, true
	case Maintain:
		return op, nil, k.Work.Maintain && k.id == 0
	case Enqueue, Settle, Hold, Release, Remove, Sweep, Fetch, Forget:
		return k.makeQueue(op)
	}
	return k.change(op)
}

// change completes an operation on messages that are there.
func (k *worker) change(op *Op) (*Op, []byte, bool) {
	var boxes []Box
	for b, list := range k.mine {
		if len(list) > 0 {
			boxes = append(boxes, b)
		}
	}
	if len(boxes) == 0 {
		return nil, nil, false
	}
	slices.SortFunc(boxes, func(a, b Box) int { return int(a.Validity) - int(b.Validity) })
	op.Box = boxes[k.rand.IntN(len(boxes))]
	list := slices.Clone(k.mine[op.Box])
	k.rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	n := 1 + k.rand.IntN(3)
	if op.Kind == Expunge && k.rand.IntN(4) == 0 {
		n = 20
	}
	op.UIDs = list[:min(len(list), n)]
	slices.Sort(op.UIDs)
	switch op.Kind {
	case Copy, Move:
		op.To = []Box{k.anyBox(op.Box.Account)}
		if op.To[0] == op.Box {
			return nil, nil, false
		}
	case SetFlags, AddFlags, DelFlags:
		op.Flags = k.flags()
	}
	return op, nil, true
}

// note keeps track of what belongs to this worker.
func (k *worker) note(op *Op, r Result) {
	drop := func(b Box, uids []uint32) {
		k.mine[b] = slices.DeleteFunc(k.mine[b], func(u uint32) bool { return slices.Contains(uids, u) })
	}
	switch op.Kind {
	case Deliver, Append, Copy, Move, Enqueue, Settle, Fetch:
		for _, p := range r.Placed {
			if p.UID != 0 {
				k.mine[p.Box] = append(k.mine[p.Box], p.UID)
			}
		}
		if op.Kind == Move {
			drop(op.Box, op.UIDs)
		}
	case Expunge:
		drop(op.Box, op.UIDs)
	case Create:
		k.own = append(k.own, r.Box)
	case Rename, Delete:
		k.own = slices.DeleteFunc(k.own, func(b Box) bool { return b == op.Box })
		list := k.mine[op.Box]
		delete(k.mine, op.Box)
		if op.Kind == Rename {
			b := op.Box
			b.Name = op.Name
			k.own = append(k.own, b)
			k.mine[b] = list
		}
	}
	k.noteQueue(op, r)
}

func (k *worker) account() string { return k.accounts[k.rand.IntN(len(k.accounts))] }

func (k *worker) inbox(account string) Box {
	for _, b := range k.shared {
		if b.Account == account && b.Name == "INBOX" {
			return b
		}
	}
	return Box{Account: account, Name: "INBOX"}
}

// anyBox chooses a mailbox of an account, or of any.
func (k *worker) anyBox(account string) Box {
	all := slices.DeleteFunc(slices.Concat(k.shared, k.own), func(b Box) bool { return account != "" && b.Account != account })
	return all[k.rand.IntN(len(all))]
}

// flags chooses flags and keywords.
func (k *worker) flags() []string {
	var list []string
	for _, f := range []string{"$Forwarded", "\\Answered", "\\Deleted", "\\Flagged", "\\Seen", "blue"} {
		if k.rand.IntN(3) == 0 {
			list = append(list, f)
		}
	}
	return list
}

// message makes a message of a random size. Some are the same each time, so
// that bytes are shared while others remove them.
func (k *worker) message() []byte {
	r, id := k.rand, ""
	if r.IntN(8) == 0 {
		n := r.Uint64N(3)
		r, id = rand.New(rand.NewPCG(7, n)), fmt.Sprintf("same-%d", n)
	} else {
		id = fmt.Sprintf("%x-%d-%d", k.Seed, k.id, k.n)
	}
	size := 200 + r.IntN(4000)
	switch n := r.IntN(100); {
	case n < 5:
		size = 256<<10 + r.IntN(max(1, k.Large-256<<10))
	case n < 15:
		size = 60<<10 + r.IntN(200<<10)
	case n < 40:
		size = 4<<10 + r.IntN(56<<10)
	}
	return Compose(r, id, min(size, k.Large))
}

// Compose makes a message; its body does not compress and has no two equal lines.
func Compose(r *rand.Rand, id string, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s\r\nFrom: anna@example.test\r\nDate: Thu, 1 Jan 2026 12:00:00 +0000\r\nMessage-ID: <%s@example.test>\r\n\r\n", marker, id, id)
	line := make([]byte, 64)
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for b.Len() < size {
		for i := 0; i < len(line); i += 8 {
			for x, j := r.Uint64(), 0; j < 8; j++ {
				line[i+j] = letters[x>>(6*j)&63]
			}
		}
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.Bytes()
}
