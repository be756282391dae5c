// Package thread puts messages into conversations by the algorithms of RFC 5256
// §3. It computes and knows nothing of where messages come from.
package thread

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// A Message is what the algorithms look at. An ID is a hash of a Message-ID; 0
// is none.
type Message struct {
	Num        uint32   // its number or UID, for the answer
	ID         uint64   // of its own
	References []uint64 // the oldest first; or what it is in reply to
	Sent       time.Time
	Subject    string // base subject, §2.1
	Reply      bool   // the subject was that of a reply or a forward
}

// A Node is a message, or with no message a place that messages have in common,
// and what answers it.
type Node struct {
	m     *Message // nil: a dummy
	up    *Node
	kids  []*Node
	date  time.Time // to sort by, of the message or its first kid
	order uint32    // then by this
	at    int       // its place among the kids of up, until they are sorted
}

// depthMax is how deep a thread is followed. Nobody writes so many answers one
// under the other but to make us count them.
const depthMax = 500

// OrderedSubject is ORDEREDSUBJECT, RFC 5256 §3: threads are messages of one
// subject, and all but the first answer the first.
func OrderedSubject(list []Message) []*Node {
	sorted := sortedBySent(list)
	by := make(map[string]*Node, len(list))
	var roots []*Node
	for _, m := range sorted {
		first, ok := by[m.Subject]
		if !ok {
			first = &Node{m: m}
			by[m.Subject] = first
			roots = append(roots, first)
			continue
		}
		first.kids = append(first.kids, &Node{m: m})
	}
	return roots
}

func sortedBySent(list []Message) []*Message {
	sorted := make([]*Message, len(list))
	for i := range list {
		sorted[i] = &list[i]
	}
	slices.SortFunc(sorted, func(a, b *Message) int {
		return cmp.Or(a.Sent.Compare(b.Sent), cmp.Compare(a.Num, b.Num))
	})
	return sorted
}

// References is REFERENCES, RFC 5256 §3, step by step.
func References(list []Message) []*Node {
	t := table{by: make(map[uint64]*Node, 2*len(list))}
	for i := range list {
		t.add(&list[i])
	}
	roots := t.roots()
	roots = prune(roots)
	for _, r := range roots {
		r.sortKids()
	}
	sortNodes(roots) // (4) the threads, by the date of what they begin with
	roots = gather(roots)
	for _, r := range roots {
		r.sortKids()
	}
	sortNodes(roots) // (6)
	return roots
}

// A table finds nodes by message id, in the order in which they came to be.
type table struct {
	by  map[uint64]*Node
	all []*Node
}

func (t *table) node(id uint64) *Node {
	if n, ok := t.by[id]; ok && id != 0 {
		return n
	}
	n := &Node{}
	if id != 0 {
		t.by[id] = n
	}
	t.all = append(t.all, n)
	return n
}

// add is step (1): the message's references become a chain, as far as nothing
// is known that speaks against it, and the message its end.
func (t *table) add(m *Message) {
	n := t.node(m.ID)
	if n.m != nil { // somebody else's id: it counts as having none
		n = t.node(0)
	}
	n.m = m
	var up *Node
	for _, id := range m.References {
		if id == 0 || id == m.ID {
			continue
		}
		next := t.node(id)
		if up != nil && next.up == nil && !next.above(up) {
			next.put(up)
		}
		up = next
	}
	if n.up != nil { // (B): what others said of its parent is not worth what it says
		n.cut()
	}
	if up != nil && !n.above(up) {
		n.put(up)
	}
}

// above reports whether n is other, or other is somewhere below it, or so deep
// that nothing more goes there.
func (n *Node) above(other *Node) bool {
	for depth := 0; other != nil; depth++ {
		if other == n || depth == depthMax {
			return true
		}
		other = other.up
	}
	return false
}

func (n *Node) put(up *Node) {
	n.up, n.at = up, len(up.kids)
	up.kids = append(up.kids, n)
}

func (n *Node) cut() {
	kids := n.up.kids
	last := kids[len(kids)-1]
	kids[n.at], last.at = last, n.at
	n.up.kids, n.up = kids[:len(kids)-1], nil
}

// roots is step (2).
func (t *table) roots() (roots []*Node) {
	for _, n := range t.all {
		if n.up == nil {
			roots = append(roots, n)
		}
	}
	return roots
}

