package events

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"homemail/mail"
)

const (
	traceMax  = 500                // events of one way
	traceIDs  = 20                 // ids that are one message by their Message-ID
	traceSlow = time.Hour          // from the first RCPT of a message to its end
	traceBack = 7 * 24 * time.Hour // between two ways of a message: queues keep one for five days
)

// Trace returns the whole way of a message, oldest event first: by the id that
// its 250 told, and from there by its Message-ID, so that a message which left
// the house and came back, or was fetched, is one. With an account it is what
// that person may see of it.
func (l *Log) Trace(id string, account mail.AccountID) ([]Event, error) {
	if l == nil || id == "" {
		return nil, nil
	}
	l.current()
	t := tracer{l: l, account: account, ids: make(map[string]bool), seen: make(map[uint64]bool)}
	if err := t.follow(id); err != nil {
		return nil, err
	}
	for i := 0; i < len(t.names) && i < traceIDs; i++ { // follow may find more
		if err := t.sameName(t.names[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(t.way, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return t.way[:min(len(t.way), traceMax)], nil
}

// A tracer gathers the way of a message.
type tracer struct {
	l       *Log
	account mail.AccountID
	ids     map[string]bool
	names   []string // values of Message-ID
	begun   time.Time
	seen    map[uint64]bool
	way     []Event
}

// follow adds all events of an id.
func (t *tracer) follow(id string) error {
	if t.ids[id] || len(t.ids) >= traceIDs {
		return nil
	}
	t.ids[id] = true
	before, floor := len(t.way), made(id)
	err := t.followFrom(id, floor)
	if err == nil && len(t.way) == before && !floor.IsZero() { // the clock may have been wrong then
		err = t.followFrom(id, time.Time{})
	}
	return err
}

func (t *tracer) followFrom(id string, floor time.Time) error {
	return t.l.back(id, &floor, func(e *Event) {
		if e.ID != id {
			return
		}
		t.add(e)
		if (e.Kind == Received || e.Kind == Submitted) && !e.Unsure {
			floor = e.At.Add(-traceSlow)
		}
	})
}

// made is a moment before an id was made, as smtpd makes them: they begin with
// the time in milliseconds, in 45 bits. It is zero for any other id.
func made(id string) time.Time {
	const alphabet, length = "0123456789abcdefghjkmnpqrstvwxyz", 15
	if len(id) != length {
		return time.Time{}
	}
	ms := int64(0)
	for _, c := range []byte(id[:9]) {
		n := strings.IndexByte(alphabet, c)
		if n < 0 {
			return time.Time{}
		}
		ms = ms<<5 | int64(n)
	}
	return time.UnixMilli(ms).Add(-traceSlow)
}

// sameName adds the events of what has the same Message-ID.
func (t *tracer) sameName(name string) error {
	var floor time.Time
	if !t.begun.IsZero() {
		floor = t.begun.Add(-traceBack)
	}
	var ids []string
	err := t.l.back(name, &floor, func(e *Event) {
		if e.MessageID != name {
			return
		}
		t.add(e)
		if e.ID != "" && !slices.Contains(ids, e.ID) && len(ids) < traceIDs {
			ids = append(ids, e.ID)
		}
	})
	for _, id := range ids {
		if err == nil {
			err = t.follow(id)
		}
	}
	return err
}

func (t *tracer) add(e *Event) {
	if t.account != 0 && e.Account != t.account || t.seen[e.Seq] {
		return
	}
	t.seen[e.Seq] = true
	t.way = append(t.way, *e)
	if !e.Unsure && (t.begun.IsZero() || e.At.Before(t.begun)) {
		t.begun = e.At
	}
	if e.MessageID != "" && !slices.Contains(t.names, e.MessageID) {
		t.names = append(t.names, e.MessageID)
	}
}

// back gives fn the events of all rows that have a needle in them, the newest
// row first, until they are older than floor.
func (l *Log) back(needle string, floor *time.Time, fn func(*Event)) error {
	n := []byte(needle)
	return l.s.Events(math.MaxUint64, func(first uint64, row []byte) bool {
		if bytes.Contains(row, n) {
			decodeRow(first, row, func(e Event) { fn(&e) })
		}
		if floor.IsZero() {
			return true
		}
		at, unsure := begins(row)
		return unsure || !at.Before(*floor)
	})
}

// begins tells when the first event of a row happened.
func begins(row []byte) (at time.Time, unsure bool) {
	unsure = true
	_ = split(row, func(i int, b []byte) {
		if i > 0 {
			return
		}
		if e, err := decodeEvent(b); err == nil {
			at, unsure = e.At, e.Unsure
		}
	})
	return at, unsure
}
