package relay

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How long one connection is used.
const (
	maxMessages = 100             // as Postfix had it; servers close long ones anyway
	maxAge      = 5 * time.Minute // Postfix's smtp_connection_reuse_time_limit
)

// A lane is what the attempts at one next hop share.
type lane struct {
	slots chan struct{}
	users int        // attempts that are in it or want to be
	idle  []*session // the one that was used last is last
}

// enter waits for a place among those that talk to a hop at once: a server that
// never answers costs its own hop only.
func (r *Relay) enter(ctx context.Context, hop string) (*lane, error) {
	r.mu.Lock()
	l := r.lanes[hop]
	if l == nil {
		l = &lane{slots: make(chan struct{}, r.o.PerHop)}
		r.lanes[hop] = l
	}
	l.users++
	r.mu.Unlock()
	select {
	case l.slots <- struct{}{}:
		return l, nil
	case <-ctx.Done():
		r.forget(hop, l)
		return nil, context.Cause(ctx)
	}
}

func (r *Relay) leave(hop string, l *lane) {
	<-l.slots
	r.forget(hop, l)
}

func (r *Relay) forget(hop string, l *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.users--
	r.tidy(hop, l)
}

// tidy drops a lane that nobody needs. The caller holds mu.
func (r *Relay) tidy(hop string, l *lane) {
	if l.users == 0 && len(l.idle) == 0 && r.lanes[hop] == l {
		delete(r.lanes, hop)
	}
}

// park keeps a connection for another message, or ends it. The caller is in the
// lane.
func (r *Relay) park(l *lane, s *session) {
	if s == nil {
		return
	}
	r.mu.Lock()
	now := time.Now()
	if r.running && s.good && s.used < maxMessages && now.Sub(s.since) < maxAge {
		s.until = now.Add(r.o.IdleFor)
		l.idle = append(l.idle, s)
		s = nil
	}
	r.mu.Unlock()
	if s != nil {
		s.conn.Quit()
	}
}

// take returns a connection that waits, the youngest first, nil if there is
// none.
func (r *Relay) take(hop string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lanes[hop]
	if l == nil || len(l.idle) == 0 {
		return nil
	}
	s := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	return s
}

// sweep ends the connections that have waited long enough; with the zero time
// all.
func (r *Relay) sweep(now time.Time) {
	var old []*session
	r.mu.Lock()
	for hop, l := range r.lanes {
		l.idle = slices.DeleteFunc(l.idle, func(s *session) bool {
			late := now.IsZero() || !now.Before(s.until)
			if late {
				old = append(old, s)
			}
			return late
		})
		r.tidy(hop, l)
	}
	r.mu.Unlock()
	var wg sync.WaitGroup // no server holds up the others
	for _, s := range old {
		wg.Go(s.conn.Quit)
	}
	wg.Wait()
}
