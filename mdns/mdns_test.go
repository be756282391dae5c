package mdns

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const inet = dnsmessage.ClassINET

func find(list []record, name string, typ dnsmessage.Type) (data []string) {
	for _, r := range list {
		if r.is(name) && r.typ == typ {
			data = append(data, string(r.data))
		}
	}
	return data
}

func address(s string) string { return string(netip.MustParseAddr(s).AsSlice()) }

func bubble(t *testing.T, f func(t *testing.T, m *medium)) {
	synctest.Test(t, func(t *testing.T) { f(t, &medium{}) })
}

// TestFirst shows what one box says from its start to its end.
func TestFirst(t *testing.T) {
	bubble(t, func(t *testing.T, m *medium) {
		began := time.Now()
		r, stop := m.box(t, nil, "192.168.1.5/24", "fd00::5/64")
		if r.Name() != "" {
			t.Error("a name before anybody was asked")
		}
		time.Sleep(5 * time.Second)
		log := m.take()
		if len(log) != probes+announces {
			t.Fatalf("%d packets", len(log))
		}
		for i, h := range log {
			got, err := parse(h.b)
			if err != nil {
				t.Fatal(err)
			}
			if probe := i < probes; got.response == probe || probe && (len(got.questions) == 0 || find(got.authority, "homemail.local.", dnsmessage.TypeA) == nil) {
				t.Errorf("packet %d: %+v", i, got)
			}
		}
		if first := log[probes].at.Sub(began); first < 3*probeWait || first > 4*probeWait {
			t.Errorf("announced after %s", first)
		}
		if r.Name() != "homemail.local" {
			t.Errorf("name %q", r.Name())
		}
		said, _ := parse(log[probes].b)
		host := "homemail.local."
		for _, want := range []struct {
			name string
			typ  dnsmessage.Type
			data string
		}{
			{host, dnsmessage.TypeA, address("192.168.1.5")}, {host, dnsmessage.TypeAAAA, address("fd00::5")},
			{"_http._tcp.local.", dnsmessage.TypePTR, string(wire("homemail (preparing setup)._http._tcp.local."))},
			{"_services._dns-sd._udp.local.", dnsmessage.TypePTR, string(wire("_http._tcp.local."))},
			{"homemail (preparing setup)._http._tcp.local.", dnsmessage.TypeTXT, "\x06path=/"},
			{"homemail (preparing setup)._http._tcp.local.", dnsmessage.TypeSRV, "\x00\x00\x00\x00\x00\x50" + string(wire(host))},
			{"homemail._https._tcp.local.", dnsmessage.TypeTXT, "\x00"},
		} {
			if !slices.Contains(find(said.answers, want.name, want.typ), want.data) {
				t.Errorf("no %s %v in %+v", want.name, want.typ, said.answers)
			}
		}
		stop()
		last := m.take()
		if len(last) != 1 {
			t.Fatalf("%d packets at the end", len(last))
		}
		bye, _ := parse(last[0].b)
		if len(bye.answers) != len(said.answers) {
			t.Errorf("took back %d of %d", len(bye.answers), len(said.answers))
		}
		for _, a := range bye.answers {
			if a.ttl != 0 {
				t.Errorf("%+v stays", a)
			}
		}
	})
}

// TestSecond: whoever comes second has the second name, also if both come at
// once, and the first keeps its own.
func TestSecond(t *testing.T) {
	for _, later := range []time.Duration{0, 100 * time.Millisecond, 700 * time.Millisecond, 1200 * time.Millisecond, time.Hour} {
		bubble(t, func(t *testing.T, m *medium) {
			a, stopA := m.box(t, nil, "192.168.1.5/24")
			time.Sleep(later)
			b, stopB := m.box(t, nil, "192.168.1.6/24")
			c, stopC := m.box(t, nil, "192.168.1.7/24")
			time.Sleep(30 * time.Second)
			names := []string{a.Name(), b.Name(), c.Name()}
			if later > time.Second && names[0] != "homemail.local" {
				t.Errorf("after %s: the first is %q", later, names[0])
			}
			slices.Sort(names)
			if !slices.Equal(names, []string{"homemail-2.local", "homemail-3.local", "homemail.local"}) {
				t.Errorf("after %s: %q", later, names)
			}
			stopA()
			stopB()
			stopC()
		})
	}
}

