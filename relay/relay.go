// Package relay makes one attempt to bring a message to its next hop: the
// servers of a domain, found through MX records, or a smarthost that we sign in
// to. It decides which server is asked, over which address and how it has to
// prove who it is (MTA-STS, DANE). It never tries again by itself, keeps nothing
// on disk and never looks into a message; that is the queue's part.
package relay

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"homemail/mail"
	"homemail/relay/client"
	"homemail/relay/mtasts"
	"homemail/resolver"
)

// The defaults of Options.
const (
	smtpPort       = 25
	connectTimeout = 30 * time.Second // as Postfix; a SYN is sent some four times
	perHop         = 2                // connections to one next hop: large providers count them
	idleFor        = 5 * time.Second  // servers wait five minutes, RFC 5321 §4.5.3.2.7; polite is shorter
)

// A Resolver is what a Relay asks of the DNS; *resolver.Resolver is one.
type Resolver interface {
	MX(ctx context.Context, domain string) (resolver.Answer[*net.MX], error)
	IP(ctx context.Context, host string) (resolver.Answer[netip.Addr], error)
	TLSA(ctx context.Context, name string) (resolver.Answer[resolver.TLSA], error)
}

// An MTASTS knows the policies of domains, RFC 8461; *mtasts.Cache is one.
type MTASTS interface {
	Get(ctx context.Context, domain string) (mtasts.Policy, error)
}

// Options are what a Relay is made of.
type Options struct {
	Host     string // our name in EHLO: what our address resolves to
	Resolver Resolver
	Policy   MTASTS        // nil: no domain has a policy
	Routes   func() Routes // asked for each hop anew; nil: there is no way out

	Dial   func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer
	Port   int                                                               // of MX hosts; 0: 25
	Allow  []netip.Prefix                                                    // what an MX may point to although no stranger's mail server is there
	Local  func() []netip.Addr                                               // our own addresses; nil: none are known
	Roots  *x509.CertPool                                                    // nil: the system's
	PerHop int                                                               // connections at once to one next hop; 0: perHop
	NoIPv6 bool                                                              // only to hosts without IPv4: large providers refuse an IPv6 address without a name

	ConnectTimeout time.Duration // 0: connectTimeout
	IdleFor        time.Duration // how long a connection waits for another message; 0: idleFor
	Log            *slog.Logger  // nil: nowhere
}

// A Relay makes attempts. Its methods may be called at the same time.
type Relay struct {
	o   Options
	log *slog.Logger

	mu      sync.Mutex
	lanes   map[string]*lane // by hop, while somebody uses it or a connection waits
	running bool             // Run is there to close what waits
}

// New returns a Relay. Without Run it works, but uses no connection twice.
func New(o Options) *Relay {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Port == 0 {
		o.Port = smtpPort
	}
	if o.PerHop == 0 {
		o.PerHop = perHop
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = connectTimeout
	}
	if o.IdleFor == 0 {
		o.IdleFor = idleFor
	}
	if o.Routes == nil {
		o.Routes = func() Routes { return Routes{} }
	}
	if o.Local == nil {
		o.Local = func() []netip.Addr { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Relay{o: o, log: o.Log, lanes: map[string]*lane{}}
}

// Send makes one attempt to bring a message to a next hop that Hop has named.
// It calls settle exactly once, with an outcome for each recipient, and before
// anything more is said to a server that has taken the message over: what
// settle stores must be stable when it returns (RFC 1047). After an error of
// settle the server hears no more of us.
func (r *Relay) Send(ctx context.Context, hop string, m mail.Handover, settle func([]mail.Outcome) error) {
	a := newAttempt(r, hop, m)
	l, err := r.enter(ctx, hop)
	if err != nil {
		a.note(client.Outcome(err))
		settle(a.end())
		return
	}
	defer r.leave(hop, l)
	p, err := r.plan(ctx, hop)
	if err != nil {
		a.note(outcomeOf(err))
		settle(a.end())
		return
	}
	a.run(ctx, p)
	if err := settle(a.end()); err != nil {
		r.log.Error("attempt not recorded", "id", m.ID, "hop", hop, "err", err)
		a.drop()
		return
	}
	r.park(l, a.session)
}

// plan finds where a hop leads.
func (r *Relay) plan(ctx context.Context, hop string) (*plan, error) {
	kind, name, _ := strings.Cut(hop, ":")
	switch kind {
	case hopMX:
		return r.planMX(ctx, name)
	case hopSmarthost:
		return r.planSmarthost(ctx, name)
	}
	return nil, blocked(mail.Temporary, mail.CauseNotSetUp, "4.3.5", "no way out of the house is set up")
}

// Run closes connections that nobody uses, until ctx is done.
func (r *Relay) Run(ctx context.Context) error {
	r.setRunning(true)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.setRunning(false)
			r.sweep(time.Time{})
			return nil
		case now := <-tick.C:
			r.sweep(now)
		}
	}
}

func (r *Relay) setRunning(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = on
}
