// Package router asks the router of the house to let the ports in use through:
// PCP (RFC 6887), then NAT-PMP (RFC 6886), then UPnP IGD; over IPv4 as port
// mappings, over IPv6 as pinholes. What it holds it renews at half its lease and
// gives back at the end. It asks for nothing but the ports that it was given,
// takes no port from another machine, and talks to the gateway only: whatever
// else is in the house can neither send it elsewhere nor keep it busy.
package router

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"homemail/words"
)

// Limits of what is asked for.
const (
	maxPorts = 32 // routers have tables of some hundred rows for the whole house
	maxHops  = 4  // one of IPv4, and the stable addresses of IPv6
	maxName  = 32 // bytes of a description: some routers cut or refuse longer ones
)

// When things are done.
const (
	lease     = 2 * time.Hour    // that is asked for, as RFC 6886 §3.3 recommends
	leastLife = time.Minute      // a router that says less is asked again no sooner than this allows
	looking   = 5 * time.Minute  // between looks whether the router still is what it was
	calm      = time.Minute      // between two times that everything is asked for anew, whoever says so
	leaving   = 10 * time.Second // for giving everything back at the end
)

// again is how long to wait after the n-th time that nothing could be had.
var again = [...]time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

// A Port is one that the world should reach.
type Port struct {
	Proto    string `json:"proto"`              // "tcp", also if empty, or "udp"
	Internal uint16 `json:"internal"`           // where we listen
	External uint16 `json:"external,omitempty"` // where the world connects to; 0 means Internal
	Name     string `json:"name,omitempty"`     // in ASCII, what the router's pages show after "homemail"
}

// A Hop is one of our addresses with the router that it reaches the world by.
type Hop struct {
	Gateway netip.Addr   // with its zone, if it is link-local
	Own     netip.Prefix // our address, and the network that it is in
}

// Options are the settings of a Router.
type Options struct {
	Ports []Port
	// Seed makes the nonces of PCP the same after a restart, so that what a
	// crash left behind is still ours (RFC 6887 §11.2). Nil means a new one.
	Seed []byte
	// Hops finds the gateways; nil asks the system, which only Linux can answer.
	Hops func() ([]Hop, error)
	// Listen opens a UDP socket at one of our addresses, Dial a TCP connection
	// from it. Hear opens one that gets the announcements of routers that
	// started (224.0.0.1 port 5350). Nil means those of the system.
	Listen func(ctx context.Context, own netip.Addr) (net.PacketConn, error)
	Dial   func(ctx context.Context, own netip.Addr, to netip.AddrPort) (net.Conn, error)
	Hear   func(ctx context.Context) (net.PacketConn, error)
	Log    *slog.Logger // slog.Default() if nil
}

// A Mapping is what became of one Port at one of our addresses.
type Mapping struct {
	Port
	Own    netip.Addr `json:"own"`
	Mapped bool       `json:"mapped"`
	By     string     `json:"by,omitempty"`    // "PCP", "NAT-PMP" or "UPnP"
	Given  uint16     `json:"given,omitempty"` // the outer port that the router gave, or wanted to give; 0 if none
	Until  time.Time  `json:"until,omitzero"`  // zero if it has no end
	Code   Code       `json:"code"`
	Why    words.Text `json:"why"`
	Detail string     `json:"detail,omitempty"` // for those who know routers
}

// A State is what the router said last.
type State struct {
	Gateway  netip.Addr `json:"gateway,omitzero"`  // of IPv4, or of IPv6 if there is no other
	Own      netip.Addr `json:"own,omitzero"`      // our address behind it
	External netip.Addr `json:"external,omitzero"` // the router's own IPv4 address to the outside, if it says
	Method   string     `json:"method,omitempty"`  // what it speaks: "PCP", "NAT-PMP" or "UPnP"; "" if nothing
	Model    string     `json:"model,omitempty"`   // by UPnP; words of the router's: escape them
	Page     string     `json:"page,omitempty"`    // the router's own pages: an http URL at the gateway
	Code     Code       `json:"code"`
	Why      words.Text `json:"why"` // of the whole
	Ports    []Mapping  `json:"ports,omitempty"`
	Asked    time.Time  `json:"asked,omitzero"` // when; zero if the router was not asked yet
}

