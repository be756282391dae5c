package listen

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	g := NewGate(Limits{NewPerSecond: 5, Burst: 20})
	a, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	try := func(n int) (in int) {
		for range n {
			if g.enter(a, now) == accepted {
				g.leave(a)
				in++
			}
		}
		return in
	}
	if in := try(100); in != 20 {
		t.Errorf("%d of 100 at once came in; want the burst of 20", in)
	}
	now = now.Add(time.Second)
	if in := try(100); in != 5 {
		t.Errorf("%d a second later; want 5", in)
	}
	now = now.Add(time.Hour)
	if in := try(100); in != 20 {
		t.Errorf("%d an hour later; want 20, the allowance does not pile up", in)
	}
	if why := g.enter(netip.MustParseAddr("192.0.2.2"), now); why != accepted {
		t.Errorf("another address: %s", why)
	}
	if c := g.Counts(); c.Accepted != 46 || c.Refused[TooFast] != 255 || c.Open != 1 {
		t.Errorf("got %+v", c)
	}
}

func TestOpenAtOnce(t *testing.T) {
	g := NewGate(Limits{PerIP: 2, Global: 3})
	now := time.Now()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, tt := range []struct {
		from netip.Addr
		want Reason
	}{{a, accepted}, {a, accepted}, {a, TooManyFromIP}, {b, accepted}, {b, TooMany}} {
		if why := g.enter(tt.from, now); why != tt.want {
			t.Errorf("%d: %q, want %q", i, why, tt.want)
		}
	}
	g.leave(a)
	if why := g.enter(a, now); why != accepted {
		t.Errorf("after one left: %s", why)
	}
}

func TestPeersAreBounded(t *testing.T) {
	g := NewGate(Limits{PerIP: 5, NewPerSecond: 1, Burst: 1})
	now := time.Now()
	stays := netip.MustParseAddr("192.0.2.1")
	g.enter(stays, now)
	for i := range 3 * maxPeers {
		a := binary.BigEndian.AppendUint32(nil, 0x0a000000+uint32(i))
		from, _ := netip.AddrFromSlice(a)
		if why := g.enter(from, now); why != accepted {
			t.Fatalf("address %d: %s", i, why)
		}
		g.leave(from)
		if len(g.peers) > maxPeers {
			t.Fatalf("%d addresses remembered after %d", len(g.peers), i)
		}
	}
	if p := g.peers[stays]; p == nil || p.open != 1 {
		t.Error("an address with a connection was forgotten")
	}
}

func TestPeerKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7":               "192.0.2.7",
		"::ffff:192.0.2.7":        "192.0.2.7",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::",
		"2001:db8:1:2:ffff::":     "2001:db8:1:2::",
		"fe80::1%eth0":            "fe80::1",
		"::1":                     "::",
		"2001:db8:1:3:3:4:5:6%lo": "2001:db8:1:3::",
	} {
		if got := peerKey(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := peerKey(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: %s", got)
	}
}

func TestIsPrivate(t *testing.T) {
	for in, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.1.2.3": true, "172.31.0.1": true, "192.168.1.1": true, "::ffff:192.168.1.1": true,
		"169.254.1.1": true, "fe80::1%eth0": true, "fd12::1": true,
		"172.32.0.1": false, "192.0.2.1": false, "::ffff:8.8.8.8": false, "2001:db8::1": false, "100.64.0.1": false, "0.0.0.0": false,
	} {
		if got := isPrivate(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %t", in, got)
		}
	}
	if isPrivate(netip.Addr{}) {
		t.Error("an unknown address is not private")
	}
}
