package dnsplan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const spfPlan = "v=spf1 a:mail.example.org ~all"

func rec(kind Kind, rtype string, values ...string) Record {
	return Record{Name: "x.example.org", Type: rtype, Kind: kind, Values: values, Ours: true}
}

func TestJudge(t *testing.T) {
	mx := rec(KindMX, "MX", "10 mail.example.org")
	a := rec(KindHost, "A", "203.0.113.25")
	sp := rec(KindSPF, "TXT", spfPlan)
	dk := rec(KindDKIM, "TXT", "v=DKIM1; k=rsa; p=AAAABBBB")
	dm := rec(KindDMARC, "TXT", "v=DMARC1; p=none; rua=mailto:dmarc@example.org")
	sts := rec(KindSTS, "TXT", "v=STSv1; id=abc;")
	rpt := rec(KindTLSRPT, "TXT", "v=TLSRPTv1; rua=mailto:dmarc@example.org")
	srv := rec(KindSRV, "SRV", "0 1 993 mail.example.org")
	off := rec(KindSRV, "SRV", "0 0 0 .")
	cname := rec(KindAlias, "CNAME", "mail.example.org")
	caa := rec(KindCAA, "CAA", `0 issue "ca.example; accounturi=https://ca.example/1"`)
	tlsa := rec(KindTLSA, "TLSA", "3 1 1 "+strings.Repeat("ab", 32), "3 1 1 "+strings.Repeat("cd", 32))
	none := rec(KindUnwanted, "AAAA")
	for _, tt := range []struct {
		rec   Record
		there string // values, with "|" between them; "CNAME x" alone is an alias, "@" before an address the helper's own
		want  State
		fix   string // Should, where another one than planned
	}{
		{mx, "", NotSeen, ""}, {mx, "10 MAIL.example.org.", Correct, ""}, {mx, "0 mail.example.org", Correct, ""},
		{mx, "1 aspmx.google.example", Differs, ""}, {mx, "10 mail.example.org|20 mx.other.example", Differs, ""}, {mx, "0 .", Differs, ""}, {mx, "CNAME web.example", Conflict, ""},

		{a, "", NotSeen, ""}, {a, "203.0.113.25", Correct, ""}, {a, "203.0.113.26", Differs, ""}, {a, "203.0.113.25|203.0.113.26", Differs, ""}, {a, "CNAME web.example", Conflict, ""},

		{sp, "", NotSeen, ""}, {sp, "google-site-verification=x", NotSeen, ""}, {sp, "v=spf10 -all", NotSeen, ""},
		{sp, "other|" + spfPlan, Correct, ""}, {sp, "V=spf1  +a:MAIL.example.org. include:new.example  -all", Correct, ""},
		{sp, "v=spf1 include:new.example -all", Differs, "v=spf1 a:mail.example.org include:new.example -all"},
		{sp, "v=spf1 a:mail.example.org ?all", Differs, spfPlan}, {sp, "v=spf1 a:mail.example.org", Differs, spfPlan},
		{sp, "v=spf1 a:mail.example.org ipv4:1 ~all", Differs, spfPlan},
		{sp, "v=spf1 a:mail.example.org redirect=x.example", Correct, ""},
		{sp, "v=spf1 mx ~all|v=spf1 include:b.example -all", Conflict, "v=spf1 a:mail.example.org mx include:b.example -all"},
		{sp, "CNAME web.example", Conflict, ""}, {sp, "v=spf1 " + strings.Repeat("include:a.example ", 500) + "-all", Conflict, ""},

		{dk, "", NotSeen, ""}, {dk, "v=DKIM1; k=rsa; p=AAAABBBB", Correct, ""}, {dk, "p=AAAA BBBB;k=rsa ; ", Correct, ""}, {dk, "k=rsa; n=note; p=AAAA\tBBBB", Correct, ""},
		{dk, "v=DKIM1; p=AAAABBBC", Differs, ""}, {dk, "v=DKIM1; p=", Differs, ""}, {dk, "v=DKIM1; t=y; p=AAAABBBB", Differs, ""}, {dk, "nonsense", Differs, ""},
		{dk, "v=DKIM1; p=AAAABBBB|v=DKIM1; p=CCCC", Conflict, ""},

		{dm, "", NotSeen, ""}, {dm, "v=DMARC1;p=none;rua=mailto:dmarc@EXAMPLE.org", Correct, ""}, {dm, "v=DMARC1; p=reject; rua=mailto:a@b.example,mailto:dmarc@example.org!10m", Correct, ""},
		{dm, "v=DMARC1; p=reject; rua=mailto:a@b.example", Differs, "v=DMARC1; p=reject; rua=mailto:a@b.example,mailto:dmarc@example.org"},
		{dm, "v=DMARC1; rua=mailto:dmarc@example.org", Differs, "v=DMARC1; p=none; rua=mailto:dmarc@example.org"},
		{dm, "v=DMARC1; p=reject; junk; p=none; rua=mailto:a@b.example", Differs, "v=DMARC1; p=reject; rua=mailto:a@b.example,mailto:dmarc@example.org"},
		{dm, "v=DMARC1; p=none|v=DMARC1; p=quarantine", Conflict, "v=DMARC1; p=quarantine; rua=mailto:dmarc@example.org"}, {dm, "v=spf1 -all", NotSeen, ""},

		{sts, "v=STSv1;id=abc", Correct, ""}, {sts, "v=STSv1; id=abd;", Differs, ""}, {sts, "v=STSv1; id=abc;|v=STSv1; id=abc;", Conflict, ""},
		{rpt, "v=TLSRPTv1;rua=mailto:dmarc@example.org", Correct, ""}, {rpt, "v=TLSRPTv1; rua=mailto:x@example.org", Differs, ""},

		{srv, "", NotSeen, ""}, {srv, "5 0 993 Mail.example.org.", Correct, ""}, {srv, "0 1 143 mail.example.org", Differs, ""}, {srv, "0 1 993 mail.example.org|1 1 993 b.example", Differs, ""}, {srv, "0 0 0 .", Differs, ""},
		{off, "0 0 143 .", Correct, ""}, {off, "0 1 143 mail.example.org", Differs, ""},

		{cname, "", NotSeen, ""}, {cname, "CNAME Mail.example.org.", Correct, ""}, {cname, "CNAME autodiscover.outlook.example", Differs, ""}, {cname, "@198.51.100.1", Conflict, ""},

		{caa, "", NotSeen, ""}, {caa, `0 issue "other.example"`, NotSeen, ""}, {caa, `0 ISSUE "CA.example;accounturi=https://ca.example/1 "`, Correct, ""},
		{caa, `0 issue "other.example"|0 issue "ca.example; accounturi=https://ca.example/1"`, Correct, ""}, {caa, `0 issue "ca.example"`, Differs, ""},

		{tlsa, "3 1 1 " + strings.Repeat("CD", 32) + "|3 1 1 " + strings.Repeat("ab", 32), Correct, ""}, {tlsa, "3 1 1 " + strings.Repeat("ab", 32), Differs, ""}, {tlsa, "", NotSeen, ""},
		{none, "", Correct, ""}, {none, "2001:db8::1", Differs, ""},
	} {
		var s seen
		switch {
		case strings.HasPrefix(tt.there, "CNAME "):
			s.alias = strings.TrimPrefix(tt.there, "CNAME ")
			if tt.rec.Type == "CNAME" {
				s.values = []string{s.alias}
			}
		case strings.HasPrefix(tt.there, "@"):
			s.addrs = []string{tt.there[1:]}
		case tt.there != "":
			s.values = strings.Split(tt.there, "|")
		}
		v := judge(tt.rec, s)
		if v.state != tt.want || tt.fix != "" && (len(v.should) != 1 || v.should[0] != tt.fix) {
			t.Errorf("%s of %q: got %+v, want %s %q", tt.rec.Kind, tt.there, v, tt.want, tt.fix)
		}
		if (v.state == Differs || v.state == Conflict) && tt.rec.Kind != KindUnwanted && (v.why.EN == "" || v.why.JA == "") {
			t.Errorf("%s of %q: no reason", tt.rec.Kind, tt.there)
		}
		checkFix(t, tt.rec, s, v)
	}
}