// A Router is the router of the house, as we know it.
type Router struct {
	o     Options
	ports []Port
	log   *slog.Logger
	wake  chan struct{} // a router has started anew

	mu    sync.Mutex
	state State
}

// New returns a Router. It starts nothing. Ports beyond what a router may be
// asked for, and those that are none, are left out.
func New(o Options) *Router {
	o.Log = cmp.Or(o.Log, slog.Default())
	if o.Hops == nil {
		o.Hops = systemHops
	}
	if o.Listen == nil {
		o.Listen = listen
	}
	if o.Dial == nil {
		o.Dial = dial
	}
	if o.Hear == nil {
		o.Hear = hear
	}
	if o.Seed == nil {
		o.Seed = make([]byte, 32)
		rand.Read(o.Seed) // never fails
	}
	r := &Router{o: o, log: o.Log, wake: make(chan struct{}, 1), ports: canonical(o.Ports)}
	r.state = State{Code: NotAsked, Why: why(NotAsked)}
	return r
}

func canonical(list []Port) (ports []Port) {
	for _, p := range list {
		p.Proto = cmp.Or(p.Proto, "tcp")
		p.External = cmp.Or(p.External, p.Internal)
		p.Name = printable(p.Name, maxName)
		same := func(q Port) bool { return q.Proto == p.Proto && q.External == p.External }
		if p.Internal == 0 || p.Proto != "tcp" && p.Proto != "udp" || slices.ContainsFunc(ports, same) || len(ports) == maxPorts {
			continue
		}
		ports = append(ports, p)
	}
	return ports
}

// State returns what the router said last.
func (r *Router) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	s.Ports = slices.Clone(s.Ports)
	return s
}

// Run holds the ports until ctx is done, and then gives them back. It returns
// nil; a router that does not answer is a State, not an error.
func (r *Router) Run(ctx context.Context) error {
	house := &house{Router: r}
	defer house.leave(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { r.hear(ctx) })
	for {
		wait := house.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-r.wake:
			t.Stop()
			if !house.hurry(ctx) {
				return nil
			}
		}
	}
}

// A house is the work of one Run.
type house struct {
	*Router
	hops     []Hop
	sessions []*session
	hurried  time.Time // when everything was asked for anew because a router started
	tries    int       // times in a row that there was no route
}

// round does what is due, and returns when to come again.
func (h *house) round(ctx context.Context) time.Duration {
	if len(h.ports) == 0 {
		h.publish(State{Code: NothingToDo, Why: why(NothingToDo)})
		return again[len(again)-1]
	}
	hops, err := h.o.Hops()
	if err != nil || len(hops) == 0 {
		h.sessions, h.hops = nil, nil // they lead nowhere any more
		s := State{Code: NoGateway, Why: why(NoGateway), Asked: time.Now()}
		h.publish(s)
		h.tries++
		return again[min(h.tries, len(again))-1]
	}
	h.tries = 0
	if hops = usable(hops); !slices.Equal(hops, h.hops) {
		h.move(ctx, hops)
	}
	if len(h.sessions) == 0 {
		h.publish(State{Code: Public, Why: why(Public), Asked: time.Now()})
		return looking
	}
	next := time.Now().Add(looking)
	for _, s := range h.sessions {
		if at := s.round(ctx); at.Before(next) {
			next = at
		}
		h.publish(h.sum())
	}
	return max(time.Until(next), time.Second)
}

// usable leaves out what there is nothing to ask for: who has a public IPv4
// address is not in a house with a router, and the gateway of a data centre is
// not to be bothered.
func usable(hops []Hop) (list []Hop) {
	for _, h := range hops {
		own := h.Own.Addr()
		if own.Is4() && !inside(own) {
			return nil
		}
		if h.Gateway.IsValid() && h.Gateway.Is4() == own.Is4() && len(list) < maxHops {
			list = append(list, h)
		}
	}
	return list
}

// The networks that are behind a translator, beside those of RFC 1918.
var (
	carrier  = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	protocol = netip.MustParsePrefix("192.0.0.0/24")  // RFC 6890: DS-Lite and its kind
)

// inside reports whether an IPv4 address is not one of the Internet.
func inside(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || carrier.Contains(a) || protocol.Contains(a)
}

