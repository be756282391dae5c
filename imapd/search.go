package imapd

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"homemail/imapd/wire"
	"homemail/mail"
	"homemail/search"
	"homemail/store"
)

// searchTimeout bounds a SEARCH, which may have to read bodies.
const (
	searchTimeout = time.Minute
	progressEvery = 10 * time.Second // RFC 9585 §4
)

// search is SEARCH, RFC 9051 §6.4.4, with the results of RFC 4731 and RFC 5182.
func (s *session) search(c *call) error {
	q, err := s.searchArgs()
	if err != nil {
		return err
	}
	found, err := s.hits(c, q)
	if q.save { // also when it failed: then nothing is saved, RFC 5182 §2.1
		s.view.save(found, q)
	}
	if err != nil {
		return err
	}
	s.results(c, q, found)
	return nil
}

// hits brings the view up to date and finds the messages that fit.
func (s *session) hits(c *call, q *searching) ([]int, error) {
	if err := s.catchUp(); err != nil {
		return nil, err
	}
	if q.root.anyOf(criterion.byFlags) {
		if err := s.load(); err != nil {
			return nil, s.refuse(err, "search")
		}
	}
	return s.find(c.tag, q.root)
}

// find finds the messages that fit, by index in the view.
func (s *session) find(tag string, root *criterion) (found []int, err error) {
	x := &hunt{s: s, v: s.view, root: root.bind(s.view), tag: tag, said: time.Now()}
	found, open := x.quick()
	if len(open) > 0 {
		err = s.g.during(searchTimeout, func(ctx context.Context) (err error) {
			x.ctx = ctx
			found, open, err = x.look(found, open)
			if err == nil && len(open) > 0 {
				found, err = x.closer(found, open)
			}
			return err
		})
	}
	slices.Sort(found) // damaged messages are logged, and not found
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
	nums := make([]uint32, len(found))
	highest := mail.ModSeq(0)
	for n, i := range found {
		nums[n] = uint32(i + 1)
		if c.uid {
			nums[n] = uint32(v.uids[i])
		}
		if q.modSeq { // RFC 7162 §3.1.5
			highest = max(highest, v.mod[i])
		}
	}
	if q.returns || s.on.rev2 && q.sorted == nil {
		s.extended(c, q, nums, highest)
		return
	}
	name := "* SEARCH"
	if q.sorted != nil {
		name = "* SORT"
	}
	s.w.Raw(name)
	for _, n := range nums {
		s.w.Byte(' ').Unsigned(uint64(n))
	}
	if highest > 0 {
		s.w.Raw(" (MODSEQ ").Unsigned(uint64(highest)).Byte(')')
	}
	s.w.End()
}

// extended writes ESEARCH, RFC 9051 §7.3.4. What is saved need not be told, too:
// RFC 5182 §2.1.
func (s *session) extended(c *call, q *searching, nums []uint32, highest mail.ModSeq) {
	told := q.min || q.max || q.all || q.count || q.part != nil
	if q.save && !told {
		return
	}
	s.w.Raw("* ESEARCH (TAG ").String(c.tag).Byte(')')
	if c.uid {
		s.w.Raw(" UID")
	}
	s.resultData(q, nums, highest)
	s.w.End()
}

// resultData writes what of a result was asked for.
func (s *session) resultData(q *searching, nums []uint32, highest mail.ModSeq) {
	told := q.min || q.max || q.all || q.count || q.part != nil
	if n := len(nums); n > 0 {
		if q.min {
			s.w.Raw(" MIN ").Unsigned(uint64(nums[0]))
		}
		if q.max {
			s.w.Raw(" MAX ").Unsigned(uint64(nums[n-1]))
		}
		if q.all || !told {
			wire.Set(s.w.Raw(" ALL "), nums)
		}
	}
	if q.count {
		s.w.Raw(" COUNT ").Number(int64(len(nums)))
	}
	if q.part != nil {
		s.partialResult(q.part, nums)
	}
	if highest > 0 {
		s.w.Raw(" MODSEQ ").Unsigned(uint64(highest))
	}
}

