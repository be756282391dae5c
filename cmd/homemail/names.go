package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/certs"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/listen"
	"homemail/mdns"
	"homemail/router"
	"homemail/web"
	"homemail/web/dash"
	"homemail/words"
	"homemail/zones"
)

// openCerts reads the certificates. Nothing is asked of a CA in a world of its
// own, and nowhere before the owner has agreed.
func (h *house) openCerts(closed bool) (err error) {
	c := h.config
	o := certs.Options{Dir: c.Data, Host: c.Host(), Cert: c.TLS.Cert, Key: c.TLS.Key, Log: h.log, State: h.store}
	if !closed {
		if o.ACME, err = h.acme(); err != nil {
			return err
		}
	}
	h.certs, err = certs.Open(o)
	return err
}

func (h *house) acme() (*certs.ACME, error) {
	roots, err := h.roots()
	if err != nil {
		return nil, err
	}
	consent := func() (certs.Consent, error) { return certs.Agreed(h.store, h.directory()) }
	return &certs.ACME{
		Directory: h.directory(), Roots: roots,
		Names: h.certNames, PointsHere: h.pointsHere, Reachable: h.reach, ClockDoubt: h.clock.Why, Built: built(),
		Email: func() string {
			c, err := consent()
			if err != nil {
				h.log.Warn("the CA gets no address to write to", "err", err)
			}
			return c.Email
		},
		Allowed: func() error { _, err := consent(); return err },
		DNS:     h.challengeDNS,
	}, nil
}

// challengeDNS is the zone that a name is in, as far as a CA's question can be put
// there; nil if it cannot.
func (h *house) challengeDNS(name string) *certs.Zone {
	if h.address == nil {
		return nil
	}
	z, err := h.address.zones.For(name)
	if err != nil {
		if !errors.Is(err, zones.ErrNoZone) {
			h.log.Warn("the DNS cannot be changed for a certificate", "name", name, "err", err)
		}
		return nil
	}
	return &certs.Zone{Name: z.Name, Provider: publish.Challenges{Zone: z}, Seen: dnsplan.NewComparer(dnsplan.Options{DNS: h.dns, Log: h.log}).Shows}
}

// directory is the CA's.
func (h *house) directory() string {
	if d := h.config.ACME.Directory; d != "" {
		return d
	}
	return certs.LetsEncrypt
}

// roots are those of a CA that the system does not know.
func (h *house) roots() (*x509.CertPool, error) {
	file := h.config.ACME.Roots
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("acme.roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("acme.roots: %s has no certificate in it", file)
	}
	return pool, nil
}

// reach is what we know of the ports that a CA connects to: only that a door that
// is shut cannot be reached. An order that fails costs an hour.
func (h *house) reach() certs.Reach {
	if h.line != nil {
		return h.line.reach()
	}
	l := h.config.Listen
	port := func(door string, addrs []string) certs.Port {
		if len(addrs) == 0 || contains(l.LANOnly, door) {
			return certs.Closed
		}
		return certs.Unknown
	}
	return certs.Reach{HTTP: port("http", l.HTTP), TLS: port("https", l.HTTPS)}
}

// certNames are the names that certificates are wanted for: the host's, and if
// mail comes in by itself the helpers' of each domain.
func (h *house) certNames() []string {
	names := []string{h.config.Host()}
	if !h.helpers() {
		return names
	}
	for _, d := range h.domains() {
		for _, helper := range web.Helpers() {
			names = append(names, helper+d)
		}
	}
	return names
}

// helpers reports whether the helpers of a domain are served to the world.
func (h *house) helpers() bool {
	return len(h.config.Listen.HTTPS) > 0 && !contains(h.config.Listen.LANOnly, "https") && h.receives()
}

// receives reports whether the world's mail comes here by itself.
func (h *house) receives() bool {
	m := admin.Mode(h.book.Routes())
	return m == dnsplan.Direct || m == dnsplan.Smarthost
}

func (h *house) domains() []string {
	list, err := h.store.Domains()
	if err != nil && h.store.Broken() == nil {
		h.log.Error("the domains cannot be read", "err", err)
	}
	return list
}

// pointsHere tells why a name does not lead to us, in a sentence.
func (h *house) pointsHere(ctx context.Context, name string) error {
	if h.dns == nil {
		return words.Because(nil, "certs.here.no-dns")
	}
	c := dnsplan.NewComparer(dnsplan.Options{DNS: h.dns, Log: h.log})
	at, err := c.Addresses(ctx, name)
	if err != nil {
		return words.Because(err, "certs.here.not-asked", "name", name, "said", err)
	}
	return leadsHere(name, at, h.known())
}

// known are the addresses that are ours for certain: those of this computer,
// and those that the world sees.
func (h *house) known() []netip.Addr {
	if h.address == nil {
		return localAddrs()
	}
	return append(localAddrs(), h.address.Now().List()...)
}

// leadsHere compares where a name leads to with where we are. Of the addresses of
// a family that we do not know our own of, nobody can say that they are wrong: then
// the CA will.
func leadsHere(name string, at, ours []netip.Addr) error {
	if len(at) == 0 {
		return words.Because(nil, "certs.here.missing", "name", name)
	}
	for _, a := range at {
		if slices.Contains(ours, a.Unmap()) {
			continue
		}
		if inside(a) {
			return words.Because(nil, "certs.here.inside", "name", name, "address", a)
		}
		for _, b := range ours {
			if b.Is4() == a.Unmap().Is4() && !inside(b) {
				return words.Because(nil, "certs.here.elsewhere", "name", name, "address", a, "ours", b)
			}
		}
	}
	return nil
}

