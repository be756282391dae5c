package probe

import (
	"net/netip"
	"sync"
	"time"
)

// How often the server works for others. A line check asks for four echoes and
// one look in each family, every hour, and as often as somebody who sets up a
// router presses the button.
const (
	window     = time.Hour
	maxEchoes  = 160  // in a window, for one network
	maxLooks   = 30   // the same: every look connects five times
	maxAll     = 2000 // looks in a window for everybody
	maxClients = 8192 // networks that are counted; more are sent away
	maxAtOnce  = 16   // looks that run
)

// limits counts what was asked for since the window began.
type limits struct {
	mu      sync.Mutex
	began   time.Time
	clients map[netip.Prefix]*count
	looks   int
	running int
}

type count struct{ echoes, looks int }

// network is what is counted together: what one household can have.
func network(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // an address without a zone has one
	return p
}

// client returns the counters of a network, nil if there is no room for them.
func (l *limits) client(a netip.Addr) *count {
	if now := time.Now(); l.clients == nil || now.Sub(l.began) >= window || now.Before(l.began) {
		l.began, l.clients, l.looks = now, make(map[netip.Prefix]*count), 0
	}
	p := network(a)
	c := l.clients[p]
	if c == nil && len(l.clients) < maxClients {
		c = new(count)
		l.clients[p] = c
	}
	return c
}

// echo reports whether an address may be told who it is.
func (l *limits) echo(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.client(a)
	if c == nil || c.echoes >= maxEchoes {
		return false
	}
	c.echoes++
	return true
}

// look reports whether an address may be looked at; then done has to be called.
func (l *limits) look(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.client(a)
	if c == nil || c.looks >= maxLooks || l.looks >= maxAll || l.running >= maxAtOnce {
		return false
	}
	c.looks++
	l.looks++
	l.running++
	return true
}

func (l *limits) done() {
	l.mu.Lock()
	l.running--
	l.mu.Unlock()
}
