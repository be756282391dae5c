package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"homemail/store"
)

// A Clock knows whether the time of day can be relied on.
type Clock interface{ Trusted() bool }

// Options say how much is kept. The zero value is right for a home.
type Options struct {
	Log   *slog.Logger // slog.Default() if nil
	Clock Clock        // while it cannot be trusted nothing is too old; always trusted if nil
	Count int          // events; 200,000 if 0
	Bytes int64        // 64 MiB if 0
	// Age is how long an event is kept, 30 days if 0 and at most: subjects go
	// with their events.
	Age time.Duration
}

const (
	defaultCount = 200_000
	defaultBytes = 64 << 20
	maxAge       = 30 * 24 * time.Hour
)

// Times of the writer.
const (
	gather     = 50 * time.Millisecond // what belongs together comes together
	writeEach  = time.Second
	expireEach = time.Hour
	retryAfter = 10 * time.Second // when the store took nothing
)

// pendingMax is how many events wait to be written: what a fast disk can take in
// mail within a second, some 2 MB.
const pendingMax = 4096

// A Log is the log of a store. It is safe for concurrent use, and a nil Log
// takes everything and keeps nothing.
type Log struct {
	s *store.Store
	o Options

	mu       sync.Mutex
	pending  []Event
	spare    []Event // the memory of the events before, to be used again
	lost     int     // events that did not fit, not yet told
	allLost  int64
	watchers map[*Watch]struct{}
	wake     chan struct{}

	writing sync.Mutex // held while events are written; guards what follows
	loaded  bool
	next    uint64           // number of the next event
	oldest  uint64           // of the first event that is kept
	bytes   int64            // of all rows
	tail    []store.EventRow // the newest rows, which may be short
	expired time.Time        // when ages were looked at last
	quiet   quiet
	unsaved []Event // that the store did not take
	index   *index
}

// New returns the log of a store. It starts nothing: without Run, Close and
// every question write what was added.
func New(s *store.Store, o Options) *Log {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Count <= 0 {
		o.Count = defaultCount
	}
	if o.Bytes <= 0 {
		o.Bytes = defaultBytes
	}
	if o.Age <= 0 || o.Age > maxAge {
		o.Age = maxAge
	}
	return &Log{s: s, o: o, wake: make(chan struct{}, 1), watchers: make(map[*Watch]struct{}), quiet: newQuiet()}
}

// Add notes an event. It never waits: what does not fit is counted.
func (l *Log) Add(e Event) {
	if l == nil {
		return
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.Seq, e.Unsure = 0, e.Unsure || !l.trusted()
	l.mu.Lock()
	if len(l.pending) >= pendingMax {
		l.lost++
		l.allLost++
		l.mu.Unlock()
		return
	}
	l.pending = append(l.pending, e)
	first := len(l.pending) == 1
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func (l *Log) trusted() bool { return l.o.Clock == nil || l.o.Clock.Trusted() }

// Run writes what is added, at most once a second, until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	expire := time.NewTicker(expireEach)
	defer expire.Stop()
	for {
		select {
		case <-ctx.Done():
			l.safely()
			return nil
		case <-expire.C:
			l.safely()
			continue
		case <-l.wake:
		}
		if !pause(ctx, gather) {
			continue
		}
		wait := writeEach - gather
		if err := l.safely(); err != nil {
			wait = retryAfter
		}
		pause(ctx, wait)
	}
}

// safely writes. A bug costs the events that it was about, and not the mail.
func (l *Log) safely() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a bug: %v", p)
			l.o.Log.Error("a bug ended the writing of events", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return l.write()
}

// pause waits, and reports whether all of the time has passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Close writes what was added. It is called when nothing more happens, before
// the store is closed.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	err := l.write()
	if errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrClosed) {
		return nil // the store tells
	}
	return err
}

// take returns what waits to be written.
func (l *Log) take() (list []Event, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, lost = l.pending, l.lost
	l.pending, l.spare, l.lost = l.spare, nil, 0
	return list, lost
}

