package check

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"homemail/check/probe"
	"homemail/resolver"
)

// A case is one finding, and how the world comes to it.
type oneCase struct {
	name, code string
	state      State
	change     func(w *world)
}

func addrs(list ...string) func() ([]netip.Addr, error) {
	return func() (out []netip.Addr, err error) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out, nil
	}
}

func notReached(w *world) {
	for p := range w.probe.seen["tcp4"] {
		w.probe.see("tcp4", p, probe.Seen{Reached: probe.Silent})
	}
}

var errFailure = errors.New("broken")

func noRoute(w *world) { w.opt.Routes = func() (bool, bool, error) { return false, false, nil } }
func noProbe(w *world) { w.probe = nil }
func fine(*world)      {}

var cases = []oneCase{
	{route, "both", Good, fine},
	{route, "none", Bad, noRoute},
	{route, codeUnknown, CouldNotTest, func(w *world) { w.opt.Routes = func() (bool, bool, error) { return false, false, errFailure } }},
	{dns, "works", Good, fine},
	{dns, "works", Good, func(w *world) { w.zone["MX gmail.test"] = []string{"SERVFAIL"} }}, // one is enough
	{dns, "silent", Bad, func(w *world) {
		w.zone["MX gmail.test"], w.zone["MX outlook.test"] = []string{"TIMEOUT"}, []string{"TIMEOUT"}
	}},
	{dns, "wrong", Bad, func(w *world) { delete(w.zone, "MX gmail.test"); delete(w.zone, "MX outlook.test") }},
	{dns, codeBecause, CouldNotTest, noRoute},
	{dnsTrue, "true", Good, fine},
	{dnsTrue, "lies", Bad, func(w *world) { w.opt.DNS = liar{w} }},
	{dnsTrue, codeBecause, CouldNotTest, noRoute},
	{dnssec, "plain", Bad, func(w *world) { delete(w.zone, "TXT signed.test") }},
	{dnssec, "validates", Good, fine},
	{dnssec, codeBecause, CouldNotTest, noRoute},
	{router, "answers", Good, fine},
	{router, codeUnset, CouldNotTest, func(w *world) { w.router = nil }},
	{prober, "answers", Good, fine},
	{prober, "silent", CouldNotTest, func(w *world) { w.probe.err = errFailure }},
	{prober, codeUnset, CouldNotTest, noProbe},
	{prober, codeUnset, CouldNotTest, func(w *world) { w.probe.err = probe.ErrNone }},
	{address4, "public", Good, fine},
	{address4, "public", Good, func(w *world) { w.probe, w.router, w.opt.Addresses = nil, nil, addrs("127.0.0.1", ourIP) }},
	{address4, "public", Good, noProbe}, // from the router
	{address4, "none", Bad, func(w *world) { w.probe, w.router, w.opt.Addresses = nil, nil, addrs("127.0.0.1", ourIP6) }},
	{address4, codeUnknown, CouldNotTest, func(w *world) { w.probe, w.router = nil, nil }},
	{address6, "none", Bad, fine},
	{address6, "public", Good, func(w *world) { w.opt.Addresses = addrs("fe80::1", "fd00::1", ourIP6) }},
	{address6, codeBecause, CouldNotTest, noRoute},
	{nat, "reached", Good, fine},
	{nat, "router", Good, notReached},
	{nat, "router", Good, noProbe},
	{nat, "none", Good, func(w *world) { notReached(w); w.opt.Addresses = addrs(ourIP) }},
	{nat, "cgnat", Bad, func(w *world) { notReached(w); w.router.External = netip.MustParseAddr("100.64.3.4") }},
	{nat, "cgnat", Bad, func(w *world) { notReached(w); w.opt.Addresses = addrs("100.100.3.4") }},
	{nat, "ds-lite", Bad, func(w *world) { notReached(w); w.router.External = netip.MustParseAddr("192.0.0.2") }},
	{nat, "double", Bad, func(w *world) { notReached(w); w.router.External = netip.MustParseAddr("192.168.0.2") }},
	{nat, "shared", Bad, func(w *world) { notReached(w); w.router.External = netip.MustParseAddr("203.0.113.99") }},
	{nat, "map-e", Bad, func(w *world) { notReached(w); w.probe.ports = []uint16{0x1a52, 0x2a51, 0xba5f, 0xfa50} }},
	{nat, "map-e", Bad, func(w *world) { notReached(w); w.router.Mapped = map[uint16]uint16{25: 5201, 443: 0} }},
	{nat, codeUnknown, CouldNotTest, func(w *world) { notReached(w); w.router = nil }},
	{nat, codeUnknown, CouldNotTest, func(w *world) { w.probe, w.router = nil, nil }},
	{out25, "open", Good, fine},
	{out25, "open", Good, func(w *world) { w.ports[gmailIP+":25"] = "refuse" }}, // one may be down
	{out25, "blocked", Bad, func(w *world) { w.ports[gmailIP+":25"], w.ports[mxIP+":25"] = "silent", "refuse" }},
	{out25, "other", Bad, func(w *world) {
		w.ports[gmailIP+":25"], w.ports[mxIP+":25"] = "220 relay.isp.test ESMTP", "220 relay.isp.test ESMTP"
	}},
	{out25, "other", Bad, func(w *world) {
		w.ports[gmailIP+":25"], w.ports[mxIP+":25"] = "554 mx.gmail.test no", "silent"
	}},
	{out25, codeUnknown, CouldNotTest, func(w *world) {
		w.ports[gmailIP+":25"] = "silent"
		w.zone["A mx.outlook.test"] = []string{"SERVFAIL"}
	}},
	{out25, codeUnknown, CouldNotTest, func(w *world) { // a liar's answer is nowhere to connect to
		w.zone["A mx.gmail.test"], w.zone["A mx.outlook.test"] = []string{"192.168.1.1"}, []string{"127.0.0.1"}
	}},
	{out25, "open6", Bad, func(w *world) { gmail6(w, "25", "220 mx.gmail.test ESMTP") }},
	{out465, "open", Good, fine},
	{out465, "open6", Good, func(w *world) { gmail6(w, "465", "") }},
	{out465, "blocked", Bad, func(w *world) { w.ports[gmailIP+":465"], w.ports[mxIP+":465"] = "refuse", "refuse" }},
	{out465, codeBecause, CouldNotTest, noRoute},
	{out587, "open", Good, fine},
	{out587, "blocked", Bad, func(w *world) { w.ports[gmailIP+":587"], w.ports[mxIP+":587"] = "silent", "silent" }},
	{out587, codeBecause, CouldNotTest, noRoute},
	{out993, "open", Good, fine},
	{out993, "blocked", Bad, func(w *world) { w.ports[gmailIP+":993"], w.ports[mxIP+":993"] = "refuse", "silent" }},
	{out993, codeBecause, CouldNotTest, noRoute},
	{in25, "open", Good, fine},
	{in25, "open4", Good, func(w *world) { w.see6(probe.Seen{Reached: probe.Silent}) }},
	{in25, "open6", Bad, func(w *world) {
		notReached(w)
		w.see6(probe.Seen{Reached: probe.Open, Line: "220 " + ourHost})
	}},
	{in25, "closed", Bad, notReached},
	{in25, "other", Bad, func(w *world) { w.probe.see("tcp4", 25, probe.Seen{Reached: probe.Open, Line: "220 router.test"}) }},
	{in25, "other", Bad, func(w *world) { w.probe.see("tcp4", 25, probe.Seen{Reached: probe.Open, Line: "220 not" + ourHost}) }},
	{in25, "mute", CouldNotTest, func(w *world) { w.probe.see("tcp4", 25, probe.Seen{Reached: probe.Open}) }},
	{in25, codeBecause, CouldNotTest, noProbe},
	{in25, "closed", Bad, func(w *world) { only6(w); w.see6(probe.Seen{Reached: probe.Silent}) }},
	{in25, "open6", Bad, func(w *world) { only6(w); w.see6(probe.Seen{Reached: probe.Open, Line: "220 " + ourHost}) }},
	{in80, "open", Good, fine},
	{in80, "closed", Bad, notReached},
	{in80, codeUnknown, CouldNotTest, func(w *world) { delete(w.probe.seen["tcp4"], 80) }},
	{in443, "open", Good, func(w *world) {
		w.opt.Keys = func() []string { return []string{"ab", "cd"} }
		w.probe.see("tcp4", 443, probe.Seen{Reached: probe.Open, Key: "cd", Line: "HTTP/1.1 404 Not Found"})
	}},
	{in443, "other", Bad, func(w *world) { w.probe.see("tcp4", 443, probe.Seen{Reached: probe.Open, Key: "ef"}) }},
	{in443, codeBecause, CouldNotTest, noProbe},
	{in465, "open", Good, fine},
	{in465, "closed", Bad, notReached},
	{in465, codeBecause, CouldNotTest, noProbe},
	{in993, "open", Good, fine},
	{in993, "closed", Bad, notReached},
	{in993, codeBecause, CouldNotTest, noProbe},
	{ptr, "confirmed", Good, fine},
	{ptr, "confirmed4", Good, func(w *world) { w.opt.Addresses = addrs("192.168.1.10", ourIP6) }},
	{ptr, "missing", Bad, func(w *world) { delete(w.zone, "PTR "+ourIP) }},
	{ptr, "unconfirmed", Bad, func(w *world) { w.zone["PTR "+ourIP] = []string{"elsewhere.test"} }},
	{ptr, "generic", Bad, func(w *world) {
		w.zone["PTR "+ourIP] = []string{"p7.113-0-203.isp.test"}
		w.zone["A p7.113-0-203.isp.test"] = []string{ourIP}
	}},
	{ptr, codeUnknown, CouldNotTest, func(w *world) { w.zone["PTR "+ourIP] = []string{"SERVFAIL"} }},
	{ptr, codeUnknown, CouldNotTest, func(w *world) { w.zone["A "+ourHost] = []string{"SERVFAIL"} }},
	{ptr, codeBecause, CouldNotTest, func(w *world) { notReached(w); w.router.External = netip.MustParseAddr("192.0.0.2") }},
	{helo, "same", Good, fine},
	{helo, "differs", Bad, func(w *world) {
		w.zone["PTR "+ourIP] = []string{"named.example.test"}
		w.zone["A named.example.test"] = []string{ourIP}
	}},
	{helo, "elsewhere", Bad, func(w *world) {
		w.zone["PTR "+ourIP] = []string{"named.example.test"}
		w.zone["A named.example.test"] = []string{ourIP}
		w.zone["A "+ourHost] = []string{"192.0.2.9"}
	}},
	{helo, codeBecause, CouldNotTest, func(w *world) { delete(w.zone, "PTR "+ourIP) }},
	{blocklist, "clean", Good, fine},
	{blocklist, "clean", Good, func(w *world) { w.zone["A 2.0.0.127.cop.test"] = []string{"SERVFAIL"} }}, // the first counts
	{blocklist, codePolicy, Bad, func(w *world) { w.zone["A 7.113.0.203.zen.test"] = []string{"127.0.0.11"} }},
	{blocklist, codeListed, Bad, func(w *world) { w.zone["A 7.113.0.203.zen.test"] = []string{"127.0.0.4", "127.0.0.10"} }},
	{blocklist, codeListed, Bad, func(w *world) { w.zone["A 7.113.0.203.cop.test"] = []string{"127.0.0.2"} }},
	{blocklist, "refused", CouldNotTest, func(w *world) { w.zone["A 7.113.0.203.zen.test"] = []string{"127.255.255.254"} }},
	{blocklist, "refused", CouldNotTest, func(w *world) { w.zone["A 7.113.0.203.zen.test"] = []string{"198.51.100.80"} }}, // a portal's
	{blocklist, "refused", CouldNotTest, func(w *world) { w.zone["A 7.113.0.203.zen.test"] = []string{"SERVFAIL"} }},
	{blocklist, "refused", CouldNotTest, func(w *world) { delete(w.zone, "A 2.0.0.127.zen.test") }}, // it knows nothing here
	{blocklist, codeBecause, CouldNotTest, func(w *world) { w.opt.DNS = liar{w} }},
	{domain, "good", Good, fine},
	{domain, "young", Good, func(w *world) { w.rdap = rdapOf(time.Now().AddDate(0, 0, -3), time.Now().AddDate(1, 0, 0)) }},
	{domain, "soon", Bad, func(w *world) { w.rdap = rdapOf(time.Now().AddDate(-3, 0, 0), time.Now().AddDate(0, 0, 20)) }},
	{domain, "expired", Bad, func(w *world) { w.rdap = rdapOf(time.Now().AddDate(-3, 0, 0), time.Now().AddDate(0, 0, -2)) }},
	{domain, "held", Bad, func(w *world) {
		w.rdap = rdapOf(time.Now().AddDate(-3, 0, 0), time.Now().AddDate(1, 0, 0), `"client hold"`)
	}},
	{domain, codeUnknown, CouldNotTest, func(w *world) { w.status = http.StatusNotFound }},
	{domain, codeUnknown, CouldNotTest, func(w *world) { w.rdap = `{"events":[{"eventAction":"expiration","eventDate":"soon"}]}` }},
	{domain, codeUnknown, CouldNotTest, func(w *world) { w.rdap = "<html>" }},
	{domain, codeUnknown, CouldNotTest, func(w *world) { w.rdap = strings.Repeat(" ", maxRDAP) + "{}" }},
	{domain, codeUnset, CouldNotTest, func(w *world) { w.opt.Domains = domains("test", "a b") }},
	{clock, "right", Good, fine},
	{clock, "wrong", Bad, func(w *world) { w.opt.Clock = why("it is 1970") }},
	{clock, "off", Bad, func(w *world) { w.probe.skew = -3 * time.Minute }},
	{clock, codeUnset, CouldNotTest, func(w *world) { w.opt.Clock, w.probe = nil, nil }},
	{disk, "room", Good, fine},
	{disk, "low", Bad, func(w *world) { w.opt.Disk = func() (int64, int64, error) { return 900, 500, nil } }},
	{disk, "full", Bad, func(w *world) { w.opt.Disk = func() (int64, int64, error) { return 100, 500, nil } }},
	{disk, codeUnknown, CouldNotTest, func(w *world) { w.opt.Disk = func() (int64, int64, error) { return 0, 0, errFailure } }},
	{certificate, "valid", Good, fine},
	{certificate, "soon", Bad, func(w *world) { w.cert(Certificate{Leaf: leaf(5), Issued: true}) }},
	{certificate, "expired", Bad, func(w *world) { w.cert(Certificate{Leaf: leaf(-5), Issued: true}) }},
	{certificate, "self", Bad, func(w *world) { w.cert(Certificate{Leaf: leaf(500), Trouble: Text{EN: "refused", JA: "拒否"}}) }},
	{certificate, "none", Bad, func(w *world) { w.cert(Certificate{}) }},
	{certificate, "name", Bad, func(w *world) { w.opt.Host = "new.example.test"; w.cert(Certificate{Leaf: leaf(50), Issued: true}) }},
	{certificate, "waiting", Waiting, func(w *world) { w.cert(Certificate{Leaf: leaf(500), Waiting: true}) }},
	{certificate, codeBecause, CouldNotTest, func(w *world) { w.opt.Clock = why("it is 1970") }},
	{certificate, codeUnknown, CouldNotTest, func(w *world) { w.opt.Cert = func() (Certificate, error) { return Certificate{}, errFailure } }},
	{queue, "flows", Good, fine},
	{queue, "stuck", Bad, func(w *world) { w.opt.Queue = func() (int, time.Duration, error) { return 2, 2 * time.Hour, nil } }},
	{queue, "stuck", Bad, func(w *world) { w.opt.Queue = func() (int, time.Duration, error) { return 21, time.Minute, nil } }},
	{queue, codeUnset, CouldNotTest, func(w *world) { w.opt.Queue = nil }},
	{queue, codeCrash, CouldNotTest, func(w *world) { w.opt.Queue = func() (int, time.Duration, error) { panic("a bug") } }},
	{queue, codeTimeout, CouldNotTest, func(w *world) {
		w.opt.Queue = func() (int, time.Duration, error) { time.Sleep(time.Hour); return 0, 0, nil }
	}},
	{Visitors, "told", Good, func(w *world) { w.from("198.51.100.77") }},
	{Visitors, "hidden", Bad, func(w *world) { w.from("192.168.1.1") }},
	{Visitors, "hidden", Bad, func(w *world) { w.from("198.51.100.77", "172.17.0.1") }},
	{Visitors, "nobody", Good, func(w *world) {
		for _, p := range []uint16{80, 443} {
			w.probe.see("tcp4", p, probe.Seen{Reached: probe.Silent})
		}
	}},
	{Visitors, codeUnknown, CouldNotTest, fine},
	{Visitors, codeUnset, CouldNotTest, noProbe},
	{hairpin, "works", Good, only25},
	{hairpin, "missing", Bad, func(w *world) { only25(w); w.ports[ourIP+":25"] = "silent" }},
	{hairpin, "other", Bad, func(w *world) { only25(w); w.ports[ourIP+":25"] = "220 router.test" }},
	{hairpin, codeBecause, CouldNotTest, noProbe},
	{hairpin, codeBecause, CouldNotTest, func(w *world) { only25(w); delete(w.ports, "127.0.0.1:25") }},
}

