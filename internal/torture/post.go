package torture

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A Post is the ledger of mail that leaves: what a server took, what arrived at
// the far ends, and which reports came back. A server's lives are counted from
// 1; each may end by a kill.
type Post struct {
	mu      sync.Mutex
	life    int
	killed  map[int]bool
	letters map[string]*Letter
	noted   map[noteKey]noteOf
}

// A Letter is a message that a client submitted.
type Letter struct {
	ID, SHA string
	To      []string        // outside
	Refused map[string]bool // by the far end, for good
	Local   bool            // with a copy to an account

	state    letterState
	arrivals map[string][]Arrival
	reports  map[string]int
	copies   int
}

type letterState string

const (
	unanswered letterState = "unanswered"
	taken      letterState = "taken"
	turnedDown letterState = "turned down"
)

// An Arrival is a message at a far end, up to the final dot.
type Arrival struct {
	Life     int // of the server that brought it
	ID, SHA  string
	To       string
	Trace    string // the id that the server gave it
	Answered bool   // with 250, and the server could hear that
}

type noteKey struct{ trace, to string }

// A noteOf is what a server said about the end of a recipient.
type noteOf struct {
	life  int
	state string
}

// NewPost returns an empty ledger.
func NewPost() *Post {
	return &Post{killed: map[int]bool{}, letters: map[string]*Letter{}, noted: map[noteKey]noteOf{}}
}

// Begin starts a life and returns its number.
func (p *Post) Begin() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life++
	return p.life
}

// Life is the number of the life that is or was the last.
func (p *Post) Life() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// Killed says that the life ended without warning.
func (p *Post) Killed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed[p.life] = true
}

// Submit announces a letter.
func (p *Post) Submit(l Letter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.state, l.arrivals, l.reports = unanswered, map[string][]Arrival{}, map[string]int{}
	p.letters[l.ID] = &l
}

// Answer says that a letter was taken or surely was not.
func (p *Post) Answer(id string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters[id].state = turnedDown
	if ok {
		p.letters[id].state = taken
	}
}

// Arrive notes what came to a far end. It returns what is wrong with that by
// itself.
func (p *Post) Arrive(a Arrival) (wrong string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.letters[a.ID]
	switch {
	case l == nil:
		return fmt.Sprintf("%q arrived, which nobody submitted", a.ID)
	case !slices.Contains(l.To, a.To):
		return fmt.Sprintf("%s arrived for %s, for whom it is not", a.ID, a.To)
	case a.SHA != l.SHA:
		return fmt.Sprintf("WRONG BYTES: %s for %s", a.ID, a.To)
	}
	l.arrivals[a.To] = append(l.arrivals[a.To], a)
	return ""
}

// Note says that a server said, in a life, that it has written down how a
// recipient ended: it never may try again.
func (p *Post) Note(life int, trace, to, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key := (noteKey{trace, to}); p.noted[key].life == 0 {
		p.noted[key] = noteOf{life, state}
	}
}

// Report notes that an account has a report of a failure.
func (p *Post) Report(id, to string) (wrong string) {
	return p.back(id, func(l *Letter) { l.reports[to]++ })
}

// Copy notes that an account has the letter itself.
func (p *Post) Copy(id string) (wrong string) { return p.back(id, func(l *Letter) { l.copies++ }) }

func (p *Post) back(id string, fn func(*Letter)) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.letters[id]
	if l == nil {
		return fmt.Sprintf("a mailbox has %q, which nobody submitted", id)
	}
	fn(l)
	return ""
}

// Arrivals is how many there were.
func (p *Post) Arrivals() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.letters {
		for _, list := range l.arrivals {
			n += len(list)
		}
	}
	return n
}

// Verify judges all after the queue ran empty and the mailboxes were read.
func (p *Post) Verify() (wrong []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(p.letters)) {
		wrong = append(wrong, p.letters[id].verify()...)
		for _, list := range p.letters[id].arrivals {
			wrong = append(wrong, p.repeated(list)...)
		}
	}
	return wrong
}

// verify judges a letter: one that was taken comes to an end for every
// recipient, one that was not has none, and one without an answer has all or none.
func (l *Letter) verify() (wrong []string) {
	bad := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s, which was %s: ", l.ID, l.state)+fmt.Sprintf(format, args...))
	}
	if l.seen() == 0 && l.state != taken {
		return nil
	}
	if l.state == turnedDown {
		bad("it left nevertheless")
		return wrong
	}
	if l.Local && l.copies == 0 {
		bad("LOST: the copy")
	}
	if l.copies > 1 || !l.Local && l.copies > 0 {
		bad("%d copies", l.copies)
	}
	for _, to := range l.To {
		n, reports := len(l.arrivals[to]), l.reports[to]
		switch {
		case l.Refused[to] && reports == 0:
			bad("LOST: the report that %s refused it", to)
		case l.Refused[to] && reports > 1:
			bad("TWICE: %d reports that %s refused it", reports, to)
		case !l.Refused[to] && n == 0:
			bad("LOST: it did not arrive for %s", to)
		case !l.Refused[to] && reports > 0:
			bad("a report of a failure for %s, where it arrived", to)
		}
	}
	for to := range l.reports {
		if !slices.Contains(l.To, to) {
			bad("a report about %s, for whom it is not", to)
		}
	}
	return wrong
}

// seen counts the signs that a letter was taken.
func (l *Letter) seen() int {
	n := l.copies
	for _, list := range l.arrivals {
		n += len(list)
	}
	for _, reports := range l.reports {
		n += reports
	}
	return n
}

// repeated judges the arrivals of a letter for a recipient, in order. It may
// come once more if the server was killed before it noted that it had left.
func (p *Post) repeated(list []Arrival) (wrong []string) {
	for i, a := range list {
		if n := p.noted[noteKey{a.Trace, a.To}]; n.life != 0 && a.Life > n.life {
			wrong = append(wrong, fmt.Sprintf("RESURRECTED: %s for %s arrived in life %d, and was noted as %s in life %d", a.ID, a.To, a.Life, n.state, n.life))
			continue
		}
		if i == 0 {
			continue
		}
		before := list[i-1]
		switch {
		case before.Trace != a.Trace:
			wrong = append(wrong, fmt.Sprintf("TWICE: %s for %s is %s and %s", a.ID, a.To, before.Trace, a.Trace))
		case !before.Answered: // the server cannot know
		case before.Life == a.Life:
			wrong = append(wrong, fmt.Sprintf("TWICE: %s for %s in life %d", a.ID, a.To, a.Life))
		case !p.killed[before.Life]:
			wrong = append(wrong, fmt.Sprintf("TWICE: %s for %s in lives %d and %d, and nobody killed the first", a.ID, a.To, before.Life, a.Life))
		}
	}
	return wrong
}

// Figures sums up.
func (p *Post) Figures() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := map[letterState]int{}
	arrived, again, afterKill, reports, left := 0, 0, 0, 0, 0
	for _, l := range p.letters {
		states[l.state]++
		if l.state == unanswered && l.seen() > 0 {
			left++
		}
		for _, list := range l.arrivals {
			arrived++
			for i := range list[1:] {
				again++
				if list[i].Answered {
					afterKill++
				}
			}
		}
		for _, n := range l.reports {
			reports += n
		}
	}
	return fmt.Sprintf("%d letters taken, %d unanswered of which %d left, %d turned down; %d arrived, and %d times one came again, %d of them after a kill; %d reports; %d ends noted",
		states[taken], states[unanswered], left, states[turnedDown], arrived, again, afterKill, reports, len(p.noted))
}
