package dnsplan

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden zones anew")

// key is a key of DKIM with 2048 bits: too long for one string.
var key = TXT{"hm1._domainkey", "v=DKIM1; k=rsa; p=" + strings.Repeat("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A", 12) + "IDAQAB"}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// basic is a house with a line that does all.
func basic() Input {
	return Input{
		Domain: "example.org", Host: "mail.example.org", Mode: Direct,
		Addrs: addrs("203.0.113.25", "2001:db8::25"),
		DKIM:  []TXT{key, {"hm2._domainkey", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}}, DMARCReports: "dmarc@example.org",
		STSMode: "testing", Web: true, Ports: Ports{Submissions: 465, Submission: 587, IMAPS: 993, HTTPS: 443},
	}
}

var goldens = []struct {
	name string
	in   func() Input
}{
	{"direct", basic},
	{"smarthost", func() Input {
		in := basic()
		in.Mode, in.SPFIncludes, in.Addrs = Smarthost, []string{"mailgun.org"}, addrs("203.0.113.25")
		in.Extra = []Record{{Name: "mx._domainkey", Type: "CNAME", Values: []string{"dkim.smarthost.example"}}, {Name: "pm-bounces", Type: "CNAME", Values: []string{"pm.smarthost.example"}}}
		return in
	}},
	{"unknown-smarthost", func() Input {
		in := basic()
		in.Mode, in.STSMode, in.Web = Smarthost, "", false
		return in
	}},
	{"fixed-signed", func() Input {
		in := basic()
		in.Fixed, in.Signed, in.NoIPv6 = true, true, true
		in.Addrs = addrs("203.0.113.25")
		in.TLSA = [][]byte{[]byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 32))}
		in.CA = CA{"letsencrypt.org", "https://acme-v02.api.letsencrypt.org/acme/acct/123456"}
		in.STSMode, in.DMARCPolicy = "enforce", "quarantine"
		in.Ports.POP3S = 995
		return in
	}},
	{"idn", func() Input {
		in := basic()
		in.Domain, in.Host, in.DMARCReports = "例え.テスト", "Mail.例え。テスト", "報告@例え.テスト"
		return in
	}},
	{"apex", func() Input {
		in := basic()
		in.Host, in.DMARCReports, in.CA = "example.org", `"a;b,c!d"@example.net`, CA{"letsencrypt.org", "https://ca.example/1"}
		return in
	}},
	{"merged", func() Input {
		in := basic()
		in.Existing = Existing{
			SPF:    []string{"v=spf1 include:_spf.google.com ip4:198.51.100.7 -all"},
			DMARC:  []string{"v=DMARC1; p=quarantine; rua=mailto:me@reports.example; pct=50"},
			TLSRPT: []string{"v=TLSRPTv1; rua=https://tls.example/v1"},
		}
		return in
	}},
}

func TestGoldenZones(t *testing.T) {
	for _, g := range goldens {
		records, err := Plan(g.in())
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
			continue
		}
		file, got := filepath.Join("testdata", g.name+".zone"), Zone(records, "")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != got {
			t.Errorf("%s: %v, got\n%s", g.name, err, got)
		}
	}
}