// gmail6 has one provider answer over IPv6, and none over IPv4.
func gmail6(w *world, port, line string) {
	w.zone["AAAA mx.gmail.test"], w.zone["AAAA smtp.gmail.test"] = []string{"2001:db8::25"}, []string{"2001:db8::25"}
	w.ports["[2001:db8::25]:"+port] = line
	w.ports[gmailIP+":"+port], w.ports[mxIP+":"+port] = "silent", "silent"
}

func only25(w *world) {
	for _, p := range []uint16{465, 993, 443} {
		w.probe.see("tcp4", p, probe.Seen{Reached: probe.Silent})
	}
}

func only6(w *world) {
	w.opt.Routes = func() (bool, bool, error) { return false, true, nil }
}

func (w *world) see6(s probe.Seen) {
	w.probe.echo["tcp6"] = ourIP6
	w.probe.see("tcp6", 25, s)
}

func (w *world) cert(c Certificate) { w.opt.Cert = func() (Certificate, error) { return c, nil } }

// TestValues holds each check against each of its findings.
func TestValues(t *testing.T) {
	seen := make(map[string]bool)
	for _, tt := range cases {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			tt.change(w)
			r := w.one(t, tt.name)
			if r.Code != tt.code || r.State != tt.state {
				t.Errorf("%s: %s %s, want %s %s; detail %q data %v", tt.name, r.State, r.Code, tt.state, tt.code, r.Detail, r.Data)
			}
			for _, x := range []Text{r.Means, r.Do, r.Title} {
				if place.MatchString(x.EN + x.JA) {
					t.Errorf("%s.%s: a value is missing: %q %q", tt.name, r.Code, x.EN, x.JA)
				}
			}
			if r.Means.EN == "" || r.Tested.IsZero() || r.Since.After(r.Tested) {
				t.Errorf("%s: %+v", tt.name, r)
			}
			time.Sleep(2 * time.Hour) // those that hang are let go
		})
		seen[tt.name+string(tt.state)] = true
	}
	for _, s := range steps {
		states := []State{Good, Bad, CouldNotTest}
		if s.name == router || s.name == prober {
			states = []State{Good, CouldNotTest}
		}
		for _, st := range states {
			if !seen[s.name+string(st)] {
				t.Errorf("%s is never %s here", s.name, st)
			}
		}
	}
}

