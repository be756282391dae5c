package resolver

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// holds is an authoritative server: as says, with the AA bit and no recursion.
func holds(lines ...string) func(string, []byte) [][]byte {
	return func(_ string, query []byte) [][]byte {
		m := answer(query, lines...)
		m.Authoritative, m.RecursionAvailable = true, false
		return [][]byte{pack(m)}
	}
}

func TestRecordsAsText(t *testing.T) {
	for _, tt := range []struct{ rtype, line, want string }{
		{"A", "a.test. 300 IN A 192.0.2.1", "192.0.2.1"},
		{"AAAA", "a.test. 300 IN AAAA 2001:DB8:0::1", "2001:db8::1"},
		{"AAAA", "a.test. 300 IN AAAA ::ffff:192.0.2.1", "::ffff:192.0.2.1"},
		{"MX", "a.test. 300 IN MX 10 MX.a.test.", "10 mx.a.test"},
		{"MX", "a.test. 300 IN MX 0 .", "0 ."},
		{"CNAME", "a.test. 300 IN CNAME B.test.", "b.test"},
		{"NS", "a.test. 300 IN NS NS1.test.", "ns1.test"},
		{"SRV", "a.test. 300 IN SRV 0 1 993 Mail.a.test.", "0 1 993 mail.a.test"},
		{"SRV", "a.test. 300 IN SRV 0 0 0 .", "0 0 0 ."},
		{"TXT", `a.test. 300 IN TXT "v=DKIM1; p=ab" "cd\"\\\\e"`, `v=DKIM1; p=abcd"\\e`},
		{"CAA", `a.test. 300 IN CAA 0 Issue "ca.test; accounturi=https://ca.test/1"`, `0 issue "ca.test; accounturi=https://ca.test/1"`},
		{"TLSA", "a.test. 300 IN TLSA 3 1 1 " + strings.Repeat("AB", 32), "3 1 1 " + strings.Repeat("ab", 32)},
		{"DS", "a.test. 300 IN DS 1 13 2 " + strings.Repeat("ab", 32), "1 13 2 " + strings.Repeat("AB", 32)},
	} {
		r := New(Options{Server: "192.0.2.53", CacheSize: -1, Dial: network{"192.0.2.53:53": says(tt.line)}.dial})
		got, err := r.Records(t.Context(), "a.test", tt.rtype)
		if err != nil || len(got.List) != 1 || got.List[0] != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.line, got.List, err, tt.want)
		}
	}
	if _, err := New(Options{}).Records(t.Context(), "a.test", "HINFO"); err == nil {
		t.Error("an unknown type was asked for")
	}
}

func TestAskOneServer(t *testing.T) {
	const us, other = "192.0.2.53:53", "192.0.2.54:53"
	for _, tt := range []struct {
		name   string
		answer func(string, []byte) [][]byte
		want   []string
		end    string // Name
		err    string
	}{
		{"it holds the record", holds("a.test. 300 IN A 192.0.2.1"), []string{"192.0.2.1"}, "a.test", ""},
		{"it has no such record", holds(), nil, "a.test", textNoRecord},
		{"it has no such name", holds("NXDOMAIN"), nil, "a.test", textNoName},
		{"an alias that leads away", holds("a.test. 300 IN CNAME b.example."), nil, "b.example", textNoRecord},
		{"it only recurses", says("a.test. 300 IN A 192.0.2.1"), nil, "a.test", textLame},
		{"a referral", func(_ string, q []byte) [][]byte {
			m := answer(q, "-a.test. 300 IN NS ns.test.")
			m.RecursionAvailable = false
			return [][]byte{pack(m)}
		}, nil, "a.test", textLame},
		{"it refuses", holds("REFUSED"), nil, "a.test", "REFUSED"},
		{"it is silent", silence, nil, "a.test", "timeout"},
		{"it says nonsense", func(_ string, q []byte) [][]byte {
			return [][]byte{append(q[:2:2], "\x84\x00\x00\x01\x00\x05\x00\x00\x00\x00!"...)}
		}, nil, "a.test", "no sense"},
		{"cut short over UDP", func(proto string, q []byte) [][]byte {
			m := answer(q, "a.test. 300 IN A 192.0.2.1")
			if m.Authoritative = true; proto == "udp" {
				m.Truncated, m.Answer = true, nil
			}
			return [][]byte{pack(m)}
		}, []string{"192.0.2.1"}, "a.test", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := New(Options{Server: other, Dial: network{us: tt.answer, other: says("a.test. 300 IN A 192.0.2.99")}.dial})
			got, err := r.Ask(t.Context(), netip.MustParseAddrPort(us), "A.test.", "A")
			if !slices.Equal(got.List, tt.want) || got.Name != tt.end || tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %q at %q, %v", got.List, got.Name, err)
			}
		})
	}
}

func TestAskDoesNotAskForRecursion(t *testing.T) {
	r := New(Options{Dial: network{"192.0.2.53:53": func(_ string, query []byte) [][]byte {
		q := new(dns.Msg)
		if err := q.Unpack(query); err != nil || q.RecursionDesired {
			return nil
		}
		return holds("a.test. 300 IN A 192.0.2.1")("udp", query)
	}}.dial})
	if got, err := r.Ask(t.Context(), netip.MustParseAddrPort("192.0.2.53:53"), "a.test", "A"); err != nil || len(got.List) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}
