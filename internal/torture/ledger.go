package torture

import (
	"fmt"
	"maps"
	"slices"
)

// A Ledger is what was acknowledged. It is kept outside of the process under
// torture and is what a State is held against.
type Ledger struct {
	boxes    map[boxKey]*box
	gone     map[boxKey]bool
	profiles map[string]map[string]string
	queue    queue
	open     map[int]*pending // by worker: announced and not answered
	unsure   []*pending       // perhaps done: not answered at the end, or failed without a word on that
	wrong    []string         // seen in the acknowledgements themselves

	Acks    int
	queues  int            // of them those of the queue and of notes
	halves  map[effect]int // how unanswered ones of these ended
	Refused map[string]int // by kind
}

type boxKey struct {
	account  string
	validity uint32
}

func (b Box) key() boxKey { return boxKey{b.Account, b.Validity} }

type box struct {
	Box
	messages map[uint32]*message
	unplaced []*message        // acknowledged without a UID
	bound    map[uint32]string // what each UID ever stood for
	high     uint32            // the highest UID
	mod      uint64
}

type message struct {
	sha, prefix string
	flags       []string
	mod         uint64
}

// A pending operation knows how far things were when it was announced.
type pending struct {
	*Op
	high map[boxKey]uint32
	mod  map[boxKey]uint64
	// found are the messages that a state has and this operation must have made.
	found []*message
	from  []*message // what Copy and Move take
	seen  int        // of its effects
	spare int        // effects that are missing

	item   uint32              // the highest of the queue
	old    map[uint32][]uint32 // by item, those whom Sweep has to forget
	effect effect              // on the queue
}

// NewLedger returns a ledger that starts with a state that nobody doubts.
func NewLedger(st State) *Ledger {
	l := &Ledger{boxes: map[boxKey]*box{}, gone: map[boxKey]bool{}, profiles: st.Profiles, queue: newQueue(st), halves: map[effect]int{}, open: map[int]*pending{}, Refused: map[string]int{}}
	if l.profiles == nil {
		l.profiles = map[string]map[string]string{}
	}
	for _, b := range st.Boxes {
		l.boxes[b.key()] = newBox(b.Box)
		l.adopt(l.boxes[b.key()], b)
	}
	return l
}

func newBox(b Box) *box {
	return &box{Box: b, messages: map[uint32]*message{}, bound: map[uint32]string{}}
}

// adopt takes what was found, after it was judged.
func (l *Ledger) adopt(b *box, now BoxNow) {
	b.Name, b.unplaced = now.Name, nil
	b.messages = map[uint32]*message{}
	b.mod, b.high = max(b.mod, now.ModSeq), max(b.high, now.UIDNext-1)
	for _, m := range now.Messages {
		b.messages[m.UID] = &message{m.SHA, m.Prefix, m.Flags, m.ModSeq}
		b.bound[m.UID] = m.SHA
	}
}

// Messages is how many messages the ledger knows.
func (l *Ledger) Messages() int {
	n := 0
	for _, b := range l.boxes {
		n += len(b.messages) + len(b.unplaced)
	}
	return n
}

// Figures sums up.
func (l *Ledger) Figures() string {
	refused := 0
	for _, n := range l.Refused {
		refused += n
	}
	return fmt.Sprintf("%d acknowledged, %d of them of the queue and notes, where of the unanswered %d were done and %d not; %d refused; at the end %d messages, %d in the queue",
		l.Acks, l.queues, l.halves[done], l.halves[undone], refused, l.Messages(), len(l.queue.items))
}

// Hear takes a line of a worker.
func (l *Ledger) Hear(line Line) {
	switch line.T {
	case "begin":
		p := &pending{Op: line.Op, high: map[boxKey]uint32{}, mod: map[boxKey]uint64{}}
		for key, b := range l.boxes {
			p.high[key], p.mod[key] = b.high, b.mod
		}
		if b := l.boxes[line.Op.Box.key()]; b != nil && (p.Kind == Copy || p.Kind == Move) {
			for _, u := range p.UIDs {
				p.from = append(p.from, b.messages[u])
			}
		}
		l.queue.begin(p)
		l.open[p.Worker] = p
	case "end":
		p := l.open[line.Op.Worker]
		delete(l.open, line.Op.Worker)
		switch {
		case p == nil || p.N != line.Op.N:
			l.bad("worker %d was answered what it did not ask", line.Op.Worker)
		case line.Unsure:
			l.unsure = append(l.unsure, p)
		case line.Err != "":
			l.Refused[p.Kind]++
		default:
			l.Acks++
			l.acknowledge(p, *line.Result)
		}
	}
}

// Died says that the process is gone: what was not answered is unsure.
func (l *Ledger) Died() {
	for _, w := range slices.Sorted(maps.Keys(l.open)) {
		l.unsure = append(l.unsure, l.open[w])
	}
	clear(l.open)
}

