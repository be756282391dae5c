package mailtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"homemail/resolver"
)

// A Zone is the whole DNS of a test. A key is a type and a name, lower case and
// without final dot, or with PTR an address; the values are the records, as in a
// zone file but for TXT, whose text stands for itself:
//
//	mailtest.Zone{
//		"MX example.test":               {"10 mx1.example.test"},
//		"A mx1.example.test":            {"192.0.2.1"},
//		"TXT _dmarc.example.test":       {"v=DMARC1; p=reject"},
//		"PTR 192.0.2.1":                 {"mx1.example.test"},
//		"TLSA _25._tcp.mx1.example.test": {"SECURE", "3 1 1 " + hex},
//		"CNAME www.example.test":        {"mx1.example.test"},
//		"TXT broken.test":               {"SERVFAIL"},
//	}
//
// "SECURE" as the first value says that DNSSEC vouches for the answer; alone, for
// there being no such record. "SERVFAIL" alone is a temporary error and "TIMEOUT"
// alone is silence, which comes at once. A name of which nothing is said does not
// exist. It has the methods of resolver.Resolver, and that is behind them.
type Zone map[string][]string

const (
	secure   = "SECURE"
	servfail = "SERVFAIL"
	timeout  = "TIMEOUT"
)

func (z Zone) MX(ctx context.Context, domain string) (resolver.Answer[*net.MX], error) {
	return z.resolver().MX(ctx, domain)
}

func (z Zone) TXT(ctx context.Context, name string) (resolver.Answer[string], error) {
	return z.resolver().TXT(ctx, name)
}

func (z Zone) IP(ctx context.Context, host string) (resolver.Answer[netip.Addr], error) {
	return z.resolver().IP(ctx, host)
}

func (z Zone) TLSA(ctx context.Context, name string) (resolver.Answer[resolver.TLSA], error) {
	return z.resolver().TLSA(ctx, name)
}

func (z Zone) PTR(ctx context.Context, addr netip.Addr) (resolver.Answer[string], error) {
	return z.resolver().PTR(ctx, addr)
}

// Validates reports whether anything in the zone is secure.
func (z Zone) Validates(ctx context.Context) bool { return z.resolver().Validates(ctx) }

// Flush does nothing: there is no cache before a Zone.
func (z Zone) Flush(string) {}

func (z Zone) LookupMX(ctx context.Context, domain string) ([]*net.MX, error) {
	return z.resolver().LookupMX(ctx, domain)
}

func (z Zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return z.resolver().LookupTXT(ctx, name)
}

func (z Zone) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	return z.resolver().LookupIPAddr(ctx, host)
}

func (z Zone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return z.resolver().LookupAddr(ctx, addr)
}

func (z Zone) LookupHost(ctx context.Context, host string) ([]string, error) {
	return z.resolver().LookupHost(ctx, host)
}

func (z Zone) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return z.resolver().LookupNetIP(ctx, network, host)
}

func (z Zone) resolver() *resolver.Resolver { return zoneResolver(z.answer, -1) }

// Cached is a resolver that keeps a zone's answers, as that of the program does,
// and also that there is no such record.
func (z Zone) Cached() *resolver.Resolver {
	return zoneResolver(func(query *dns.Msg) *dns.Msg {
		m := z.answer(query)
		if m != nil && m.Rcode != dns.RcodeServerFailure && len(m.Answer) == 0 {
			m.Ns = append(m.Ns, soa()) // tells for how long, RFC 2308 §5
		}
		return m
	}, 0)
}

// Counted is a Zone that knows what it was asked.
type Counted struct {
	*resolver.Resolver

	mu    sync.Mutex
	asked []string
}

// NewCounted returns a Counted for a zone, without a cache before it.
func NewCounted(z Zone) *Counted {
	c := &Counted{}
	c.Resolver = zoneResolver(func(query *dns.Msg) *dns.Msg {
		q := query.Question[0]
		c.mu.Lock()
		c.asked = append(c.asked, dns.TypeToString[q.Qtype]+" "+strings.TrimSuffix(q.Name, "."))
		c.mu.Unlock()
		return z.answer(query)
	}, -1)
	return c
}

// Asked returns the questions so far, as in "MX example.test". Each try is one,
// and IP is two: "A" and "AAAA".
func (c *Counted) Asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

// Lookups returns how many questions there were so far, with IP as one.
func (c *Counted) Lookups() int {
	n := 0
	for _, q := range c.Asked() {
		if !strings.HasPrefix(q, "AAAA ") {
			n++
		}
	}
	return n
}

// zoneResolver is a resolver whose server is a function.
func zoneResolver(answer func(*dns.Msg) *dns.Msg, cacheSize int) *resolver.Resolver {
	return resolver.New(resolver.Options{
		Server:    "127.0.0.1:53",
		CacheSize: cacheSize,
		Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
			return &zoneConn{answer: answer, tcp: network == "tcp"}, nil
		},
	})
}