// prune is step (3): dummies without kids go, and others leave their place to
// their kids, but for a root with several. It walks without calling itself:
// a stranger decides how deep a thread is.
func prune(roots []*Node) []*Node {
	order := []*Node{}
	for stack := slices.Clone(roots); len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		order = append(order, n)
		stack = append(stack, n.kids...)
	}
	for _, n := range slices.Backward(order) { // kids before their parents
		kids := n.kids[:0:0]
		for _, kid := range n.kids {
			if kid.m == nil {
				kids = append(kids, kid.kids...)
			} else {
				kids = append(kids, kid)
			}
		}
		for _, kid := range kids {
			kid.up = n
		}
		n.kids = kids
	}
	var out []*Node
	for _, r := range roots {
		switch {
		case r.m == nil && len(r.kids) == 0:
		case r.m == nil && len(r.kids) == 1:
			r.kids[0].up = nil
			out = append(out, r.kids[0])
		default:
			out = append(out, r)
		}
	}
	return out
}

// first is the message that a dummy stands for: its first kid.
func (n *Node) first() *Message {
	if n.m == nil && len(n.kids) > 0 {
		return n.kids[0].m
	}
	return n.m
}

// sortKids sorts all that is below n, the deepest first.
func (n *Node) sortKids() {
	order := []*Node{n}
	for i := 0; i < len(order); i++ {
		order = append(order, order[i].kids...)
	}
	for _, x := range slices.Backward(order) {
		if len(x.kids) > 1 {
			sortNodes(x.kids)
		}
	}
}

// sortNodes sorts by the date of the messages, or of what dummies begin with.
func sortNodes(list []*Node) {
	for _, n := range list {
		if m := n.first(); m != nil {
			n.date, n.order = m.Sent, m.Num
		}
	}
	slices.SortStableFunc(list, func(a, b *Node) int {
		return cmp.Or(a.date.Compare(b.date), cmp.Compare(a.order, b.order))
	})
}

// gather is step (5): threads of one subject become one.
func gather(roots []*Node) []*Node {
	by := make(map[string]*Node, len(roots))
	for _, r := range roots { // (5.B)
		subject := r.first().Subject
		if subject == "" {
			continue
		}
		old, ok := by[subject]
		if !ok || old.m != nil && (r.m == nil || old.m.Reply && !r.first().Reply) {
			by[subject] = r
		}
	}
	at := make(map[*Node]int, len(roots))
	for i, r := range roots {
		at[r] = i
	}
	gone := make(map[*Node]bool)
	for _, r := range slices.Clone(roots) { // (5.C)
		to := by[r.first().Subject]
		if to == nil || to == r || r.first().Subject == "" {
			continue
		}
		gone[r] = true
		switch {
		case to.m == nil && r.m == nil:
			for _, kid := range r.kids {
				kid.put(to)
			}
		case to.m == nil:
			r.put(to)
		case r.m != nil && r.m.Reply && !to.m.Reply:
			r.put(to)
		default:
			both := &Node{}
			roots[at[to]] = both
			by[r.first().Subject] = both
			to.put(both)
			if r.m == nil {
				for _, kid := range r.kids {
					kid.put(both)
				}
			} else {
				r.put(both)
			}
		}
	}
	return slices.DeleteFunc(roots, func(n *Node) bool { return gone[n] })
}

// Append appends threads as THREAD tells them, RFC 5256 §4.
func Append(b []byte, roots []*Node) []byte {
	for _, r := range roots {
		b = r.append(b)
	}
	return b
}

// append appends a thread. A message with one answer is followed by it, which
// needs no nesting; so this calls itself only where a thread branches.
func (n *Node) append(b []byte) []byte {
	b = append(b, '(')
	for sep := false; ; sep = true {
		if n.m != nil {
			if sep {
				b = append(b, ' ')
			}
			b = strconv.AppendUint(b, uint64(n.m.Num), 10)
		}
		if len(n.kids) != 1 {
			break
		}
		n = n.kids[0]
	}
	if len(n.kids) > 0 && n.m != nil {
		b = append(b, ' ')
	}
	for _, kid := range n.kids {
		b = kid.append(b)
	}
	return append(b, ')')
}
