package probe

import (
	"net/netip"
	"slices"
)

// special are the networks that lead inside or nowhere and that netip has no
// word for, RFC 6890.
var special = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this network
	netip.MustParsePrefix("100.64.0.0/10"),  // carrier-grade NAT, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),   // DS-Lite and its kin
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved, broadcast
	netip.MustParsePrefix("::/96"),          // IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/96"),   // NAT64: some IPv4 address
	netip.MustParsePrefix("64:ff9b:1::/48"), // local NAT64, RFC 8215
	netip.MustParsePrefix("fec0::/10"),      // site-local, RFC 3879
	netip.MustParsePrefix("2001::/32"),      // Teredo: hides an IPv4 address
	netip.MustParsePrefix("2002::/16"),      // 6to4: hides an IPv4 address
}

// Public reports whether an address is one of the Internet, and no other's in
// disguise.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == "" &&
		!slices.ContainsFunc(special[:], func(p netip.Prefix) bool { return p.Contains(a) })
}
