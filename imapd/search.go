package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"homemail/mail"
	"homemail/store"
)

// searchTimeout bounds a SEARCH. It reads bodies where it has to, and there is
// no index yet.
const searchTimeout = time.Minute

// Search is SEARCH, RFC 9051 §6.4.4, with the results of RFC 4731 and RFC 5182.
func (s *session) Search(kind imapserver.NumKind, c *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.catchUp(); err != nil {
		return nil, err
	}
	v := s.view
	var found []int
	err := s.g.during(searchTimeout, func(ctx context.Context) (err error) {
		found, err = (&search{s: s, v: v, q: compile(v, c), ctx: ctx}).run()
		return err
	})
	if o.ReturnSave { // also when it failed: then nothing is saved, RFC 5182 §2.1
		v.save(found, o)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, no(imap.ResponseCodeLimit, "The search took too long")
	case errors.Is(err, context.Canceled):
		return nil, errGone
	case err != nil:
		return nil, s.refuse(err, "search")
	}
	return v.result(kind, found), nil
}

// result makes the numbers that were asked for out of indices.
func (v *view) result(kind imapserver.NumKind, found []int) *imap.SearchData {
	data := &imap.SearchData{Count: uint32(len(found))}
	number := func(i int) uint32 { return uint32(i + 1) }
	if kind == imapserver.NumKindUID {
		number = func(i int) uint32 { return uint32(v.uids[i]) }
		uids := make([]mail.UID, len(found))
		for n, i := range found {
			uids[n] = v.uids[i]
		}
		data.All = uidSet(uids)
	} else {
		set := imap.SeqSet{}
		for _, i := range found {
			num := uint32(i + 1)
			if n := len(set); n > 0 && set[n-1].Stop+1 == num {
				set[n-1].Stop = num
				continue
			}
			set = append(set, imap.SeqRange{Start: num, Stop: num})
		}
		data.All = set
	}
	if len(found) > 0 {
		data.Min, data.Max = number(found[0]), number(found[len(found)-1])
	}
	return data
}

// save keeps a result for "$", RFC 5182 §2.4.
func (v *view) save(found []int, o *imap.SearchOptions) {
	v.saved = nil
	if !o.ReturnAll && !o.ReturnCount && len(found) > 0 {
		ends := []int{}
		if o.ReturnMin {
			ends = append(ends, found[0])
		}
		if o.ReturnMax {
			ends = append(ends, found[len(found)-1])
		}
		found = slices.Compact(ends)
	}
	for _, i := range found {
		v.saved = append(v.saved, v.uids[i])
	}
}

// A search goes through the messages of a view: first with what the view
// knows, then, for those left, with their records, headers and bodies.
type search struct {
	s   *session
	v   *view
	q   *query
	ctx context.Context
}

func (x *search) run() (found []int, err error) {
	var open []mail.UID // those about which the view does not know enough
	for i := range x.v.told {
		switch x.q.quick(x.v, i) {
		case yes:
			found = append(found, i)
		case maybe:
			open = append(open, x.v.uids[i])
		}
		if i%1024 == 0 && x.ctx.Err() != nil {
			return nil, x.ctx.Err()
		}
	}
	f := &fetch{s: x.s, v: x.v}
	err = f.records(open, func(m *store.Message) error {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		i, ok := x.v.index(m.UID)
		if !ok {
			return nil
		}
		hit, err := x.q.match(&candidate{x: x, m: m, i: i})
		if hit {
			found = append(found, i)
		}
		return err
	})
	slices.Sort(found) // damaged messages are logged, and not found
	return found, err
}

// A query is criteria whose number sets are resolved.
type query struct {
	c    *imap.SearchCriteria
	sets [][]span
	flag map[uint32]bool // by state: whether the flags fit
	body []*finder       // BODY
	text []*finder       // TEXT
	not  []*query
	or   [][2]*query
}

