package router

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// A method is a language for opening ports, spoken to one gateway. An error that
// is a *refusal is an answer; any other means that there was none.
type method interface {
	name() string
	look(ctx context.Context) (seen, error)
	add(ctx context.Context, p Port) (grant, error) // also renews
	remove(ctx context.Context, p Port) error
}

// What a look has seen.
type seen struct {
	external netip.Addr // zero if it does not say
	anew     bool       // the router has forgotten what it held
}

// A grant is what a router gave for a port.
type grant struct {
	external uint16
	addr     netip.Addr // the router's outer address, if it told
	life     time.Duration
	forever  bool // no life: the router knows no leases
	theirs   bool // somebody else has set it up; it is not for us to renew and remove
	open     bool // nothing was needed
	anew     bool // the router had forgotten everything else
}

// missing is how many looks may stay without an answer until the other
// languages are tried: a router that starts takes a minute or two.
const missing = 3

// A held is a Mapping with what is to be done for it.
type held struct {
	Mapping
	due   time.Time // when to ask again
	tries int       // times in a row that it was not had
	ours  bool      // to be given back
}

// A session is one of our addresses at its gateway.
type session struct {
	r        *Router
	hop      Hop
	via      Hop // another way to the same router's UPnP, for pinholes; may be zero
	how      method
	by       string // the language that the router answered in, even if it refused
	external netip.Addr
	igd      *igd
	held     []*held
	looked   time.Time
	missed   int
	hurried  time.Time
}

func newSession(r *Router, hop Hop) *session {
	s := &session{r: r, hop: hop}
	for _, p := range r.ports {
		if hop.Own.Addr().Is6() {
			p.External = p.Internal // a pinhole translates nothing
		}
		s.held = append(s.held, &held{Mapping: Mapping{Port: p, Own: hop.Own.Addr(), Code: NotAsked, Why: why(NotAsked)}})
	}
	return s
}

// round does what is due, and returns when the next thing is.
func (s *session) round(ctx context.Context) time.Time {
	now := time.Now()
	switch {
	case !s.holds():
		if !now.Before(s.next()) {
			s.choose(ctx)
		}
		return s.next()
	case now.Sub(s.looked) >= looking:
		s.watch(ctx)
	}
	for _, h := range s.held {
		if s.how == nil || ctx.Err() != nil {
			break
		}
		if time.Now().Before(h.due) {
			continue
		}
		if err := s.ask(ctx, s.how, h); errors.Is(err, errSilent) {
			s.miss()
			break // the others would wait as long, for nothing
		}
	}
	s.settle()
	return s.next()
}

func (s *session) holds() bool {
	if s.how == nil {
		return false
	}
	for _, h := range s.held {
		if h.Mapped {
			return true
		}
	}
	return false
}

func (s *session) next() time.Time {
	at := s.held[0].due
	for _, h := range s.held {
		if h.due.Before(at) {
			at = h.due
		}
	}
	if look := s.looked.Add(looking); s.holds() && look.Before(at) {
		at = look
	}
	return at
}

// choose finds the first language that the router opens a port in. If there is
// none, what it answered first counts.
func (s *session) choose(ctx context.Context) {
	s.how, s.by, s.missed, s.looked = nil, "", 0, time.Now()
	var first []Mapping
	for _, m := range s.methods() {
		got, err := m.look(ctx)
		var no *refusal
		if err != nil && !errors.As(err, &no) {
			s.r.log.Debug("router", "gateway", s.hop.Gateway, "method", m.name(), "err", err)
			continue
		}
		if got.external.IsValid() {
			s.external = got.external
		}
		for _, h := range s.held {
			if ctx.Err() != nil {
				return
			}
			if err := s.ask(ctx, m, h); errors.Is(err, errSilent) {
				break
			}
		}
		if s.by == "" {
			s.by = m.name()
		}
		s.how = m
		if s.holds() {
			s.by = m.name()
			break
		}
		s.how = nil
		if first == nil {
			for _, h := range s.held {
				first = append(first, h.Mapping)
			}
		}
	}
	if ctx.Err() != nil {
		return
	}
	if s.how == nil {
		s.failAll(first)
	}
	s.settle()
	s.describe(ctx)
}

// failAll is for when nothing could be had.
func (s *session) failAll(first []Mapping) {
	for i, h := range s.held {
		if first == nil {
			h.fail(&refusal{Silent, "neither PCP nor NAT-PMP nor UPnP answered"})
			continue
		}
		h.Mapping = first[i]
	}
	// One clock for all, however often each was asked.
	tries := 0
	for _, h := range s.held {
		tries = max(tries, h.tries)
	}
	at := time.Now().Add(again[min(max(tries, 1), len(again))-1])
	for _, h := range s.held {
		h.due = at
	}
}

func (s *session) methods() []method {
	pcp := &pcp{r: s.r, hop: s.hop}
	if s.hop.Own.Addr().Is6() {
		return []method{pcp, &pinhole{s: s}}
	}
	return []method{pcp, &natpmp{r: s.r, hop: s.hop}, &upnp{s: s}}
}

