package imapd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"homemail/imapd/thread"
	"homemail/mail"
	"homemail/store"
)

// A sortKey is a key of SORT, RFC 5256 §3 and RFC 5957 §3.
type sortKey struct {
	name    string
	reverse bool
}

// A sortRow is what SORT compares of a message.
type sortRow struct {
	i       int // in the view
	sent    time.Time
	arrival time.Time
	size    int64
	texts   [][]byte // by sort key; nil for those that are no text
}

// sort is SORT and UID SORT, RFC 5256 §4, with the results of RFC 5267 §3.
func (s *session) sort(c *call) error {
	q := &searching{}
	s.l.SP()
	if s.l.Peek() != '(' {
		if s.l.Word() != "RETURN" {
			s.l.Fail("Expected keys to sort by")
		}
		s.resultOptions(q)
	}
	q.sorted = s.sortKeys()
	s.l.SP()
	charset := s.l.AString()
	s.l.SP()
	if err := s.restOfKeys(q, s.key(), charset); err != nil {
		return err
	}
	found, err := s.hits(c, q)
	if err == nil {
		found, err = s.inOrder(found, q.sorted)
	}
	if q.save {
		s.view.save(slices.Sorted(slices.Values(found)), q)
	}
	if err != nil {
		return err
	}
	s.results(c, q, found)
	return nil
}

func (s *session) sortKeys() (keys []sortKey) {
	reverse := false
	s.l.List(func() {
		switch name := s.l.Word(); name {
		case "REVERSE":
			if reverse {
				s.l.Fail("REVERSE twice")
			}
			reverse = true
		case "ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO":
			keys = append(keys, sortKey{name, reverse})
			reverse = false
		default:
			s.l.Fail("Unknown key to sort by")
		}
	})
	if reverse || len(keys) == 0 {
		s.l.Fail("Expected a key to sort by")
	}
	return keys
}

// inOrder sorts messages of the view.
func (s *session) inOrder(found []int, keys []sortKey) ([]int, error) {
	rows, err := s.sortRows(found, keys)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b sortRow) int {
		for n, k := range keys {
			if order := k.compare(&a, &b, n); order != 0 {
				return order
			}
		}
		return cmp.Compare(a.i, b.i) // RFC 5256 §3: then by number
	})
	out := make([]int, len(rows))
	for n := range rows {
		out[n] = rows[n].i
	}
	return out, nil
}

// compare compares by the key, which is the nth.
func (k *sortKey) compare(a, b *sortRow, nth int) (n int) {
	switch k.name {
	case "ARRIVAL":
		n = a.arrival.Compare(b.arrival)
	case "DATE":
		n = a.sent.Compare(b.sent)
	case "SIZE":
		n = cmp.Compare(a.size, b.size)
	default:
		n = bytes.Compare(a.texts[nth], b.texts[nth])
	}
	if k.reverse {
		return -n
	}
	return n
}

// sortRows reads what is compared, for as long as the client is there.
func (s *session) sortRows(found []int, keys []sortKey) (rows []sortRow, err error) {
	v := s.view
	rows = make([]sortRow, len(found))
	uids := make([]mail.UID, len(found))
	at := make(map[mail.UID]int, len(found))
	for n, i := range found {
		rows[n].i, uids[n], at[v.uids[i]] = i, v.uids[i], n
	}
	wants := func(names ...string) bool {
		return slices.ContainsFunc(keys, func(k sortKey) bool { return slices.Contains(names, k.name) })
	}
	err = s.computing("sort", func(ctx context.Context) error {
		if wants("ARRIVAL", "SIZE") {
			f := &fetching{s: s, v: v}
			err := f.summaries(uids, func(m *store.Summary) error {
				r := &rows[at[m.UID]]
				r.arrival, r.size = m.Date, m.Size
				return ctx.Err()
			})
			if err != nil {
				return err
			}
		}
		if !wants("DATE", "CC", "FROM", "TO", "SUBJECT", "DISPLAYFROM", "DISPLAYTO") {
			return nil
		}
		return s.eachSortKeys(uids, func(k *store.SortKeys) error {
			r := &rows[at[k.UID]]
			r.sent = k.Sent
			r.texts = textsOf(k, keys)
			return ctx.Err()
		})
	})
	return rows, err
}