func compile(v *view, c *imap.SearchCriteria) *query {
	q := &query{c: c, flag: make(map[uint32]bool)}
	for _, s := range c.SeqNum {
		q.sets = append(q.sets, v.resolve(s))
	}
	for _, s := range c.UID {
		q.sets = append(q.sets, v.resolve(s))
	}
	for _, s := range c.Body {
		q.body = append(q.body, newFinder(s))
	}
	for _, s := range c.Text {
		q.text = append(q.text, newFinder(s))
	}
	for i := range c.Not {
		q.not = append(q.not, compile(v, &c.Not[i]))
	}
	for i := range c.Or {
		q.or = append(q.or, [2]*query{compile(v, &c.Or[i][0]), compile(v, &c.Or[i][1])})
	}
	return q
}

// A truth is an answer that may need a closer look.
type truth int

const (
	nope truth = iota
	maybe
	yes
)

// quick answers with the view alone.
func (q *query) quick(v *view, i int) truth {
	for _, set := range q.sets {
		if !contains(set, i) {
			return nope
		}
	}
	if !q.flagsFit(v, v.state[i]) {
		return nope
	}
	all := yes
	if q.needsRecord() {
		all = maybe
	}
	for _, n := range q.not {
		all = min(all, yes-n.quick(v, i))
	}
	for _, o := range q.or {
		all = min(all, max(o[0].quick(v, i), o[1].quick(v, i)))
	}
	return all
}

func (q *query) needsRecord() bool {
	c := q.c
	return !c.Since.IsZero() || !c.Before.IsZero() || !c.SentSince.IsZero() || !c.SentBefore.IsZero() ||
		c.Larger > 0 || c.Smaller > 0 || len(c.Header) > 0 || len(c.Body) > 0 || len(c.Text) > 0
}

func (q *query) flagsFit(v *view, state uint32) bool {
	fits, ok := q.flag[state]
	if !ok {
		names := v.flags.list(state)
		has := func(f imap.Flag) bool {
			return slices.ContainsFunc(names, func(n imap.Flag) bool { return strings.EqualFold(string(n), string(f)) })
		}
		fits = !slices.ContainsFunc(q.c.Flag, func(f imap.Flag) bool { return !has(f) }) &&
			!slices.ContainsFunc(q.c.NotFlag, has)
		q.flag[state] = fits
	}
	return fits
}

// match answers with the message, cheap criteria first.
func (q *query) match(m *candidate) (bool, error) {
	if q.quick(m.x.v, m.i) == nope || !q.sizeAndDateFit(m.m) {
		return false, nil
	}
	if ok, err := q.sentFits(m); !ok || err != nil {
		return false, err
	}
	for _, h := range q.c.Header {
		if ok, err := m.hasHeader(h.Key, h.Value); !ok || err != nil {
			return false, err
		}
	}
	for _, n := range q.not {
		if hit, err := n.match(m); hit || err != nil {
			return false, err
		}
	}
	for _, o := range q.or {
		hit, err := o[0].match(m)
		if !hit && err == nil {
			hit, err = o[1].match(m)
		}
		if !hit || err != nil {
			return false, err
		}
	}
	for _, f := range q.body {
		if ok, err := m.find(f, false); !ok || err != nil {
			return false, err
		}
	}
	for _, f := range q.text {
		if ok, err := m.find(f, true); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (q *query) sizeAndDateFit(m *store.Message) bool {
	c := q.c
	return (c.Larger == 0 || m.Size > c.Larger) && (c.Smaller == 0 || m.Size < c.Smaller) &&
		dateFits(m.Date, c.Since, c.Before)
}

func (q *query) sentFits(m *candidate) (bool, error) {
	if q.c.SentSince.IsZero() && q.c.SentBefore.IsZero() {
		return true, nil
	}
	st, err := m.structure()
	if err != nil || st.Envelope.Time.IsZero() {
		return false, err
	}
	return dateFits(st.Envelope.Time, q.c.SentSince, q.c.SentBefore), nil
}

// dateFits compares dates as they are written, without time and zone,
// RFC 9051 §6.4.4.
func dateFits(t, since, before time.Time) bool {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return (since.IsZero() || !day.Before(since)) && (before.IsZero() || day.Before(before))
}
