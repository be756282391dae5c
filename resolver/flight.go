package resolver

import (
	"context"
	"fmt"
)

// A trip is a question and the cache's generation that it was asked in.
type trip struct {
	question
	gen uint64
}

// A flight is a question on its way, with all who wait for its answer. When the
// last of them goes away it ends: strangers make us ask, and who asks much and
// leaves must not keep others from asking.
type flight struct {
	done    chan struct{}
	reply   reply // once done is closed
	waiting int
	cancel  context.CancelFunc
}

// board joins the flight of a question, or starts it.
func (r *Resolver) board(t trip) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.flights[t]
	if f == nil {
		ctx, cancel := context.WithTimeout(context.Background(), allTries)
		f = &flight{done: make(chan struct{}), cancel: cancel}
		r.flights[t] = f
		go r.fly(ctx, t, f)
	}
	f.waiting++
	return f
}

// leave is for who does not wait any longer.
func (r *Resolver) leave(t trip, f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiting--; f.waiting == 0 && r.flights[t] == f {
		delete(r.flights, t)
		f.cancel()
	}
}

// fly asks, and keeps the answer unless nobody waited for it.
func (r *Resolver) fly(ctx context.Context, t trip, f *flight) {
	defer f.cancel()
	rep := r.exchangeSafely(ctx, t.question)
	if t.name == "." {
		rep.ttl = min(rep.ttl, validatesFor)
	}
	r.mu.Lock()
	if r.flights[t] == f {
		delete(r.flights, t)
		r.cache.put(t.question, rep, t.gen)
	}
	r.mu.Unlock()
	f.reply = rep
	close(f.done)
}

// exchangeSafely survives an answer that breaks the library.
func (r *Resolver) exchangeSafely(ctx context.Context, q question) (rep reply) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("an answer of the DNS broke us", "name", q.name, "panic", p)
			rep = reply{name: q.name, ttl: failedFor, err: temporary(fmt.Sprint(p), q, "", false)}
		}
	}()
	return r.exchange(ctx, q)
}