// answer is nil for silence.
func (z Zone) answer(query *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(query)
	m.RecursionAvailable = true
	m.AuthenticatedData = true
	q := query.Question[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if name == "" { // the question of Validates
		m.AuthenticatedData = z.anySecure()
		m.Answer = append(m.Answer, soa())
		return m
	}
	for range 20 { // a loop of CNAMEs is for the resolver to find
		list, ok := z.list(dns.TypeToString[q.Qtype], name)
		cname := false
		if !ok {
			list, cname = z["CNAME "+name]
		}
		if len(list) == 1 && list[0] == timeout {
			return nil
		}
		if len(list) == 1 && list[0] == servfail {
			m.Rcode, m.AuthenticatedData, m.Answer = dns.RcodeServerFailure, false, nil
			return m
		}
		if len(list) > 0 && list[0] == secure {
			list = list[1:]
		} else {
			m.AuthenticatedData = false
		}
		qtype := q.Qtype
		if cname {
			qtype = dns.TypeCNAME
		}
		for _, value := range list {
			m.Answer = append(m.Answer, record(name+".", qtype, value))
		}
		if cname && len(list) > 0 {
			name = strings.ToLower(strings.TrimSuffix(list[0], "."))
			continue
		}
		if len(list) == 0 && !ok && !z.exists(name) {
			m.Rcode = dns.RcodeNameError
		}
		break
	}
	return m
}

// list returns what is said of a name; of PTR, by the address.
func (z Zone) list(qtype, name string) ([]string, bool) {
	if list, ok := z[qtype+" "+name]; ok || qtype != "PTR" {
		return list, ok
	}
	for key, list := range z {
		if addr, ok := strings.CutPrefix(key, "PTR "); ok {
			if arpa, err := dns.ReverseAddr(addr); err == nil && arpa == name+"." {
				return list, true
			}
		}
	}
	return nil, false
}

// exists reports whether a name or one below it has any record (RFC 8020).
func (z Zone) exists(name string) bool {
	for key := range z {
		_, owner, _ := strings.Cut(key, " ")
		if owner == name || strings.HasSuffix(owner, "."+name) {
			return true
		}
	}
	return false
}

func (z Zone) anySecure() bool {
	for _, list := range z {
		if len(list) > 0 && list[0] == secure {
			return true
		}
	}
	return false
}

func soa() dns.RR { return record(".", dns.TypeSOA, "a.test. b.test. 1 1 1 1 300") }

// record panics if a test's value is none: the test has to be put right.
func record(name string, qtype uint16, value string) dns.RR {
	hdr := dns.RR_Header{Name: name, Rrtype: qtype, Class: dns.ClassINET, Ttl: 300}
	if qtype == dns.TypeTXT {
		txt := &dns.TXT{Hdr: hdr}
		for len(value) > 255 { // RFC 1035 §3.3
			txt.Txt = append(txt.Txt, escape(value[:255]))
			value = value[255:]
		}
		txt.Txt = append(txt.Txt, escape(value))
		return txt
	}
	rr, err := dns.NewRR(fmt.Sprintf(". 300 IN %s %s", dns.TypeToString[qtype], value))
	if err != nil || rr == nil {
		panic(fmt.Sprintf("mailtest.Zone: %s of %s is %q: %v", dns.TypeToString[qtype], name, value, err))
	}
	*rr.Header() = hdr
	return rr
}

func escape(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

// A zoneConn is a connection to a Zone: what is written is a question, and what
// is read then its answer.
type zoneConn struct {
	net.Conn // nil: nothing else is called
	answer   func(*dns.Msg) *dns.Msg
	tcp      bool
	rest     []byte
}

func (c *zoneConn) SetDeadline(time.Time) error { return nil }
func (c *zoneConn) Close() error                { return nil }

func (c *zoneConn) Write(b []byte) (int, error) {
	query, head := new(dns.Msg), 0
	if c.tcp {
		head = 2
	}
	if err := query.Unpack(b[head:]); err != nil {
		return 0, err
	}
	m := c.answer(query)
	if m == nil {
		return len(b), nil
	}
	if !c.tcp {
		m.Truncate(1232)
	}
	wire, err := m.Pack()
	if err != nil {
		return 0, errors.New("mailtest.Zone: " + err.Error())
	}
	if c.tcp {
		wire = append([]byte{byte(len(wire) >> 8), byte(len(wire))}, wire...)
	}
	c.rest = wire
	return len(b), nil
}

func (c *zoneConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// A Test is the part of testing.TB that is needed here.
type Test interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// ServeDNS serves a zone over UDP and TCP until the test ends, and returns
// where: for programs that have a DNS server in their settings. The zone must not
// change meanwhile.
func ServeDNS(t Test, z Zone) (addr string) {
	t.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		if len(query.Question) != 1 {
			return
		}
		m := z.answer(query)
		if m == nil {
			return
		}
		if opt := query.IsEdns0(); opt != nil {
			m.SetEdns0(opt.UDPSize(), opt.Do())
		}
		if w.RemoteAddr().Network() == "udp" {
			size := uint16(dns.MinMsgSize)
			if opt := query.IsEdns0(); opt != nil {
				size = max(size, opt.UDPSize())
			}
			m.Truncate(int(size))
		}
		w.WriteMsg(m) // who is gone needs no answer
	})
	udp, tcp, err := sameport()
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		done := make(chan struct{})
		go func() {
			srv.ActivateAndServe()
			close(done)
		}()
		<-started
		t.Cleanup(func() {
			srv.Shutdown()
			<-done
		})
	}
	return udp.LocalAddr().String()
}

// sameport listens on one free port of both protocols.
func sameport() (net.PacketConn, net.Listener, error) {
	var last error
	for range 10 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		last = err
		udp.Close()
	}
	return nil, nil, last
}
