package dnsplan

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"homemail/internal/mailtest"
	"homemail/resolver"
)

// A world is the DNS of a test: two servers that a zone names, ns1 and ns2, and
// a recursive one that has what is in its mailtest.Zone.
type world struct {
	*resolver.Resolver                    // the recursive one
	direct             *resolver.Resolver // for the zone's own

	counted *mailtest.Counted
	mu      sync.Mutex
	servers map[string]*authority // by address and port
	asked   int                   // of the zone's own servers
}

// An authority is a server that a zone names. Its zone is what Zone prints.
type authority struct {
	zone string
	wild string // type and data of what every name below example.org has that is not there
	how  string // "silent", "garbage", "refuses", "lame", "truncates", "" for well
}

const ns1, ns2 = "198.51.100.1:53", "198.51.100.2:53"

// newWorld is a world for example.org, with the same zone everywhere.
func newWorld(zone string) *world {
	w := &world{servers: map[string]*authority{ns1: {zone: zone}, ns2: {zone: zone}}}
	w.direct = resolver.New(resolver.Options{Dial: w.dial})
	w.recursive(zone)
	return w
}

// recursive says what the recursive server has: it knows the name servers, and
// others' SPF.
func (w *world) recursive(zone string) {
	all := mailtest.Zone{
		"NS example.org": {"ns1.example.net.", "ns2.example.net."}, "A ns1.example.net": {"198.51.100.1"}, "A ns2.example.net": {"198.51.100.2"},
		"NS xn--r8jz45g.xn--zckzah": {"ns1.example.net."}, "NS example.net": {"ns1.example.net."},
		"TXT mailgun.org": {"v=spf1 ~all"}, "TXT _spf.google.com": {"v=spf1 ~all"}, "TXT relay.example": {"v=spf1 a mx include:deep.relay.example -all"}, "TXT deep.relay.example": {"v=spf1 a a:b mx exists:c.example ptr -all"},
	}
	for _, rr := range parse(zone) {
		h := rr.Header()
		key := dns.TypeToString[h.Rrtype] + " " + strings.TrimSuffix(h.Name, ".")
		value := strings.TrimPrefix(rr.String(), h.String())
		if txt, ok := rr.(*dns.TXT); ok {
			value = bytesOf(strings.Join(txt.Txt, ""))
		}
		all[key] = append(all[key], value)
	}
	w.counted = mailtest.NewCounted(all)
	w.Resolver = w.counted.Resolver
}

func (w *world) Ask(ctx context.Context, at netip.AddrPort, name, rtype string) (resolver.Answer[string], error) {
	return w.direct.Ask(ctx, at, name, rtype)
}

// questions is how often the zone's own servers were asked. One that is silent
// may be asked still, by somebody who has stopped to wait.
func (w *world) questions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

func parse(zone string) []dns.RR {
	var out []dns.RR
	zp := dns.NewZoneParser(strings.NewReader(zone), "", "")
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		out = append(out, rr)
	}
	if err := zp.Err(); err != nil {
		panic(err)
	}
	return out
}

func (w *world) dial(_ context.Context, proto, addr string) (net.Conn, error) {
	w.mu.Lock()
	sv := *w.servers[addr]
	w.mu.Unlock()
	ours, theirs := net.Pipe()
	go func() {
		buf := make([]byte, 4096)
		n, err := theirs.Read(buf)
		head := 0
		if proto == "tcp" {
			head = 2
		}
		query := new(dns.Msg)
		if err != nil || query.Unpack(buf[head:n]) != nil {
			return
		}
		w.mu.Lock()
		w.asked++
		w.mu.Unlock()
		wire := sv.answer(query, proto)
		if wire != nil && proto == "tcp" {
			wire = append([]byte{byte(len(wire) >> 8), byte(len(wire))}, wire...)
		}
		if wire != nil {
			theirs.Write(wire) // who is gone needs no answer
		}
	}()
	return ours, nil
}

func (sv authority) answer(query *dns.Msg, proto string) []byte {
	m := new(dns.Msg)
	m.SetReply(query)
	m.Authoritative = sv.how != "lame"
	q := query.Question[0]
	exists := false
	for _, rr := range parse(sv.zone) {
		h := rr.Header()
		if strings.HasSuffix("."+h.Name, "."+q.Name) {
			exists = true
		}
		if strings.EqualFold(h.Name, q.Name) && (h.Rrtype == q.Qtype || h.Rrtype == dns.TypeCNAME) {
			m.Answer = append(m.Answer, rr)
		}
	}
	if !exists && sv.wild != "" && strings.HasSuffix(q.Name, ".example.org.") {
		exists = true
		if rr := parse(q.Name + " 300 IN " + sv.wild)[0]; rr.Header().Rrtype == q.Qtype || rr.Header().Rrtype == dns.TypeCNAME {
			m.Answer = append(m.Answer, rr)
		}
	}
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	switch sv.how {
	case "silent":
		return nil
	case "refuses":
		m.Rcode, m.Answer = dns.RcodeRefused, nil
	case "truncates":
		if proto == "udp" {
			m.Truncated, m.Answer = true, nil
		}
	}
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	if sv.how == "garbage" {
		wire = append(wire[:12], "\xc0\xff\x00garbage"...)
	}
	return wire
}

func (w *world) compare(t *testing.T, in Input, change ...func(*Options)) []Result {
	t.Helper()
	records, err := Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{DNS: w}
	for _, f := range change {
		f(&o)
	}
	return NewComparer(o).Compare(t.Context(), records)
}
