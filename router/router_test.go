package router

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var all = []string{"tcp 25", "tcp 443", "udp 443"}

func check(t *testing.T, f *fake, r *Router, method string, code Code, mapped []string) State {
	t.Helper()
	s := r.State()
	if got := f.mapped(); s.Method != method || s.Code != code || !slices.Equal(got, mapped) {
		t.Errorf("method %q code %q mapped %q, want %q %q %q; %+v", s.Method, s.Code, got, method, code, mapped, s.Ports)
	}
	return s
}

func TestMethods(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		change       func(f *fake)
	}{
		{"all", "PCP", func(f *fake) { f.pcp, f.pmp, f.igd = true, true, true }},
		{"NAT-PMP", "NAT-PMP", func(f *fake) { f.pmp = true }},
		{"NAT-PMP and UPnP", "NAT-PMP", func(f *fake) { f.pmp, f.igd = true, true }},
		{"UPnP", "UPnP", func(f *fake) { f.igd = true }},
		{"UPnP without leases", "UPnP", func(f *fake) { f.igd, f.permanent = true, true }},
		{"UPnP that calls leases invalid", "UPnP", func(f *fake) { f.igd, f.permanent, f.invalid = true, true, true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			live(t, mail, tt.change, func(t *testing.T, f *fake, r *Router) {
				s := check(t, f, r, tt.method, Mapped, all)
				if s.External != outside || s.Gateway != gateway4 || s.Own != own4.Addr() {
					t.Errorf("%+v", s)
				}
				if f.igd && (s.Model != "ACME Aterm & Co 7" || s.Page != "http://192.168.1.1/") {
					t.Errorf("model %q page %q", s.Model, s.Page)
				}
				time.Sleep(30 * time.Hour)
				check(t, f, r, tt.method, Mapped, all)
			})
		})
	}
}

func TestGivesBackPermanentMappings(t *testing.T) {
	var kept *fake
	live(t, mail, func(f *fake) { f.igd, f.permanent, kept = true, true, f }, func(t *testing.T, f *fake, r *Router) {
		if s := r.State(); !s.Ports[0].Until.IsZero() || !s.Ports[0].Mapped {
			t.Errorf("%+v", s.Ports[0])
		}
	})
	if len(kept.rows) > 0 {
		t.Errorf("left: %v", kept.rows)
	}
}

// TestRenews shows when each request to map is made: at half the lease, also
// where the router gives less than was asked for.
func TestRenews(t *testing.T) {
	for _, life := range []time.Duration{0, 10 * time.Minute, 2 * time.Second} {
		live(t, mail[:1], func(f *fake) { f.pcp, f.life = true, life }, func(t *testing.T, f *fake, r *Router) {
			f.requests()
			time.Sleep(24 * time.Hour)
			got := f.requests()
			half := max(min(cmpOr(life, lease), lease), leastLife) / 2
			if want := int(24 * time.Hour / half); got < want-1 || got > want+1 {
				t.Errorf("lease %s: asked %d times in a day, want %d", life, got, want)
			}
			if until := r.State().Ports[0].Until; life > time.Minute && !until.After(time.Now()) {
				t.Errorf("until %s", until)
			}
		})
	}
}

func cmpOr(a, b time.Duration) time.Duration {
	if a != 0 {
		return a
	}
	return b
}

func TestReboot(t *testing.T) {
	for name, change := range map[string]func(f *fake){
		"PCP":     func(f *fake) { f.pcp = true },
		"NAT-PMP": func(f *fake) { f.pmp = true },
		"UPnP":    func(f *fake) { f.igd = true },
	} {
		t.Run(name, func(t *testing.T) {
			live(t, mail, change, func(t *testing.T, f *fake, r *Router) {
				time.Sleep(30 * time.Minute)
				f.reboot()
				time.Sleep(looking + 10*time.Second)
				check(t, f, r, name, Mapped, all)
			})
		})
	}
}

