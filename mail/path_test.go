package mail

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParsePath(t *testing.T) {
	long := strings.Repeat("a", 64)
	label := strings.Repeat("d", 63)
	tests := []struct{ in, local, domain, key, wire string }{
		{"anna@example.test", "anna", "example.test", "anna@example.test", "anna@example.test"},
		{"Anna.B@Example.TEST", "Anna.B", "example.test", "anna.b@example.test", "Anna.B@example.test"},
		{"postmaster", "postmaster", "", "postmaster", "postmaster"},
		{"PostMaster", "PostMaster", "", "postmaster", "PostMaster"},
		{`"anna.b"@example.test`, `"anna.b"`, "example.test", "anna.b@example.test", "anna.b@example.test"},
		{`"a b"@example.test`, `"a b"`, "example.test", `"a b"@example.test`, `"a b"@example.test`},
		{`"a@b"@example.test`, `"a@b"`, "example.test", `"a@b"@example.test`, `"a@b"@example.test`},
		{`"\a\"\\"@example.test`, `"\a\"\\"`, "example.test", `"a\"\\"@example.test`, `"a\"\\"@example.test`},
		{`""@example.test`, `""`, "example.test", `""@example.test`, `""@example.test`},
		{"a..b.@docomo.ne.jp", "a..b.", "docomo.ne.jp", "a..b.@docomo.ne.jp", `"a..b."@docomo.ne.jp`},
		{`"a..b."@docomo.ne.jp`, `"a..b."`, "docomo.ne.jp", "a..b.@docomo.ne.jp", `"a..b."@docomo.ne.jp`},
		{".a@ezweb.ne.jp", ".a", "ezweb.ne.jp", ".a@ezweb.ne.jp", `".a"@ezweb.ne.jp`},
		{"a.@docomo.ne.jp", "a.", "docomo.ne.jp", "a.@docomo.ne.jp", `"a."@docomo.ne.jp`},
		{"a%b!c@example.test", "a%b!c", "example.test", "a%b!c@example.test", "a%b!c@example.test"},
		{"a@[192.0.2.1]", "a", "[192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]"},
		{"a@[IPV6:2001:DB8:0::1]", "a", "[ipv6:2001:db8::1]", "a@[ipv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
		{"花子@例え.テスト", "花子", "xn--r8jz45g.xn--zckzah", "花子@xn--r8jz45g.xn--zckzah", "花子@xn--r8jz45g.xn--zckzah"},
		{"a@BÜCHER.example", "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"a@XN--bcher-kva.example", "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"E\u0301@example.test", "E\u0301", "example.test", "é@example.test", "E\u0301@example.test"},
		{"a@host_1.example.test", "a", "host_1.example.test", "a@host_1.example.test", "a@host_1.example.test"},
		{"a@localhost", "a", "localhost", "a@localhost", "a@localhost"},
		{long + "@example.test", long, "example.test", long + "@example.test", long + "@example.test"},
		{"a@" + label + ".test", "a", label + ".test", "a@" + label + ".test", "a@" + label + ".test"},
	}
	for _, tt := range tests {
		p, err := ParsePath(tt.in)
		if err != nil {
			t.Errorf("ParsePath(%q): %v", tt.in, err)
			continue
		}
		got := [...]string{string(p), p.Local(), p.Domain(), string(p.Key()), p.Wire()}
		want := [...]string{tt.in, tt.local, tt.domain, tt.key, tt.wire}
		if got != want {
			t.Errorf("ParsePath(%q)\n got %q\nwant %q", tt.in, got, want)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	long := strings.Repeat("a", 65)
	label := strings.Repeat("d", 64)
	for _, in := range []string{
		"", "anna", "anna@", "@example.test", "@a,@b:c@d", "<a@b.test>", "a@b@c", "a b@c.test", " a@c.test", "a@c.test ",
		"a\x00@c.test", "a\r@c.test", "a@c\r\n.test", "a\n@c.test", "a\x7f@c.test", "a\u0085@c.test", "a\u2028@c.test", "a\u3000@c.test",
		"a\xff@c.test", "a@\xff.test", "\"a\xff\"@c.test", "\"a\r\nRCPT\"@c.test", `"a\` + "\x00" + `"@c.test`, "\"a\x00\"@c.test",
		`"a@c.test`, `"a"b@c.test`, `"a".b@c.test`, `a"b@c.test`, `"a\"@c.test`, `"a\é"@c.test`, "a(b)@c.test", "a,b@c.test", "a:b@c.test",
		"a@.c.test", "a@c..test", "a@c.test.", "a@-c.test", "a@c-.test", "a@c!d.test", "a@c%d", "a@c/d", "a@192.0.2.1", "a@7",
		"a@[192.0.2.1", "a@[192.0.2.256]", "a@[192.0.2.01]", "a@[2001:db8::1]", "a@[IPv6:192.0.2.1]", "a@[IPv6:fe80::1%eth0]", "a@[x400:a]", "a@[]", "a@[",
		long + "@c.test", `"` + long + `"@c.test`, "a@" + label + ".test", "a@" + strings.Repeat("d.", 130) + "test",
		"a@" + strings.Repeat(strings.Repeat("d", 60)+".", 5) + "test", strings.Repeat("a", 300), "a@a＠b.test", "a@[" + strings.Repeat("1", 250000) + "]",
	} {
		if p, err := ParsePath(in); err == nil {
			t.Errorf("ParsePath(%.80q) = %.80q, want an error", in, p)
		}
	}
}

func TestDetail(t *testing.T) {
	for _, tt := range []struct{ in, base, detail string }{
		{"anna+shop@example.test", "anna@example.test", "shop"},
		{"anna+a+b@example.test", "anna@example.test", "a+b"},
		{"anna+@example.test", "anna@example.test", ""},
		{"+shop@example.test", "+shop@example.test", ""},
		{"anna@example.test", "anna@example.test", ""},
		{`"anna+a b"@Example.test`, "anna@Example.test", "a b"},
		{`"a b+c"@example.test`, `"a b"@example.test`, "c"},
		{"postmaster", "postmaster", ""},
		{"a@b+c", "a@b+c", ""},
	} {
		if base, detail := Path(tt.in).Detail("+"); string(base) != tt.base || detail != tt.detail {
			t.Errorf("%q: %q %q, want %q %q", tt.in, base, detail, tt.base, tt.detail)
		}
	}
}

func TestPathNotParsed(t *testing.T) { // conversions of anything must not panic
	for _, in := range []string{"", "a@b@", "\"", "\"\\", "@", "\xff@\xff", "a@[", "\r\n@x"} {
		p := Path(in)
		_, _, _, _ = p.Local(), p.Domain(), p.Key(), p.Wire()
		_, _ = p.Detail("+")
	}
	if got := Path("").Wire(); got != "" {
		t.Errorf("null path on the wire: %q", got)
	}
	if got := Path("").Key(); got != "" {
		t.Errorf("key of the null path: %q", got)
	}
}

func TestFlagNames(t *testing.T) {
	all := Seen | Answered | Flagged | Deleted | Draft
	names := all.AppendNames(nil)
	if got := strings.Join(names, " "); got != `\Seen \Answered \Flagged \Deleted \Draft` {
		t.Errorf("names of all flags: %s", got)
	}
	var back Flags
	for _, n := range names {
		f, ok := ParseFlag(strings.ToUpper(n))
		if !ok {
			t.Errorf("%s is not a flag", n)
		}
		back |= f
	}
	if back != all {
		t.Errorf("%b came back as %b", all, back)
	}
	for _, n := range []string{`\Recent`, "Seen", "", "$Junk"} {
		if _, ok := ParseFlag(n); ok {
			t.Errorf("%q is a flag", n)
		}
	}
}

// The laws of an accepted path: it is bounded, holds nothing that could end a
// command or a header, its Wire form is RFC syntax that means the same, and
// Key is a fixed point that ParsePath accepts.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"a@b.test", "a..b.@docomo.ne.jp", `"a\"b"@[192.0.2.1]`, "@a,@b:c@d", "花子@例え.テスト", "a@[IPv6:::1]",
		"postmaster", "a+b%c!d@e", "\u212a@x", "İ@x.test", `"` + strings.Repeat(`\"`, 64) + `"@x.test`, "ﬁ@ß.test", "a@b。c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		if string(p) != s || len(s) > maxPath || !utf8.ValidString(s) {
			t.Fatalf("%q accepted as %q", s, p)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.HasPrefix(s, "@") {
			t.Fatalf("%q accepted", s)
		}
		if d := p.Domain(); len(d) > maxDomain || strings.ContainsAny(d, "@ ,;<>\"\\") || d != strings.ToLower(d) || !isASCII(d) {
			t.Fatalf("%q: domain %q", s, d)
		}
		key := p.Key()
		for _, form := range []string{p.Wire(), string(key)} {
			again, err := ParsePath(form)
			if err != nil || again.Key() != key {
				t.Fatalf("%q: form %q: %v, key %q, want %q", s, form, err, again.Key(), key)
			}
		}
		wire := Path(p.Wire())
		if l := wire.Local(); l[0] != '"' && !isDotString(l) {
			t.Fatalf("%q: %q is not safe on the wire", s, wire)
		}
		if base, _ := p.Detail("+"); base != p {
			if _, err := ParsePath(string(base)); err != nil {
				t.Fatalf("%q: base %q: %v", s, base, err)
			}
		}
	})
}

func BenchmarkParsePath(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		p, _ := ParsePath("Anna.Beispiel+shop@Example.test")
		_ = p.Key()
	}
}