// TestHealthy: where all is well, all that is needed is good, and the house may
// send directly.
func TestHealthy(t *testing.T) {
	c := newWorld().checker()
	list, err := c.Test(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if Worst(list) != Good || Recommend(list).Mode != Direct {
		for _, r := range list {
			t.Logf("%s: %s %s %s", r.Name, r.State, r.Code, r.Detail)
		}
		t.Errorf("worst %s, mode %v", Worst(list), Recommend(list))
	}
	if !slices.Equal(c.Names(), names(list)) {
		t.Errorf("results of %v", names(list))
	}
}

func names(list []Result) (n []string) {
	for _, r := range list {
		n = append(n, r.Name)
	}
	return n
}

func TestMapE(t *testing.T) {
	for _, tt := range []struct {
		ports []uint16
		want  bool
	}{
		{[]uint16{0x1a52, 0x2a51, 0xba5f, 0xfa50}, true},          // 4-8-4: share 0xa5
		{[]uint16{0x0652, 0x0a51, 0xba5f, 0xfa50}, true},          // 6-6-4: share 0x25
		{[]uint16{0x1a52, 0x2a51, 0xba5f}, false},                 // too few
		{[]uint16{0xba50, 0xba51, 0xba52, 0xba53, 0xba54}, false}, // one after another, of any NAT
		{[]uint16{40000, 51234, 33333, 60001}, false},
		{[]uint16{0x0052, 0x0051, 0x105f, 0x2050}, false},
	} {
		if got := mapE(tt.ports); (got != "") != tt.want {
			t.Errorf("%x: %q", tt.ports, got)
		}
	}
}

func TestGeneric(t *testing.T) {
	a := netip.MustParseAddr("203.0.113.7")
	for name, want := range map[string]bool{
		"mail.example.test": false, "mx7.example.test": false, "203-0-113-7.isp.test": true,
		"7.113.0.203.dyn.test": true, "cb007107.isp.test": true, "h203000113007.isp.test": true, "p203113007.isp.test": false,
		"ip203.0.113.isp.test": true, "static.example.test": false,
	} {
		if got := generic(name, a); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A liar answers for names that are not there.
type liar struct{ w *world }

func (l liar) MX(ctx context.Context, d string) (resolver.Answer[*net.MX], error) {
	return l.w.zone.MX(ctx, d)
}
func (l liar) Validates(ctx context.Context) bool { return l.w.zone.Validates(ctx) }
func (l liar) PTR(ctx context.Context, a netip.Addr) (resolver.Answer[string], error) {
	return l.w.zone.PTR(ctx, a)
}

func (l liar) IP(ctx context.Context, host string) (resolver.Answer[netip.Addr], error) {
	a, err := l.w.zone.IP(ctx, host)
	if notFound(err) {
		a.List, err = []netip.Addr{netip.MustParseAddr("198.51.100.80")}, nil
	}
	return a, err
}

// from is how the probe's look for the page with the token looked here.
func (w *world) from(list ...string) {
	for _, a := range list {
		w.probe.from = append(w.probe.from, netip.MustParseAddr(a))
	}
}

// TestVisitorsStayHidden: that strangers look like people of the house stands until
// it is seen to be over. A probe that fails at the right moment opens no pages.
func TestVisitorsStayHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := w.checker()
		for i, tt := range []struct {
			change func()
			code   string
		}{
			{func() { w.from("192.168.1.1") }, "hidden"},
			{func() { w.probe.from = nil }, "hidden"},
			{func() { w.probe.err = errFailure }, "hidden"},
			{func() { w.probe.err = nil; w.from("198.51.100.77") }, "told"},
		} {
			tt.change()
			list, err := c.Test(t.Context(), Visitors)
			if err != nil {
				t.Fatal(err)
			}
			if r := list[len(list)-1]; r.Name != Visitors || r.Code != tt.code || tt.code == "hidden" && r.Data["address"] != "192.168.1.1" {
				t.Errorf("%d: %+v, want %s", i, r, tt.code)
			}
		}
	})
}

