package smtpd

import (
	"net/netip"
	"sync"
	"time"
)

// maxWindows bounds the memory that strangers can make a window use.
const maxWindows = 10000

// A window counts events for each key in fixed spans of time.
type window[K comparable] struct {
	limit int // no limit if not positive
	span  time.Duration

	mu   sync.Mutex
	keys map[K]*span
}

type span struct {
	start time.Time
	n     int
}

func newWindow[K comparable](limit int, d time.Duration) *window[K] {
	return &window[K]{limit: limit, span: d, keys: make(map[K]*span)}
}

// take counts an event and reports whether it is within the limit.
func (w *window[K]) take(k K) bool {
	if w.limit <= 0 {
		return true
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.keys[k]
	if s == nil || now.Sub(s.start) >= w.span {
		if s == nil && len(w.keys) >= maxWindows {
			w.evict(now)
		}
		s = &span{start: now}
		w.keys[k] = s
	}
	if s.n >= w.limit {
		return false
	}
	s.n++
	return true
}

// spent reports whether the next event would be over the limit.
func (w *window[K]) spent(k K) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.keys[k]
	return w.limit > 0 && s != nil && s.n >= w.limit && time.Since(s.start) < w.span
}

// evict makes room for many, so that it is seldom needed: all spans that are
// over, or else any.
func (w *window[K]) evict(now time.Time) {
	for k, s := range w.keys {
		if now.Sub(s.start) >= w.span {
			delete(w.keys, k)
		}
	}
	for k := range w.keys {
		if len(w.keys) < maxWindows*9/10 {
			return
		}
		delete(w.keys, k)
	}
}

// network is what counts as one client: an IPv4 address or an IPv6 /64.
func network(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // bits fit the address
	return p.String()
}
