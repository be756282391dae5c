package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

const (
	routerA = "192.0.2.1:53"
	routerB = "192.0.2.2:53"
)

func TestADIsTrustedOnlyWhereItMayBe(t *testing.T) {
	for _, tt := range []struct {
		server    string
		trust, ad bool
		want      bool
	}{
		{local, false, true, true},
		{local, true, true, true},
		{local, false, false, false},
		{"[::1]:53", false, true, true},
		{routerA, false, true, false},
		{routerA, true, true, true},
		{routerA, true, false, false},
	} {
		lines := []string{". 86400 IN SOA a. b. 1 2 3 4 5"}
		if tt.ad {
			lines = append(lines, "ad")
		}
		r := New(Options{Server: tt.server, Trust: tt.trust, Dial: network{tt.server: says(lines...)}.dial})
		if got := r.Validates(t.Context()); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
		if a, _ := r.TXT(t.Context(), "a.test"); a.Secure != tt.want {
			t.Errorf("%+v: got %v for an answer", tt, a.Secure)
		}
	}
}

func TestValidatesIsKeptForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := asks(counted(&n, says("ad", ". 86400 IN SOA a. b. 1 2 3 4 5")))
		for range 11 { // 0 to 10 minutes
			if !r.Validates(t.Context()) {
				t.Error("does not")
			}
			time.Sleep(time.Minute)
		}
		if n.Load() != 2 {
			t.Errorf("asked %d times", n.Load())
		}
	})
}

func TestServersInTurn(t *testing.T) {
	good := says("ad", "a.test. 60 IN TXT x")
	bad := says("SERVFAIL")
	for _, tt := range []struct {
		name             string
		trust            bool
		local, one, two  func(string, []byte) [][]byte // nil: nothing listens
		want             string
		secure           bool
		took             time.Duration
		askedOne, askTwo int64
	}{
		{"first knows", false, nil, good, good, "ok", false, 0, 1, 0},
		{"first fails", false, nil, bad, good, "ok", false, 0, 1, 1},
		{"first is silent", false, nil, silence, good, "ok", false, oneTry, 1, 1},
		{"both fail", false, nil, bad, bad, "temporary", false, 0, 1, 1},
		{"both silent", false, nil, silence, silence, "timeout", false, rounds * 2 * oneTry, rounds, rounds},
		{"nothing listens", false, nil, nil, nil, "temporary", false, 0, 0, 0},
		{"validator knows", false, good, good, good, "ok", true, 0, 0, 0},
		{"validator fails: nobody else is asked", false, bad, good, good, "temporary", false, 0, 0, 0},
		{"validator is late: nobody else is asked", false, silence, good, good, "timeout", false, rounds * oneTry, 0, 0},
		{"validator fails, others are trusted", true, bad, good, good, "ok", true, 0, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var one, two atomic.Int64
				n := network{}
				if tt.local != nil {
					n[local] = tt.local
				}
				if tt.one != nil {
					n[routerA] = counted(&one, tt.one)
				}
				if tt.two != nil {
					n[routerB] = counted(&two, tt.two)
				}
				r := New(Options{Trust: tt.trust, Dial: n.dial})
				r.servers.fixed = "these"
				r.servers.set([]string{routerA, routerB, local}, "53")
				if tt.trust {
					r.servers.set([]string{local, routerA, routerB}, "53")
				}
				start := time.Now()
				a, err := r.TXT(t.Context(), "a.test")
				if got := outcome(err); got != tt.want || a.Secure != tt.secure || time.Since(start) != tt.took {
					t.Errorf("%s (%v), secure %v, after %v", got, err, a.Secure, time.Since(start))
				}
				if one.Load() != tt.askedOne || two.Load() != tt.askTwo {
					t.Errorf("asked %d and %d times", one.Load(), two.Load())
				}
			})
		})
	}
}

func TestASilentServerIsAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alive := new(atomic.Bool)
		n := network{routerB: says(), routerA: func(p string, q []byte) [][]byte {
			if !alive.Load() {
				return nil
			}
			return says()(p, q)
		}}
		r := New(Options{Dial: n.dial})
		r.servers.fixed = "these"
		r.servers.set([]string{routerA, routerB}, "53")
		took := func(name string) time.Duration {
			start := time.Now()
			r.TXT(t.Context(), name)
			return time.Since(start)
		}
		if a, b := took("a.test"), took("b.test"); a != oneTry || b != 0 {
			t.Errorf("took %v, then %v", a, b)
		}
		// The other fails: the silent one is asked after all, and is back.
		alive.Store(true)
		n[routerB] = says("SERVFAIL")
		if took("d.test") != 0 || r.servers.order()[0].addr != routerA {
			t.Error("not asked first again, though it has answered")
		}
		n[routerB] = says()
		alive.Store(false)
		took("e.test")
		time.Sleep(restFor + time.Second)
		alive.Store(true)
		if took("c.test") != 0 || r.servers.order()[0].addr != routerA {
			t.Error("not asked first again")
		}
	})
}

func TestTimeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{}
		addrs := []string{}
		for i := range 6 {
			addr := fmt.Sprintf("192.0.2.%d:53", i)
			n[addr] = silence
			addrs = append(addrs, addr)
		}
		r := New(Options{Dial: n.dial})
		r.servers.fixed = "these"
		r.servers.set(addrs, "53")
		start := time.Now()
		_, err := r.TXT(t.Context(), "a.test")
		if took := time.Since(start); took != allTries || outcome(err) != "timeout" {
			t.Errorf("%v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err = r.TXT(ctx, "b.test")
		if took := time.Since(start); took != time.Second || outcome(err) != "timeout" {
			t.Errorf("%v after %v, for one who waits a second", err, took)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.TXT(cancelled, "c.test"); outcome(err) != "temporary" {
			t.Errorf("cancelled: %v", err)
		}
		time.Sleep(allTries) // what is under way ends
	})
}

func TestQuestionsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		r := asks(func(p string, q []byte) [][]byte {
			if n := now.Add(1); n > most.Load() {
				most.Store(n) // nearly: they come one after the other
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return says("NXDOMAIN")(p, q)
		})
		var wg sync.WaitGroup
		for i := range 3 * maxAsking {
			wg.Go(func() {
				if _, err := r.TXT(t.Context(), fmt.Sprintf("a%d.test", i)); outcome(err) != "no name" {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() > maxAsking || most.Load() < maxAsking/2 {
			t.Errorf("%d at once", most.Load())
		}
	})
}

// TestWhoLeavesAsksNoMore has a stranger who makes us ask a server that never
// answers, and goes away: others are not kept waiting by that.
func TestWhoLeavesAsksNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := asks(func(p string, q []byte) [][]byte {
			if bytes.Contains(q, []byte("evil")) {
				return nil
			}
			return says("a.test. 100 IN TXT x")(p, q)
		})
		for i := range 3 * maxAsking {
			ctx, cancel := context.WithCancel(t.Context())
			go r.TXT(ctx, fmt.Sprintf("k%d.evil.test", i))
			synctest.Wait()
			cancel()
		}
		synctest.Wait()
		began := time.Now()
		if _, err := r.TXT(t.Context(), "a.test"); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if len(r.flights) > 0 || len(r.asking) > 0 {
			t.Errorf("%d flights, %d questions", len(r.flights), len(r.asking))
		}
	})
}

func TestForgedAnswersAreNotTaken(t *testing.T) {
	forge := func(edit func(m *dns.Msg)) func(q []byte) []byte {
		return func(q []byte) []byte {
			m := answer(q, "ad", "a.test. 60 IN TXT forged")
			edit(m)
			return pack(m)
		}
	}
	for name, forged := range map[string]func([]byte) []byte{
		"another id":       forge(func(m *dns.Msg) { m.Id++ }),
		"no answer":        forge(func(m *dns.Msg) { m.Response = false }),
		"another question": forge(func(m *dns.Msg) { m.Question[0].Name = "b.test." }),
		"another type":     forge(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }),
		"another class":    forge(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		"no question":      forge(func(m *dns.Msg) { m.Question = nil }),
		"short":            func(q []byte) []byte { return q[:11] },
		"empty":            func(q []byte) []byte { return []byte{0} },
	} {
		r := asks(func(_ string, q []byte) [][]byte {
			return [][]byte{forged(q), pack(answer(q, "a.test. 60 IN TXT x"))}
		})
		a, err := r.TXT(t.Context(), "a.test")
		if err != nil || len(a.List) != 1 || a.List[0] != "x" || a.Secure {
			t.Errorf("%s: %+v %v", name, a, err)
		}
	}
}