// giveBack lets the memory of events be used again, unless it is much more than
// they needed.
func (l *Log) giveBack(list []Event) {
	clear(list)
	l.mu.Lock()
	defer l.mu.Unlock()
	if cap(list) <= 4*len(list)+64 {
		l.spare = list[:0]
	}
}

// keep is for events that could not be written: they are tried again.
func (l *Log) keep(list []Event) {
	more := max(len(list)-pendingMax, 0)
	l.unsaved = list[more:] // the newest
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += more
	l.allLost += int64(more)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write writes what waits, in one commit, and tells the watchers.
func (l *Log) write() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	taken, lost := l.take()
	list := l.quiet.filter(taken, lost, time.Now())
	if len(l.unsaved) > 0 {
		list = append(l.unsaved, list...)
	}
	if len(list) > 0 {
		if err := l.append(list); err != nil {
			l.o.Log.Warn("what happened could not be noted", "events", len(list), "err", err)
			l.keep(slices.Clone(list))
			return err
		}
		l.unsaved = nil
		l.tell(list)
	}
	l.giveBack(taken)
	if err := l.prune(time.Now()); err != nil {
		l.o.Log.Warn("old events were not removed", "err", err)
	}
	return nil
}

// packAt is how many rows at the end may be short before they are packed.
const packAt = 32

// append numbers and writes events. Rows stay short while little happens, and
// are packed when there are many.
func (l *Log) append(list []Event) error {
	var p packer
	flush, b := false, make([]byte, 0, eventMax)
	for i := range list {
		list[i].Seq = l.next + uint64(i)
		list[i].Subject = plainSubject(list[i].Subject)
		b = fit(b[:0], &list[i])
		p.add(list[i].Seq, b)
		flush = flush || lasting(list[i].Kind)
	}
	rows, tail := p.rows, append(l.tail[:len(l.tail):len(l.tail)], p.rows...)
	if len(tail) >= packAt {
		rows, tail = pack(tail, p.rows)
	}
	if err := l.s.PutEvents(rows, flush); err != nil {
		return err
	}
	l.next += uint64(len(list))
	for _, r := range p.rows {
		l.bytes += int64(len(r.Bytes))
		_ = split(r.Bytes, func(i int, event []byte) { l.index.add(r.First+uint64(i), event) })
	}
	l.tail = tail
	return nil
}

// lasting reports whether an event is to survive a power cut at once. There are
// few of those; to flush for each message once more would wear a card out.
func lasting(k Kind) bool { return k == Changed || k == Started || k == Stopped || k == Updated }

// pack makes full rows of short ones, of which fresh are not on disk yet. It
// returns what is to be written, and the last row, which may be short.
func pack(short, fresh []store.EventRow) (rows, tail []store.EventRow) {
	var p packer
	for _, r := range short {
		_ = split(r.Bytes, func(i int, event []byte) { p.add(r.First+uint64(i), event) })
	}
	rows = p.rows
	kept := make(map[uint64]bool, len(rows))
	for _, r := range rows {
		kept[r.First] = true
	}
	for _, r := range short[:len(short)-len(fresh)] {
		if !kept[r.First] {
			rows = append(rows, store.EventRow{First: r.First})
		}
	}
	return rows, p.rows[len(p.rows)-1:]
}

// Stats are figures of the log.
type Stats struct {
	Events  int64 `json:"events"` // at most so many are kept now
	Bytes   int64 `json:"bytes"`
	Lost    int64 `json:"lost"`    // since the start: they came too fast
	Omitted int64 `json:"omitted"` // since the start: refusals and failed sign-ins by the thousand
}

// Stats returns the figures as they are now.
func (l *Log) Stats() Stats {
	if l == nil {
		return Stats{}
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	s := Stats{Bytes: l.bytes, Omitted: l.quiet.all}
	if l.load() == nil {
		s.Events = int64(l.next - l.oldest)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Lost = l.allLost
	return s
}