// describe learns the router's name, whatever language it opens ports in.
func (s *session) describe(ctx context.Context) {
	if s.igd != nil || !s.holds() || s.hop.Own.Addr().Is6() {
		return // without a port, UPnP was tried
	}
	g, err := s.r.discover(ctx, s.hop)
	if err != nil {
		return // many have UPnP turned off
	}
	s.igd = g
	if !s.external.IsValid() {
		if u := (&upnp{s: s}); u.connect(ctx) == nil {
			s.external = u.external
		}
	}
}

// watch sees whether the router is still the one that we asked.
func (s *session) watch(ctx context.Context) {
	s.looked = time.Now()
	got, err := s.how.look(ctx)
	var no *refusal
	switch {
	case ctx.Err() != nil:
		return
	case errors.As(err, &no):
		return // it is there; what is held will be asked for when it is due
	case err != nil:
		s.miss()
		return
	}
	s.missed = 0
	moved := got.external.IsValid() && s.external.IsValid() && got.external != s.external
	if got.external.IsValid() {
		s.external = got.external
	}
	if got.anew || moved {
		s.anew()
	}
}

// miss counts what was not answered.
func (s *session) miss() {
	if s.missed++; s.missed < missing {
		return
	}
	s.r.log.Warn("the router does not answer any more", "gateway", s.hop.Gateway, "method", s.by)
	s.how = nil
	for _, h := range s.held {
		h.tries, h.due = 0, time.Now()
		h.drop()
	}
}

// anew asks for everything again at once, because the router has forgotten it;
// but a router that says so all the time keeps us from nothing.
func (s *session) anew() {
	if time.Since(s.hurried) < calm {
		return
	}
	s.r.log.Info("the router has started anew", "gateway", s.hop.Gateway)
	s.hurry()
}

func (s *session) hurry() {
	s.hurried = time.Now()
	for _, h := range s.held {
		h.due, h.tries = s.hurried, 0
	}
}

// ask asks for one port.
func (s *session) ask(ctx context.Context, m method, h *held) error {
	asked := time.Now()
	g, err := m.add(ctx, h.Port)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		s.missed = 0
		if g.addr.IsValid() {
			s.external = g.addr
		}
		h.take(g, m.name(), asked)
	} else {
		h.fail(err)
	}
	if h.Code == Moved {
		h.ours = m.remove(ctx, h.Port) != nil // a port that nobody asked for
	}
	if due := h.due; g.anew {
		s.anew()
		h.due = due // this one is there now
	}
	return err
}

// take notes what was given.
func (h *held) take(g grant, by string, asked time.Time) {
	life := min(g.life, lease)
	switch {
	case g.external != h.External:
		h.Given = g.external
		h.fail(&refusal{Moved, ""})
		h.Given = g.external
		return
	case life <= 0 && !g.forever && !g.open && !g.theirs:
		h.fail(&refusal{Odd, by + " gave it for no time"})
		return
	}
	h.Mapped, h.By, h.Given, h.tries, h.Detail = true, by, g.external, 0, ""
	h.ours = !g.theirs && !g.open
	h.Until = time.Time{}
	h.due = asked.Add(lease / 2)
	if h.ours && !g.forever {
		h.Until = asked.Add(life)
		h.due = asked.Add(max(life, leastLife) / 2)
	}
	h.say(Mapped)
	if g.open {
		h.say(Open)
	}
}

// fail notes that a port was not given. While its lease lasts, silence changes
// nothing: the router may be starting.
func (h *held) fail(err error) {
	now := time.Now()
	no := &refusal{Silent, ""}
	if !errors.As(err, &no) {
		no.detail = err.Error()
	}
	if left := h.Until.Sub(now); no.code == Silent && h.Mapped && left > 0 {
		h.due = now.Add(max(left/2, leastLife/2))
		return
	}
	h.Detail = no.detail
	h.due = now.Add(again[min(h.tries, len(again)-1)])
	h.tries++
	h.Mapped, h.By, h.Given, h.Until = false, "", 0, time.Time{}
	h.say(no.code)
}

// drop forgets a mapping whose router is gone.
func (h *held) drop() {
	h.Mapped, h.By, h.Given, h.Until, h.ours = false, "", 0, time.Time{}, false
	h.say(Silent)
}

func (h *held) say(c Code) { h.Code, h.Why = c, why(c) }

// settle tells a port that another machine has from a line that cannot give
// such ports at all: there, none is to be had.
func (s *session) settle() {
	if !s.holds() {
		return
	}
	for _, h := range s.held {
		if h.Code == Moved {
			h.say(Conflict)
		}
	}
}

// leave gives everything back, as far as time allows.
func (s *session) leave(ctx context.Context) {
	if s.how == nil {
		return
	}
	for _, h := range s.held {
		if !h.ours {
			continue
		}
		if err := s.how.remove(ctx, h.Port); err != nil {
			s.r.log.Warn("a port was not given back", "port", h.External, "proto", h.Proto, "until", h.Until, "err", err)
			if errors.Is(err, errSilent) {
				return
			}
			continue
		}
		h.Mapped, h.By, h.Given, h.Until, h.ours = false, "", 0, time.Time{}, false
		h.say(NotAsked)
	}
}