// TestMute: what is muted stays listed, makes nothing bad and tells nobody, until
// its time is over or something else is found.
func TestMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		memory := storeOf{}
		w.opt.Memory = memory
		queued := 21
		w.opt.Queue = func() (int, time.Duration, error) { return queued, time.Minute, nil }
		look := func(c *Checker) Result {
			t.Helper()
			list, err := c.Test(t.Context(), queue)
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			return list[0]
		}
		c := w.checker()
		if c.Mute(queue, "", 0) == nil || c.Mute("odd", "", 0) == nil {
			t.Error("what is not known is muted")
		}
		look(c)
		if c.Mute(queue, "", 31*24*time.Hour) == nil || c.Mute(queue, strings.Repeat("x", 300), 0) == nil {
			t.Error("it has no bound")
		}
		if err := c.Mute(queue, "the line is slow", 30*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*Checker{c, w.checker()} { // after a start, too
			if r := look(c); r.State != Bad || r.Muted == nil || r.Muted.Reason != "the line is slow" || Worst([]Result{r}) != Good {
				t.Errorf("%+v", r)
			}
		}
		time.Sleep(30*24*time.Hour + time.Second)
		if r := look(c); r.Muted != nil || Worst([]Result{r}) != Bad {
			t.Errorf("it has no end: %+v", r)
		}
		if err := c.Mute(queue, "", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(365 * 24 * time.Hour)
		if r := look(c); r.Muted == nil {
			t.Error("it ends though nothing has changed")
		}
		queued = 0
		look(c)
		queued = 21
		if r := look(c); r.Muted != nil {
			t.Error("it goes on after a change")
		}
		if err := errors.Join(c.Mute(queue, "", 0), c.Unmute(queue)); err != nil || look(c).Muted != nil {
			t.Error("it cannot be taken back", err)
		}
	})
}

// storeOf is a memory.
type storeOf map[string][]byte

func (m storeOf) State(path string) ([]byte, error) { return m[path], nil }
func (m storeOf) PutState(path string, v []byte) error {
	m[path] = v
	return nil
}
