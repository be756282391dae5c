package events

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"homemail/mail"
)

// A Query says which events are wanted. What is zero leaves nothing out. Texts
// are found in any case and as a part.
type Query struct {
	Kinds     []Kind
	Direction Direction
	Account   mail.AccountID
	ID        string // of a message
	Address   string // of the sender or a recipient
	From, To  string
	Subject   string
	Text      string // anywhere
	Since     time.Time
	Until     time.Time // and not after
	After     uint64    // only events with higher numbers
}

// A Page is an answer to a Query.
type Page struct {
	Events []Event `json:"events"` // the newest first
	// Next is where to go on, 0 if everything was looked at. A page may have
	// few events, or none, and still a Next: each looks at a part of the log.
	Next uint64 `json:"next,omitempty"`
}

// The work of one page: some 20 ms.
const (
	scanMax   = 60_000 // events that are looked at,
	decodeMax = 15_000 // of them those that have to be taken apart
	limitMax  = 1000
	late      = time.Hour // between two events that were noted in the other order
)

// Find returns the newest events of a query before a number; 0 is from the end.
func (l *Log) Find(q Query, limit int, before uint64) (p Page, err error) {
	if l == nil {
		return p, nil
	}
	l.current()
	if limit <= 0 || limit > limitMax {
		limit = limitMax
	}
	if before == 0 {
		before = math.MaxUint64
	}
	m := newMatcher(q)
	end, decoded := uint64(0), uint64(0) // what is looked at
	err = l.s.Events(before, func(first uint64, row []byte) bool {
		n := countOf(row)
		if first+n <= q.After+1 {
			return false
		}
		if end == 0 {
			end = min(before, first+n)
		}
		if !q.Since.IsZero() && allBefore(row, q.Since.Add(-late)) {
			p.Next = 0
			return false // what is before it is older still
		}
		if m.maybe(row) {
			p.Events = m.row(p.Events, first, row, before)
			decoded += n
		}
		if len(p.Events) >= limit {
			p.Events = p.Events[:limit]
			p.Next = p.Events[limit-1].Seq
			return false
		}
		if end-first >= scanMax || decoded >= decodeMax {
			p.Next = first
			return false
		}
		return true
	})
	if p.Next <= 1 {
		p.Next = 0
	}
	return p, err
}

// current writes what waits, so that an answer has it. If that fails the answer
// is what there is.
func (l *Log) current() {
	if err := l.write(); err != nil {
		l.o.Log.Debug("an answer does without the newest events", "err", err)
	}
}

// A matcher holds events against a query.
type matcher struct {
	q     Query
	kinds map[Kind]bool
	// Each is somewhere in a row that has a match: as it is, or in lower case.
	needles, folded [][]byte
	scratch         []byte
}

func newMatcher(q Query) *matcher {
	q.Address, q.From, q.To = addressKey(q.Address), addressKey(q.From), addressKey(q.To)
	q.Subject, q.Text = strings.ToLower(q.Subject), strings.ToLower(q.Text)
	m := &matcher{q: q}
	for _, s := range []string{q.ID, q.Address, q.From, q.To} { // as they are in the row
		if s != "" {
			m.needles = append(m.needles, []byte(s))
		}
	}
	for _, s := range []string{q.Subject, q.Text} {
		switch {
		case s == "":
		case s == strings.ToUpper(s): // digits, and scripts that know no case
			m.needles = append(m.needles, []byte(s))
		case !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }):
			m.folded = append(m.folded, []byte(s))
		}
	}
	if q.Account != 0 {
		m.needles = append(m.needles, appendEvent(nil, &Event{Account: q.Account}))
	}
	if len(q.Kinds) == 1 {
		m.needles = append(m.needles, appendEvent(nil, &Event{Kind: q.Kinds[0]}))
	}
	if len(q.Kinds) > 0 {
		m.kinds = make(map[Kind]bool)
		for _, k := range q.Kinds {
			m.kinds[k] = true
		}
	}
	return m
}

// maybe reports whether there may be a match in a row. To look for bytes in it
// is much quicker than to take it apart.
func (m *matcher) maybe(row []byte) bool {
	for _, n := range m.needles {
		if !bytes.Contains(row, n) {
			return false
		}
	}
	if len(m.folded) == 0 {
		return true
	}
	m.scratch = lower(append(m.scratch[:0], row...))
	for _, n := range m.folded {
		if !bytes.Contains(m.scratch, n) {
			return false
		}
	}
	return true
}

// lower makes small letters of capitals of ASCII, in place and eight at a time: half
// of a search would be this.
func lower(b []byte) []byte {
	const each, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		low := x &^ high
		capital := (low + (0x80-'A')*each) &^ (low + (0x80-'Z'-1)*each) &^ x & high // those from A on, not those after Z
		binary.LittleEndian.PutUint64(b[i:], x|capital>>2)
	}
	for ; i < len(b); i++ {
		if c := b[i]; 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// addressKey is an address, or a part of one, as events have it.
func addressKey(s string) string {
	s = strings.TrimSpace(s)
	if p, err := mail.ParsePath(s); err == nil && strings.Contains(s, "@") {
		return string(p.Key())
	}
	if domain := mail.Path("x" + s).Domain(); strings.HasPrefix(s, "@") && domain != "" {
		return "@" + domain
	}
	return strings.ToLower(s)
}

// row appends the matches of a row, the newest first.
func (m *matcher) row(list []Event, first uint64, row []byte, before uint64) []Event {
	n := len(list)
	decodeRow(first, row, func(e Event) {
		if e.Seq < before && m.matches(&e) {
			list = append(list, e)
		}
	})
	slices.Reverse(list[n:])
	return list
}

func (m *matcher) matches(e *Event) bool {
	q := &m.q
	switch {
	case m.kinds != nil && !m.kinds[e.Kind],
		e.Seq <= q.After,
		q.Direction != "" && e.Direction() != q.Direction,
		q.Account != 0 && e.Account != q.Account,
		q.ID != "" && e.ID != q.ID,
		!q.Since.IsZero() && e.At.Before(q.Since),
		!q.Until.IsZero() && e.At.After(q.Until),
		q.From != "" && !strings.Contains(string(e.From), q.From),
		q.To != "" && !isTo(e, q.To),
		q.Address != "" && !strings.Contains(string(e.From), q.Address) && !isTo(e, q.Address),
		q.Subject != "" && !strings.Contains(strings.ToLower(e.Subject), q.Subject):
		return false
	}
	return q.Text == "" || anywhere(e, q.Text)
}

func isTo(e *Event, part string) bool {
	return slices.ContainsFunc(e.To, func(p mail.Path) bool { return strings.Contains(string(p), part) })
}

func anywhere(e *Event, part string) bool {
	for _, s := range e.texts() {
		if s != nil && strings.Contains(strings.ToLower(*s), part) {
			return true
		}
	}
	return isTo(e, part)
}

// allBefore reports whether a row begins before a moment, by a clock that could be
// relied on.
func allBefore(row []byte, moment time.Time) (before bool) {
	_ = split(row, func(i int, b []byte) {
		if i > 0 {
			return
		}
		if e, err := decodeEvent(b); err == nil {
			before = !e.Unsure && e.At.Before(moment)
		}
	})
	return before
}