// inside reports whether an address has a meaning in a network of somebody's only:
// that of a house, a carrier, or a VPN that takes the carriers' addresses.
func inside(a netip.Addr) bool {
	a = a.Unmap()
	return !a.IsGlobalUnicast() || a.IsPrivate() || carriers.Contains(a) || tunnels.Contains(a)
}

var (
	carriers = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	tunnels  = netip.MustParsePrefix("192.0.0.0/24")  // DS-Lite and 464XLAT, RFC 7335
)

// buildWeb makes the web server of ports 80 and 443.
func (h *house) buildWeb() (err error) {
	h.web, err = web.New(web.Options{
		Host: h.config.Host, Domains: h.domains, MTASTS: h.stsPolicy, Server: h.autoconfig, LocalName: h.localName,
		ACME: h.certs.ACMEHandler(nil), First: h.line.first, People: h.people.handler, For: h.people.may, Body: dash.Body, TLS: h.certs.WebTLSConfig(), Log: h.log,
	})
	return err
}

// localName is ours in the network of the house, "" while there is none.
func (h *house) localName() string {
	if h.mdns == nil {
		return ""
	}
	return h.mdns.Name()
}

// stsPolicy is what a domain says about the encryption of its mail. There is none
// for a domain whose mail goes elsewhere.
func (h *house) stsPolicy(domain string) (string, bool) {
	if !h.helpers() {
		return "", false
	}
	p, err := h.reports.Policy(domain)
	if err != nil { // to enforce by mistake would cost mail
		h.log.Error("the policy of a domain cannot be read", "domain", domain, "err", err)
		return "", false
	}
	return dnsplan.STSPolicy(p.STS, h.config.Host()), true
}

// autoconfig is what mail programs have to know.
func (h *house) autoconfig(domain string) autoconfig.Server {
	p := h.dnsPorts()
	doors := func(implicit, starttls uint16) (list []autoconfig.Service) {
		if implicit != 0 {
			list = append(list, autoconfig.Service{Port: implicit, TLS: autoconfig.Implicit})
		}
		if starttls != 0 {
			list = append(list, autoconfig.Service{Port: starttls, TLS: autoconfig.StartTLS})
		}
		return list
	}
	return autoconfig.Server{
		Host: h.config.Host(), Domain: domain,
		IMAP: doors(p.IMAPS, p.IMAP), POP3: doors(p.POP3S, p.POP3), Submission: doors(p.Submissions, p.Submission),
	}
}

// routerPorts are those that the world should reach.
func (h *house) routerPorts() (list []router.Port) {
	for _, l := range h.doors {
		d := l.Door()
		p := netip.MustParseAddrPort(l.Addr().String())
		if d.PrivateOnly || d.Name == "status" || p.Addr().IsLoopback() {
			continue
		}
		list = append(list, router.Port{Internal: p.Port(), Name: d.Name})
	}
	return list
}

const lookAround = 30 * time.Second // whether the world is wanted; costs nothing

// runRouter holds the ports while the world's mail comes here: nobody's router is
// asked for anything before there is a domain.
func (h *house) runRouter(ctx context.Context) error {
	for {
		if len(h.domains()) > 0 && h.receives() {
			h.holdPorts(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookAround):
		}
	}
}

// holdPorts holds the ports until they are not wanted any more.
func (h *house) holdPorts(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.router.Run(ctx) // is nil
	}()
	defer func() { cancel(); <-done }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookAround):
			if len(h.domains()) == 0 || !h.receives() {
				return
			}
		}
	}
}

// buildLAN makes what talks to the network of the house.
func (h *house) buildLAN(key []byte) {
	if h.config.LAN.Router {
		seed := sha256.Sum256(append([]byte("router "), key...))
		h.router = router.New(router.Options{Ports: h.routerPorts(), Seed: seed[:], Log: h.log})
	}
	if name := h.config.LAN.Name; name != "" {
		h.mdns = mdns.New(mdns.Options{Name: name, Services: h.pages, Log: h.log})
	}
}

// pages are what is to be found in the house.
func (h *house) pages() (list []mdns.Service) {
	for _, l := range h.doors {
		if l.Door().Name == "http" {
			list = append(list, mdns.Service{Type: "_http._tcp", Port: port(l), TXT: []string{"path=/"}})
		}
	}
	return list
}

func port(l *listen.Listener) uint16 { return netip.MustParseAddrPort(l.Addr().String()).Port() }

// authority is the CA that is asked, as admin wants to know it.
func (h *house) authority() admin.Authority {
	return admin.Authority{Directory: h.directory(), CAA: caaDomain(h.directory()), Certs: h.certs, Helpers: h.helpers}
}

// caaDomain stands for a CA in CAA records, RFC 8659; "" for one that we do not
// know.
func caaDomain(directory string) string {
	rest, _ := strings.CutPrefix(directory, "https://")
	host, _, _ := strings.Cut(rest, "/")
	for _, ca := range []struct{ end, domain string }{
		{"letsencrypt.org", "letsencrypt.org"}, {"zerossl.com", "sectigo.com"}, {"buypass.com", "buypass.com"}, {"pki.goog", "pki.goog"},
	} {
		if strings.HasSuffix("."+host, "."+ca.end) {
			return ca.domain
		}
	}
	return ""
}