// TestTieBreak: of two who ask at the same time, the one whose address comes
// later goes first.
func TestTieBreak(t *testing.T) {
	for data, want := range map[string]time.Duration{"\xc0\xa8\x01\x01": time.Second, "\xc0\xa8\x01\x63": 2 * time.Second} {
		bubble(t, func(t *testing.T, m *medium) {
			began := time.Now()
			_, stop := m.box(t, func(o *Options) { o.Services = nil }, "192.168.1.5/24")
			defer stop()
			c := m.other(Port)
			time.Sleep(400 * time.Millisecond)
			c.WriteTo(probeMessage([]record{{"homemail.local.", dnsmessage.TypeA, true, hostTTL, []byte(data)}}), 1, netip.AddrPort{})
			time.Sleep(5 * time.Second)
			for _, h := range m.take() {
				if got, _ := parse(h.b); got.response {
					if at := h.at.Sub(began); at < want-time.Second || at > want+500*time.Millisecond || at < time.Second && want > time.Second {
						t.Errorf("%q: announced after %s", data, at)
					}
					break
				}
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, m *medium) {
		_, stop := m.box(t, nil, "192.168.1.5/24")
		defer stop()
		time.Sleep(10 * time.Second)
		c := m.other(Port)
		one := func(list []message) message {
			t.Helper()
			if len(list) != 1 {
				t.Fatalf("%d answers", len(list))
			}
			return list[0]
		}
		got := one(c.ask("HomeMail.local.", dnsmessage.TypeA, inet))
		if !slices.Equal(find(got.answers, "homemail.local.", dnsmessage.TypeA), []string{address("192.168.1.5")}) || !got.answers[0].unique || got.answers[0].ttl != hostTTL || got.id != 0 || len(got.questions) != 0 {
			t.Errorf("%+v", got)
		}
		if list := c.ask("homemail.local.", dnsmessage.TypeA, inet); len(list) != 0 {
			t.Errorf("said twice in a second: %+v", list)
		}
		if got := one(c.ask("homemail.local.", dnsmessage.TypeA, inet|classFlush)); got.answers == nil { // to him alone
			t.Errorf("%+v", got)
		}
		time.Sleep(2 * time.Second)
		if got := one(c.ask("homemail.local.", dnsmessage.TypeAAAA, inet)); got.answers[0].typ != typeNSEC || got.answers[0].data[len(got.answers[0].data)-1] != 0x40 {
			t.Errorf("%+v", got)
		}
		got = one(c.ask("_http._tcp.local.", dnsmessage.TypePTR, inet))
		if find(got.answers, "homemail (preparing setup)._http._tcp.local.", dnsmessage.TypeSRV) == nil || find(got.answers, "homemail.local.", dnsmessage.TypeA) == nil {
			t.Errorf("%+v", got.answers)
		}
		time.Sleep(2 * time.Second)
		if list := c.ask("_http._tcp.local.", dnsmessage.TypePTR, inet, got.answers[0]); len(list) != 0 {
			t.Errorf("said what he knows: %+v", list)
		}
		for _, name := range []string{"other.local.", "homemail.example.", "homemail-2.local.", "local."} {
			if list := c.ask(name, dnsmessage.TypeALL, inet); len(list) != 0 {
				t.Errorf("%s: %+v", name, list)
			}
		}
		// A plain resolver.
		plain := m.other(40000)
		plain.joined[1] = false
		got = one(plain.ask("homemail.local.", dnsmessage.TypeA, inet))
		if got.id != 77 || len(got.questions) != 1 || got.answers[0].unique || got.answers[0].ttl != legacyTTL {
			t.Errorf("%+v", got)
		}
		// From elsewhere.
		far := m.tap(map[int]netip.Addr{1: netip.MustParseAddr("203.0.113.9")}, Port)
		far.Join(1)
		time.Sleep(2 * time.Second)
		if list := far.ask("homemail.local.", dnsmessage.TypeA, inet); len(list) != 0 {
			t.Errorf("answered to another network: %+v", list)
		}
	})
}

// TestFlood: many questions make few answers.
func TestFlood(t *testing.T) {
	bubble(t, func(t *testing.T, m *medium) {
		r, stop := m.box(t, nil, "192.168.1.5/24")
		defer stop()
		time.Sleep(10 * time.Second)
		q := dnsmessage.Question{Name: dnsmessage.MustNewName("homemail.local."), Type: dnsmessage.TypeALL, Class: inet}
		b := pack(dnsmessage.Header{ID: 7}, []dnsmessage.Question{q}, [3][]record{}, false)
		for _, c := range []*tap{m.other(Port), m.other(40000)} {
			m.take()
			for range 1000 {
				c.WriteTo(b, 1, netip.AddrPort{})
				time.Sleep(10 * time.Millisecond)
			}
			if n := len(m.take()) - 1000; n < 10 || n > 10*perSecond+20 {
				t.Errorf("%d answers to 1000 questions in 10 s", n)
			}
			c.Close()
		}
		if r.Name() != "homemail.local" {
			t.Errorf("name %q", r.Name())
		}
	})
}

// TestQuarrel: somebody who says that every name is his costs us no more than a
// packet now and then.
func TestQuarrel(t *testing.T) {
	bubble(t, func(t *testing.T, m *medium) {
		r, stop := m.box(t, nil, "192.168.1.5/24")
		defer stop()
		time.Sleep(10 * time.Second)
		c := m.other(Port)
		for range 3600 {
			for _, h := range c.drain() {
				got, _ := parse(h.b)
				for _, a := range append(got.answers, got.authority...) {
					if a.typ == dnsmessage.TypeA && h.from != netip.AddrPortFrom(c.own[1], Port) {
						a.data = []byte{192, 168, 1, 99}
						c.WriteTo(responseMessage([]record{a}, nil), 1, netip.AddrPort{})
					}
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		n := 0
		for _, h := range m.take() {
			if h.from.Addr() != c.own[1] {
				n++
			}
		}
		if n > 3600 {
			t.Errorf("%d packets in an hour", n)
		}
		c.Close()
		time.Sleep(2 * time.Minute)
		if !strings.HasPrefix(r.Name(), "homemail") {
			t.Errorf("name %q", r.Name())
		}
	})
}

// TestConflictLater: two networks are joined, and there are two of a name.
func TestConflictLater(t *testing.T) {
	bubble(t, func(t *testing.T, m *medium) {
		var renamed []string
		r, stop := m.box(t, func(o *Options) { o.Renamed = func(n string) { renamed = append(renamed, n) } }, "192.168.1.5/24")
		defer stop()
		time.Sleep(10 * time.Second)
		c := m.other(Port)
		theirs := []record{{"homemail.local.", dnsmessage.TypeA, true, hostTTL, []byte{192, 168, 1, 99}}}
		c.WriteTo(responseMessage(theirs, nil), 1, netip.AddrPort{})
		time.Sleep(10 * time.Second)
		if r.Name() != "homemail.local" { // nobody defended it
			t.Errorf("name %q", r.Name())
		}
		c.WriteTo(responseMessage(theirs, nil), 1, netip.AddrPort{})
		time.Sleep(600 * time.Millisecond)
		c.WriteTo(responseMessage(theirs, nil), 1, netip.AddrPort{}) // he defends it
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if r.Name() != "homemail-2.local" || !slices.Equal(renamed, []string{"homemail.local", "homemail.local", "homemail-2.local"}) {
			t.Errorf("name %q, %q", r.Name(), renamed)
		}
	})
}

// TestChanges: addresses, services and networks that come and go are told.
func TestChanges(t *testing.T) {
	bubble(t, func(t *testing.T, m *medium) {
		var mu sync.Mutex
		links := []Link{{1, "eth0", []netip.Prefix{prefix("192.168.1.5/24")}}}
		services := web
		set := func(f func()) { mu.Lock(); f(); mu.Unlock(); time.Sleep(scanEvery + 3*time.Second) }
		r, stop := m.box(t, func(o *Options) {
			o.Links = func() ([]Link, error) { mu.Lock(); defer mu.Unlock(); return slices.Clone(links), nil }
			o.Services = func() []Service { mu.Lock(); defer mu.Unlock(); return services }
		}, "192.168.1.5/24")
		defer stop()
		set(func() {})
		m.take()
		told := func() (here, gone []record, probed bool) {
			for _, h := range m.take() {
				got, _ := parse(h.b)
				probed = probed || !got.response
				for _, a := range got.answers {
					if a.ttl == 0 {
						gone = append(gone, a)
					} else {
						here = append(here, a)
					}
				}
			}
			return here, gone, probed
		}
		set(func() {})
		if here, gone, probed := told(); here != nil || gone != nil || probed {
			t.Error("said something where nothing has changed")
		}
		set(func() { links[0].Addrs = []netip.Prefix{prefix("192.168.1.8/24")} })
		here, gone, probed := told()
		if !slices.Contains(find(here, "homemail.local.", dnsmessage.TypeA), address("192.168.1.8")) ||
			!slices.Equal(find(gone, "homemail.local.", dnsmessage.TypeA), []string{address("192.168.1.5")}) || probed {
			t.Errorf("new address: %+v %+v %v", here, gone, probed)
		}
		set(func() { services = []Service{{Type: "_http._tcp", Port: 80}, web[1]} })
		here, gone, probed = told()
		if find(here, "homemail._http._tcp.local.", dnsmessage.TypeSRV) == nil || find(gone, "homemail (preparing setup)._http._tcp.local.", dnsmessage.TypeSRV) == nil || !probed {
			t.Errorf("new service: %+v %+v %v", here, gone, probed)
		}
		set(func() { links = append(links, Link{2, "wlan0", []netip.Prefix{prefix("10.0.0.5/24")}}) })
		log := m.take()
		if !slices.ContainsFunc(log, func(h heard) bool { return h.link == 2 }) {
			t.Error("nothing on the new link")
		}
		for _, h := range log {
			got, _ := parse(h.b)
			if a := find(got.answers, "homemail.local.", dnsmessage.TypeA); a != nil && a[0] != address(map[int]string{1: "192.168.1.8", 2: "10.0.0.5"}[h.link]) {
				t.Errorf("link %d: %q", h.link, a)
			}
		}
		if r.Name() != "homemail.local" {
			t.Errorf("name %q", r.Name())
		}
		set(func() { links = nil })
		if r.Name() != "" {
			t.Errorf("name %q without a network", r.Name())
		}
		set(func() { links = []Link{{1, "eth0", []netip.Prefix{prefix("192.168.1.5/24")}}} })
		if r.Name() != "homemail.local" {
			t.Errorf("name %q after the cable was back", r.Name())
		}
	})
}

// TestSameCable: one machine with two links to the same network does not
// quarrel with itself.
func TestSameCable(t *testing.T) {
	bubble(t, func(t *testing.T, m *medium) {
		r, stop := m.box(t, func(o *Options) {
			o.Links = func() ([]Link, error) {
				return []Link{{1, "eth0", []netip.Prefix{prefix("192.168.1.5/24")}}, {2, "wlan0", []netip.Prefix{prefix("192.168.1.6/24")}}}, nil
			}
			listen := o.Listen
			o.Listen = func(six bool) (Conn, error) {
				c, err := listen(six)
				if err == nil {
					c.(*tap).own = map[int]netip.Addr{1: netip.MustParseAddr("192.168.1.5"), 2: netip.MustParseAddr("192.168.1.6")}
				}
				return c, err
			}
		}, "192.168.1.5/24")
		defer stop()
		bridge := m.other(Port)
		for range 3000 { // what is said on one is heard on the other
			for _, h := range bridge.drain() {
				if h.from.Addr() == netip.MustParseAddr("192.168.1.5") || h.from.Addr() == netip.MustParseAddr("192.168.1.6") {
					bridge.own[3-h.link] = h.from.Addr()
					bridge.m.mu.Lock()
					for _, c := range bridge.m.conns {
						if c != bridge {
							h := h
							h.link = 3 - h.link
							c.in <- h
						}
					}
					bridge.m.mu.Unlock()
				}
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if r.Name() != "homemail.local" {
			t.Errorf("name %q", r.Name())
		}
	})
}

func TestHouse(t *testing.T) {
	for name, want := range map[string]bool{"eth0 192.168.1.5/24": true, "wlan0 169.254.3.4/16": true, "eth0 fd00::1/64": true,
		"eth0 203.0.113.5/24": false, "docker0 172.17.0.1/16": false, "wg0 10.0.0.1/24": false, "eth0 fe80::1/64": false} {
		dev, a, _ := strings.Cut(name, " ")
		if got := (Link{1, dev, []netip.Prefix{prefix(a)}}).house(); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCompressedService(t *testing.T) {
	r := record{name: "a.local.", typ: dnsmessage.TypeSRV, data: append([]byte{0, 0, 0, 0, 0, 80}, wire("homemail.local.")...)}
	if !r.same([]byte("\x00\x00\x00\x00\x00\x50\x08homemail\xc0\x0c")) || r.same([]byte("\x00\x00\x00\x00\x00\x51\x08homemail\xc0\x0c")) || r.same(append([]byte{0, 0, 0, 0, 0, 80}, wire("nas.local.")...)) {
		t.Error("a compressed name is not seen through")
	}
}

// FuzzParse: what is read is bounded, and what we would answer can be read.
func FuzzParse(f *testing.F) {
	set := records("homemail", []netip.Prefix{prefix("192.168.1.5/24"), prefix("fd00::5/64")}, web)
	f.Add(probeMessage(set))
	f.Add(responseMessage(set, nil))
	q := dnsmessage.Question{Name: dnsmessage.MustNewName("homemail.local."), Type: dnsmessage.TypeALL, Class: inet}
	f.Add(pack(dnsmessage.Header{ID: 9}, []dnsmessage.Question{q, q}, [3][]record{0: set}, false))
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		if len(b) > maxPacket || len(m.questions) > maxQuestions || len(m.answers) > 2*maxRecords || len(m.authority) > maxRecords {
			t.Fatalf("%d questions, %d answers", len(m.questions), len(m.answers))
		}
		var list []record
		for _, q := range m.questions {
			a, more := answers(q, set)
			list = append(append(list, a...), more...)
		}
		for _, r := range m.answers {
			for _, o := range set {
				if r.equal(o) && !r.is(o.name) {
					t.Errorf("%+v is %+v", r, o)
				}
			}
		}
		if len(list) == 0 || len(list) > maxRecords {
			return
		}
		for _, out := range [][]byte{responseMessage(list, nil), legacyMessage(m, list, nil)} {
			if back, err := parse(out); len(out) <= maxPacket && (err != nil || len(back.answers) != len(list)) {
				t.Errorf("%x: %v, %d of %d", out, err, len(back.answers), len(list))
			}
		}
	})
}