// textsOf copies the texts that are compared.
func textsOf(k *store.SortKeys, keys []sortKey) [][]byte {
	texts := make([][]byte, len(keys))
	for n, key := range keys {
		texts[n] = bytes.Clone(key.text(k))
	}
	return texts
}

func (key sortKey) text(k *store.SortKeys) []byte {
	switch key.name {
	case "CC":
		return k.Cc
	case "FROM":
		return k.From
	case "TO":
		return k.To
	case "SUBJECT":
		return k.Subject
	case "DISPLAYFROM":
		return k.DisplayFrom
	case "DISPLAYTO":
		return k.DisplayTo
	}
	return nil
}

// eachSortKeys calls fn for the keys of messages, and goes on behind one that is
// damaged.
func (s *session) eachSortKeys(uids []mail.UID, fn func(*store.SortKeys) error) error {
	next := uids
	err := s.acct.SortKeys(s.view.box, uids, func(k *store.SortKeys) error {
		if i, ok := slices.BinarySearch(next, k.UID); ok {
			next = next[i+1:]
		}
		return fn(k)
	})
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	for i := range next {
		err := s.acct.SortKeys(s.view.box, next[i:i+1], fn)
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			return err
		}
	}
	return nil
}

// computing runs what may take long, for as long as the client is there.
func (s *session) computing(doing string, work func(context.Context) error) error {
	err := s.g.during(searchTimeout, work)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return no("LIMIT", "It took too long")
	case errors.Is(err, context.Canceled):
		return errGone
	}
	return s.refuse(err, doing)
}

// thread is THREAD and UID THREAD, RFC 5256 §4.
func (s *session) thread(c *call) error {
	q := &searching{}
	s.l.SP()
	algorithm := s.l.Word()
	if algorithm != "REFERENCES" && algorithm != "ORDEREDSUBJECT" {
		s.l.Fail("Unknown threading algorithm")
	}
	s.l.SP()
	charset := s.l.AString()
	s.l.SP()
	if err := s.restOfKeys(q, s.key(), charset); err != nil {
		return err
	}
	found, err := s.hits(c, q)
	if err != nil {
		return err
	}
	list, err := s.linked(found, c.uid)
	if err != nil {
		return err
	}
	roots := thread.References
	if algorithm == "ORDEREDSUBJECT" {
		roots = thread.OrderedSubject
	}
	s.w.Raw("* THREAD")
	if len(list) > 0 {
		s.w.Byte(' ').Append(func(b []byte) []byte { return thread.Append(b, roots(list)) })
	}
	return s.w.End()
}

// linked reads what threads are made of.
func (s *session) linked(found []int, uid bool) (list []thread.Message, err error) {
	v := s.view
	uids := make([]mail.UID, len(found))
	for n, i := range found {
		uids[n] = v.uids[i]
	}
	list = make([]thread.Message, 0, len(found))
	subjects := make(map[string]string) // each once
	err = s.computing("thread", func(ctx context.Context) error {
		return s.eachSortKeys(uids, func(k *store.SortKeys) error {
			i, ok := v.index(k.UID)
			if !ok {
				return nil
			}
			subject, ok := subjects[string(k.Subject)]
			if !ok {
				subject = strings.Clone(string(k.Subject))
				subjects[subject] = subject
			}
			m := thread.Message{
				Num: uint32(i + 1), ID: k.ID, References: slices.Clone(k.References), Sent: k.Sent, Subject: subject, Reply: k.Reply,
			}
			if uid {
				m.Num = uint32(k.UID)
			}
			list = append(list, m)
			return ctx.Err()
		})
	})
	return list, err
}
