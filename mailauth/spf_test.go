package mailauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"blitiri.com.ar/go/spf"

	"homemail/internal/mailtest"
	"homemail/mail"
)

// A spfSuite is one scenario of the openspf test suite. The licences stand
// beside the data, which was turned from YAML into JSON.
type spfSuite struct {
	Description string
	Zone        map[string][]struct{ Type, Value string }
	Tests       map[string]struct {
		Helo, Host, MailFrom string
		Result               []string
	}
}

// beyond are the tests whose answer is ours alone to give, with ours and why.
var beyond = map[string]struct {
	want mail.Result
	why  string
}{
	"a-colon-domain":            {mail.ResultPermError, "a name with a slash: the library takes it for a prefix length"},
	"a-colon-domain-ip4mapped":  {mail.ResultPermError, "the same"},
	"mx-colon-domain":           {mail.ResultPermError, "the same"},
	"mx-colon-domain-ip4mapped": {mail.ResultPermError, "the same"},
	"macro-mania-in-domain":     {mail.ResultFail, "a name with blanks is not asked for"},
	"p-macro-multiple":          {mail.ResultNeutral, "RFC 7208 §7.2 advises against %{p}; it is always unknown"},
	"default-modifier":          {mail.ResultNeutral, "default= is of a draft from before RFC 4408"},
	"default-modifier-harsh":    {mail.ResultNeutral, "the same"},
}

