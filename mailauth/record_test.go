package mailauth

import (
	"fmt"
	"strings"
	"testing"

	"homemail/internal/mailtest"
)

func TestParseRecord(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"v=DMARC1; p=none", "{none   false false 100}"},
		{"v=DMARC1;p=reject;sp=quarantine;np=reject;adkim=s;aspf=s;pct=20;rua=mailto:a@b.test", "{reject quarantine reject true true 20}"},
		{"v=DMARC1 ; P = Reject ; ADKIM=S;", "{reject   true false 100}"},
		{"v=DMARC1; p=reject; pct=200; adkim=x; x=y; junk", "{reject   false false 100}"},
		{"v=DMARC1; p=reject; np=x", "{reject   false false 100}"},
		{"v=DMARC1; sp=reject; p=none", "{none reject  false false 100}"},
		// RFC 7489 §6.6.3: broken, but it wants reports
		{"v=DMARC1; p=refuse; rua=mailto:a@b.test", "{none   false false 100}"},
		{"v=DMARC1; rua=mailto:a@b.test", "{none   false false 100}"},
		{"v=DMARC1; p=reject; sp=x; rua=mailto:a@b.test", "{none   false false 100}"},
		{"v=DMARC1; p=refuse", "!"},
		{"v=DMARC1", "!"},
		{"v=DMARC2; p=none", "!"},
		{"v=dmarc1; p=none", "!"},
		{"p=none; v=DMARC1", "!"},
		{"v=spf1 -all", "!"},
		{"", "!"},
	} {
		got := "!"
		if r, ok := parseRecord(tt.in); ok {
			got = fmt.Sprint(r)
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
}

// TestRow21RecordSize is the part of row 21 that is ours: a record over 4 KB is
// ignored.
func TestRow21RecordSize(t *testing.T) {
	fits := "v=DMARC1; p=reject; rua=mailto:" + strings.Repeat("x", 4096-len("v=DMARC1; p=reject; rua=mailto:"))
	if _, ok := parseRecord(fits); !ok {
		t.Error("a record of 4 KB is ignored")
	}
	if _, ok := parseRecord(fits + "x"); ok {
		t.Error("a record of more than 4 KB is read")
	}
}

// TestOrgDomain has cases of the test data of the Public Suffix List, and IDN.
func TestOrgDomain(t *testing.T) {
	for in, want := range map[string]string{
		"com":                     "com",
		"example.com":             "example.com",
		"a.b.example.com":         "example.com",
		"example.co.jp":           "example.co.jp",
		"a.example.co.jp":         "example.co.jp",
		"b.c.kobe.jp":             "b.c.kobe.jp",
		"a.b.c.kobe.jp":           "b.c.kobe.jp",
		"city.kobe.jp":            "city.kobe.jp",
		"www.city.kobe.jp":        "city.kobe.jp",
		"docomo.ne.jp":            "docomo.ne.jp",
		"www.ck":                  "www.ck",
		"b.test.ck":               "b.test.ck",
		"test.k12.ak.us":          "test.k12.ak.us",
		"www.test.k12.ak.us":      "test.k12.ak.us",
		"me.github.io":            "me.github.io",
		"www.xn--85x722f.com.cn":  "xn--85x722f.com.cn",
		"shishi.xn--fiqs8s":       "shishi.xn--fiqs8s",
		"a.b.unlisted-test":       "b.unlisted-test",
		"a.xn--bcher-kva.example": "xn--bcher-kva.example",
	} {
		if got := orgDomain(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestAligned(t *testing.T) {
	for _, tt := range []struct {
		a, b            string
		relaxed, strict bool
	}{ // RFC 7489 §3.1
		{"example.com", "example.com", true, true},
		{"news.example.com", "example.com", true, false},
		{"example.com", "news.example.com", true, false},
		{"a.example.com", "b.example.com", true, false},
		{"example.net", "example.com", false, false},
		{"a.co.jp", "b.co.jp", false, false},
		{"co.jp", "a.co.jp", false, false},
		{"a.github.io", "b.github.io", false, false},
		{"notexample.com", "example.com", false, false},
		{"", "", false, false},
		{"", "example.com", false, false},
	} {
		if aligned(tt.a, tt.b, false) != tt.relaxed || aligned(tt.a, tt.b, true) != tt.strict {
			t.Errorf("%q and %q: %v, %v", tt.a, tt.b, aligned(tt.a, tt.b, false), aligned(tt.a, tt.b, true))
		}
	}
}

// TestLookupPolicy is RFC 7489 §6.6.3.
func TestLookupPolicy(t *testing.T) {
	long := "v=DMARC1; p=reject; rua=mailto:" + strings.Repeat("x", 5000)
	for _, tt := range []struct {
		name   string
		zone   mailtest.Zone
		domain string
		want   string
		asked  int // questions about TXT
	}{
		{"its own", mailtest.Zone{"TXT _dmarc.example.com": {"v=DMARC1; p=reject; sp=none"}}, "example.com", "reject", 1},
		{"of a subdomain", mailtest.Zone{"TXT _dmarc.a.example.com": {"v=DMARC1; p=quarantine"}, "TXT _dmarc.example.com": {"v=DMARC1; p=reject"}}, "a.example.com", "quarantine", 1},
		{"of the organization", mailtest.Zone{"TXT _dmarc.example.com": {"v=DMARC1; p=reject"}}, "a.b.example.com", "reject", 2},
		{"sp=", mailtest.Zone{"TXT _dmarc.example.com": {"v=DMARC1; p=reject; sp=none"}}, "a.example.com", "none", 2},
		{"np=, missing", mailtest.Zone{"TXT _dmarc.example.com": {"v=DMARC1; p=none; np=reject"}}, "a.example.com", "reject", 2},
		{"np=, there", mailtest.Zone{"TXT _dmarc.example.com": {"v=DMARC1; p=none; np=reject"}, "MX a.example.com": {"0 ."}}, "a.example.com", "none", 2},
		{"np=, not known", mailtest.Zone{"TXT _dmarc.example.com": {"v=DMARC1; p=none; np=reject"}, "A a.example.com": {"SERVFAIL"}, "AAAA a.example.com": {"SERVFAIL"}}, "a.example.com", "none", 2},
		{"none", mailtest.Zone{}, "example.com", "", 1},
		{"not at a public suffix", mailtest.Zone{"TXT _dmarc.jp": {"v=DMARC1; p=reject"}}, "example.jp", "", 1},
		{"several", mailtest.Zone{"TXT _dmarc.example.com": {"v=DMARC1; p=reject", "v=DMARC1; p=none"}}, "example.com", "", 1},
		{"beside others", mailtest.Zone{"TXT _dmarc.example.com": {"v=spf1 -all", "v=DMARC1; p=reject", "hello"}}, "example.com", "reject", 1},
		{"too long", mailtest.Zone{"TXT _dmarc.example.com": {long}}, "example.com", "", 0}, // asked again by TCP
		{"fails", mailtest.Zone{"TXT _dmarc.example.com": {"SERVFAIL"}}, "example.com", "failed", 0},
		{"fails above", mailtest.Zone{"TXT _dmarc.example.com": {"TIMEOUT"}}, "a.example.com", "failed", 0},
		{"no room", mailtest.Zone{}, strings.Repeat("a.", 124) + "test", "", 1},
	} {
		z := mailtest.NewCounted(tt.zone)
		p := New(Options{Resolver: z}).lookupPolicy(t.Context(), tt.domain)
		got := p.asks
		if p.failed {
			got = "failed"
		}
		n := 0
		for _, q := range z.Asked() {
			if strings.HasPrefix(q, "TXT ") {
				n++
			}
		}
		if got != tt.want || tt.asked > 0 && n != tt.asked {
			t.Errorf("%s: %q with %v, want %q with %d questions", tt.name, got, z.Asked(), tt.want, tt.asked)
		}
	}
}

// FuzzParseRecord: a record is a policy that we know, whatever else is in it.
func FuzzParseRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; sp=none; pct=20; rua=mailto:x@y.test")
	f.Add("v=DMARC1; rua=mailto:x")
	f.Add("v=DMARC1;p=none;;;=;p=reject")
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := parseRecord(s)
		if !ok {
			return
		}
		if !isPolicy(r.policy) || r.sub != "" && !isPolicy(r.sub) || r.missing != "" && !isPolicy(r.missing) || r.percent < 0 || r.percent > 100 {
			t.Errorf("%q: %+v", s, r)
		}
		if !strings.HasPrefix(strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(s), " ", ""), "\t", ""), "v=dmarc1") {
			t.Errorf("%q is a record", s)
		}
	})
}