// move begins anew where the way out has changed. What goes on as it was is
// kept; what was held of an address that is gone is given back.
func (h *house) move(ctx context.Context, hops []Hop) {
	var keep []*session
	for _, hop := range hops {
		i := slices.IndexFunc(h.sessions, func(s *session) bool { return s.hop == hop })
		if i < 0 {
			h.log.Info("router", "gateway", hop.Gateway, "own", hop.Own)
			keep = append(keep, newSession(h.Router, hop))
			continue
		}
		keep = append(keep, h.sessions[i])
		h.sessions = slices.Delete(h.sessions, i, i+1)
	}
	if len(h.sessions) > 0 {
		ctx, cancel := context.WithTimeout(ctx, leaving)
		defer cancel()
		for _, s := range h.sessions {
			s.leave(ctx)
		}
	}
	h.hops, h.sessions = hops, keep
	for _, s := range keep {
		if i := slices.IndexFunc(hops, func(h Hop) bool { return h.Own.Addr().Is4() }); i >= 0 && s.hop.Own.Addr().Is6() {
			s.via = hops[i]
		}
	}
}

// hurry makes everything due, because a router says that it has started. It may
// be a lie, and somebody may tell it all the time: the next is heard only when
// calm is over. It reports whether ctx goes on.
func (h *house) hurry(ctx context.Context) bool {
	if left := calm - time.Since(h.hurried); left > 0 {
		t := time.NewTimer(left)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
	}
	h.hurried = time.Now()
	for _, s := range h.sessions {
		s.hurry()
	}
	return true
}

// leave gives everything back. The context that ends Run has ended.
func (h *house) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	for _, s := range h.sessions {
		s.leave(ctx)
	}
	if len(h.sessions) > 0 {
		s := h.sum()
		s.Code, s.Why = NotAsked, why(NotAsked)
		h.publish(s)
	}
}

// sum is the State of all sessions.
func (h *house) sum() State {
	s := State{Code: Silent, Asked: time.Now()}
	for _, c := range h.sessions {
		if !s.Gateway.IsValid() {
			s.Gateway, s.Own = c.hop.Gateway, c.hop.Own.Addr()
		}
		s.Method = cmp.Or(s.Method, c.by)
		if c.external.Is4() {
			s.External = c.external
		}
		if c.igd != nil {
			s.Model, s.Page = cmp.Or(s.Model, c.igd.model), cmp.Or(s.Page, c.igd.page)
		}
		for _, p := range c.held {
			s.Ports = append(s.Ports, p.Mapping)
		}
	}
	s.Code = worst(s.Ports)
	s.Why = why(s.Code)
	return s
}

// worst is the state of the IPv4 mappings, which matter most; of IPv6 only
// where there are no others.
func worst(list []Mapping) Code {
	code, only4 := Mapped, slices.ContainsFunc(list, func(m Mapping) bool { return m.Own.Is4() })
	for _, m := range list {
		if only4 && !m.Own.Is4() {
			continue
		}
		if severity[m.Code] > severity[code] {
			code = m.Code
		}
	}
	return code
}

func (r *Router) publish(s State) {
	r.mu.Lock()
	was := r.state
	r.state = s
	r.mu.Unlock()
	if was.External != s.External && s.External.IsValid() {
		r.log.Info("the router's outer address", "now", s.External, "before", was.External)
	}
	if was.Code != s.Code {
		r.log.Info("router", "code", s.Code, "why", s.Why.EN, "method", s.Method, "model", s.Model)
	}
}

func (r *Router) isGateway(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return a == r.state.Gateway.WithZone("")
}

// hear waits for routers that say that they have started (RFC 6887 §14.1.3,
// RFC 6886 §3.2.1). Where that cannot be had, the looks will notice.
func (r *Router) hear(ctx context.Context) {
	c, err := r.o.Hear(ctx)
	if err != nil {
		r.log.Debug("not hearing routers that start", "err", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer func() { stop(); c.Close() }()
	buf := make([]byte, maxPacket+1)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			if ctx.Err() == nil {
				r.log.Debug("not hearing routers that start any more", "err", err)
			}
			return
		}
		if !announces(buf[:n]) || !r.isGateway(addr(from).Addr()) {
			continue
		}
		select {
		case r.wake <- struct{}{}:
		default: // already told
		}
	}
}