func TestBombs(t *testing.T) {
	over := func(m func(q []byte) []byte) func(string, []byte) [][]byte {
		return func(proto string, q []byte) [][]byte {
			if proto == "udp" {
				short := answer(q)
				short.Truncated = true
				return [][]byte{pack(short)}
			}
			return [][]byte{m(q)}
		}
	}
	records := func(n int) func(q []byte) []byte {
		return func(q []byte) []byte {
			m := answer(q)
			for range n {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeTXT, Class: 1, Ttl: 60}, Txt: []string{"x"}})
			}
			return pack(m)
		}
	}
	for name, tt := range map[string]struct {
		server func(string, []byte) [][]byte
		want   string
		n      int
	}{
		"1000 records": {over(records(1000)), "ok", 1000},
		"1001 records": {over(records(1001)), "temporary", 0},
		"a count without records": {says2(func(q []byte) []byte {
			b := pack(answer(q))
			binary.BigEndian.PutUint16(b[6:], 65535)
			return b
		}), "temporary", 0},
		"60 KB of TXT": {over(func(q []byte) []byte {
			m := answer(q)
			txt := &dns.TXT{Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeTXT, Class: 1, Ttl: 60}}
			for range 240 {
				txt.Txt = append(txt.Txt, strings.Repeat("x", 250))
			}
			m.Answer = append(m.Answer, txt)
			return pack(m)
		}), "ok", 1},
		"still truncated over TCP": {func(_ string, q []byte) [][]byte {
			m := answer(q)
			m.Truncated = true
			return [][]byte{pack(m)}
		}, "temporary", 0},
		"a pointer to itself": {says2(func(q []byte) []byte {
			b := pack(answer(q))
			binary.BigEndian.PutUint16(b[6:], 1)
			b = b[:12+len("\x01a\x04test\x00")+4]
			return append(b, 0xc0, byte(len(b)), 0, 16, 0, 1, 0, 0, 0, 1, 0, 1, 0)
		}), "temporary", 0},
		"nonsense": {says2(func(q []byte) []byte {
			return append(append(q[:2:2], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0), bytes.Repeat([]byte{0x3f}, 500)...)
		}), "temporary", 0},
	} {
		start := time.Now()
		a, err := asks(tt.server).TXT(t.Context(), "a.test")
		if outcome(err) != tt.want || len(a.List) != tt.n {
			t.Errorf("%s: %v, %d records", name, err, len(a.List))
		}
		if took := time.Since(start); took > time.Second { // far below oneTry: it did not wait
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func says2(m func(q []byte) []byte) func(string, []byte) [][]byte {
	return func(_ string, q []byte) [][]byte { return [][]byte{m(q)} }
}

func TestWithoutEDNS(t *testing.T) {
	old := func(reject func(q []byte) [][]byte) (*Resolver, *atomic.Int64) {
		var n atomic.Int64
		return asks(counted(&n, func(p string, q []byte) [][]byte {
			m := new(dns.Msg)
			m.Unpack(q)
			if m.IsEdns0() != nil {
				return reject(q)
			}
			if !m.AuthenticatedData {
				t.Error("does not ask for AD")
			}
			return says("ad", "a.test. 60 IN TXT x")(p, q)
		})), &n
	}
	for name, reject := range map[string]func(q []byte) [][]byte{
		"FORMERR": func(q []byte) [][]byte { return says("FORMERR")("", q) },
		"NOTIMP":  func(q []byte) [][]byte { return says("NOTIMP")("", q) },
		"header":  func(q []byte) [][]byte { return [][]byte{{q[0], q[1], 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0}} },
	} {
		r, n := old(reject)
		if a, err := r.TXT(t.Context(), "a.test"); err != nil || !a.Secure || n.Load() != 2 {
			t.Errorf("%s: %+v %v after %d", name, a, err, n.Load())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r, n := old(func([]byte) [][]byte { return nil })
		if a, err := r.TXT(t.Context(), "a.test"); err != nil || !a.Secure || n.Load() != rounds {
			t.Errorf("dropped: %+v %v after %d", a, err, n.Load())
		}
	})
}

// TestOverTheWire asks a real server over real sockets.
func TestOverTheWire(t *testing.T) {
	var mu sync.Mutex
	var ids []uint16
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		udp := w.RemoteAddr().Network() == "udp"
		opt := q.IsEdns0()
		if opt == nil || !opt.Do() || opt.UDPSize() != udpSize || !q.AuthenticatedData || !q.RecursionDesired {
			t.Errorf("query: %v", q)
		}
		mu.Lock()
		ids = append(ids, q.Id)
		mu.Unlock()
		m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: 1, Ttl: 60},
			Txt: []string{strings.Repeat("x", 250), strings.Repeat("y", 250), strings.Repeat("z", 250)}}}
		wire := pack(m)
		switch {
		case udp && strings.HasPrefix(q.Question[0].Name, "cut."): // in the middle of the record
			wire[2] |= 0x02
			wire = wire[:200]
		case udp && strings.HasPrefix(q.Question[0].Name, "tc."):
			m.Answer, m.Truncated = nil, true
			wire = pack(m)
		}
		w.Write(wire)
	})
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		t.Skip("the port is taken for TCP:", err)
	}
	for _, srv := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		done := make(chan struct{})
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() { srv.ActivateAndServe(); close(done) }()
		<-started
		t.Cleanup(func() { srv.Shutdown(); <-done })
	}
	r := New(Options{Server: udp.LocalAddr().String()})
	for _, name := range []string{"whole.test", "tc.test", "cut.test"} {
		if a, err := r.TXT(t.Context(), name); err != nil || len(a.List) != 1 || len(a.List[0]) != 750 {
			t.Errorf("%s: %+v %v", name, a, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	guessed := 0
	for i := 1; i < len(ids); i++ {
		if d := ids[i] - ids[i-1]; d == 0 || d == 1 {
			guessed++
		}
	}
	if len(ids) < 5 || guessed > 2 {
		t.Errorf("ids can be guessed: %d", ids)
	}
	// Nothing listens there: known at once.
	start := time.Now()
	if _, err := New(Options{Server: "127.0.0.1:1"}).TXT(t.Context(), "a.test"); outcome(err) != "temporary" || time.Since(start) > time.Second {
		t.Errorf("nobody there: %v after %v", err, time.Since(start))
	}
}