// partialResult writes PARTIAL, RFC 9394 §3.1.
func (s *session) partialResult(p *window, nums []uint32) {
	s.w.Raw(" PARTIAL (").Number(p.from).Byte(':').Number(p.to).Byte(' ')
	if lo, hi := p.of(len(nums)); lo < hi {
		wire.Set(s.w, nums[lo:hi])
	} else {
		s.w.Raw("NIL")
	}
	s.w.Byte(')')
}

// save keeps a result for "$", RFC 5182 §2.4.
func (v *view) save(found []int, q *searching) {
	v.saved = nil
	if !q.all && !q.count && (q.min || q.max || q.part != nil) && len(found) > 0 {
		ends := []int{}
		if q.min {
			ends = append(ends, found[0])
		}
		if q.max {
			ends = append(ends, found[len(found)-1])
		}
		if q.part != nil { // RFC 9394 §3.2
			lo, hi := q.part.of(len(found))
			ends = append(ends, found[lo:hi]...)
		}
		slices.Sort(ends)
		found = slices.Compact(ends)
	}
	for _, i := range found {
		v.saved = append(v.saved, v.uids[i])
	}
}

// A hunt goes through the messages of a view: first with what the view
// knows, then, for those left, with what is kept beside them.
type hunt struct {
	s    *session
	v    *view
	root *criterion
	ctx  context.Context
	rest map[mail.UID]*store.Summary // of those for closer
	tag  string
	said time.Time // when the client last heard that it goes on
}

// progress tells that a search goes on, RFC 9585 §4, and asks whether it may.
func (x *hunt) progress() error {
	if time.Since(x.said) > progressEvery && !x.s.off["INPROGRESS"] {
		x.said = time.Now()
		x.s.w.Raw("* OK [INPROGRESS (").String(x.tag).Raw(" NIL NIL)] Still searching").End()
		if err := x.s.w.Flush(); err != nil {
			return errGone
		}
	}
	return x.ctx.Err()
}

// quick finds what the view can tell: messages that fit, and those that need a
// closer look.
func (x *hunt) quick() (found []int, open []mail.UID) {
	for i := range x.v.told {
		switch x.root.quick(x.v, i, nil) {
		case yes:
			found = append(found, i)
		case maybe:
			open = append(open, x.v.uids[i])
		}
	}
	return found, open
}

// look answers with summaries, and then with the index of texts, one key after
// another, each among what the others left.
func (x *hunt) look(found []int, open []mail.UID) (_ []int, left []mail.UID, err error) {
	if x.root.anyOf(criterion.bySummary) {
		if found, open, err = x.summaries(found, open); err != nil {
			return found, open, err
		}
	}
	for _, c := range x.root.texts(nil) {
		if len(open) == 0 {
			break
		}
		if err := x.progress(); err != nil {
			return found, open, err
		}
		c.hits, err = x.s.s.o.Search.Match(x.ctx, x.s.acct, x.v.box, c.key(), open)
		if err != nil {
			return found, open, err
		}
		c.looked = true
		all := open
		open = open[:0:0]
		for _, uid := range all {
			found, open = x.sort(uid, x.rest[uid], found, open)
		}
	}
	return found, open, nil
}

// sort puts a message where it belongs after another look.
func (x *hunt) sort(uid mail.UID, m *store.Summary, found []int, open []mail.UID) ([]int, []mail.UID) {
	i, ok := x.v.index(uid)
	if !ok {
		return found, open
	}
	switch x.root.quick(x.v, i, m) {
	case yes:
		found = append(found, i)
	case maybe:
		open = append(open, uid)
	}
	return found, open
}

// summaries looks at what is kept beside the records.
func (x *hunt) summaries(found []int, open []mail.UID) (_ []int, left []mail.UID, err error) {
	f := &fetching{s: x.s, v: x.v}
	x.rest = make(map[mail.UID]*store.Summary)
	err = f.summaries(open, func(m *store.Summary) error {
		n := len(left)
		if found, left = x.sort(m.UID, m, found, left); len(left) > n {
			x.rest[m.UID] = &store.Summary{UID: m.UID, Date: m.Date, Saved: m.Saved, Size: m.Size, Email: m.Email, Thread: m.Thread}
		}
		return x.ctx.Err()
	})
	return found, left, err
}