// checkFix does what Diff says, and looks whether all is well then.
func checkFix(t *testing.T, r Record, s seen, v verdict) {
	t.Helper()
	res := Result{Record: r, Zone: "example.org"}
	if res.take(v); res.Should == nil {
		res.Should = r.Values
	}
	changes := Diff([]Result{res})
	if v.byHand {
		if len(changes) > 0 {
			t.Errorf("%s: changes what is not ours: %v", r.Kind, changes)
		}
		return
	}
	if len(changes) == 0 && v.state != Correct || len(changes) > 1 || len(changes) == 1 && v.state == Correct {
		t.Errorf("%s is %s: changes %v", r.Kind, v.state, changes)
	}
	for _, c := range changes {
		values := s.values
		for _, d := range c.Del {
			if !slices.Contains(values, d) {
				t.Errorf("%s: removes %q, which is not there", r.Kind, d)
			}
		}
		for _, k := range c.Keep {
			if !slices.Contains(values, k) {
				t.Errorf("%s: keeps %q, which is not there", r.Kind, k)
			}
		}
		values = slices.DeleteFunc(slices.Clone(values), func(x string) bool { return slices.Contains(c.Del, x) })
		if all := append(slices.Clone(c.Keep), c.Add...); len(all) != len(values)+len(c.Add) {
			t.Errorf("%s: keeps %q of %q", r.Kind, c.Keep, values)
		}
		after := seen{values: append(values, c.Add...)}
		if r.Type == "CNAME" {
			after.alias = after.values[0]
		}
		if got := judge(r, after); got.state != Correct {
			t.Errorf("%s of %q: after\n%s it is %s", r.Kind, s.values, c, got.state)
		}
	}
}