// TestAnnouncement: a router that says that it has started is asked at once,
// others that say so are not heard, and saying it often makes no difference.
func TestAnnouncement(t *testing.T) {
	live(t, mail, func(f *fake) { f.pcp = true }, func(t *testing.T, f *fake, r *Router) {
		hello := make([]byte, pcpHeader)
		hello[0], hello[1] = pcpVersion, response|opAnnounce
		say := func(from netip.Addr) {
			f.hear.in <- datagram{netip.AddrPortFrom(from, 5351), hello}
			synctest.Wait()
		}
		time.Sleep(10 * time.Second) // between looks
		f.reboot()
		say(other)
		check(t, f, r, "PCP", Mapped, nil)
		say(gateway4)
		check(t, f, r, "PCP", Mapped, all)
		f.requests()
		for range 600 { // a minute
			say(gateway4)
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.requests(); n > 2*len(all) {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

// TestLyingEpoch: a router whose epoch makes no sense is not asked all the time.
func TestLyingEpoch(t *testing.T) {
	live(t, mail, func(f *fake) { f.pcp, f.noEpoch = true, true }, func(t *testing.T, f *fake, r *Router) {
		time.Sleep(24 * time.Hour)
		if n := f.requests(); n > len(mail)*24*60 || n < 36 {
			t.Errorf("asked %d times in a day", n)
		}
	})
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		code         Code
		change       func(f *fake)
	}{
		{"silent", "", Silent, func(f *fake) {}},
		{"PCP refuses", "PCP", Refused, func(f *fake) { f.pcp, f.result = true, 2 }},
		{"PCP refuses, NAT-PMP too", "PCP", Refused, func(f *fake) { f.pcp, f.pmp, f.result = true, true, 2 }},
		{"PCP is full", "PCP", Full, func(f *fake) { f.pcp, f.result = true, 8 }},
		{"PCP has no line", "PCP", Offline, func(f *fake) { f.pcp, f.result = true, 7 }},
		{"PCP is odd", "PCP", Odd, func(f *fake) { f.pcp, f.result = true, 200 }},
		{"NAT-PMP refuses", "NAT-PMP", Refused, func(f *fake) { f.pmp, f.result = true, 2 }},
		{"NAT-PMP is full", "NAT-PMP", Full, func(f *fake) { f.pmp, f.result = true, 4 }},
		{"UPnP refuses", "UPnP", Refused, func(f *fake) { f.igd, f.result = true, 606 }},
		{"UPnP conflict", "UPnP", Conflict, func(f *fake) { f.igd, f.result = true, 718 }},
		{"UPnP is full", "UPnP", Full, func(f *fake) { f.igd, f.result = true, 728 }},
		{"MAP-E", "PCP", Moved, func(f *fake) { f.pcp, f.shift = true, 5176 }},
		{"port 25 taken, PCP", "PCP", Conflict, func(f *fake) { f.pcp = true; f.rows["tcp 25"] = row{client: other} }},
		{"port 25 taken, UPnP", "UPnP", Conflict, func(f *fake) { f.igd = true; f.rows["tcp 25"] = row{client: other} }},
		{"no port below 1024 of ours", "", Public, func(f *fake) { f.hops = []Hop{{gateway4, netip.MustParsePrefix("198.51.100.9/24")}} }},
		{"no route", "", NoGateway, func(f *fake) { f.hops = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			live(t, mail, tt.change, func(t *testing.T, f *fake, r *Router) {
				s := r.State()
				if s.Code != tt.code || s.Method != tt.method || s.Why.EN == "" || s.Why.JA == "" {
					t.Errorf("code %q method %q, want %q %q; %+v", s.Code, s.Method, tt.code, tt.method, s.Ports)
				}
				f.mu.Lock()
				taken := f.rows["tcp 25"].client == other
				f.mu.Unlock()
				for _, p := range s.Ports {
					if p.Mapped != (taken && p.Internal != 25) || p.Mapped != (p.Code == Mapped) {
						t.Errorf("%+v", p)
					}
				}
				want := []string(nil)
				if taken {
					want = all[1:]
				}
				if got := f.mapped(); !slices.Equal(got, want) { // what was not asked for is gone
					t.Errorf("mapped %q", got)
				}
				f.requests()
				time.Sleep(24 * time.Hour)
				if n := f.requests(); n > 3*3*2*30 {
					t.Errorf("asked %d times in a day", n)
				}
			})
		})
	}
}

// TestBecomesWilling: what is refused now is had when the owner has allowed it.
func TestBecomesWilling(t *testing.T) {
	live(t, mail, func(f *fake) { f.pcp, f.result = true, 2 }, func(t *testing.T, f *fake, r *Router) {
		f.mu.Lock()
		f.result = 0
		f.mu.Unlock()
		time.Sleep(6 * time.Minute)
		check(t, f, r, "PCP", Mapped, all)
	})
}

// TestSilence: a router that is away for a while changes nothing; one that comes
// back with another language is spoken to in that.
func TestSilence(t *testing.T) {
	live(t, mail, func(f *fake) { f.pcp = true }, func(t *testing.T, f *fake, r *Router) {
		f.mu.Lock()
		f.pcp = false
		f.mu.Unlock()
		time.Sleep(looking + time.Minute)
		check(t, f, r, "PCP", Mapped, all)
		time.Sleep(20 * time.Minute)
		if s := r.State(); s.Code != Silent || s.Ports[0].Mapped {
			t.Errorf("%+v", s)
		}
		f.mu.Lock()
		f.pmp, f.rows = true, map[string]row{}
		f.mu.Unlock()
		time.Sleep(time.Hour)
		check(t, f, r, "NAT-PMP", Mapped, all)
	})
}

func TestAddressChanges(t *testing.T) {
	live(t, mail, func(f *fake) { f.pcp = true }, func(t *testing.T, f *fake, r *Router) {
		f.mu.Lock()
		f.external = netip.MustParseAddr("203.0.113.99")
		f.hops = []Hop{{gateway4, netip.MustParsePrefix("192.168.1.8/24")}}
		f.mu.Unlock()
		time.Sleep(looking + 10*time.Second)
		s := check(t, f, r, "PCP", Mapped, all)
		if s.External.String() != "203.0.113.99" || s.Own.String() != "192.168.1.8" {
			t.Errorf("%+v", s)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for k, e := range f.rows {
			if e.client.String() != "192.168.1.8" {
				t.Errorf("%s is mapped to %s", k, e.client)
			}
		}
	})
}

func TestOwnersMapping(t *testing.T) {
	owners := row{client: own4.Addr(), inner: 25, about: "mail, by hand"}
	live(t, mail, func(f *fake) { f.igd, f.permanent = true, true; f.rows["tcp 25"] = owners }, func(t *testing.T, f *fake, r *Router) {
		check(t, f, r, "UPnP", Mapped, all)
		t.Cleanup(func() {
			if len(f.rows) != 1 || f.rows["tcp 25"] != owners {
				t.Errorf("left: %v", f.rows)
			}
		})
	})
}

func TestPinholes(t *testing.T) {
	holes := []string{"hole 17 443", "hole 6 25", "hole 6 443"}
	six := func(change func(f *fake)) func(f *fake) {
		return func(f *fake) { f.hops = []Hop{hop6}; change(f) }
	}
	live(t, mail, six(func(f *fake) { f.fire = true }), func(t *testing.T, f *fake, r *Router) {
		check(t, f, r, "UPnP", Mapped, holes)
		for _, to := range f.connections() {
			if to.Addr() != gateway6 {
				t.Errorf("connected to %s", to)
			}
		}
		time.Sleep(24 * time.Hour)
		check(t, f, r, "UPnP", Mapped, holes)
		f.reboot()
		time.Sleep(time.Hour + time.Minute)
		check(t, f, r, "UPnP", Mapped, holes)
	})
	live(t, mail, six(func(f *fake) { f.pcp = true }), func(t *testing.T, f *fake, r *Router) {
		if s := r.State(); s.Code != Mapped || s.Method != "PCP" || s.External.IsValid() || len(f.mapped()) != 3 {
			t.Errorf("%+v", s)
		}
	})
	live(t, mail, six(func(f *fake) { f.fire, f.firewall = true, "0" }), func(t *testing.T, f *fake, r *Router) {
		if s := r.State(); s.Ports[0].Code != Open || !s.Ports[0].Mapped || len(f.mapped()) != 0 {
			t.Errorf("%+v", s)
		}
	})
	live(t, mail, func(f *fake) { f.hops = []Hop{hop4, hop6}; f.pcp, f.pmp, f.igd = true, true, true }, func(t *testing.T, f *fake, r *Router) {
		if s := r.State(); len(s.Ports) != 6 || s.Code != Mapped || s.External != outside {
			t.Errorf("%+v", s)
		}
	})
}

// TestHostile: nothing in the house can send us elsewhere.
func TestHostile(t *testing.T) {
	gw := netip.AddrPortFrom(gateway4, ssdpPort)
	live(t, mail, func(f *fake) {
		f.igd = true
		f.lies = []lie{
			{netip.AddrPortFrom(other, ssdpPort), "http://192.168.1.66:5000/x.xml"},
			{netip.AddrPortFrom(other, ssdpPort), "http://192.168.1.1:5000/admin"},
			{gw, "http://192.168.1.66:5000/x.xml"}, {gw, "http://127.0.0.1:5000/"}, {gw, "http://router.example:5000/"},
			{gw, "http://user@192.168.1.1:5000/"}, {gw, "https://192.168.1.1:5000/"}, {gw, "file:///etc/passwd"}, {gw, "http://192.168.1.1:0/"},
		}
	}, func(t *testing.T, f *fake, r *Router) {
		check(t, f, r, "UPnP", Mapped, all)
		for _, to := range f.connections() {
			if to != netip.AddrPortFrom(gateway4, 5000) {
				t.Errorf("connected to %s", to)
			}
		}
	})
}

// TestBadDescriptions: each ends, with nothing mapped and nobody else asked.
func TestBadDescriptions(t *testing.T) {
	elsewhere := strings.ReplaceAll(describe, "%s", serviceXML(connections[1], "http://192.168.1.66:5000/ctl"))
	for name, page := range map[string]string{
		"redirect":    "-> http://192.168.1.66:5000/",
		"loop":        "-> /rootDesc.xml",
		"elsewhere":   elsewhere,
		"URLBase":     strings.Replace(strings.ReplaceAll(describe, "%s", serviceXML(connections[1], "x")), "<device>", "<URLBase>http://192.168.1.66/</URLBase><device>", 1),
		"long":        strings.Repeat(" ", maxBody) + describe,
		"deep":        strings.Repeat("<a>", 1000),
		"many":        "<a>" + strings.Repeat("<b/>", 30000) + "</a>",
		"entities":    `<!DOCTYPE a [<!ENTITY x "yyyyyyyyyyyy">]><a>&x;</a>`,
		"no services": "<root><device></device></root>",
		"not XML":     "hello",
		"empty":       "",
	} {
		t.Run(name, func(t *testing.T) {
			live(t, mail, func(f *fake) { f.igd, f.pages = true, map[string]string{"/rootDesc.xml": page, "/x": "", "/ctl": ""} }, func(t *testing.T, f *fake, r *Router) {
				check(t, f, r, "", Silent, nil)
				if n := len(f.connections()); n > 10 {
					t.Errorf("%d connections", n)
				}
				for _, to := range f.connections() {
					if to.Addr() != gateway4 {
						t.Errorf("connected to %s", to)
					}
				}
			})
		})
	}
}

func TestCanonical(t *testing.T) {
	got := canonical([]Port{{Internal: 25}, {Internal: 25}, {Proto: "sctp", Internal: 1}, {}, {Proto: "udp", Internal: 25, External: 26, Name: "a\x00\"é<"}})
	want := []Port{{"tcp", 25, 25, ""}, {"udp", 25, 26, `a"<`}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestEpoch(t *testing.T) {
	for _, tt := range []struct {
		was, now uint32
		after    time.Duration
		lost     bool
	}{
		{100, 160, time.Minute, false}, {100, 99, 0, false}, {100, 98, 0, true}, {100, 100, time.Minute, true},
		{100, 158, time.Minute, false}, {100, 164, time.Minute, false}, {1000, 5000, time.Minute, true}, {0, 10, time.Hour, true},
	} {
		e := epoch{tt.was, time.Now().Add(-tt.after)}
		if got := e.lost(tt.now); got != tt.lost {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestSystemTables(t *testing.T) {
	var gw [4]byte
	binary.NativeEndian.PutUint32(gw[:], binary.BigEndian.Uint32([]byte{192, 168, 1, 1}))
	hex := func(b [4]byte) string { return strings.ToUpper(hexOf(b[:])) }
	head := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	v4 := head + "wlan0\t00000000\t01010101\t0003\t0\t0\t600\t00000000\t0\t0\t0\n" +
		"eth0\t00000000\t" + hex(gw) + "\t0003\t0\t0\t100\t00000000\t0\t0\t0\neth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
	if a, dev := default4(v4); a != gateway4 || dev != "eth0" {
		t.Errorf("%s %s", a, dev)
	}
	zero := strings.Repeat("0", 32)
	v6 := zero + " 00 " + zero + " 00 " + "fe800000000000000000000000000001" + " 00000400 00000001 00000000 00000003 eth0\n" +
		zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200 lo\n"
	if a, dev := default6(v6); a != gateway6 || dev != "eth0" {
		t.Errorf("%s %s", a, dev)
	}
	inet6 := "fe800000000000000000000000000005 02 40 20 80 eth0\n20010db8000100000000000000000005 02 40 00 00 eth0\n" +
		"20010db8000100000000000000000006 02 40 00 01 eth0\n20010db8000100000000000000000007 03 40 00 00 eth1\nfd000000000000000000000000000005 02 40 00 80 eth0\n"
	if got := stable6(inet6, "eth0"); !slices.Equal(got, []netip.Prefix{own6}) {
		t.Errorf("%v", got)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// TestSystemSockets speaks to a router over real sockets.
func TestSystemSockets(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.77:5351")
	if err != nil {
		t.Skip(err) // not Linux, where the whole of 127/8 is ours
	}
	defer c.Close()
	f := newFake()
	f.pcp = true
	go func() {
		b := make([]byte, maxPacket)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			f.mu.Lock()
			a := f.port(addr(from).Addr(), b[:n])
			f.mu.Unlock()
			c.WriteTo(a, from)
		}
	}()
	o := f.options(mail)
	o.Listen, o.Dial, o.Hear = nil, nil, nil
	f.hops = []Hop{{netip.MustParseAddr("127.0.0.77"), netip.MustParsePrefix("127.0.0.1/8")}}
	r := New(o)
	s := newSession(r, f.hops[0])
	if err := s.ask(t.Context(), &pcp{r: r, hop: s.hop}, s.held[0]); err != nil || !s.held[0].Mapped || s.external != outside {
		t.Errorf("%v %+v", err, s.held[0])
	}
}