func TestPlanOfModesWithoutRecords(t *testing.T) {
	for _, m := range []Mode{Bridge, Home} {
		if r, err := Plan(Input{Domain: "home", Mode: m}); err != nil || len(r) != 0 {
			t.Errorf("%s: %v, %v", m, r, err)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Input){
		"no domain":            func(in *Input) { in.Domain = "" },
		"a single label":       func(in *Input) { in.Domain = "localhost" },
		"no host":              func(in *Input) { in.Host = "" },
		"a host with a slash":  func(in *Input) { in.Host = "a/b.example.org" },
		"a host with a line":   func(in *Input) { in.Host = "a.example.org\nb" },
		"a wildcard":           func(in *Input) { in.Domain = "*.example.org" },
		"a label of 64":        func(in *Input) { in.Host = strings.Repeat("a", 64) + ".example.org" },
		"loopback":             func(in *Input) { in.Addrs = addrs("127.0.0.1") },
		"link-local":           func(in *Input) { in.Addrs = addrs("fe80::1%eth0") },
		"an unknown mode":      func(in *Input) { in.Mode = "gateway" },
		"an unknown policy":    func(in *Input) { in.DMARCPolicy = "bounce" },
		"nowhere for reports":  func(in *Input) { in.DMARCReports = "" },
		"an empty key":         func(in *Input) { in.DKIM[0].Value = "" },
		"a digest of 31 bytes": func(in *Input) { in.Signed, in.TLSA = true, [][]byte{make([]byte, 31)} },
	} {
		in := basic()
		spoil(&in)
		if _, err := Plan(in); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func find(t *testing.T, records []Record, kind Kind) Record {
	t.Helper()
	i := slices.IndexFunc(records, func(r Record) bool { return r.Kind == kind })
	if i < 0 {
		t.Fatalf("no record for %s", kind)
	}
	return records[i]
}

func TestEveryRecordSaysWhy(t *testing.T) {
	for _, g := range goldens {
		records, _ := Plan(g.in())
		for _, r := range records {
			if r.Purpose.EN == "" || r.Purpose.JA == "" || r.Rank == "" || r.Kind == "" || r.TTL == 0 {
				t.Errorf("%s: %+v", g.name, r)
			}
		}
	}
}

// A record of the SPF that is full already gets addresses instead of a name.
func TestSPFSparesLookups(t *testing.T) {
	in := basic()
	in.Existing = Existing{SPF: []string{"v=spf1 include:a.example ~all"}, SPFLookups: 9}
	records, err := Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := find(t, records, KindSPF).Values[0], "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 include:a.example ~all"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPropose(t *testing.T) {
	for _, tt := range []struct {
		policy string
		days   int
		want   string
		ok     bool
	}{{"none", 13, "none", false}, {"none", 14, "quarantine", true}, {"", 14, "quarantine", true}, {"quarantine", 14, "reject", true}, {"reject", 99, "reject", false}} {
		if got, ok := ProposeDMARC(tt.policy, tt.days); got != tt.want || ok != tt.ok {
			t.Errorf("%+v: got %s, %v", tt, got, ok)
		}
	}
	if got, ok := ProposeSTS("testing", 6); got != "testing" || ok {
		t.Error(got, ok)
	}
	if got, ok := ProposeSTS("testing", 7); got != "enforce" || !ok {
		t.Error(got, ok)
	}
}

func TestSTSPolicy(t *testing.T) {
	p := STSPolicy("testing", "mail.例え.テスト")
	if want := "version: STSv1\r\nmode: testing\r\nmx: mail.xn--r8jz45g.xn--zckzah\r\nmax_age: 86400\r\n"; p != want {
		t.Errorf("got %q", p)
	}
	id := STSID(p)
	if len(id) != 20 || id == STSID(STSPolicy("enforce", "mail.例え.テスト")) || id != STSID(p) {
		t.Errorf("id %q", id)
	}
}

func TestHostByNameServers(t *testing.T) {
	for _, tt := range []struct{ ns, want, provider string }{
		{"amy.ns.cloudflare.com bob.ns.cloudflare.com", "Cloudflare", "cloudflare"},
		{"ns-1.awsdns-00.com ns-9.awsdns-33.co.uk", "Amazon Route 53", "route53"},
		{"ns1.desec.io ns2.desec.org", "deSEC", "desec"},
		{"01.dnsv.jp 02.dnsv.jp", "Onamae.com", ""},
		{"ns1.dns.ne.jp ns2.dns.ne.jp", "Sakura Internet", ""},
		{"ns1.gslb1.sakura.ne.jp", "Sakura Cloud", ""},
		{"ns1.xserver.jp", "Xserver", ""},
		{"NS-A1.ConoHa.io.", "ConoHa", ""},
		{"ns1.evilcloudflare.com ns.cloudflare.com.evil.example", "", ""},
		{"ns1.example.net", "", ""},
		{"ns1.example.net ns1.gandi.net ns2.gandi.net", "Gandi", "gandi"},
		{"", "", ""},
	} {
		if got := hostOf(strings.Fields(tt.ns)); got.Name != tt.want || got.Provider != tt.provider || got.Names == "" || got.Texts == "" {
			t.Errorf("%s: got %+v", tt.ns, got)
		}
	}
}

func TestTyped(t *testing.T) {
	h := DNSHost{Zone: "example.org", Names: ShortName, Texts: Quoted}
	full := DNSHost{Zone: "example.org", Names: FullName, Texts: OneString}
	for _, tt := range [][2]string{
		{h.TypedName("example.org"), "@"}, {h.TypedName("_dmarc.example.org"), "_dmarc"}, {full.TypedName("_dmarc.example.org"), "_dmarc.example.org"},
		{h.TypedValue("TXT", `a"b`), `"a\"b"`}, {h.TypedValue("MX", "10 a"), "10 a"}, {full.TypedValue("TXT", "a b"), "a b"},
	} {
		if tt[0] != tt[1] {
			t.Errorf("got %q, want %q", tt[0], tt[1])
		}
	}
}

func TestStatesAndRanksHaveWords(t *testing.T) {
	seen := map[Text]bool{}
	for _, s := range []State{NotSeen, Correct, Differs, Conflict, CouldNotAsk} {
		seen[s.Text()] = true
	}
	for _, r := range []Rank{Required, Recommended, Optional} {
		seen[r.Text()] = true
	}
	for text := range seen {
		if text.EN == "" || text.JA == "" || len(seen) != 8 {
			t.Errorf("%+v", seen)
		}
	}
}
