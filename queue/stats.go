package queue

import (
	"sync"
	"sync/atomic"
	"time"

	"homemail/clock"
)

// Stats are figures about the queue, for monitoring. All count recipients, but
// for Active.
type Stats struct {
	Queued    int           // that wait
	Due       int           // of them those whose time has come
	OldestAge time.Duration // of who waits longest
	Active    int64         // attempts under way
	Relayed   int64         // since the start
	Deferred  int64
	Failed    int64
}

type counters struct {
	active, relayed, deferred, failed atomic.Int64

	mu     sync.Mutex
	size   Stats // the part that is measured
	looked time.Time
}

// sizeEach is how long a measurement of the queue stands: it reads all keys.
const sizeEach = 15 * time.Second

// Stats returns the figures.
func (q *Queue) Stats() Stats {
	c := &q.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.looked.IsZero() || now.Sub(c.looked) >= sizeEach {
		if size, err := q.disk.QueueSize(now); err == nil {
			c.size, c.looked = Stats{Queued: size.Queued, Due: size.Due}, now
			if r := size.Oldest; r != nil {
				c.size.OldestAge = r.Age + clock.Step(r.Last, now, max(r.Due.Sub(r.Last), q.o.Steps[0]))
			}
		}
	}
	s := c.size
	s.Active, s.Relayed, s.Deferred, s.Failed = c.active.Load(), c.relayed.Load(), c.deferred.Load(), c.failed.Load()
	return s
}
