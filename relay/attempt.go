package relay

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"homemail/mail"
	"homemail/relay/client"
)

// openTime bounds the search for a server that answers: three that never say
// anything. The next attempt asks them in another order.
const openTime = 15 * time.Minute

// An attempt is one Send at work.
type attempt struct {
	r       *Relay
	hop     string
	m       mail.Handover
	outs    []mail.Outcome // one for each recipient; those that are not final may change
	final   []bool
	session *session // through which it went, if it may be used again or must be ended
	dialled int
	refused int // sessions that ended in a temporary refusal
}

func newAttempt(r *Relay, hop string, m mail.Handover) *attempt {
	n := len(m.Envelope.To)
	return &attempt{r: r, hop: hop, m: m, outs: make([]mail.Outcome, n), final: make([]bool, n)}
}

// end returns the outcomes.
func (a *attempt) end() []mail.Outcome {
	for i := range a.outs {
		if a.outs[i].Fate == "" {
			a.outs[i] = client.Outcome(errors.New("no server was tried"))
		}
	}
	return a.outs
}

// drop ends the connection without a word.
func (a *attempt) drop() {
	if a.session != nil {
		a.session.conn.Close()
	}
}

// run goes through the servers until one takes the message or refuses it for
// good.
func (a *attempt) run(ctx context.Context, p *plan) {
	if a.sender(p) {
		return
	}
	if a.again(ctx, p) {
		return
	}
	searching, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	for i := range p.hosts {
		h := &p.hosts[i]
		sec, err := a.r.secure(searching, p, h, a.m.Envelope.RequireTLS)
		if err == nil {
			err = h.unusable()
		}
		if err != nil {
			a.note(outcomeOf(err))
			continue
		}
		if a.host(ctx, searching, p, h, sec) {
			return
		}
	}
}

// unusable is why there is nothing to connect to.
func (h *host) unusable() error {
	switch {
	case len(h.addrs) > 0:
		return nil
	case h.err != nil && !notFound(h.err):
		return dnsTrouble(h.name, h.err)
	}
	return blocked(mail.Temporary, mail.CauseBadMX, "4.4.4", "the mail server "+h.name+" has no address")
}

// host tries the addresses of one host. It reports whether the attempt is over.
func (a *attempt) host(ctx, searching context.Context, p *plan, h *host, sec *security) bool {
	for _, addr := range h.addrs {
		if p.smarthost == nil && !a.r.allowed(addr) {
			a.note(outcomeOf(blocked(mail.Temporary, mail.CauseBadMX, "4.4.4",
				"the mail server "+h.name+" is said to be at "+addr.String()+", where it cannot be")))
			continue
		}
		if a.dialled++; a.dialled > maxAddresses {
			return true
		}
		s, err := a.r.open(searching, p, h, addr, sec)
		if err != nil {
			o := outcomeOf(err)
			o.Remote = s.remote
			a.note(o)
			a.log(addr, err)
			if searching.Err() != nil || o.Cause == mail.CauseAuth {
				return true
			}
			continue
		}
		over, _ := a.transact(ctx, p, s)
		if over {
			return true
		}
		a.session = nil
		s.conn.Quit()
		a.refused++
		return a.refused == maxSessions
	}
	return false
}

// again uses a connection that waits, if one fits. One that turns out to be
// dead counts for nothing.
func (a *attempt) again(ctx context.Context, p *plan) (over bool) {
	for {
		s := a.r.take(a.hop)
		if s == nil {
			return false
		}
		if !a.r.reuse(ctx, p, s, a.m.Envelope.RequireTLS) {
			s.conn.Quit()
			continue
		}
		before := slices.Clone(a.outs)
		over, err := a.transact(ctx, p, s)
		if over {
			return true
		}
		// Gone while it waited, or it has had enough of us: not the servers' last word.
		for i := range a.outs {
			if !a.final[i] {
				a.outs[i] = before[i]
			}
		}
		a.session = nil
		if err == nil {
			s.conn.Quit()
		} else {
			s.conn.Close()
		}
	}
}

// transact sends the message to those that still wait for it. It reports
// whether the attempt is over: the server has taken it for somebody, nobody is
// left, or nobody knows who has it.
func (a *attempt) transact(ctx context.Context, p *plan, s *session) (over bool, err error) {
	left := a.left()
	m := a.m
	m.Envelope.To = make([]mail.Recipient, len(left))
	for i, at := range left {
		m.Envelope.To[i] = a.m.Envelope.To[at]
	}
	outs, err := s.conn.Send(ctx, m)
	s.used++
	s.good = err == nil
	a.session = s
	for i, at := range left {
		o := outs[i]
		o.Remote, o.TLS = s.remote, s.tls
		switch {
		case p.smarthost != nil:
			o = p.smarthost.judge(o)
		case p.another && strings.HasPrefix(o.Reply.Enhanced, "5.7."):
			o.Fate = mail.Temporary // it may be our address that it does not like, RFC 3463 §3.8
		}
		a.put(at, o)
		over = over || o.Fate == mail.Relayed || o.Cause == mail.CauseOurs
	}
	var e *client.Error
	unsure := errors.As(err, &e) && (e.Unsure || e.Cause == mail.CauseOurs)
	return over || unsure || ctx.Err() != nil || len(a.left()) == 0, err
}

// left are the recipients whose fate is still open, by their place.
func (a *attempt) left() []int {
	var list []int
	for i := range a.outs {
		if !a.final[i] {
			list = append(list, i)
		}
	}
	return list
}

// note gives an outcome to all recipients whose fate is still open.
func (a *attempt) note(o mail.Outcome) {
	for _, i := range a.left() {
		if a.outs[i].Fate == "" || weight(o) >= weight(a.outs[i]) {
			a.outs[i] = o
		}
	}
}

// put gives an outcome to one recipient.
func (a *attempt) put(i int, o mail.Outcome) {
	if a.outs[i].Fate == "" || o.Fate != mail.Temporary || weight(o) >= weight(a.outs[i]) {
		a.outs[i] = o
	}
	a.final[i] = o.Fate != mail.Temporary
}

// weight says which of two outcomes tells more, if several servers were tried.
// A permanent one that only a host stands for yields to any other: another
// host, another day, may do.
func weight(o mail.Outcome) int {
	switch {
	case o.Fate == mail.Permanent:
		return 0
	case o.Reply.Code != 0:
		return 4
	case o.Cause == mail.CauseTLS, o.Cause == mail.CauseAuth, o.Cause == mail.CauseOurs:
		return 3
	case o.Cause == mail.CauseDNS, o.Cause == mail.CauseBadMX:
		return 1
	}
	return 2
}

func (a *attempt) log(addr netip.Addr, err error) {
	a.r.log.Debug("no session", "id", a.m.ID, "hop", a.hop, "addr", addr, "err", err)
}
