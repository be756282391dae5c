//go:build linux

package network

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseLease(t *testing.T) {
	for _, line := range []string{
		"lease 10.0.2.15/24 10.0.2.2 86400 10.0.2.3,1.1.1.1 10.0.2.4",
		"lease 192.168.1.9/16 - 60 - -",
		"lease 100.64.0.9/32 - 0 2001:db8::53 -",
	} {
		l, err := ParseLease(line)
		if err != nil || l.String() != line {
			t.Errorf("%s: %s, %v", line, l, err)
		}
	}
	for _, line := range []string{
		"", "gone", "lease", "lease 10.0.2.15/24 10.0.2.2 86400 -",
		"lease 10.0.2.15 - 3600 - -", // no network
		"lease 127.0.0.1/8 - 3600 - -", "lease 224.0.0.1/24 - 3600 - -", "lease 0.0.0.0/24 - 3600 - -", "lease 169.254.1.1/16 - 3600 - -",
		"lease 10.0.0.1/0 - 3600 - -", "lease 2001:db8::1/64 - 3600 - -", "lease ::ffff:10.0.0.1/120 - 3600 - -",
		"lease 10.0.2.15/24 10.0.3.2 3600 - -", "lease 10.0.2.15/24 10.0.2.15 3600 - -",
		"lease 10.0.2.15/24 - 1 - -", "lease 10.0.2.15/24 - -1 - -", "lease 10.0.2.15/24 - 99999999999 - -",
		"lease 10.0.2.15/24 - 3600 127.0.0.1 -", "lease 10.0.2.15/24 - 3600 1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4 -",
		"lease 10.0.2.15/24 - 3600 - fe80::1%eth0",
	} {
		if l, err := ParseLease(line); err == nil {
			t.Errorf("%q is taken: %+v", line, l)
		}
	}
}

// FuzzParseLease: what is taken is an address for a host, and reads back as it was.
func FuzzParseLease(f *testing.F) {
	f.Add("lease 10.0.2.15/24 10.0.2.2 86400 10.0.2.3,1.1.1.1 10.0.2.4")
	f.Add("lease 10.0.2.15/24 - 60 - -")
	f.Fuzz(func(t *testing.T, line string) {
		l, err := ParseLease(line)
		if err != nil {
			return
		}
		if a := l.Address.Addr(); !a.Is4() || a.IsLoopback() || a.IsMulticast() || l.Router.IsValid() && !l.Address.Contains(l.Router) {
			t.Errorf("%q: %v", line, l)
		}
		if again, err := ParseLease(l.String()); err != nil || again.String() != l.String() {
			t.Errorf("%q: %v then %v, %v", line, l, again, err)
		}
	})
}

func TestResolver(t *testing.T) {
	a := netip.MustParseAddr
	got := Resolver([]Lease{{DNS: []netip.Addr{a("10.0.0.1"), a("10.0.0.2")}}, {DNS: []netip.Addr{a("10.0.0.1"), a("2001:db8::1"), a("10.0.0.9")}}})
	if want := "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 2001:db8::1\n"; got != want {
		t.Error(got)
	}
}

func TestFixed(t *testing.T) {
	l, err := Fixed("192.168.1.20/24", "192.168.1.1", nil)
	if err != nil || l.For != 0 || len(l.DNS) != 1 || !strings.HasPrefix(l.String(), "lease 192.168.1.20/24 192.168.1.1 0 192.168.1.1") {
		t.Error(l, err)
	}
	for _, bad := range [][2]string{{"192.168.1.20", ""}, {"192.168.1.20/24", "10.0.0.1"}, {"192.168.1.20/24", "x"}} {
		if _, err := Fixed(bad[0], bad[1], nil); err == nil {
			t.Error(bad)
		}
	}
	if time.Duration(0) != l.For {
		t.Error(l.For)
	}
}
