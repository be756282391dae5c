package relay

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"homemail/mail"
	"homemail/relay/mtasts"
	"homemail/resolver"
)

// How many servers one attempt may try. A domain can name more than anybody
// needs.
const (
	maxHosts     = 10
	maxAddresses = 20
	maxSessions  = 3 // that refuse for now; Postfix has two
)

// A plan is where a hop leads: hosts in the order in which they are tried.
type plan struct {
	hop       string
	domain    string // of the recipients
	hosts     []host
	secure    bool // DNSSEC vouches for the list of hosts
	sts       mtasts.Policy
	smarthost *Smarthost // nil for direct mail
	another   bool       // a smarthost will be asked when this way has failed
	port      uint16
}

// A host is one of the servers of a domain, or a smarthost.
type host struct {
	name   string // "" for an address literal
	pref   uint16
	addrs  []netip.Addr
	secure bool   // DNSSEC vouches for the addresses
	canon  string // the name after CNAMEs
	err    error  // of the look-up
}

// planMX finds the servers of a domain, RFC 5321 §5.1.
func (r *Relay) planMX(ctx context.Context, domain string) (*plan, error) {
	p := &plan{hop: hopMX + ":" + domain, domain: domain, port: uint16(r.o.Port)}
	p.another = r.o.Routes().For(domain).Way == DirectThenVia
	if addr, ok := literal(domain); ok {
		p.hosts = []host{{addrs: []netip.Addr{addr}}}
		if r.ours(addr) {
			return nil, toUs()
		}
		return p, nil
	}
	if err := r.findHosts(ctx, p); err != nil {
		return nil, err
	}
	r.findAddresses(ctx, p)
	if err := r.cutLoop(p); err != nil {
		return nil, err
	}
	if err := p.reachable(); err != nil {
		return nil, err
	}
	if r.o.Policy != nil {
		policy, err := r.o.Policy.Get(ctx, domain)
		if err != nil { // nothing in the cache either: RFC 8461 §5 goes on without
			r.log.Warn("MTA-STS policy not known", "domain", domain, "err", err)
		}
		p.sts = policy
	}
	return p, nil
}

// literal reads the domain of an address literal, as mail.Path.Domain has it.
func literal(domain string) (netip.Addr, bool) {
	inner, ok := strings.CutPrefix(domain, "[")
	inner = strings.TrimSuffix(strings.TrimPrefix(inner, "ipv6:"), "]")
	addr, err := netip.ParseAddr(inner)
	return addr.Unmap(), ok && err == nil
}

// findHosts asks for the MX records. Without any, the domain itself is the
// host; with some that are no good it is not.
func (r *Relay) findHosts(ctx context.Context, p *plan) error {
	answer, err := r.o.Resolver.MX(ctx, p.domain)
	p.secure = answer.Secure
	switch {
	case resolver.NXDomain(err):
		return blocked(mail.Permanent, mail.CauseNoDomain, "5.1.2", "the domain "+p.domain+" does not exist")
	case notFound(err):
		p.hosts = []host{{name: p.domain}}
		return nil
	case err != nil:
		return dnsTrouble(p.domain, err)
	case len(answer.List) == 1 && plain(answer.List[0].Host) == "": // RFC 7505
		return blocked(mail.Permanent, mail.CauseNoMail, "5.1.10", "the domain "+p.domain+" takes no mail")
	}
	for _, mx := range answer.List {
		if name := plain(mx.Host); name != "" {
			p.hosts = append(p.hosts, host{name: name, pref: mx.Pref})
		}
	}
	rand.Shuffle(len(p.hosts), func(i, j int) { p.hosts[i], p.hosts[j] = p.hosts[j], p.hosts[i] })
	slices.SortStableFunc(p.hosts, func(a, b host) int { return cmp.Compare(a.pref, b.pref) })
	seen := map[string]bool{}
	p.hosts = slices.DeleteFunc(p.hosts, func(h host) bool {
		again := seen[h.name]
		seen[h.name] = true
		return again
	})
	p.hosts = p.hosts[:min(len(p.hosts), maxHosts)]
	return nil
}

// findAddresses looks up the hosts, all at once.
func (r *Relay) findAddresses(ctx context.Context, p *plan) {
	var wg sync.WaitGroup
	for i := range p.hosts {
		h := &p.hosts[i]
		wg.Go(func() {
			answer, err := r.o.Resolver.IP(ctx, h.name)
			h.addrs, h.secure, h.canon, h.err = r.mix(answer.List), answer.Secure, answer.Name, err
		})
	}
	wg.Wait()
}

// mix orders addresses so that the families take turns, IPv6 first: one that
// does not work cannot use up all tries.
func (r *Relay) mix(addrs []netip.Addr) []netip.Addr {
	var six, four, list []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	if r.o.NoIPv6 && len(four) > 0 {
		return four
	}
	for i := range max(len(six), len(four)) {
		if i < len(six) {
			list = append(list, six[i])
		}
		if i < len(four) {
			list = append(list, four[i])
		}
	}
	return list
}

// cutLoop removes ourselves and all hosts that are not better than we are, RFC
// 5321 §5.1: they would give the mail back to us.
func (r *Relay) cutLoop(p *plan) error {
	us := slices.IndexFunc(p.hosts, func(h host) bool {
		return strings.EqualFold(h.name, r.o.Host) || slices.ContainsFunc(h.addrs, r.ours)
	})
	if us < 0 {
		return nil
	}
	limit := p.hosts[us].pref // the list is sorted: no other place of ours is better
	p.hosts = slices.DeleteFunc(p.hosts, func(h host) bool { return h.pref >= limit })
	if len(p.hosts) == 0 {
		return toUs()
	}
	return nil
}

func toUs() error {
	return blocked(mail.Permanent, mail.CauseBadMX, "5.4.6", "mail for the domain would come back to this server")
}

// reachable reports an error if no host has an address.
func (p *plan) reachable() error {
	var trouble error
	for _, h := range p.hosts {
		switch {
		case len(h.addrs) > 0:
			return nil
		case h.err != nil && !notFound(h.err):
			trouble = dnsTrouble(h.name, h.err)
		}
	}
	switch {
	case trouble != nil:
		return trouble
	case len(p.hosts) == 1 && p.hosts[0].name == p.domain && resolver.NXDomain(p.hosts[0].err):
		return blocked(mail.Permanent, mail.CauseNoDomain, "5.1.2", "the domain "+p.domain+" does not exist")
	case len(p.hosts) == 1 && p.hosts[0].name == p.domain:
		return blocked(mail.Permanent, mail.CauseNoMail, "5.4.4", "the domain "+p.domain+" has no mail server")
	}
	return blocked(mail.Permanent, mail.CauseBadMX, "5.4.4", "no mail server of the domain "+p.domain+" has an address")
}

func dnsTrouble(name string, err error) error {
	return blocked(mail.Temporary, mail.CauseDNS, "4.4.3", "looking up "+name+": "+err.Error())
}

func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// plain returns a name in lower case and without the final dot.
func plain(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