func TestSPFSuites(t *testing.T) {
	for _, name := range []string{"rfc7208-tests", "pyspf-tests"} {
		b, err := os.ReadFile("testdata/spf/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var suites []spfSuite
		if err := json.Unmarshal(b, &suites); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range suites {
			zone := s.zone(t)
			for id, test := range s.Tests {
				n++
				asked := mailtest.NewCounted(zone)
				c := New(Options{Host: "mx.example.test", Resolver: asked})
				got := c.checkSPF(t.Context(), Origin{Remote: netip.MustParseAddr(test.Host), Helo: test.Helo, From: mail.Path(test.MailFrom)})
				want := test.Result
				if ours, ok := beyond[id]; ok {
					want = []string{string(ours.want)}
				}
				if !slices.Contains(want, string(got.Result)) {
					t.Errorf("%s, %s: got %q (%s), want %q", s.Description, id, got.Result, got.Reason, test.Result)
				}
				if len(asked.Asked()) > maxQueries {
					t.Errorf("%s: %d queries", id, len(asked.Asked()))
				}
			}
		}
		t.Logf("%s: %d tests", name, n)
	}
}

// zone makes the zone of a suite. Records of type SPF stand for TXT unless
// there is TXT; TIMEOUT is about all that is not said.
func (s *spfSuite) zone(t *testing.T) mailtest.Zone {
	zone := mailtest.Zone{}
	for name, records := range s.Zone {
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		hasText, broken := false, ""
		for _, r := range records {
			switch r.Type {
			case "TIMEOUT":
				broken = "TIMEOUT"
			case "CNAMELOOP":
				broken = "SERVFAIL"
			case "TXT":
				hasText = true
			}
		}
		for _, r := range records {
			typ := r.Type
			switch {
			case typ == "SPF" && !hasText:
				typ = "TXT"
			case typ == "SPF", typ == "TIMEOUT", typ == "CNAMELOOP", typ == "TXT" && r.Value == "NONE":
				continue
			}
			key := typ + " " + name
			if typ == "PTR" {
				key = typ + " " + reversed(name)
			}
			if typ == "CNAME" && r.Value == "" {
				continue // a broken name: it leads nowhere either way
			}
			if typ == "MX" && strings.HasSuffix(r.Value, " ") {
				r.Value += "." // the root
			}
			zone[key] = append(zone[key], r.Value)
		}
		for _, typ := range []string{"TXT", "A", "AAAA", "MX", "PTR"} {
			key := typ + " " + name
			if typ == "PTR" && strings.HasSuffix(name, ".arpa") {
				key = typ + " " + reversed(name)
			}
			if _, ok := zone[key]; !ok && broken != "" {
				zone[key] = []string{broken}
			}
		}
	}
	return zone
}

// reversed is the address of a reverse name.
func reversed(name string) string {
	v4 := strings.HasSuffix(name, ".in-addr.arpa")
	labels := strings.Split(strings.TrimSuffix(strings.TrimSuffix(name, ".in-addr.arpa"), ".ip6.arpa"), ".")
	slices.Reverse(labels)
	if v4 {
		return strings.Join(labels, ".")
	}
	var b strings.Builder
	for i, l := range labels {
		if i > 0 && i%4 == 0 {
			b.WriteByte(':')
		}
		b.WriteString(l)
	}
	return netip.MustParseAddr(b.String()).String()
}

// TestRow17SPFBombs is row 17 of the immunity list.
func TestRow17SPFBombs(t *testing.T) {
	mx := mailtest.Zone{"TXT bomb.test": {"v=spf1 mx:m0.test mx:m1.test mx:m2.test mx:m3.test mx:m4.test mx:m5.test mx:m6.test mx:m7.test mx:m8.test mx:m9.test -all"}}
	for i := range 10 {
		for j := range 10 {
			host := fmt.Sprintf("h%d-%d.test", i, j)
			mx[fmt.Sprintf("MX m%d.test", i)] = append(mx[fmt.Sprintf("MX m%d.test", i)], "10 "+host)
			mx["A "+host] = []string{"203.0.113.9"}
			mx["AAAA "+host] = []string{"2001:db8:ffff::9"}
		}
	}
	wide := mailtest.Zone{"TXT bomb.test": {"v=spf1 mx:m.test -all"}}
	for j := range 11 {
		wide["MX m.test"] = append(wide["MX m.test"], fmt.Sprintf("10 h%d.test", j))
	}
	chain, tree := mailtest.Zone{}, mailtest.Zone{"TXT bomb.test": {"v=spf1 include:a.test include:b.test -all"}}
	for i := range 20 {
		chain[fmt.Sprintf("TXT c%d.test", i)] = []string{fmt.Sprintf("v=spf1 include:c%d.test -all", i+1)}
	}
	chain["TXT bomb.test"] = []string{"v=spf1 include:c0.test -all"}
	for _, n := range []string{"a", "b"} {
		tree["TXT "+n+".test"] = []string{"v=spf1 include:bomb.test -all"}
	}
	for name, tt := range map[string]struct {
		zone mailtest.Zone
		want mail.Result
	}{
		"10 mx of 10 names": {mx, mail.ResultFail},
		"11 names":          {wide, mail.ResultPermError},
		"chain":             {chain, mail.ResultPermError},
		"tree":              {tree, mail.ResultPermError},
		"itself":            {mailtest.Zone{"TXT bomb.test": {"v=spf1 redirect=bomb.test"}}, mail.ResultPermError},
		"11 terms": {mailtest.Zone{"A bomb.test": {"203.0.113.9"}, "AAAA bomb.test": {"2001:db8:ffff::9"},
			"TXT bomb.test": {"v=spf1 " + strings.Repeat("a ", 11) + "-all"}}, mail.ResultPermError},
		"3 voids":        {mailtest.Zone{"TXT bomb.test": {"v=spf1 a:v1.test a:v2.test a:v3.test -all"}}, mail.ResultPermError},
		"2 voids":        {mailtest.Zone{"TXT bomb.test": {"v=spf1 a:v1.test a:v2.test -all"}}, mail.ResultFail},
		"macros":         {mailtest.Zone{"TXT bomb.test": {"v=spf1 exists:" + strings.Repeat("%{s}", 900) + ".test -all"}}, mail.ResultFail},
		"record":         {mailtest.Zone{"TXT bomb.test": {"v=spf1 " + strings.Repeat("ip4:192.0.2.1 ", 3000) + "-all"}}, mail.ResultPermError},
		"broken macro":   {mailtest.Zone{"TXT bomb.test": {"v=spf1 exists:%{" + strings.Repeat("s", 3000) + "}.test -all"}}, mail.ResultPermError},
		"several":        {mailtest.Zone{"TXT bomb.test": {"v=spf1 +all", "v=spf1 -all"}}, mail.ResultPermError},
		"no answer":      {mailtest.Zone{"TXT bomb.test": {"SERVFAIL"}}, mail.ResultTempError},
		"no answer to a": {mailtest.Zone{"TXT bomb.test": {"v=spf1 a -all"}, "A bomb.test": {"TIMEOUT"}, "AAAA bomb.test": {"TIMEOUT"}}, mail.ResultTempError},
	} {
		for _, from := range []string{"192.0.2.77", "2001:db8::77"} {
			asked := mailtest.NewCounted(tt.zone)
			c := New(Options{Host: "mx.example.test", Resolver: asked})
			began := time.Now()
			got := c.checkSPF(t.Context(), Origin{Remote: netip.MustParseAddr(from), Helo: "mail.bomb.test",
				From: mail.Path(strings.Repeat("x.", 30) + "x@bomb.test")})
			want := tt.want
			if name == "10 mx of 10 names" && strings.Contains(from, ":") {
				want = mail.ResultPermError // A and AAAA would be 211 queries
			}
			if got.Result != want {
				t.Errorf("%s from %s: %q (%s), want %q", name, from, got.Result, got.Reason, want)
			}
			if n := len(asked.Asked()); n > maxQueries {
				t.Errorf("%s from %s: %d queries", name, from, n)
			}
			if d := time.Since(began); d > time.Second {
				t.Errorf("%s from %s: %v", name, from, d)
			}
		}
	}
}

// TestRow17SPFSlow: a resolver that is silent costs at most 20 s, and is no
// reason to refuse.
func TestRow17SPFSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Host: "mx.example.test", Resolver: silent{}})
		k := c.Begin(t.Context(), Origin{Remote: netip.MustParseAddr("192.0.2.1"), Helo: "a.test", From: "x@bomb.test"})
		defer k.Close()
		began := time.Now()
		k.Write([]byte("From: x@bomb.test\r\n\r\nhello\r\n"))
		v := k.Verdict()
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("the verdict took %v", d)
		}
		if v.SPF.Result != mail.ResultTempError || v.DMARC.Result != mail.ResultTempError || v.Disposition != mail.Defer {
			t.Errorf("got %+v", v)
		}
	})
}

