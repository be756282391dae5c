package listen

import (
	"net/netip"
	"sync"
	"time"
)

// Limits bound the connections of one protocol. A limit of 0 is none.
type Limits struct {
	PerIP, Global int // open at once
	NewPerSecond  int // from one address, after Burst at once
	Burst         int
}

// A Gate counts the connections of one protocol, which may have several doors,
// and holds them within its limits.
type Gate struct {
	limits Limits

	mu     sync.Mutex
	peers  map[netip.Addr]*peer
	counts Counts
}

// Counts are a Gate's figures since it was made.
type Counts struct {
	Open     int
	Accepted uint64
	Refused  map[Reason]uint64
}

// A Reason says why a connection was refused.
type Reason string

// The reasons for which a connection is refused.
const (
	TooMany        Reason = "too many connections"
	TooManyFromIP  Reason = "too many connections from one address"
	TooFast        Reason = "new connections too fast from one address"
	NotPrivate     Reason = "not a private address"
	accepted       Reason = ""
	maxPeers              = 8192 // addresses remembered: under 1 MB
	ipv6PeerPrefix        = 64   // bits that a provider gives to one household
)

// A peer is what is known about one address.
type peer struct {
	open int
	next time.Time // when the allowance of new connections is whole again
}

// NewGate returns a Gate with no connections.
func NewGate(l Limits) *Gate {
	return &Gate{limits: l, peers: map[netip.Addr]*peer{}, counts: Counts{Refused: map[Reason]uint64{}}}
}

// Counts returns the figures of now.
func (g *Gate) Counts() Counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.counts
	c.Refused = map[Reason]uint64{}
	for r, n := range g.counts.Refused {
		c.Refused[r] = n
	}
	return c
}

// enter counts a new connection in, or says why not.
func (g *Gate) enter(key netip.Addr, now time.Time) Reason {
	g.mu.Lock()
	defer g.mu.Unlock()
	why := g.admit(key, now)
	if why != accepted {
		g.counts.Refused[why]++
		return why
	}
	g.counts.Accepted++
	g.counts.Open++
	return accepted
}

func (g *Gate) admit(key netip.Addr, now time.Time) Reason {
	if g.limits.Global > 0 && g.counts.Open >= g.limits.Global {
		return TooMany
	}
	p := g.peers[key]
	if p == nil {
		g.makeRoom(now)
		p = &peer{}
		g.peers[key] = p
	}
	if g.limits.PerIP > 0 && p.open >= g.limits.PerIP {
		return TooManyFromIP
	}
	if !g.limits.allow(p, now) {
		return TooFast
	}
	p.open++
	return accepted
}

// allow takes one from the peer's allowance of new connections: the generic
// cell rate algorithm (ITU-T I.371), which needs one time and no timer.
func (l Limits) allow(p *peer, now time.Time) bool {
	if l.NewPerSecond <= 0 {
		return true
	}
	step := time.Second / time.Duration(l.NewPerSecond)
	next := p.next
	if next.Before(now) {
		next = now
	}
	if next.Sub(now) > step*time.Duration(max(l.Burst, 1)-1) {
		return false
	}
	p.next = next.Add(step)
	return true
}

// leave counts a connection out.
func (g *Gate) leave(key netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts.Open--
	if p := g.peers[key]; p != nil {
		p.open--
	}
}

// refuse counts a connection that was refused for a reason of the door's.
func (g *Gate) refuse(why Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts.Refused[why]++
}

// makeRoom keeps the memory of addresses bounded: those with nothing to
// remember go first, then half of those that have no connection, so that a
// flood from ever new addresses pays for a sweep only every so often.
func (g *Gate) makeRoom(now time.Time) {
	if len(g.peers) < maxPeers {
		return
	}
	for k, p := range g.peers {
		if p.open == 0 && !p.next.After(now) {
			delete(g.peers, k)
		}
	}
	for k, p := range g.peers {
		if len(g.peers) <= maxPeers/2 {
			return
		}
		if p.open == 0 {
			delete(g.peers, k)
		}
	}
}

// peerKey is the address that limits count by: all of IPv4, the /64 of IPv6.
func peerKey(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() || a.IsLinkLocalUnicast() { // every neighbour is in fe80::/64
		return a
	}
	p, err := a.Prefix(ipv6PeerPrefix)
	if err != nil {
		return a // no address at all: counted as one peer
	}
	return p.Addr()
}

// isPrivate reports whether a is this computer or of a private network:
// loopback, RFC 1918, RFC 4193, or link-local.
func isPrivate(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}
