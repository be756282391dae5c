package events

import (
	"math"
	"slices"
	"time"

	"homemail/store"
)

// load finds out, once, what the log holds.
func (l *Log) load() error {
	if l.loaded {
		return nil
	}
	l.next, l.oldest, l.bytes, l.tail, l.index = 1, 1, 0, nil, newIndex(0)
	first := true
	err := l.s.EventsFrom(0, func(at uint64, row []byte) bool {
		if first {
			l.oldest, l.index.base, first = at, at, false
		}
		_ = split(row, func(i int, event []byte) { l.index.add(at+uint64(i), event) })
		l.next = at + countOf(row)
		l.bytes += int64(len(row))
		return true
	})
	if err != nil {
		return err
	}
	l.oldest = min(l.oldest, l.next)
	if err := l.loadTail(); err != nil {
		return err
	}
	l.loaded = true
	return nil
}

// loadTail finds the short rows at the end.
func (l *Log) loadTail() error {
	next := l.next
	err := l.s.Events(math.MaxUint64, func(at uint64, row []byte) bool {
		if at+countOf(row) != next || split(row, func(int, []byte) {}) != nil || len(row) > rowMax/2 {
			return false
		}
		l.tail = append(l.tail, store.EventRow{First: at, Bytes: slices.Clone(row)})
		next = at
		return len(l.tail) < packAt
	})
	slices.Reverse(l.tail)
	return err
}

// pruneRows is how many rows are removed in one commit.
const pruneRows = 512

// prune removes the oldest rows: those beyond the limits each time, those that
// are too old now and then.
func (l *Log) prune(now time.Time) error {
	byAge := l.trusted() && (l.expired.IsZero() || now.Sub(l.expired) >= expireEach)
	if byAge {
		l.expired = now
	}
	for l.next-l.oldest > uint64(l.o.Count) || l.bytes > l.o.Bytes || byAge {
		rows, oldest, bytes, err := l.surplus(byAge, now.Add(-l.o.Age))
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := l.s.PutEvents(rows, false); err != nil {
			return err
		}
		l.oldest, l.bytes = oldest, l.bytes-bytes
		l.index.prune(oldest)
		l.tail = slices.DeleteFunc(slices.Clone(l.tail), func(r store.EventRow) bool { return r.First < oldest })
	}
	return nil
}

// surplus finds the oldest rows that are beyond the limits or, if asked, not
// younger than a moment. A row from before the clock was set has no age: it goes
// when one after it does.
func (l *Log) surplus(byAge bool, moment time.Time) (rows []store.EventRow, oldest uint64, bytes int64, err error) {
	type row struct {
		store.EventRow
		size int64
	}
	var ageless []row
	oldest = l.oldest
	err = l.s.EventsFrom(0, func(at uint64, b []byte) bool {
		r := row{store.EventRow{First: at}, int64(len(b))}
		end := at + countOf(b)
		over := l.next-at > uint64(l.o.Count) && l.next-end >= uint64(l.o.Count) || l.bytes-bytes > l.o.Bytes
		old, sure := age(at, b, moment)
		switch {
		case over, byAge && old:
			for _, a := range append(ageless, r) {
				rows, bytes = append(rows, a.EventRow), bytes+a.size
			}
			ageless, oldest = nil, end
		case byAge && !sure:
			ageless = append(ageless, r)
		default:
			return false
		}
		return len(rows)+len(ageless) < pruneRows
	})
	return rows, oldest, bytes, err
}

// age tells whether all of a row whose time is sure happened before a moment,
// and whether anything in it has a sure time.
func age(first uint64, row []byte, moment time.Time) (old, sure bool) {
	old = true
	decodeRow(first, row, func(e Event) {
		if !e.Unsure {
			sure = true
			old = old && e.At.Before(moment)
		}
	})
	return old && sure, sure
}
