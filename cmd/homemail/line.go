package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"homemail/admin"
	"homemail/certs"
	"homemail/check"
	"homemail/check/probe"
	"homemail/lan"
	"homemail/router"
)

// A line is what a house knows of its way to the world, and what it does for
// friends who want to know the same. A nil line is that of a closed world: it
// knows nothing and does nothing.
type line struct {
	h       *house
	checker *check.Checker
	client  *probe.Client // nil if no friend is to be asked
	server  *probe.Server // nil if friends may not ask us
}

// newLine makes the line; nil where nobody outside is to be asked.
func (h *house) newLine(w world) (l *line, err error) {
	if h.dns == nil {
		return nil, nil
	}
	l = &line{h: h}
	if h.config.Probe.Offer {
		l.server = probe.NewServer(probe.ServerOptions{Log: h.log})
	}
	if urls := h.config.Probe.URLs; len(urls) > 0 {
		l.client, err = probe.NewClient(probe.ClientOptions{
			URLs: urls, Dial: w.dialName, Log: h.log.DebugContext,
			StandIn: len(h.doors) == 0, // no server runs, and none can begin as long as we have the store
		})
		if err != nil {
			return nil, fmt.Errorf("probe.urls: %w", err)
		}
	}
	l.checker = check.New(l.options(w))
	if h.signIn != nil {
		h.signIn.Doubt(l.doubts)
	}
	for _, door := range h.doors {
		door.Doubt(l.masks)
	}
	return l, nil
}

// options are those of the Checker that lives as long as the house.
func (l *line) options(w world) check.Options {
	h := l.h
	o := check.Options{
		Host: h.config.Host(), Domains: h.domains, Mode: func() check.Mode { return admin.CheckMode(h.book.Routes()) },
		DNS: h.dns, Dial: w.dial, Clock: h.clock, Memory: h.store, Log: h.log, Changed: h.alerts.changed,
		Disk: func() (free, reserve int64, err error) {
			s := h.store.Stats()
			return s.Free, s.Reserve, nil
		},
		Queue: func() (waiting int, oldest time.Duration, err error) {
			s := h.queue.Stats()
			return s.Queued, s.OldestAge, nil
		},
	}
	if l.client != nil { // a nil pointer in an interface would be none
		o.Probe = l.client
	}
	if h.certs != nil {
		o.Cert, o.Keys = h.certificate, h.certKeys
	}
	if h.router != nil {
		o.Router = func(context.Context) (check.Router, error) { return lineRouter(h.router.State()) }
	}
	return o
}

// Checker is the one of the house, nil in a closed world.
func (l *line) Checker() *check.Checker {
	if l == nil {
		return nil
	}
	return l.checker
}

// Run repeats the checks at rest until ctx ends, if the owner has not said that
// they are not to be.
func (l *line) Run(ctx context.Context) error {
	if l != nil && l.h.config.Check.Watch {
		_ = l.checker.Run(ctx) // says why ctx has ended
	}
	return nil
}

