package resolver

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// FuzzAnswer: whatever a server sends, what we keep of it is of the type that
// was asked for, stands under the name we say, and is bounded; nothing is secure
// without AD, and nothing is both there and not.
func FuzzAnswer(f *testing.F) {
	q := question{name: "a.test.", qtype: dns.TypeTXT}
	query := newQuery(q, true)
	query.Id = 1
	wire := pack(query)
	for _, lines := range [][]string{
		{"ad", "a.test. 60 IN TXT x"}, {"NXDOMAIN", "-test. 600 IN SOA a. b. 1 2 3 4 120"}, {"SERVFAIL"},
		{"a.test. 1 IN CNAME b.test.", "b.test. 1 IN TXT x"}, {"a.test. 1 IN CNAME a.test."}, {"ad", "a.test. 1 IN TLSA 3 1 1 00ff"},
	} {
		f.Add(pack(answer(wire, lines...)))
	}
	f.Add([]byte{0, 1, 0x82, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 'a', 4, 't', 'e', 's', 't', 0, 0, 16, 0, 1, 0xc0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b, query)
		if err != nil {
			if m != nil {
				t.Fatal("a message and an error")
			}
			return
		}
		if binary.BigEndian.Uint16(b) != 1 || len(m.Answer)+len(m.Ns)+len(m.Extra) > maxRecords {
			t.Fatalf("took %v", m)
		}
		if m.Truncated {
			return
		}
		rep := read(m, q, "", len(b))
		for _, rr := range rep.rrs {
			if rr.Header().Rrtype != q.qtype || !strings.EqualFold(rr.Header().Name, rep.name) {
				t.Errorf("%v stands for %s", rr, rep.name)
			}
		}
		if rep.secure && !m.AuthenticatedData || (rep.err == nil) != (len(rep.rrs) > 0) || rep.ttl < minTTL || rep.ttl > maxTTL {
			t.Errorf("%+v of %v", rep, m)
		}
	})
}

// FuzzUnescape: text that the library packs and unpacks comes out as it was.
func FuzzUnescape(f *testing.F) {
	for _, s := range []string{"", "v=spf1 -all", `a\b"c`, "\x00\xff", "日本", `\255`, `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 255 {
			return
		}
		wire := append([]byte{byte(len(s))}, s...)
		hdr := dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: 1, Rdlength: uint16(len(wire))}
		rr, _, err := dns.UnpackRRWithHeader(hdr, wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := unescape(strings.Join(rr.(*dns.TXT).Txt, "")); got != s {
			t.Errorf("%q became %q", s, got)
		}
		unescape(s) // as it is: no format at all
	})
}

// FuzzQuestion: what is asked for is, label by label and but for case, the name
// that was given; or nothing is asked.
func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"a.test", "A.TEST.", ".", "", "a..b", `a\.b`, `a;"@$().b`, "é", strings.Repeat("a", 63) + ".b",
		strings.Repeat("a", 64) + ".b", strings.Repeat("a.", 126) + "b", strings.Repeat("a.", 126) + "bc", "_dmarc.a-1.test", "a.test..", ".a.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		q, ok := newQuestion(name, dns.TypeA)
		if !ok {
			return
		}
		var wire [255]byte
		n, err := dns.PackDomainName(q.name, wire[:], 0, nil, false)
		if err != nil {
			t.Fatalf("%q cannot be asked for: %v", name, err)
		}
		want := []byte{}
		for label := range strings.SplitSeq(strings.TrimSuffix(strings.ToLower(name), "."), ".") {
			if label != "" {
				want = append(append(want, byte(len(label))), label...)
			}
		}
		if string(wire[:n]) != string(want)+"\x00" {
			t.Errorf("%q is asked for as %q", name, wire[:n])
		}
	})
}
