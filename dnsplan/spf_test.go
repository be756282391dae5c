package dnsplan

import (
	"slices"
	"strings"
	"testing"
)

func TestMergeSPF(t *testing.T) {
	need := []string{"a:mail.example.org"}
	for _, tt := range []struct {
		name  string
		there []string
		drop  string
		want  string
		bad   string
	}{
		{"nothing there", nil, "", "v=spf1 a:mail.example.org ~all", ""},
		{"others stay, the end too", []string{"v=spf1 include:_spf.google.com -all"}, "", "v=spf1 a:mail.example.org include:_spf.google.com -all", ""},
		{"a neutral end stays", []string{"v=spf1 mx ?all"}, "", "v=spf1 a:mail.example.org mx ?all", ""},
		{"all may not pass", []string{"v=spf1 mx +all"}, "", "v=spf1 a:mail.example.org mx ~all", ""},
		{"all without a sign", []string{"v=spf1 all"}, "", "v=spf1 a:mail.example.org ~all", ""},
		{"no end", []string{"v=spf1 mx"}, "", "v=spf1 a:mail.example.org mx ~all", ""},
		{"ours is there in another spelling", []string{"V=SPF1 +A:Mail.Example.Org. ~ALL"}, "", "v=spf1 a:mail.example.org ~all", ""},
		{"a redirect stays the end", []string{"v=spf1 redirect=_spf.example.net"}, "", "v=spf1 a:mail.example.org redirect=_spf.example.net", ""},
		{"a redirect beside all does nothing", []string{"v=spf1 redirect=_spf.example.net ~all"}, "", "v=spf1 a:mail.example.org ~all", ""},
		{"two records", []string{"v=spf1 include:a.example ~all", "v=spf1 include:b.example include:a.example -all"}, "", "v=spf1 a:mail.example.org include:a.example include:b.example -all", ""},
		{"two with redirects", []string{"v=spf1 redirect=a.example", "v=spf1 redirect=b.example"}, "", "v=spf1 a:mail.example.org include:a.example include:b.example ~all", ""},
		{"an old address goes", []string{"v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 ~all"}, "ip4:192.0.2.1", "v=spf1 a:mail.example.org ip4:192.0.2.2 ~all", ""},
		{"behind all nothing counts", []string{"v=spf1 mx ~all include:a.example exp=why.example"}, "", "v=spf1 a:mail.example.org mx exp=why.example ~all", ""},
		{"what voids the record goes", []string{"v=spf1 ipv4:192.0.2.1 mx ip4:192.0.2.300 include: ~all"}, "", "v=spf1 a:mail.example.org mx ~all", "ipv4:192.0.2.1 ip4:192.0.2.300 include:"},
		{"networks", []string{"v=spf1 ip4:192.0.2.77/24 ip6:2001:DB8::1/128 a/24//64 mx:X.example/32 ~all"}, "", "v=spf1 a:mail.example.org ip4:192.0.2.0/24 ip6:2001:db8::1 a/24//64 mx:x.example ~all", ""},
		{"macros keep their case", []string{"v=spf1 exists:%{I}._spf.Example ptr ~all"}, "", "v=spf1 a:mail.example.org exists:%{I}._spf.Example ptr ~all", ""},
		{"it is refused, and then passes", []string{"v=spf1 -a:mail.example.org ~all"}, "", "v=spf1 a:mail.example.org -a:mail.example.org ~all", ""},
		{"no SPF", []string{"v=spf10 mx"}, "", "v=spf1 a:mail.example.org ~all", ""},
	} {
		got := MergeSPF(tt.there, need, strings.Fields(tt.drop), "~all")
		if got.Text != tt.want || strings.Join(got.Dropped, " ") != tt.bad {
			t.Errorf("%s: got %q, dropped %q", tt.name, got.Text, got.Dropped)
		}
	}
}

func TestSPFLookupsOfItself(t *testing.T) {
	s, err := parseSPF("v=spf1 a mx ptr include:a exists:b ip4:192.0.2.1 ip6:2001:db8::1 exp=c redirect=d")
	if err != nil || s.lookups() != 6 || len(s.bad) > 0 {
		t.Errorf("%+v, %d, %v", s, s.lookups(), err)
	}
}

func FuzzMergeSPF(f *testing.F) {
	for _, s := range []string{
		"v=spf1 include:_spf.google.com ip4:198.51.100.0/24 -all", "v=spf1 redirect=a.example", "v=spf1 +all", "v=spf1 a:mail.example.org mx//64 exp=a exp=b ?all x=1",
		"v=spf1 ip4:1.2.3.4/033 a:%{d}/24 a:%{l1r-/}.x exists:%{i} all all", "v=spf1", "v=spf1  \x00 ~all", "v=spf1 -a:mail.example.org +a:MAIL.example.org/32", "v=spf1 redirect=x redirect=y", "v=spf1 A:/0/32",
	} {
		f.Add(s, "v=spf1 mx ~all")
		f.Add(s, "")
	}
	need := []string{"a:mail.example.org", "include:relay.example"}
	f.Fuzz(func(t *testing.T, one, two string) {
		there := only([]string{one, two}, isSPF)
		m := MergeSPF(there, need, nil, "~all")
		if again := MergeSPF([]string{m.Text}, need, nil, "~all"); again.Text != m.Text || len(again.Dropped) > 0 {
			t.Errorf("merged twice it is another one: %q, %q", m.Text, again.Text)
		}
		out, err := parseSPF(m.Text)
		if err != nil && len(m.Text) <= maxSPF {
			t.Fatalf("%q: %v", m.Text, err)
		}
		for _, n := range need {
			if err == nil && !slices.Contains(out.terms, n) {
				t.Errorf("%q is without %s", m.Text, n)
			}
		}
		for _, text := range there {
			was, err2 := parseSPF(text)
			if err != nil || err2 != nil {
				continue
			}
			for _, term := range was.terms {
				if !slices.Contains(out.terms, term) && !strings.HasPrefix(term, "exp=") {
					t.Errorf("%q of %q is lost in %q", term, text, m.Text)
				}
			}
			if was.to != "" && out.to != was.to && !slices.Contains(out.terms, "include:"+was.to) {
				t.Errorf("where %q leads is lost in %q", text, m.Text)
			}
			if was.all != "" && (out.all == "" || strictness(out.all) < strictness(was.all)) {
				t.Errorf("%q is weaker than %q", m.Text, text)
			}
		}
		if out.all == "+all" {
			t.Errorf("%q lets everybody pass", m.Text)
		}
	})
}
