package signin

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A Ban is an address that may not sign in for a while, as too many sign-ins
// from there failed.
type Ban struct {
	Network netip.Prefix // an IPv4 address, or the /64 of a household
	Left    time.Duration
	Times   int // shut out one after another
	Refused int // attempts during this one
}

// Bans lists who is shut out now, the longest first.
func (c *Checker) Bans() []Ban { return c.limits.bans() }

// Lift lets the address sign in again at once, and reports whether it was shut
// out. Its failures are forgotten, too.
func (c *Checker) Lift(a netip.Addr) bool { return c.limits.lift(network(a)) }

func (l *limiter) bans() (list []Ban) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, s := range l.addrs.all() {
		if left := time.Until(s.until); left > 0 {
			list = append(list, Ban{Network: n, Left: left, Times: s.bans, Refused: s.refused})
		}
	}
	slices.SortFunc(list, func(a, b Ban) int {
		return cmp.Or(cmp.Compare(b.Left, a.Left), a.Network.Addr().Compare(b.Network.Addr()))
	})
	return list
}

func (l *limiter) lift(n netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.addrs.peek(n)
	if s == nil || time.Until(s.until) <= 0 {
		return false
	}
	l.addrs.remove(n)
	return true
}
