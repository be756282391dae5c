package relay

import (
	"net/netip"
	"slices"
)

// special are the networks beside those that netip knows, from the IANA
// special-purpose address registries, where no stranger's mail server can be.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this network, RFC 791
	netip.MustParsePrefix("100.64.0.0/10"),  // carriers' NAT, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),   // protocol assignments, RFC 6890
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks, RFC 2544
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved and broadcast, RFC 1112
	netip.MustParsePrefix("::/96"),          // IPv4-compatible, RFC 4291
	netip.MustParsePrefix("64:ff9b:1::/48"), // local NAT64, RFC 8215
	netip.MustParsePrefix("100::/64"),       // discard, RFC 6666
	netip.MustParsePrefix("2001::/32"),      // Teredo, RFC 4380
	netip.MustParsePrefix("fec0::/10"),      // site-local, RFC 3879
}

// nat64 and sixToFour hold an IPv4 address, RFC 6052 and RFC 3056.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// public reports whether a stranger's mail server can be at an address: an MX
// record must not lead us into our own house (SSRF).
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return public(netip.AddrFrom4([4]byte(b[12:])))
	case sixToFour.Contains(a):
		return public(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// allowed reports whether mail may go directly to an address.
func (r *Relay) allowed(a netip.Addr) bool {
	a = a.Unmap()
	if r.ours(a) {
		return false
	}
	return public(a) || slices.ContainsFunc(r.o.Allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ours reports whether an address is one of our own.
func (r *Relay) ours(a netip.Addr) bool {
	return slices.ContainsFunc(r.o.Local(), func(l netip.Addr) bool { return l.Unmap() == a.Unmap() })
}
