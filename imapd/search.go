package imapd

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"homemail/imapd/wire"
	"homemail/mail"
	"homemail/store"
)

// searchTimeout bounds a SEARCH. It reads bodies where it has to, and there is
// no index yet.
const searchTimeout = time.Minute

// search is SEARCH, RFC 9051 §6.4.4, with the results of RFC 4731 and RFC 5182.
func (s *session) search(c *call) error {
	q, err := s.searchArgs()
	if err != nil {
		return err
	}
	if err := s.catchUp(); err != nil {
		return err
	}
	if q.root.needsFlags() {
		if err := s.load(); err != nil {
			return s.refuse(err, "search")
		}
	}
	found, err := s.find(q.root)
	if q.save { // also when it failed: then nothing is saved, RFC 5182 §2.1
		s.view.save(found, q)
	}
	if err != nil {
		return err
	}
	s.results(c, q, found)
	return nil
}

// find finds the messages that fit, by index in the view.
func (s *session) find(root *criterion) (found []int, err error) {
	x := &search{s: s, v: s.view, root: root.bind(s.view)}
	found, open := x.quick()
	if len(open) > 0 {
		err = s.g.during(searchTimeout, func(ctx context.Context) (err error) {
			x.ctx = ctx
			found, err = x.closer(found, open)
			return err
		})
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, no(imap.ResponseCodeLimit, "The search took too long")
	case errors.Is(err, context.Canceled):
		return nil, errGone
	}
	return found, s.refuse(err, "search")
}

// results writes SEARCH or ESEARCH, RFC 9051 §7.3.4 and RFC 4731 §3.1.
func (s *session) results(c *call, q *searching, found []int) {
	v := s.view
	number := func(i int) uint32 {
		if c.uid {
			return uint32(v.uids[i])
		}
		return uint32(i + 1)
	}
	highest := mail.ModSeq(0)
	if q.modSeq {
		for _, i := range found {
			highest = max(highest, v.mod[i])
		}
	}
	if !q.returns && !s.on.rev2 {
		s.w.Raw("* SEARCH")
		for _, i := range found {
			s.w.Byte(' ').Unsigned(uint64(number(i)))
		}
		if q.modSeq && len(found) > 0 { // RFC 7162 §3.1.5
			s.w.Raw(" (MODSEQ ").Unsigned(uint64(highest)).Byte(')')
		}
		s.w.End()
		return
	}
	if q.save && !(q.min || q.max || q.all || q.count) { // RFC 5182 §2.1: saved, and not told
		return
	}
	all := q.all || !(q.min || q.max || q.count)
	s.w.Raw("* ESEARCH (TAG ").String(c.tag).Byte(')')
	if c.uid {
		s.w.Raw(" UID")
	}
	if len(found) > 0 && q.min {
		s.w.Raw(" MIN ").Unsigned(uint64(number(found[0])))
	}
	if len(found) > 0 && q.max {
		s.w.Raw(" MAX ").Unsigned(uint64(number(found[len(found)-1])))
	}
	if len(found) > 0 && all {
		nums := make([]uint32, len(found))
		for n, i := range found {
			nums[n] = number(i)
		}
		wire.Set(s.w.Raw(" ALL "), nums)
	}
	if q.count {
		s.w.Raw(" COUNT ").Number(int64(len(found)))
	}
	if q.modSeq && len(found) > 0 {
		s.w.Raw(" MODSEQ ").Unsigned(uint64(highest))
	}
	s.w.End()
}

// save keeps a result for "$", RFC 5182 §2.4.
func (v *view) save(found []int, q *searching) {
	v.saved = nil
	if !q.all && !q.count && (q.min || q.max) && len(found) > 0 {
		ends := []int{}
		if q.min {
			ends = append(ends, found[0])
		}
		if q.max {
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
	s    *session
	v    *view
	root *criterion
	ctx  context.Context
}

// quick finds what the view can tell: messages that fit, and those that need a
// closer look.
func (x *search) quick() (found []int, open []mail.UID) {
	for i := range x.v.told {
		switch x.root.quick(x.v, i) {
		case yes:
			found = append(found, i)
		case maybe:
			open = append(open, x.v.uids[i])
		}
	}
	return found, open
}

func (x *search) closer(found []int, open []mail.UID) ([]int, error) {
	f := &fetching{s: x.s, v: x.v}
	err := f.records(open, func(m *store.Message) error {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		i, ok := x.v.index(m.UID)
		if !ok {
			return nil
		}
		hit, err := x.root.match(&candidate{x: x, m: m, i: i})
		if hit {
			found = append(found, i)
		}
		return err
	})
	slices.Sort(found) // damaged messages are logged, and not found
	return found, err
}

// A truth is an answer that may need a closer look.
type truth int

const (
	nope truth = iota
	maybe
	yes
)

func sure(b bool) truth {
	if b {
		return yes
	}
	return nope
}

// quick answers with the view alone.
func (c *criterion) quick(v *view, i int) truth {
	switch c.op {
	case opAll:
		return yes
	case opAnd:
		all := yes
		for _, kid := range c.kids {
			if all = min(all, kid.quick(v, i)); all == nope {
				break
			}
		}
		return all
	case opOr:
		return max(c.kids[0].quick(v, i), c.kids[1].quick(v, i))
	case opNot:
		return yes - c.kids[0].quick(v, i)
	case opSet:
		return sure(contains(c.spans, i))
	case opFlag:
		return sure(v.at(i).has(c.name))
	case opModSeq:
		return sure(v.mod[i] >= mail.ModSeq(c.num))
	}
	return maybe
}

// match answers with the message. Of several that all have to fit the dear ones
// come last.
func (c *criterion) match(m *candidate) (bool, error) {
	if t := c.quick(m.x.v, m.i); t != maybe {
		return t == yes, nil
	}
	switch c.op {
	case opAnd:
		for _, dear := range [...]bool{false, true} {
			for _, kid := range c.kids {
				if kid.dear() != dear {
					continue
				}
				if ok, err := kid.match(m); !ok || err != nil {
					return false, err
				}
			}
		}
		return true, nil
	case opOr:
		ok, err := c.kids[0].match(m)
		if !ok && err == nil {
			ok, err = c.kids[1].match(m)
		}
		return ok, err
	case opNot:
		ok, err := c.kids[0].match(m)
		return !ok && err == nil, err
	case opHeader:
		return m.hasHeader(c.name, c.text)
	case opBody:
		return m.find(c.find, false)
	case opText:
		return m.find(c.find, true)
	}
	return c.matchRecord(m)
}

// dear reports whether a body has to be read.
func (c *criterion) dear() bool {
	return c.op == opBody || c.op == opText || slices.ContainsFunc(c.kids, (*criterion).dear)
}

// matchRecord answers with the record.
func (c *criterion) matchRecord(m *candidate) (bool, error) {
	switch c.op {
	case opLarger:
		return m.m.Size > c.num, nil
	case opSmaller:
		return m.m.Size < c.num, nil
	case opSince:
		return !day(m.m.Date).Before(c.date), nil
	case opBefore:
		return day(m.m.Date).Before(c.date), nil
	case opSavedSince:
		return !day(m.m.Saved).Before(c.date), nil
	case opSavedBefore:
		return day(m.m.Saved).Before(c.date), nil
	case opOlder:
		return !m.m.Date.After(c.date), nil
	}
	st, err := m.structure()
	if err != nil || st.Envelope.Time.IsZero() {
		return false, err
	}
	return day(st.Envelope.Time).Before(c.date) == (c.op == opSentBefore), nil
}

// day is a date as it is written, without time and zone, RFC 9051 §6.4.4.
func day(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}
