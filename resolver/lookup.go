package resolver

import (
	"context"
	"net"
	"net/netip"
)

// The methods below are those of *net.Resolver, for libraries that know it.

// LookupMX is MX in the shape of *net.Resolver, with final dots.
func (r *Resolver) LookupMX(ctx context.Context, domain string) ([]*net.MX, error) {
	a, err := r.MX(ctx, domain)
	for _, mx := range a.List {
		if mx.Host != "." {
			mx.Host += "."
		}
	}
	return a.List, err
}

// LookupTXT is TXT in the shape of *net.Resolver.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, err := r.TXT(ctx, name)
	return a.List, err
}

// LookupIPAddr is IP in the shape of *net.Resolver.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	a, err := r.IP(ctx, host)
	return each(a.List, func(ip netip.Addr) net.IPAddr {
		return net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()}
	}), err
}

// LookupHost is IP in the shape of *net.Resolver.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	a, err := r.IP(ctx, host)
	return each(a.List, netip.Addr.String), err
}

// LookupNetIP is IP in the shape of *net.Resolver: network is "ip", "ip4" or "ip6".
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	addr, isLiteral := literal(host)
	var a Answer[netip.Addr]
	var err error
	switch {
	case isLiteral && (network == "ip4" && !addr.Is4() || network == "ip6" && !addr.Is6()):
		return nil, noSuch(textNoRecord, host)
	case isLiteral || network == "ip":
		a, err = r.IP(ctx, host)
	case network == "ip4":
		a, err = r.ip4(ctx, host)
	case network == "ip6":
		a, err = r.ip6(ctx, host)
	default:
		return nil, net.UnknownNetworkError(network)
	}
	return a.List, err
}

// LookupAddr is PTR in the shape of *net.Resolver, with final dots.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, noSuch(textNoName, addr)
	}
	a, err := r.PTR(ctx, ip)
	return each(a.List, func(name string) string { return name + "." }), err
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}
