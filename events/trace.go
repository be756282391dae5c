package events

import (
	"cmp"
	"math"
	"slices"
	"time"

	"homemail/mail"
)

const (
	traceMax  = 500                // events of one way
	traceIDs  = 20                 // ids that are one message by their Message-ID
	traceLook = 4 * traceMax       // events that are looked at for one id
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
	return t.l.each(id, func(e *Event) {
		if e.ID == id {
			t.add(e)
		}
	})
}

// sameName adds the events of what has the same Message-ID.
func (t *tracer) sameName(name string) error {
	var floor time.Time
	if !t.begun.IsZero() {
		floor = t.begun.Add(-traceBack)
	}
	var ids []string
	err := t.l.each(name, func(e *Event) {
		if e.MessageID != name || !e.Unsure && e.At.Before(floor) {
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

// each gives fn the events of all rows that an id or Message-ID may be in, the
// newest row first.
func (l *Log) each(key string, fn func(*Event)) error {
	l.writing.Lock()
	err := l.load()
	var found []uint64
	if err == nil {
		found = l.index.find(key, traceLook)
	}
	l.writing.Unlock()
	after := uint64(math.MaxUint64) // what begins there, and later, was looked at
	for _, seq := range found {
		if err != nil || seq >= after {
			continue
		}
		err = l.s.Events(seq+1, func(first uint64, row []byte) bool {
			after = first
			decodeRow(first, row, func(e Event) { fn(&e) })
			return false
		})
	}
	return err
}