// closer looks at records, for the dates that messages have in them.
func (x *hunt) closer(found []int, open []mail.UID) ([]int, error) {
	f := &fetching{s: x.s, v: x.v}
	err := f.records(open, func(m *store.Message) error {
		if err := x.progress(); err != nil {
			return err
		}
		i, ok := x.v.index(m.UID)
		if !ok {
			return nil
		}
		st, err := m.Structure()
		if err == nil && x.root.match(x.v, i, x.rest[m.UID], st.Envelope.Time) {
			found = append(found, i)
		}
		return err
	})
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

// quick answers with the view, and with a summary if there is one.
func (c *criterion) quick(v *view, i int, m *store.Summary) truth {
	switch c.op {
	case opAll:
		return yes
	case opAnd:
		all := yes
		for _, kid := range c.kids {
			if all = min(all, kid.quick(v, i, m)); all == nope {
				break
			}
		}
		return all
	case opOr:
		return max(c.kids[0].quick(v, i, m), c.kids[1].quick(v, i, m))
	case opNot:
		return yes - c.kids[0].quick(v, i, m)
	case opSet:
		return sure(contains(c.spans, i))
	case opFlag:
		return sure(v.at(i).has(c.name))
	case opModSeq:
		return sure(v.mod[i] >= mail.ModSeq(c.num))
	}
	switch {
	case c.byText() && c.looked:
		_, hit := slices.BinarySearch(c.hits, v.uids[i])
		return sure(hit)
	case c.bySummary() && m != nil:
		return sure(c.fits(m))
	}
	return maybe
}

// byFlags and bySummary report what a key has to look at.
func (c criterion) byFlags() bool   { return c.op == opFlag || c.op == opModSeq }
func (c criterion) bySummary() bool { return opLarger <= c.op && c.op <= opThread }
func (c criterion) byText() bool    { return opHeader <= c.op && c.op <= opText }

// texts appends the keys that ask for text.
func (c *criterion) texts(list []*criterion) []*criterion {
	if c.byText() {
		list = append(list, c)
	}
	for _, kid := range c.kids {
		list = kid.texts(list)
	}
	return list
}

// key is what the index of texts is asked.
func (c *criterion) key() search.Key {
	switch c.op {
	case opBody:
		return search.Key{Where: search.InBody, Value: c.text}
	case opText:
		return search.Key{Where: search.InText, Value: c.text}
	}
	return search.Key{Where: search.InHeader, Field: c.name, Value: c.text}
}

// anyOf reports whether some key in c is of a kind.
func (c *criterion) anyOf(kind func(criterion) bool) bool {
	return kind(*c) || slices.ContainsFunc(c.kids, func(kid *criterion) bool { return kid.anyOf(kind) })
}

// fits answers with a summary.
func (c *criterion) fits(m *store.Summary) bool {
	switch c.op {
	case opLarger:
		return m.Size > c.num
	case opSmaller:
		return m.Size < c.num
	case opSince:
		return !day(m.Date).Before(c.date)
	case opBefore:
		return day(m.Date).Before(c.date)
	case opSavedSince:
		return !day(m.Saved).Before(c.date)
	case opSavedBefore:
		return day(m.Saved).Before(c.date)
	case opOlder:
		return !m.Date.After(c.date)
	case opEmail:
		return m.Email.String() == c.text
	}
	return m.Thread.String() == c.text // opThread
}

// match answers with the Date field, as it is written, which is all that is
// left to look at.
func (c *criterion) match(v *view, i int, m *store.Summary, sent time.Time) bool {
	switch c.op {
	case opAnd:
		return !slices.ContainsFunc(c.kids, func(kid *criterion) bool { return !kid.match(v, i, m, sent) })
	case opOr:
		return slices.ContainsFunc(c.kids, func(kid *criterion) bool { return kid.match(v, i, m, sent) })
	case opNot:
		return !c.kids[0].match(v, i, m, sent)
	case opSentSince:
		return !sent.IsZero() && !day(sent).Before(c.date)
	case opSentBefore:
		return !sent.IsZero() && day(sent).Before(c.date)
	}
	return c.quick(v, i, m) == yes
}

// day is a date as it is written, without time and zone, RFC 9051 §6.4.4.
func day(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}