func TestDiffLeavesTheMXForLast(t *testing.T) {
	changes := Diff([]Result{
		{Record: rec(KindMX, "MX", "10 mail.example.org"), State: Differs, Now: []string{"1 old.example"}, Wrong: []string{"1 old.example"}, Should: []string{"10 mail.example.org"}, Zone: "example.org"},
		{Record: rec(KindHost, "A", "203.0.113.25"), State: NotSeen, Should: []string{"203.0.113.25"}, Zone: "example.org"},
		{Record: rec(KindSRV, "SRV", "0 0 0 ."), State: Differs, Should: []string{"0 0 0 ."}, Zone: "example.org", Spreading: true},
		{Record: rec(KindDKIM, "TXT", "p=x"), State: CouldNotAsk, Should: []string{"p=x"}, Zone: "example.org"},
		{Record: rec(KindSTS, "TXT", "v=STSv1; id=1"), State: NotSeen, Should: []string{"v=STSv1; id=1"}},
	})
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s %v %s", c.Action, c.Last, strings.TrimSpace(c.String())))
	}
	if want := []string{"add false + x.example.org A 203.0.113.25", "replace true - x.example.org MX 1 old.example\n+ x.example.org MX 10 mail.example.org"}; !slices.Equal(out, want) {
		t.Errorf("got %q", out)
	}
}

func FuzzTags(f *testing.F) {
	for _, s := range []string{"v=DMARC1; p=none; rua=mailto:a@b.example", "v=DKIM1; k=rsa; p=AAAA BBBB", "v=STSv1; id=1;", "p=", ";;=", "a=b=c; A=d", "v = DKIM1 ;p= a\tb"} {
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, s string, at uint8) {
		l, ok := parseTags(s)
		if !ok {
			if sameKey(s, s) {
				t.Errorf("%q is no tag list, and equals itself", s)
			}
			return
		}
		again, ok := parseTags(l.String())
		if !ok || !slices.Equal(l, again) {
			t.Errorf("%q is read as %q, and that as %q", s, l, again)
		}
		// Order and blanks around tags do not count.
		turned := slices.Clone(l)
		slices.Reverse(turned)
		other := "\t" + strings.ReplaceAll(turned.String(), "; ", " ;\t ") + " ; "
		if !sameKey(s, other) || !sameKey(other, s) {
			t.Errorf("%q and %q are not the same key", s, other)
		}
		if !dmarcHolds(l, l) {
			t.Errorf("%q does not hold itself", s)
		}
		merged := MergeDMARC([]string{s}, "none", "mailto:us@example.org")
		if MergeDMARC([]string{merged}, "none", "mailto:us@example.org") != merged {
			t.Errorf("%q merged twice is another one than %q", s, merged)
		}
	})
}

func FuzzZone(f *testing.F) {
	f.Add("_dmarc.example.org", "v=DMARC1; p=none")
	f.Add("a b.example.org", `"quoted" \000 \"`+"\x00\xff\n;")
	f.Add("x", strings.Repeat("é", 400))
	f.Add(`$INCLUDE`, "@")
	f.Fuzz(func(t *testing.T, name, text string) {
		if len(name) > 60 || len(text) > 8<<10 || strings.Trim(name, ".") != name || name == "" || strings.Contains(name, "..") {
			return // no name of ours
		}
		short := text[:min(len(text), maxString)] // the library's limit for CAA
		zone := Zone([]Record{{Name: name, Type: "TXT", Values: []string{text}, TTL: ttlStays}, {Name: name, Type: "CAA", Values: []string{`0 issue "` + short + `"`}, TTL: ttlStays}}, "")
		zp := dns.NewZoneParser(strings.NewReader(zone), "", "")
		txt, ok := zp.Next()
		caa, ok2 := zp.Next()
		if !ok || !ok2 {
			t.Fatalf("%q is not read: %v", zone, zp.Err())
		}
		if got := bytesOf(strings.Join(txt.(*dns.TXT).Txt, "")); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
		if got := bytesOf(caa.(*dns.CAA).Value); got != short {
			t.Errorf("CAA %q came back as %q", short, got)
		}
		wire := make([]byte, 300)
		n, err := dns.PackDomainName(txt.Header().Name, wire, 0, nil, false)
		if err != nil || string(wire[1:1+wire[0]]) != strings.Split(name, ".")[0] && n > 0 {
			t.Errorf("name %q came back as %q, %v", name, txt.Header().Name, err)
		}
		if _, more := zp.Next(); more || zp.Err() != nil {
			t.Errorf("%q has more than two records: %v", zone, zp.Err())
		}
		for _, s := range txt.(*dns.TXT).Txt {
			if len(bytesOf(s)) > 255 {
				t.Errorf("a string has %d octets", len(bytesOf(s)))
			}
		}
	})
}

// bytesOf undoes the library's presentation format.
func bytesOf(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		var n int
		if i+3 < len(s) {
			if _, err := fmt.Sscanf(s[i+1:i+4], "%03d", &n); err == nil && strings.Trim(s[i+1:i+4], "0123456789") == "" {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		i++
		b = append(b, s[i])
	}
	return string(b)
}
