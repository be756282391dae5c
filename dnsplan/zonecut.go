package dnsplan

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"

	"homemail/resolver"
)

const (
	maxServers = 8 // of one zone that are asked; most have two to four
	maxAddrs   = 4 // of one server
)

// ErrNoZone says that no server was made responsible for a name: nobody has it.
var ErrNoZone = errors.New("the domain is not in the DNS")

// A zone is where a name's records are kept.
type zone struct {
	name    string
	servers []nameServer
	err     error
}

type nameServer struct {
	name  string
	addrs []netip.AddrPort
}

// A run is one comparison. It finds each zone once, and asks a server no more
// once it was silent.
type run struct {
	c *Comparer

	mu    sync.Mutex
	zones map[string]*pending // by name
	dead  map[netip.AddrPort]bool
}

type pending struct {
	once sync.Once
	zone zone
}

// zone returns the zone that a name is in, by going up from it.
func (r *run) zone(ctx context.Context, name string) zone {
	r.mu.Lock()
	p := r.zones[name]
	if p == nil {
		p = &pending{}
		r.zones[name] = p
	}
	r.mu.Unlock()
	p.once.Do(func() { p.zone = r.findZone(ctx, name) })
	return p.zone
}

func (r *run) findZone(ctx context.Context, name string) zone {
	a, err := r.c.o.DNS.Records(ctx, name, "NS")
	switch {
	case err != nil && !notFound(err):
		return zone{err: err}
	case err == nil && len(a.List) > 0 && a.Name == name: // not what an alias leads to
		return zone{name: name, servers: r.addresses(ctx, a.List)}
	}
	_, parent, ok := strings.Cut(name, ".")
	// Not the registry's zone; but below a suffix of a private company the
	// records may be in the company's own.
	if suffix, icann := publicsuffix.PublicSuffix(name); !ok || suffix == parent && (icann || !strings.Contains(parent, ".")) {
		return zone{err: ErrNoZone}
	}
	return r.zone(ctx, parent)
}

// addresses finds out where name servers are. IPv4 comes first: every line has
// it in some way.
func (r *run) addresses(ctx context.Context, names []string) []nameServer {
	names = slices.Clone(names)
	slices.Sort(names)
	if len(names) > maxServers {
		names = names[:maxServers]
	}
	list := make([]nameServer, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			list[i].name = name
			a, err := r.c.o.DNS.IP(ctx, name)
			if err != nil {
				return // a server that cannot be asked
			}
			slices.SortStableFunc(a.List, func(x, y netip.Addr) int { return x.BitLen() - y.BitLen() })
			for _, addr := range a.List[:min(len(a.List), maxAddrs)] {
				if r.c.o.Private || public(addr) {
					list[i].addrs = append(list[i].addrs, netip.AddrPortFrom(addr, 53))
				}
			}
		})
	}
	wg.Wait()
	return list
}

// public reports whether the world can ask a server at an address; those of a
// house's own network are not for strangers' zones to have us ask.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// ask asks a zone's server, at its addresses in turn.
func (r *run) ask(ctx context.Context, sv nameServer, name, rtype string) (resolver.Answer[string], error) {
	err := errors.New("its address is not known")
	for _, at := range sv.addrs {
		r.mu.Lock()
		dead := r.dead[at]
		r.mu.Unlock()
		if dead {
			err = errors.New("it does not answer")
			continue
		}
		var a resolver.Answer[string]
		if a, err = r.c.o.DNS.Ask(ctx, at, name, rtype); err == nil || notFound(err) {
			return a, err
		}
		if isTimeout(err) && ctx.Err() == nil {
			r.mu.Lock()
			r.dead[at] = true
			r.mu.Unlock()
		}
	}
	return resolver.Answer[string]{Name: name}, err
}

func isTimeout(err error) bool {
	var e interface{ Timeout() bool }
	return errors.As(err, &e) && e.Timeout()
}
