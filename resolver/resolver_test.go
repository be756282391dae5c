package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// A network is the DNS servers of a test, by address. They get what is sent to
// them and return the datagrams of the answer; of TCP, without the length.
type network map[string]func(proto string, query []byte) [][]byte

func (n network) dial(_ context.Context, proto, addr string) (net.Conn, error) {
	answer, ok := n[addr]
	if !ok {
		return nil, &net.OpError{Op: "read", Net: proto, Err: os.NewSyscallError("read", syscall.ECONNREFUSED)}
	}
	ours, theirs := net.Pipe()
	go func() {
		buf := make([]byte, 4096)
		n, err := theirs.Read(buf)
		if err != nil {
			return
		}
		head := 0
		if proto == "tcp" {
			head = 2
		}
		for _, b := range answer(proto, buf[head:n]) {
			if proto == "tcp" {
				b = append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
			}
			if _, err := theirs.Write(b); err != nil {
				return
			}
		}
	}()
	return ours, nil
}

// says is a server that answers with records in zone file format. "ad" and
// names of RCODEs stand for themselves; "-" before a record puts it into the
// authority section.
func says(lines ...string) func(string, []byte) [][]byte {
	return func(_ string, query []byte) [][]byte { return [][]byte{pack(answer(query, lines...))} }
}

func silence(string, []byte) [][]byte { return nil }

func answer(query []byte, lines ...string) *dns.Msg {
	q, m := new(dns.Msg), new(dns.Msg)
	if err := q.Unpack(query); err != nil {
		panic(err)
	}
	m.SetReply(q)
	m.RecursionAvailable = true
	m.Compress = true
	for _, line := range lines {
		code, isCode := dns.StringToRcode[line]
		text, ns := strings.CutPrefix(line, "-")
		switch rr, err := dns.NewRR(text); {
		case line == "ad":
			m.AuthenticatedData = true
		case isCode:
			m.Rcode = code
		case err != nil:
			panic(err)
		case ns:
			m.Ns = append(m.Ns, rr)
		default:
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

func pack(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

const local = "127.0.0.1:53"

// asks is a resolver with one server on this machine.
func asks(answer func(string, []byte) [][]byte) *Resolver {
	return New(Options{Server: local, Dial: network{local: answer}.dial})
}

// counted counts the queries that reach a server.
func counted(n *atomic.Int64, f func(string, []byte) [][]byte) func(string, []byte) [][]byte {
	return func(proto string, query []byte) [][]byte {
		n.Add(1)
		return f(proto, query)
	}
}

// outcome tells an answer in one word.
func outcome(err error) string {
	var e *net.DNSError
	switch {
	case err == nil:
		return "ok"
	case !errors.As(err, &e):
		return "?" + err.Error()
	case e.IsNotFound && !e.Temporary() && NXDomain(err):
		return "no name"
	case e.IsNotFound && !e.Temporary():
		return "no record"
	case e.IsTimeout && e.IsTemporary && !e.IsNotFound:
		return "timeout"
	case e.IsTemporary && !e.IsNotFound:
		return "temporary"
	}
	return "?" + err.Error()
}

func chain(n int) (lines []string) {
	lines = append(lines, fmt.Sprintf("c%d.test. 60 IN TXT end", n))
	for i := n; i > 0; i-- { // last first: order says nothing
		lines = append(lines, fmt.Sprintf("c%d.test. 300 IN CNAME C%d.test.", i-1, i))
	}
	return lines
}

func TestAnswers(t *testing.T) {
	const soa = "-test. 600 IN SOA a. b. 1 2 3 4 120"
	for _, tt := range []struct {
		name   string
		lines  []string
		want   string
		ttl    time.Duration
		secure bool
	}{
		{"plain", []string{"c0.test. 60 IN TXT end"}, "ok", time.Minute, false},
		{"secure", []string{"ad", "c0.test. 60 IN TXT end"}, "ok", time.Minute, true},
		{"another case", []string{"C0.Test. 60 IN TXT end"}, "ok", time.Minute, false},
		{"TTL too short", []string{"c0.test. 0 IN TXT end"}, "ok", 5 * time.Second, false},
		{"TTL too long", []string{"c0.test. 900000 IN TXT end"}, "ok", 24 * time.Hour, false},
		{"CNAME", chain(1), "ok", time.Minute, false},
		{"most CNAMEs", chain(8), "ok", time.Minute, false},
		{"too many CNAMEs", chain(9), "temporary", 30 * time.Second, false},
		{"loop", []string{"ad", "c0.test. 1 IN CNAME c0.test."}, "temporary", 30 * time.Second, false},
		{"CNAME to nothing", []string{"c0.test. 60 IN CNAME c1.test.", soa}, "no record", time.Minute, false},
		{"CNAME to no name", []string{"NXDOMAIN", "c0.test. 600 IN CNAME c1.test.", soa}, "no name", 2 * time.Minute, false},
		{"somebody else's", []string{"other.test. 60 IN TXT end"}, "no record", 5 * time.Second, false},
		{"another type", []string{"c0.test. 60 IN A 192.0.2.1"}, "no record", 5 * time.Second, false},
		{"another class", []string{"c0.test. 60 CH TXT end"}, "no record", 5 * time.Second, false},
		{"no record", []string{soa}, "no record", 2 * time.Minute, false},
		{"no name", []string{"NXDOMAIN", soa}, "no name", 2 * time.Minute, false},
		{"proven", []string{"ad", "NXDOMAIN", soa}, "no name", 2 * time.Minute, true},
		{"long negative", []string{"-test. 90000 IN SOA a. b. 1 2 3 4 90000"}, "no record", 15 * time.Minute, false},
		{"without SOA", []string{"NXDOMAIN"}, "no name", 5 * time.Second, false},
		{"no name, but data", []string{"NXDOMAIN", "c0.test. 60 IN TXT end"}, "no name", 5 * time.Second, false},
		{"failed", []string{"SERVFAIL"}, "temporary", 30 * time.Second, false},
		{"bogus, with AD", []string{"SERVFAIL", "ad", "c0.test. 60 IN TXT end"}, "temporary", 30 * time.Second, false},
		{"refused", []string{"REFUSED"}, "temporary", 30 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := asks(says(tt.lines...)).TXT(t.Context(), "C0.test")
			if got := outcome(err); got != tt.want || a.TTL != tt.ttl || a.Secure != tt.secure {
				t.Errorf("%s, TTL %v, secure %v; want %s, %v, %v", got, a.TTL, a.Secure, tt.want, tt.ttl, tt.secure)
			}
			if tt.want == "ok" && (len(a.List) != 1 || a.List[0] != "end") {
				t.Errorf("got %q", a.List)
			}
			if len(tt.lines) == 9 && a.Name != "c8.test" {
				t.Errorf("canonical name %q", a.Name)
			}
		})
	}
}

func TestCacheLivesAsLongAsItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		for _, tt := range []struct {
			line string
			ttl  time.Duration
		}{
			{"a.test. 100 IN TXT x", 100 * time.Second},
			{"a.test. 0 IN TXT x", minTTL},
			{"SERVFAIL", failedFor},
			{"NXDOMAIN", minTTL},
		} {
			n.Store(0)
			r := asks(counted(&n, says(tt.line)))
			r.TXT(t.Context(), "a.test")
			time.Sleep(tt.ttl - time.Second)
			if a, _ := r.TXT(t.Context(), "A.test."); n.Load() != 1 || a.TTL != time.Second {
				t.Errorf("%s: %d queries just before, TTL %v", tt.line, n.Load(), a.TTL)
			}
			time.Sleep(time.Second)
			if r.TXT(t.Context(), "a.test"); n.Load() != 2 {
				t.Errorf("%s: %d queries just after", tt.line, n.Load())
			}
		}
	})
}

func TestSameQuestionsShareAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := asks(counted(&n, func(p string, q []byte) [][]byte {
			time.Sleep(time.Second)
			return says("a.test. 100 IN TXT x")(p, q)
		}))
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		gone := make(chan string, 1)
		go func() {
			_, err := r.TXT(impatient, "a.test")
			gone <- outcome(err)
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				a, err := r.TXT(t.Context(), "a.test")
				if err != nil || len(a.List) != 1 {
					t.Errorf("%+v %v", a, err)
				}
				a.List[0] = "spoilt" // our own
			})
		}
		wg.Wait()
		if got := <-gone; got != "timeout" {
			t.Errorf("who would not wait: %s", got)
		}
		if n.Load() != 1 {
			t.Errorf("%d queries", n.Load())
		}
		if a, _ := r.TXT(t.Context(), "a.test"); a.List[0] != "x" {
			t.Error("one caller changed what another gets")
		}
	})
}

func TestErrorsAreTheCallersOwn(t *testing.T) {
	r := asks(says("NXDOMAIN", "-. 600 IN SOA a. b. 1 2 3 4 500"))
	_, err := r.TXT(t.Context(), "a.test")
	err.(*net.DNSError).IsNotFound = false
	if _, err := r.TXT(t.Context(), "a.test"); outcome(err) != "no name" {
		t.Error("one caller changed what another gets:", err)
	}
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := asks(counted(&n, func(p string, q []byte) [][]byte {
			time.Sleep(time.Second)
			return says("NXDOMAIN", "-. 600 IN SOA a. b. 1 2 3 4 500")(p, q)
		}))
		ask := func(name string) int64 {
			before := n.Load()
			r.TXT(t.Context(), name)
			return n.Load() - before
		}
		names := []string{"a.test", "_dmarc.a.test", "ba.test"}
		for _, name := range names {
			ask(name)
		}
		r.Flush("A.test.")
		if ask("a.test") != 1 || ask("_dmarc.a.test") != 1 || ask("ba.test") != 0 {
			t.Error("Flush of a name forgets too little, or too much")
		}
		r.Flush("")
		for _, name := range names {
			if ask(name) != 1 {
				t.Errorf("%s was not forgotten", name)
			}
		}
		// What was asked before is not what is asked now, nor kept.
		for _, wait := range []time.Duration{0, 2 * time.Second} {
			go ask("slow.test")
			synctest.Wait()
			r.Flush("slow.test")
			time.Sleep(wait)
			if ask("slow.test") != 1 {
				t.Errorf("got an answer from before Flush, %v after it", wait)
			}
			r.Flush("")
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(10)
	for i := range 100 {
		c.put(question{name: fmt.Sprint(i), qtype: 1}, reply{ttl: time.Hour}, 0)
		c.get(question{name: "0", qtype: 1})
	}
	if _, ok, _ := c.get(question{name: "0", qtype: 1}); !ok || len(c.byQ) != 10 || c.order.Len() != 10 {
		t.Errorf("%d kept, the one in use %v", len(c.byQ), ok)
	}
	c = newCache(1 << 20)
	for i := range 1000 {
		c.put(question{name: fmt.Sprint(i), qtype: 1}, reply{ttl: time.Hour, size: 60000}, 0)
	}
	if c.bytes > maxCacheBytes || len(c.byQ) > maxCacheBytes/60000 {
		t.Errorf("%d bytes, %d kept", c.bytes, len(c.byQ))
	}
	c.flush("")
	if c.bytes != 0 || c.order.Len() != 0 {
		t.Errorf("%d bytes after all is gone", c.bytes)
	}
	if c = newCache(-1); true {
		c.put(question{name: "a", qtype: 1}, reply{ttl: time.Hour}, 0)
		if _, ok, _ := c.get(question{name: "a", qtype: 1}); ok {
			t.Error("kept with no cache")
		}
	}
}

func TestIP(t *testing.T) {
	both := func(a, aaaa []string) *Resolver {
		return asks(func(p string, q []byte) [][]byte {
			m := new(dns.Msg)
			m.Unpack(q)
			if m.Question[0].Qtype == dns.TypeA {
				return says(a...)(p, q)
			}
			return says(aaaa...)(p, q)
		})
	}
	v4, v6 := "h.test. 60 IN A 192.0.2.1", "h.test. 30 IN AAAA 2001:db8::1"
	for _, tt := range []struct {
		name    string
		a, aaaa []string
		want    string
	}{
		{"both", []string{v4}, []string{v6}, "ok [2001:db8::1 192.0.2.1] false 30s"},
		{"both secure", []string{"ad", v4}, []string{"ad", v6}, "ok [2001:db8::1 192.0.2.1] true 30s"},
		{"one secure", []string{"ad", v4}, []string{v6}, "ok [2001:db8::1 192.0.2.1] false 30s"},
		{"one proven absent", []string{"ad", v4}, []string{"ad"}, "ok [192.0.2.1] true 1m0s"},
		{"one absent", []string{"ad", v4}, nil, "ok [192.0.2.1] false 1m0s"},
		{"other absent", nil, []string{"ad", v6}, "ok [2001:db8::1] false 30s"},
		{"one fails", []string{"ad", v4}, []string{"SERVFAIL"}, "ok [192.0.2.1] true 1m0s"},
		{"other fails", []string{"SERVFAIL"}, []string{v6}, "ok [2001:db8::1] false 30s"},
		{"one fails, none", nil, []string{"SERVFAIL"}, "temporary [] false 30s"},
		{"other fails, none", []string{"SERVFAIL"}, nil, "temporary [] false 30s"},
		{"none", nil, nil, "no record [] false 5s"},
		{"no name", []string{"NXDOMAIN"}, []string{"NXDOMAIN"}, "no name [] false 5s"},
		{"mapped", nil, []string{"h.test. 30 IN AAAA ::ffff:192.0.2.9"}, "ok [192.0.2.9] false 30s"},
	} {
		a, err := both(tt.a, tt.aaaa).IP(t.Context(), "h.test")
		if got := fmt.Sprint(outcome(err), " ", a.List, " ", a.Secure, " ", a.TTL); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestNeverAsked: for these no server is asked.
func TestNeverAsked(t *testing.T) {
	r := New(Options{Server: local, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a server was asked")
		return nil, errors.New("no network")
	}})
	ctx := t.Context()
	for name, want := range map[string]string{
		"localhost": "[::1 127.0.0.1]", "A.LocalHost.": "[::1 127.0.0.1]", "192.0.2.1": "[192.0.2.1]", "2001:db8::1": "[2001:db8::1]",
		"::ffff:192.0.2.1": "[192.0.2.1]",
	} {
		if a, err := r.IP(ctx, name); err != nil || fmt.Sprint(a.List) != want || a.Secure {
			t.Errorf("%s: %+v %v", name, a, err)
		}
	}
	for _, name := range []string{
		"", "..", ".a", "a..b", "a b.test", `a\.b.test`, "é.test", strings.Repeat("a", 64) + ".test", strings.Repeat("a.", 127) + "test",
		"x.invalid", "x.onion", "a\x00.test",
	} {
		if _, err := r.TXT(ctx, name); outcome(err) != "no name" {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := r.MX(ctx, "192.0.2.1"); outcome(err) != "no name" {
		t.Error("MX of an address:", err)
	}
	if _, err := r.MX(ctx, "localhost"); outcome(err) != "no record" {
		t.Error("MX of localhost:", err)
	}
	if _, err := r.PTR(ctx, netip.Addr{}); outcome(err) != "no name" {
		t.Error("PTR of nothing:", err)
	}
	if _, err := r.LookupAddr(ctx, "nonsense"); outcome(err) != "no name" {
		t.Error("LookupAddr of nonsense:", err)
	}
	if ips, err := r.LookupNetIP(ctx, "ip6", "192.0.2.1"); len(ips) != 0 || outcome(err) != "no record" {
		t.Error("LookupNetIP of the other family:", ips, err)
	}
	if ips, err := r.LookupNetIP(ctx, "ip4", "localhost"); fmt.Sprint(ips) != "[127.0.0.1]" || err != nil {
		t.Error("LookupNetIP:", ips, err)
	}
}

func TestOddRecords(t *testing.T) {
	ctx := t.Context()
	mx, err := asks(says("a.test. 60 IN MX 20 B.test.", "a.test. 60 IN MX 10 c.test.", "a.test. 60 IN MX 0 .")).MX(ctx, "a.test")
	if err != nil || len(mx.List) != 3 || mx.List[0].Host != "." || mx.List[1].Host != "c.test" || mx.List[2].Host != "b.test" {
		t.Errorf("MX: %v %v", mx.List, err)
	}
	txt, err := asks(says(`a.test. 60 IN TXT "v=spf1 " "a\"b\\c\255;" ""`)).TXT(ctx, "a.test")
	if err != nil || len(txt.List) != 1 || txt.List[0] != "v=spf1 a\"b\\c\xff;" {
		t.Errorf("TXT: %q %v", txt.List, err)
	}
	if a, err := asks(says(`a\;\@.test. 60 IN A 192.0.2.1`)).ip4(ctx, `a;@.test`); err != nil || len(a.List) != 1 {
		t.Errorf("a name that needs escapes: %v %v", a, err)
	}
}

func TestResolvConf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{ResolvConf: file})
		want := func(want string) {
			t.Helper()
			time.Sleep(lookAgain)
			if got := fmt.Sprint(r.servers.order()); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		write := func(s string) {
			if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want("[{127.0.0.1:53 true}]") // there is none
		write("# nothing\nsearch home\n")
		want("[{127.0.0.1:53 true}]")
		write("nameserver 192.0.2.1\nnameserver ::1\nnameserver fe80::1%eth0\noptions edns0\n")
		want("[{[::1]:53 true} {192.0.2.1:53 false} {[fe80::1%eth0]:53 false}]")
		write("nameserver 192.0.2.77\n")
		want("[{192.0.2.77:53 false}]")
		os.Remove(file)
		want("[{192.0.2.77:53 false}]")
	})
	for server, want := range map[string]string{
		"192.0.2.1": "{192.0.2.1:53 false}", "127.0.0.53:5353": "{127.0.0.53:5353 true}", "127.0.0.11": "{127.0.0.11:53 false}", "::1": "{[::1]:53 true}", "[2001:db8::1]:54": "{[2001:db8::1]:54 false}",
	} {
		if got := New(Options{Server: server}).servers.order(); len(got) != 1 || fmt.Sprint(got[0]) != want {
			t.Errorf("%s: %v", server, got)
		}
	}
}

func BenchmarkCachedTXT(b *testing.B) {
	r := asks(says("a.test. 3600 IN TXT \"v=spf1 ip4:192.0.2.0/24 -all\""))
	for b.Loop() {
		if a, err := r.TXT(b.Context(), "a.test"); err != nil || len(a.List) != 1 {
			b.Fatal(err)
		}
	}
}
