package mtasts

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParsePolicy(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want Policy
	}{
		"RFC 8461 §3.2": {"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n",
			Policy{Mode: Enforce, MX: []string{"mail.example.com", "*.example.net", "backupmx.example.com"}, MaxAge: 7 * 24 * time.Hour}},
		"CRLF, no space, any order": {"max_age:86400\r\nmx:A.test\r\nmode:testing\r\nversion:STSv1", Policy{Mode: Testing, MX: []string{"a.test"}, MaxAge: 24 * time.Hour}},
		"white space and blanks":    {"version:\t STSv1 \t\n\nmode: none \r\nmax_age: 0\n \n", Policy{Mode: None}},
		"extensions":                {"version: STSv1\nmode: none\nx-New_1.2: é: ü\nmax_age: 1", Policy{Mode: None, MaxAge: time.Second}},
		"the first counts":          {"version: STSv1\nmode: testing\nmode: enforce\nmax_age: 1\nmax_age: x\nmx: a.test\nmx: b.test", Policy{Mode: Testing, MX: []string{"a.test", "b.test"}, MaxAge: time.Second}},
		"a year at most":            {"version: STSv1\nmode: none\nmax_age: 9999999999", Policy{Mode: None, MaxAge: maxAge}},
	} {
		p, err := parsePolicy(tt.in)
		if err != nil || p.Mode != tt.want.Mode || p.MaxAge != tt.want.MaxAge || !slices.Equal(p.MX, tt.want.MX) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	for _, in := range []string{
		"", "\n", "<html>", "version: STSv1", "version: STSv2\nmode: none\nmax_age: 1", "version: stsv1\nmode: none\nmax_age: 1", "mode: none\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmax_age: 1", "version: STSv1\nmode: block\nmx: a.test\nmax_age: 1", "version: STSv1\nmode: none\nmax_age: -1",
		"version: STSv1\nmode: none\nmax_age: +1", "version: STSv1\nmode: none\nmax_age: 1d", "version: STSv1\nmode: none\nmax_age: 00000000001", "version: STSv1\nmode: none",
		"version: STSv1\nmode: testing\nmax_age: 1\nmx: *.*.test", "version: STSv1\nmode: testing\nmax_age: 1\nmx: *", "version: STSv1\nmode: testing\nmax_age: 1\nmx: a..test",
		"version: STSv1\nmode: testing\nmax_age: 1\nmx: 例え.test", "version: STSv1\nmode: testing\nmax_age: 1\nmx:", "version: STSv1\nmode: none\nmax_age: 1\nnothing",
		"version: STSv1\nmode: testing\nmax_age: 1\n" + strings.Repeat("mx: a.test\n", maxMX+1), "version: STSv1\rmode: none\rmax_age: 1",
	} {
		if p, err := parsePolicy(in); err == nil {
			t.Errorf("%.60q: %+v", in, p)
		}
	}
}

func TestMatches(t *testing.T) {
	p := Policy{MX: []string{"mail.example.com", "*.example.net", "_x.example.org"}}
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.Example.COM.": true, "a.example.net": true, "_x.example.org": true,
		"x.mail.example.com": false, "example.com": false, "example.net": false, ".example.net": false, "a.b.example.net": false, "*.example.net": false,
		"aexample.net": false, "a.example.net.evil.test": false, "": false, ".": false, "mail.example.com..": false, "a b.example.net": false,
	} {
		if got := p.Matches(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
	if (Policy{}).Matches("a.test") {
		t.Error("a policy without hosts matches")
	}
}

func TestParseRecord(t *testing.T) {
	for in, want := range map[string]string{
		"v=STSv1; id=20160831085700Z;": "20160831085700Z", "v=STSv1;id=1": "1", "v=STSv1 ; id=1 ; x=y": "1", "v=STSv1; x=; id=1": "1", "v=STSv1; id=1; id=2": "1",
		"v=STSv1": "", "v=STSv1; id=": "", "v=STSv1; id": "", "v=STSv10; id=1": "", "V=STSv1; id=1": "", " v=STSv1; id=1": "", "v=STSv1; id=a_b": "", "v=STSv1; a b=c; id=1": "",
		"v=STSv1; id=" + strings.Repeat("1", 33): "", "v=STSv1; id=1" + strings.Repeat(";", 200): "", "v=STSv1; id=1; x=" + strings.Repeat("y", 5000): "",
	} {
		if got, ok := parseRecord([]string{"v=spf1 -all", in}); ok != (want != "") || ok && got != want {
			t.Errorf("%.60q: %q, %v", in, got, ok)
		}
	}
}

// The laws of an accepted policy: it is complete and bounded, each pattern
// matches a host of its own and no host outside it, and it reads the same when
// it is written again.
func FuzzParsePolicy(f *testing.F) {
	f.Add(good)
	f.Add("version: STSv1\nmode: none\nmax_age: 31557601")
	f.Add("mx:*.a\nmode:testing\nversion:STSv1\nmax_age:1\nx:\xff")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := parsePolicy(in)
		if err != nil {
			return
		}
		if p.MaxAge < 0 || p.MaxAge > maxAge || len(p.MX) > maxMX || p.Mode != None && len(p.MX) == 0 {
			t.Fatalf("%q: %+v", in, p)
		}
		again := "version: STSv1\nmode: " + p.Mode + "\nmax_age: " + strings.TrimSuffix(p.MaxAge.Truncate(time.Second).String(), "s")
		for _, mx := range p.MX {
			suffix, wild := strings.CutPrefix(mx, "*.")
			if host := "a." + suffix; wild && len(host) <= maxDomain && !p.Matches(host) || !wild && !p.Matches(mx) || p.Matches(mx+".zz.invalid.") && !slices.Contains(p.MX, mx+".zz.invalid") && !slices.Contains(p.MX, "*."+strings.SplitN(mx+".zz.invalid", ".", 2)[1]) {
				t.Fatalf("%q: %q", in, mx)
			}
			again += "\nmx: " + mx
		}
		if !strings.ContainsAny(p.MaxAge.String(), "mh") {
			if q, err := parsePolicy(again); err != nil || q.Mode != p.Mode || q.MaxAge != p.MaxAge || !slices.Equal(q.MX, p.MX) {
				t.Fatalf("%q: %+v, then %+v, %v", in, p, q, err)
			}
		}
	})
}

// An accepted record has an id that cannot end a line or a record.
func FuzzParseRecord(f *testing.F) {
	f.Add("v=STSv1; id=1;")
	f.Add("v=STSv1;a=b;id=Z")
	f.Fuzz(func(t *testing.T, in string) {
		if id, ok := parseRecord([]string{in}); ok && (id == "" || len(id) > 32 || strings.Trim(id, alnum) != "" || !strings.Contains(in, "id="+id)) {
			t.Fatalf("%q: %q", in, id)
		}
	})
}