// TestRow18SPFPassIsNoMerit is row 18: a pass is recorded and changes nothing
// but what DMARC says.
func TestRow18SPFPassIsNoMerit(t *testing.T) {
	zone := mailtest.Zone{
		"TXT cloud.test":         {"v=spf1 +all"},
		"TXT _dmarc.good.test":   {"v=DMARC1; p=reject"},
		"TXT _dmarc.careful.org": {"v=DMARC1; p=quarantine"},
	}
	for from, want := range map[string]mail.Disposition{
		"ceo@good.test":               mail.Reject,
		"ceo@careful.org":             mail.ToJunk,
		"a@cloud.test, ceo@good.test": mail.Reject,
		"open@cloud.test":             mail.Accept,
	} {
		v := judgeText(t, Options{Resolver: zone}, "x@cloud.test", "From: "+from+"\r\n\r\nhello\r\n")
		if v.SPF.Result != mail.ResultPass || v.Disposition != want {
			t.Errorf("%s: SPF %s, %v, want pass and %v", from, v.SPF.Result, v.Disposition, want)
		}
	}
}

func TestSPFIdentity(t *testing.T) {
	zone := mailtest.Zone{
		"TXT helo.test": {"v=spf1 -all"},
		"TXT from.test": {"v=spf1 ip4:192.0.2.1 -all"},
		"TXT evil.test": {"v=spf1 +all"},
	}
	for _, tt := range []struct{ helo, from, result, domain string }{
		{"helo.test", "x@from.test", "pass", "from.test"},
		{"helo.test", "", "fail", "helo.test"},
		{"helo.test.", "", "fail", "helo.test"},
		{"[192.0.2.1]", "", "none", ""},
		{"localhost", "", "none", ""},
		{"192.0.2.1", "", "none", ""},
		{"helo.test", "x@[192.0.2.1]", "none", ""},
		{"helo.test", `"a@evil.test"@from.test`, "pass", "from.test"},
		{"helo.test", `"@evil.test"@helo.test`, "fail", "helo.test"},
		{"helo.test", "postmaster", "none", ""},
	} {
		c := New(Options{Resolver: zone})
		got := c.checkSPF(t.Context(), Origin{Remote: netip.MustParseAddr("192.0.2.1"), Helo: tt.helo, From: mail.Path(tt.from)})
		if string(got.Result) != tt.result || got.Domain != tt.domain {
			t.Errorf("%s %s: got %+v", tt.helo, tt.from, got)
		}
	}
}

// FuzzCheckSyntax: what passes our syntax check, the library understands. It
// takes a slash in a name for a prefix length.
func FuzzCheckSyntax(f *testing.F) {
	for _, s := range []string{"a mx ptr -all", "ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all", "include:_spf.%{d2} exists:%{ir}.%{v}.%{h}.test redirect=a.test",
		"exp=%{l}.a.test x=%{c} ?all", "a:a.test//64 mx:%{o}/24//0 all", "a: ptr/ redirect= %{ ip4:1", "+a:%{s1r.-}.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, terms string) {
		record := "v=spf1 " + terms
		if len(record) > 1000 || checkSyntax(record) != nil {
			return
		}
		zone := texts{"a.test": record}
		_, err := spf.CheckHostWithSender(net.IPv4(192, 0, 2, 1), "h.test", "x@a.test", spf.WithContext(t.Context()),
			spf.WithResolver(&unchecked{countingResolver{r: zone, v4: true}}))
		for _, bad := range []error{spf.ErrUnknownField, spf.ErrInvalidIP, spf.ErrInvalidMask, spf.ErrInvalidMacro, spf.ErrInvalidDomain} {
			if errors.Is(err, bad) && !strings.Contains(record, "/") {
				t.Errorf("%q: %v", record, err)
			}
		}
	})
}

// unchecked is a countingResolver that leaves the syntax to the library.
type unchecked struct{ countingResolver }

func (u *unchecked) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return u.r.LookupTXT(ctx, name)
}