// first answers friends, and shows them that it is us whom they see, before the
// web server's own pages: they know no host of ours.
func (l *line) first(next http.Handler) http.Handler {
	if l == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; {
		case l.client != nil && strings.HasPrefix(p, probe.TokenPath):
			l.client.ServeHTTP(w, r)
		case l.server != nil && r.TLS != nil && (p == probe.EchoPath || p == probe.ReachPath):
			l.server.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// fresh is how old a result may be that something is decided by: two times of
// its renewal at rest.
const fresh = 2 * time.Hour

// reach is which ports a CA can connect to, as far as that is known.
func (l *line) reach() (r certs.Reach) {
	if l == nil {
		return r
	}
	c := l.h.config.Listen
	last := l.checker.Results()
	port := func(door string, addrs []string, name string) certs.Port {
		if len(addrs) == 0 || contains(c.LANOnly, door) {
			return certs.Closed
		}
		r := named(last, name)
		if time.Since(r.Tested).Abs() > fresh {
			return certs.Unknown
		}
		switch r.State {
		case check.Good:
			return certs.Reachable
		case check.Bad:
			return certs.Closed
		}
		return certs.Unknown
	}
	return certs.Reach{HTTP: port("http", c.HTTP, "in80"), TLS: port("https", c.HTTPS, "in443")}
}

// echo is from where a friend sees us, for whoever watches our addresses. As long
// as there is no domain nobody is asked.
func (l *line) echo(ctx context.Context, network string) (probe.Echo, error) {
	if l == nil || l.client == nil || len(l.h.domains()) == 0 {
		return probe.Echo{}, probe.ErrNone
	}
	return l.client.Echo(ctx, network)
}

// hides reports whether a request that seems to be from home may be a stranger's, as
// a router puts an address of its own in the place of theirs. Which of its addresses
// it takes is its own affair, so nobody is believed but who is on this computer, as
// over ssh, unless strangers seem to be there.
func (l *line) hides(r *http.Request) bool {
	from, _ := remoteOf(r)
	return l != nil && l.doubts(from)
}

// doubts is what hides says of an address.
func (l *line) doubts(from netip.Addr) bool {
	mask, hidden := l.checker.Hides()
	return hidden && !(from.IsLoopback() && !mask.IsLoopback())
}

// masks reports whether strangers come in from an address of the house's network: the
// one that was seen, and the router's other ones. Doors for the house alone stay open
// to its mail programs, which sign in, and have addresses of their own.
func (l *line) masks(from netip.Addr) bool {
	mask, hidden := l.checker.Hides()
	return hidden && (from.WithZone("") == mask || slices.Contains(lan.Routers(), from.WithZone("")))
}

// ipv6 reports whether it was seen lately that mail comes in over IPv6.
func (l *line) ipv6() bool {
	if l == nil {
		return false
	}
	r := named(l.checker.Results(), "in25")
	return r.Data["v6"] == "ours" && time.Since(r.Tested).Abs() <= fresh
}

// retest looks again at what another address may have changed.
func (l *line) retest(ctx context.Context) {
	if l == nil {
		return
	}
	if _, err := l.checker.Test(ctx, "dns", "ptr", "hairpin", "helo", "blocklist", "in25", "in80", "in443", "in465", "in993"); err != nil && ctx.Err() == nil {
		l.h.log.Warn("the line could not be tested again", "err", err)
	}
}

// named returns a result by its name.
func named(list []check.Result, name string) (r check.Result) {
	if i := slices.IndexFunc(list, func(r check.Result) bool { return r.Name == name }); i >= 0 {
		r = list[i]
	}
	return r
}

// lineRouter is what a router said, for the checks.
func lineRouter(s router.State) (r check.Router, err error) {
	switch {
	case s.Method != "":
	case s.Code == router.Silent || s.Code == router.Odd:
		return r, fmt.Errorf("%s", s.Why.EN)
	default:
		return r, fmt.Errorf("%w: %s", check.ErrNoRouter, s.Why.EN)
	}
	r = check.Router{Model: s.Model, External: s.External, Mapped: make(map[uint16]uint16)}
	for _, m := range s.Ports {
		switch {
		case !m.Own.Is4():
		case m.Mapped, m.Code == router.Moved:
			r.Mapped[m.Internal] = m.Given
		default:
			r.Mapped[m.Internal] = 0
		}
	}
	return r, nil
}

// certificate is that of the host, and what is being done about it.
func (h *house) certificate() (c check.Certificate, err error) {
	c.Leaf = h.certs.Leaf()
	for _, s := range h.certs.Status() {
		if s.Name == h.config.Host() {
			c.Issued = s.Shown != certs.SelfSigned && !selfSigned(c.Leaf)
			c.Waiting, c.Trouble = s.Doing == certs.Ordering, check.Text(s.Trouble)
		}
	}
	return c, nil
}

func selfSigned(c *x509.Certificate) bool {
	return c.CheckSignatureFrom(c) == nil || c.Issuer.String() == c.Subject.String()
}

// certKeys are the keys by which somebody outside sees that it is us, whatever
// name he asks for, and if for none.
func (h *house) certKeys() (list []string) {
	add := func(leaf *x509.Certificate) {
		if key := probe.Key(leaf.RawSubjectPublicKeyInfo); !slices.Contains(list, key) {
			list = append(list, key)
		}
	}
	add(h.certs.Leaf())
	shown := h.certs.TLSConfig().GetCertificate
	for _, s := range h.certs.Status() {
		if c, err := shown(&tls.ClientHelloInfo{ServerName: s.Name}); err == nil && c.Leaf != nil {
			add(c.Leaf)
		}
	}
	return list
}