func (l *Ledger) bad(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// acknowledge does to the ledger what an operation did to the store.
func (l *Ledger) acknowledge(p *pending, r Result) {
	switch p.Kind {
	case Deliver, Append:
		l.placed(p, r)
	case Copy, Move:
		l.transferred(p, r)
	case Expunge:
		l.expunged(p, p.UIDs, r.Gone)
	case SetFlags, AddFlags, DelFlags:
		l.flagged(p, r)
	case Create:
		l.boxes[r.Box.key()] = newBox(r.Box)
	case Rename:
		l.boxes[p.Box.key()].Name = p.Name
	case Delete:
		delete(l.boxes, p.Box.key())
		l.gone[p.Box.key()] = true
	case Profile:
		l.profiles[p.Box.Account][fmt.Sprint(p.Worker)] = p.Name
	case Enqueue, Settle, Hold, Release, Remove, Sweep, Fetch, Forget:
		l.queues++
		l.placed(p, r)
		l.doneQueue(p, r)
	}
}

func (l *Ledger) placed(p *pending, r Result) {
	if len(r.Placed) != len(p.To) {
		l.bad("%s to %d mailboxes placed %d", p.Kind, len(p.To), len(r.Placed))
	}
	for _, at := range r.Placed {
		l.place(p, at, &message{sha: p.SHA, prefix: p.Prefix, flags: p.Flags})
	}
}

// place binds a UID, which must be higher than all that were acknowledged
// before the operation began.
func (l *Ledger) place(p *pending, at Placed, m *message) {
	b := l.boxes[at.Box.key()]
	if b == nil {
		l.bad("%s placed a message in %v, which nobody made", p.Kind, at.Box)
		return
	}
	if at.UID == 0 {
		b.unplaced = append(b.unplaced, m)
		return
	}
	if _, was := b.bound[at.UID]; was || at.UID <= p.high[b.key()] {
		l.bad("%s %s: UID %d is not new; %d was there before", b.Account, b.Name, at.UID, p.high[b.key()])
	}
	if at.ModSeq != 0 && at.ModSeq <= p.mod[b.key()] {
		l.bad("%s %s: MODSEQ %d of UID %d is not above %d", b.Account, b.Name, at.ModSeq, at.UID, p.mod[b.key()])
	}
	m.mod = at.ModSeq
	b.messages[at.UID], b.bound[at.UID] = m, m.sha
	b.high, b.mod = max(b.high, at.UID), max(b.mod, at.ModSeq)
}

func (l *Ledger) transferred(p *pending, r Result) {
	if len(r.Placed) != len(p.UIDs) {
		l.bad("%s of %d messages placed %d", p.Kind, len(p.UIDs), len(r.Placed))
	}
	from := l.boxes[p.Box.key()]
	for _, at := range r.Placed {
		m := from.messages[at.From]
		if m == nil {
			l.bad("%s: UID %d of %s was not there", p.Kind, at.From, from.Name)
			continue
		}
		l.place(p, at, &message{sha: m.sha, prefix: m.prefix, flags: m.flags})
		if p.Kind == Move {
			delete(from.messages, at.From)
		}
	}
}

func (l *Ledger) expunged(p *pending, asked, gone []uint32) {
	b := l.boxes[p.Box.key()]
	if len(gone) != len(asked) {
		l.bad("%s %s: of messages %v only %v were expunged", b.Account, b.Name, asked, gone)
	}
	for _, u := range gone {
		delete(b.messages, u)
	}
}

func (l *Ledger) flagged(p *pending, r Result) {
	b := l.boxes[p.Box.key()]
	if len(r.Changed) != len(p.UIDs) {
		l.bad("%s %s: flags of %v, answered for %d", b.Account, b.Name, p.UIDs, len(r.Changed))
	}
	for _, c := range r.Changed {
		m := b.messages[c.UID]
		if m == nil {
			l.bad("%s %s: flags of UID %d, which is not there", b.Account, b.Name, c.UID)
			continue
		}
		if c.ModSeq < m.mod {
			l.bad("%s %s: MODSEQ of UID %d went from %d to %d", b.Account, b.Name, c.UID, m.mod, c.ModSeq)
		}
		m.flags, m.mod = changed(p.Op, m.flags), max(m.mod, c.ModSeq)
		b.mod = max(b.mod, c.ModSeq)
	}
}

// changed returns flags as an operation leaves them.
func changed(op *Op, flags []string) []string {
	var list []string
	switch op.Kind {
	case SetFlags:
		list = slices.Clone(op.Flags)
	case AddFlags:
		list = slices.Concat(flags, op.Flags)
	case Expunge: // by IMAP it takes two steps
		list = append(slices.Clone(flags), "\\Deleted")
	case DelFlags:
		list = slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return slices.Contains(op.Flags, f) })
	}
	slices.Sort(list)
	return slices.Compact(list)
}
