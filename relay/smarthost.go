package relay

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"homemail/mail"
	"homemail/relay/client"
)

// How a smarthost speaks TLS.
const (
	TLSImplicit = "implicit" // from the first octet, port 465, RFC 8314 §3.3
	TLSStart    = "starttls" // port 587
	TLSNone     = "none"     // only on this machine, and without a password
)

// A Smarthost is a server that takes our mail for everywhere, because we sign
// in. Its certificate always has to prove its name.
type Smarthost struct {
	Name string // what routes call it
	Host string // a name or an address; one in our own network will do
	Port int
	TLS  string // TLSImplicit, TLSStart or TLSNone

	User      string                 // "" does not sign in
	Secret    func() (string, error) // the password or, for XOAUTH2, a token
	Mechanism string                 // "" is the strongest that the server has

	// Pin is the SHA-256 of the server's certificate in hex, instead of a proof
	// by a CA.
	Pin string
	// From are the senders that it takes: addresses, or domains with "@" before.
	// Without any it takes all.
	From []string
}

// planSmarthost finds the smarthost of a name.
func (r *Relay) planSmarthost(ctx context.Context, name string) (*plan, error) {
	s, ok := r.o.Routes().Smarthosts[name]
	if !ok {
		return nil, blocked(mail.Temporary, mail.CauseNotSetUp, "4.3.5", "the smarthost "+name+" is not set up")
	}
	return r.planFor(ctx, s)
}

func (r *Relay) planFor(ctx context.Context, s Smarthost) (*plan, error) {
	p := &plan{hop: hopSmarthost + ":" + s.Name, smarthost: &s, port: uint16(s.Port)}
	h := host{name: plain(s.Host)}
	if addr, err := netip.ParseAddr(s.Host); err == nil {
		h.addrs = []netip.Addr{addr.Unmap()}
	} else {
		answer, err := r.o.Resolver.IP(ctx, h.name)
		if notFound(err) { // somebody may have mistyped it: no reason to lose mail
			return nil, blocked(mail.Temporary, mail.CauseNotSetUp, "4.4.4", "the smarthost "+h.name+" does not exist")
		} else if err != nil {
			return nil, dnsTrouble(h.name, err)
		}
		h.addrs = r.mix(answer.List)
	}
	p.hosts = []host{h}
	return p, s.sound(h)
}

// sound refuses settings that would show mail or a password to others.
func (s *Smarthost) sound(h host) error {
	remote := slices.ContainsFunc(h.addrs, func(a netip.Addr) bool { return !a.IsLoopback() })
	var why string
	switch {
	case s.Port <= 0 || s.Port > 65535:
		why = "has no port"
	case s.TLS != TLSImplicit && s.TLS != TLSStart && s.TLS != TLSNone:
		why = "has no kind of TLS that we know"
	case s.TLS == TLSNone && remote:
		why = "must have TLS: it is not on this machine"
	case s.TLS == TLSNone && s.User != "":
		why = "must have TLS: a password is never sent without"
	case s.User != "" && s.Secret == nil:
		why = "has no password"
	default:
		return nil
	}
	return blocked(mail.Temporary, mail.CauseNotSetUp, "4.3.5", "the smarthost "+s.Name+" "+why)
}

// security is what TLS has to do at a smarthost.
func (s *Smarthost) security(sec *security) *security {
	sec.level, sec.implicit, sec.pin, sec.user = verify, s.TLS == TLSImplicit, s.Pin, s.User
	sec.by = "smarthost " + s.Name
	if s.TLS == TLSNone {
		sec.level = none
	}
	return sec
}

func (r *Relay) login(ctx context.Context, c *client.Conn, s *Smarthost) error {
	secret, err := s.Secret()
	if err != nil {
		return &client.Error{Cause: mail.CauseAuth, Doing: "reading the password of smarthost " + s.Name, Err: err}
	}
	return c.Auth(ctx, client.Credentials{User: s.User, Secret: secret, Mechanism: s.Mechanism})
}

// judge looks at an outcome from a smarthost: a server that wants us to sign in
// says nothing about the message, RFC 4954 §6. Mail is never lost to a wrong
// password.
func (s *Smarthost) judge(o mail.Outcome) mail.Outcome {
	switch o.Reply.Code {
	case 530, 534, 535, 538:
		o.Fate, o.Cause = mail.Temporary, mail.CauseAuth
	}
	return o
}

// takes reports whether the smarthost takes mail from a sender. The null
// reverse-path has no owner.
func (s *Smarthost) takes(from mail.Path) bool {
	if len(s.From) == 0 || from.IsNull() {
		return true
	}
	return slices.ContainsFunc(s.From, func(f string) bool {
		if domain, ok := strings.CutPrefix(f, "@"); ok {
			return strings.EqualFold(domain, from.Domain())
		}
		return mail.Path(f).Key() == from.Key()
	})
}

// sender ends the attempt if the smarthost does not take the sender. The owner
// can set that right.
func (a *attempt) sender(p *plan) (over bool) {
	if p.smarthost == nil || p.smarthost.takes(a.m.Envelope.From) {
		return false
	}
	a.note(outcomeOf(blocked(mail.Temporary, mail.CauseNotSetUp, "4.7.1",
		"the smarthost "+p.smarthost.Name+" does not take mail from "+string(a.m.Envelope.From))))
	return true
}
