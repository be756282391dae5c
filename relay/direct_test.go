package relay

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/internal/mailtest"
	"homemail/mail"
)

// oneMX is the DNS of most tests.
func oneMX() mailtest.Zone {
	return mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "A mx.example.test": {"192.0.2.1"}}
}

// twoMX has two servers, one better than the other.
func twoMX() mailtest.Zone {
	return mailtest.Zone{
		"MX example.test":    {"10 mx.example.test", "20 mx2.example.test"},
		"A mx.example.test":  {"192.0.2.1"},
		"A mx2.example.test": {"192.0.2.2"},
	}
}

// TestDirect has what becomes of one recipient of example.test.
func TestDirect(t *testing.T) {
	const first, second = "192.0.2.1:25", "192.0.2.2:25"
	for name, tt := range map[string]struct {
		zone    mailtest.Zone
		servers map[string]string
		want    string
		remote  string
		took    time.Duration
	}{
		"taken": {oneMX(), map[string]string{first: greet + takes + quit}, "relayed", "mx.example.test [192.0.2.1]:25", 0},
		"no such domain": {mailtest.Zone{"A other.test": {"192.0.2.1"}}, nil,
			"permanent no-domain 5.1.2", "", 0},
		"null MX": {mailtest.Zone{"MX example.test": {"0 ."}, "A example.test": {"192.0.2.1"}}, map[string]string{first: greet + takes},
			"permanent no-mail 5.1.10", "", 0},
		"no MX":                  {mailtest.Zone{"A example.test": {"192.0.2.1"}}, map[string]string{first: greet + takes + quit}, "relayed", "example.test [192.0.2.1]:25", 0},
		"no MX, IPv6":            {mailtest.Zone{"AAAA example.test": {"2001:db8::1"}}, map[string]string{"[2001:db8::1]:25": greet + takes + quit}, "relayed", "example.test [2001:db8::1]:25", 0},
		"neither MX nor address": {mailtest.Zone{"TXT example.test": {"hello"}}, nil, "permanent no-mail 5.4.4", "", 0},
		"MX broken":              {mailtest.Zone{"MX example.test": {"SERVFAIL"}, "A example.test": {"192.0.2.1"}}, map[string]string{first: greet + takes}, "temporary dns 4.4.3", "", 0},
		"MX silent":              {mailtest.Zone{"MX example.test": {"TIMEOUT"}}, nil, "temporary dns 4.4.3", "", 0},
		"host not known":         {mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "A example.test": {"192.0.2.1"}}, map[string]string{first: greet + takes}, "permanent bad-mx 5.4.4", "", 0},
		"host broken":            {mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "A mx.example.test": {"SERVFAIL"}}, nil, "temporary dns 4.4.3", "", 0},
		"one of two hosts known": {mailtest.Zone{"MX example.test": {"10 gone.example.test", "20 mx.example.test"}, "A mx.example.test": {"192.0.2.1"}},
			map[string]string{first: greet + takes + quit}, "relayed", "", 0},
		"host is an alias": {mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "CNAME mx.example.test": {"real.test"}, "A real.test": {"192.0.2.1"}},
			map[string]string{first: greet + takes + quit}, "relayed", "", 0},
		"domain is an alias": {mailtest.Zone{"CNAME example.test": {"real.test"}, "MX real.test": {"10 mx.real.test"}, "A mx.real.test": {"192.0.2.1"}},
			map[string]string{first: greet + takes + quit}, "relayed", "mx.real.test [192.0.2.1]:25", 0},

		"refused connection, then the next":  {twoMX(), map[string]string{second: greet + takes + quit}, "relayed", "mx2.example.test [192.0.2.2]:25", 0},
		"nobody connects":                    {twoMX(), nil, "temporary connect 4.4.1", "mx2.example.test [192.0.2.2]:25", 0},
		"no answer to SYN, then the next":    {twoMX(), map[string]string{first: "HANG", second: greet + takes + quit}, "relayed", "", connectTimeout},
		"silent, then the next":              {twoMX(), map[string]string{first: nothing, second: greet + takes + quit}, "relayed", "", 5 * time.Minute},
		"5xx greeting, then the next":        {twoMX(), map[string]string{first: "> 554 go away", second: greet + takes + quit}, "relayed", "", 0},
		"5xx greeting everywhere":            {twoMX(), map[string]string{first: "> 554 go away", second: "> 554 5.7.1 you too"}, "temporary reply 5.7.1 you too", "", 0},
		"5xx EHLO, then the next":            {twoMX(), map[string]string{first: "> 220 hi\n< EHLO\n> 550 no\n< HELO\n> 550 no\n" + quit, second: greet + takes + quit}, "relayed", "", 0},
		"4xx MAIL, then the next":            {twoMX(), map[string]string{first: greet + "< MAIL\n< RCPT\n< DATA\n> 451 4.3.0 later\n> 503 x\n> 503 x\n" + quit, second: greet + takes + quit}, "relayed", "mx2.example.test [192.0.2.2]:25", 0},
		"5xx MAIL ends it":                   {twoMX(), map[string]string{first: greet + "< MAIL\n< RCPT\n< DATA\n> 550 5.7.1 no\n> 503 x\n> 503 x\n" + quit, second: greet + takes}, "permanent reply 5.7.1 no", "mx.example.test [192.0.2.1]:25", 0},
		"5xx RCPT ends it":                   {twoMX(), map[string]string{first: greet + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 550 5.1.1 no\n> 503 x\n" + quit, second: greet + takes}, "permanent reply 5.1.1 no", "", 0},
		"5xx after the dot ends it":          {twoMX(), map[string]string{first: greet + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n<data\n> 554 5.6.0 no\n" + quit, second: greet + takes}, "permanent reply 5.6.0 no", "", 0},
		"greylisted everywhere":              {twoMX(), map[string]string{first: greet + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 450 4.2.0 grey\n> 503 x\n" + quit, second: greet + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 450 4.2.0 grey too\n> 503 x\n" + quit}, "temporary reply 4.2.0 grey too", "", 0},
		"greylisted, then dead":              {twoMX(), map[string]string{first: greet + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 450 4.2.0 grey\n> 503 x\n" + quit}, "temporary reply 4.2.0 grey", "mx.example.test [192.0.2.1]:25", 0},
		"lost before the dot, then the next": {twoMX(), map[string]string{first: greet + "< MAIL\nclose", second: greet + takes + quit}, "relayed", "mx2.example.test [192.0.2.2]:25", 0},
		"lost after the dot: no other":       {twoMX(), map[string]string{first: greet + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n<data\nclose", second: greet + takes}, "temporary lost 4.4.2", "mx.example.test [192.0.2.1]:25", 0},
		"silent after the dot: no other":     {twoMX(), map[string]string{first: greet + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n<data\nhang", second: greet + takes}, "temporary timeout 4.4.2", "", 0},
		"not SMTP":                           {oneMX(), map[string]string{first: "> HTTP/1.1 400 Bad\n<all"}, "temporary broken 4.5.0", "", 0},

		"IPv6 dead, IPv4 alive": {mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "AAAA mx.example.test": {"2001:db8::1"}, "A mx.example.test": {"192.0.2.1"}},
			map[string]string{first: greet + takes + quit}, "relayed", "", 0},
		"IPv4 dead, IPv6 alive": {mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "AAAA mx.example.test": {"2001:db8::1"}, "A mx.example.test": {"192.0.2.1"}},
			map[string]string{"[2001:db8::1]:25": greet + takes + quit}, "relayed", "", 0},
		"leads into the house": {mailtest.Zone{"MX example.test": {"10 mx.example.test"}, "A mx.example.test": {"127.0.0.1", "192.168.1.1"}, "AAAA mx.example.test": {"::1"}},
			map[string]string{"127.0.0.1:25": greet + takes, "192.168.1.1:25": greet + takes, "[::1]:25": greet + takes}, "temporary bad-mx 4.4.4", "", 0},
		"is ourselves by name":    {mailtest.Zone{"MX example.test": {"10 BOX.example.org"}, "A box.example.org": {"192.0.2.1"}}, map[string]string{first: greet + takes}, "permanent bad-mx 5.4.6", "", 0},
		"is ourselves by address": {mailtest.Zone{"MX example.test": {"10 other.example.test"}, "A other.example.test": {"203.0.113.9"}}, map[string]string{"203.0.113.9:25": greet + takes}, "permanent bad-mx 5.4.6", "", 0},
		"we are the second": {mailtest.Zone{"MX example.test": {"10 mx.example.test", "20 box.example.org", "30 mx2.example.test"}, "A mx.example.test": {"192.0.2.1"}, "A mx2.example.test": {"192.0.2.2"}, "A box.example.org": {"192.0.2.3"}},
			map[string]string{second: greet + takes, "192.0.2.3:25": greet + takes}, "temporary connect 4.4.1", "mx.example.test [192.0.2.1]:25", 0},
		"we are as good as another": {mailtest.Zone{"MX example.test": {"10 mx.example.test", "10 box.example.org"}, "A mx.example.test": {"192.0.2.1"}, "A box.example.org": {"192.0.2.3"}},
			map[string]string{first: greet + takes}, "permanent bad-mx 5.4.6", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{zone: tt.zone, servers: tt.servers}
			w.options = func(o *Options) {
				o.Local = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("203.0.113.9")} }
			}
			bubble(t, w, func(t *testing.T) {
				r := w.relay()
				start := time.Now()
				outs := w.send(r, r.Hop("", "example.test", 0), message("bob@example.test"))
				if got := brief(outs); got != tt.want {
					t.Errorf("got %q, want %q: %+v", got, tt.want, outs)
				}
				if tt.remote != "" && outs[0].Remote != tt.remote {
					t.Errorf("remote is %q", outs[0].Remote)
				}
				if took := time.Since(start); tt.took > 0 && took.Round(time.Second) != tt.took {
					t.Errorf("took %v", took)
				}
				if len(r.lanes) != 0 {
					t.Errorf("%d lanes are left", len(r.lanes))
				}
			})
			if tt.want == "relayed" {
				for addr, list := range w.played {
					for _, p := range list {
						if p.Err != nil && !strings.Contains(tt.servers[addr], "hang") {
							t.Errorf("%s: %v", addr, p.Err)
						}
					}
				}
			}
		})
	}
}

// TestPartly: a message that a server took for one is not brought to another
// server for the rest before that is stable.
func TestPartly(t *testing.T) {
	w := &world{zone: twoMX(), servers: map[string]string{
		"192.0.2.1:25": greet + "< MAIL\n< RCPT\n< RCPT\n< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 450 4.2.2 full\n> 550 5.1.1 no\n> 354 go\n<data\n> 250 ok\n" + quit,
		"192.0.2.2:25": greet + takes,
	}}
	bubble(t, w, func(t *testing.T) {
		outs := w.send(w.relay(), "mx:example.test", message("a@example.test", "b@example.test", "c@example.test"))
		if got := brief(outs); got != "relayed, temporary reply 4.2.2 full, permanent reply 5.1.1 no" {
			t.Error(got)
		}
		if w.dials["192.0.2.2:25"] != 0 {
			t.Error("went on")
		}
	})
}

// TestRest: those that were refused for good are not asked for again.
func TestRest(t *testing.T) {
	w := &world{zone: twoMX(), servers: map[string]string{
		"192.0.2.1:25": greet + "< MAIL\n< RCPT\n< RCPT\n< DATA\n> 250 ok\n> 450 4.2.2 full\n> 550 5.1.1 no\n> 503 x\n" + quit,
		"192.0.2.2:25": greet + "< MAIL\n< RCPT TO:<a@\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n<data\n> 250 ok\n" + quit,
	}}
	bubble(t, w, func(t *testing.T) {
		outs := w.send(w.relay(), "mx:example.test", message("a@example.test", "b@example.test"))
		if got := brief(outs); got != "relayed, permanent reply 5.1.1 no" {
			t.Error(got)
		}
	})
}

// TestBounds: a domain with a thousand servers costs no more than one with few.
func TestBounds(t *testing.T) {
	zone, servers := mailtest.Zone{}, map[string]string{}
	for i := range 30 {
		host := strings.Repeat("x", i+1) + ".example.test"
		zone["MX example.test"] = append(zone["MX example.test"], "10 "+host)
		for j := range 5 {
			zone["A "+host] = append(zone["A "+host], netip.AddrFrom4([4]byte{192, 0, byte(i + 3), byte(j)}).String())
		}
	}
	w := &world{zone: zone, servers: servers}
	bubble(t, w, func(t *testing.T) {
		r := w.relay()
		w.send(r, "mx:example.test", message("bob@example.test"))
		if len(w.dials) != maxAddresses {
			t.Errorf("%d dials", len(w.dials))
		}
		if p, err := r.planMX(t.Context(), "example.test"); err != nil || len(p.hosts) != maxHosts {
			t.Errorf("%d hosts, %v", len(p.hosts), err)
		}
	})
	for addr := range zoneAddrs(zone) {
		servers[addr] = greet + "< MAIL\n< RCPT\n< DATA\n> 450 4.2.0 grey\n> 503 x\n> 503 x\n<all"
	}
	bubble(t, w, func(t *testing.T) {
		outs := w.send(w.relay(), "mx:example.test", message("bob@example.test"))
		if brief(outs) != "temporary reply 4.2.0 grey" || len(w.dials) != maxSessions {
			t.Errorf("%s after %d sessions", brief(outs), len(w.dials))
		}
	})
	for addr := range zoneAddrs(zone) {
		servers[addr] = nothing
	}
	bubble(t, w, func(t *testing.T) {
		start := time.Now()
		outs := w.send(w.relay(), "mx:example.test", message("bob@example.test"))
		if brief(outs) != "temporary timeout 4.4.2" || time.Since(start) > openTime+time.Minute {
			t.Errorf("%s after %v", brief(outs), time.Since(start))
		}
	})
}

func zoneAddrs(zone mailtest.Zone) map[string]bool {
	list := map[string]bool{}
	for key, addrs := range zone {
		if strings.HasPrefix(key, "A ") {
			for _, a := range addrs {
				list[a+":25"] = true
			}
		}
	}
	return list
}

// TestOrder: better servers first, equals in any order.
func TestOrder(t *testing.T) {
	zone := mailtest.Zone{"MX example.test": {"20 c.test", "10 a.test", "10 b.test"}, "A a.test": {"192.0.2.1"}, "A b.test": {"192.0.2.2"}, "A c.test": {"192.0.2.3"}}
	w := &world{t: t, zone: zone}
	r := w.relay()
	first := map[string]int{}
	for range 50 {
		p, err := r.planMX(t.Context(), "example.test")
		if err != nil || p.hosts[2].name != "c.test" {
			t.Fatal(p, err)
		}
		first[p.hosts[0].name]++
	}
	if first["a.test"] == 0 || first["b.test"] == 0 {
		t.Error(first)
	}
}

func TestAddressLiteral(t *testing.T) {
	for domain, want := range map[string]string{
		"[192.0.2.1]":        "relayed",
		"[ipv6:2001:db8::1]": "relayed",
		"[192.168.1.1]":      "temporary bad-mx 4.4.4",
		"[203.0.113.9]":      "permanent bad-mx 5.4.6",
	} {
		t.Run(domain, func(t *testing.T) {
			w := &world{servers: map[string]string{"192.0.2.1:25": greet + takes + quit, "[2001:db8::1]:25": tlsOn + takes + quit, "192.168.1.1:25": greet}}
			w.options = func(o *Options) {
				o.Local = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("203.0.113.9")} }
			}
			bubble(t, w, func(t *testing.T) {
				r := w.relay()
				if outs := w.send(r, r.Hop("", domain, 0), message(mail.Path("bob@"+domain))); brief(outs) != want {
					t.Errorf("%+v", outs)
				}
			})
		})
	}
}

func TestPublic(t *testing.T) {
	for _, s := range []string{
		"127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1",
		"255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.0.8", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:c0a8:101::1",
		"2001::1", "fec0::1", "100::1",
	} {
		if public(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	for _, s := range []string{"8.8.8.8", "192.0.2.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "172.32.0.1", "100.128.0.1"} {
		if !public(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
	r := New(Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Local: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.9")} }})
	if !r.allowed(netip.MustParseAddr("127.0.0.1")) || r.allowed(netip.MustParseAddr("10.0.0.1")) || r.allowed(netip.MustParseAddr("127.0.0.9")) {
		t.Error("allowed is wrong")
	}
}

func TestMix(t *testing.T) {
	in := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}
	for _, tt := range []struct {
		in     []netip.Addr
		noIPv6 bool
		want   []int
	}{{in, false, []int{0, 2, 1, 3, 4}}, {in, true, []int{2, 3, 4}}, {in[:2], true, []int{0, 1}}} {
		got := New(Options{NoIPv6: tt.noIPv6}).mix(tt.in)
		if !slices.EqualFunc(got, tt.want, func(a netip.Addr, i int) bool { return a == in[i] }) {
			t.Error(got)
		}
	}
}
