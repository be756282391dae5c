//go:build linux

// Package network connects the box: every wired card is turned on and asks for an
// address by DHCP (RFC 2131), unless the owner gave it one; the kernel finds IPv6
// addresses by itself (RFC 4862). The client of DHCP runs in a confined process
// and says one line of words; the half of this package that has privileges reads
// nothing that came from the network.
package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A Lease is what a network says an address and its surroundings are.
type Lease struct {
	Address netip.Prefix
	Router  netip.Addr // invalid for none
	DNS     []netip.Addr
	NTP     []netip.Addr
	For     time.Duration // 0 for ever
}

const (
	maxServers = 3               // glibc's resolv.conf(5) has no more name servers either
	shortest   = time.Minute     // a lease; servers that say less would have us ask all the time
	longest    = 365 * 24 * hour // "for ever" is 136 years in DHCP, and overflows nothing here
	hour       = time.Hour
	fewestBits = 8 // of a network: no provider's is larger
)

// String is the line of a lease.
func (l Lease) String() string {
	router := "-"
	if l.Router.IsValid() {
		router = l.Router.String()
	}
	return fmt.Sprintf("lease %s %s %d %s %s", l.Address, router, int64(l.For/time.Second), list(l.DNS), list(l.NTP))
}

func list(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "-"
	}
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ",")
}

// ParseLease reads a line that String made, from a process that may lie.
func ParseLease(line string) (l Lease, err error) {
	w := strings.Split(line, " ")
	if len(w) != 6 || w[0] != "lease" {
		return l, errors.New("not a lease")
	}
	if l.Address, err = netip.ParsePrefix(w[1]); err != nil {
		return l, err
	}
	if w[2] != "-" {
		if l.Router, err = netip.ParseAddr(w[2]); err != nil {
			return l, err
		}
	}
	seconds, err := strconv.ParseUint(w[3], 10, 32)
	if err != nil {
		return l, err
	}
	l.For = time.Duration(seconds) * time.Second
	if l.DNS, err = addrs(w[4]); err != nil {
		return l, err
	}
	if l.NTP, err = addrs(w[5]); err != nil {
		return l, err
	}
	return l, l.check()
}

func addrs(s string) (list []netip.Addr, err error) {
	if s == "-" {
		return nil, nil
	}
	for w := range strings.SplitSeq(s, ",") {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

// check says what a lease may not be: an address of a kind that no host has, or a
// router in another network.
func (l Lease) check() error {
	a := l.Address.Addr()
	switch {
	case !a.Is4() || !unicast(a) || a.IsLinkLocalUnicast():
		return fmt.Errorf("%s is not an address for a host", a)
	case l.Address.Bits() < fewestBits:
		return fmt.Errorf("%s is too large a network", l.Address)
	case l.Router.IsValid() && (!l.Router.Is4() || !l.Address.Contains(l.Router) || l.Router == a):
		return fmt.Errorf("the router %s is not a neighbour of %s", l.Router, l.Address)
	case l.For != 0 && (l.For < shortest || l.For > longest):
		return fmt.Errorf("a lease of %v", l.For)
	case len(l.DNS) > maxServers || len(l.NTP) > maxServers:
		return errors.New("too many servers")
	}
	for _, list := range [][]netip.Addr{l.DNS, l.NTP} {
		for _, a := range list {
			if !unicast(a) || a.Zone() != "" {
				return fmt.Errorf("%s is not an address for a server", a)
			}
		}
	}
	return nil
}

// unicast leaves out what is no single machine, and this one.
func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.Is4In6() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && (!a.Is4() || a.As4()[0] != 0)
}

// Resolver is the text of resolv.conf(5) for these leases.
func Resolver(leases []Lease) string {
	var b strings.Builder
	seen := map[netip.Addr]bool{}
	for _, l := range leases {
		for _, a := range l.DNS {
			if !seen[a] && len(seen) < maxServers {
				seen[a] = true
				fmt.Fprintf(&b, "nameserver %s\n", a)
			}
		}
	}
	return b.String()
}
