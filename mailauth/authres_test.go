package mailauth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"homemail/mail"
)

// TestForged has the spellings of RFC 8601 §2.2 by which a field claims to be
// ours.
func TestForged(t *testing.T) {
	const host = "mx.example.jp"
	for _, tt := range []struct {
		value string
		want  bool
	}{
		{" mx.example.jp; spf=pass", true},
		{" MX.Example.JP; none", true},
		{"\r\n\tmx.example.jp\r\n ;none", true},
		{" (really) mx.example.jp 1; spf=pass", true},
		{" (a (nested) \\) one) mx.example.jp; none", true},
		{` "mx.example.jp"; none`, true},
		{` "m\x.example.jp"; none`, true},
		{" mx.example.jp/1; none", true},
		{" mx.example.jp.; none", true},
		{" mx.example.jp", true},
		{" mx.example.jp 2; spf=pass", true},
		{"=mx.example.jp; none", true},       // no authserv-id, and us
		{" (open mx.example.jp; none", true}, // others may read on
		{` "open mx.example.jp; none`, true},
		{" mx.example.org; spf=pass", false},
		{" notmx.example.jp; none", false},
		{" mx.example.jp.evil.test; none", false},
		{" mx.example.org; x=mx.example.jp", false},
		{" (mx.example.jp) mx.example.org; none", false},
		{"", false},
	} {
		if got := Forged([]byte(tt.value), host); got != tt.want {
			t.Errorf("%q: %v", tt.value, got)
		}
	}
	if !Forged([]byte(" mx.bücher.example; none"), "mx.xn--bcher-kva.example") || !Forged([]byte("MX.xn--BCHER-kva.example"), "mx.bücher.example") {
		t.Error("a name in U-labels is not known again")
	}
	if Forged([]byte("anything"), "") {
		t.Error("nobody is us")
	}
}

func TestPayload(t *testing.T) {
	for in, want := range map[string]string{
		" mx.google.com; dkim=pass header.i=@a.test header.s=s header.b=ab+/c==; spf=pass (google.com: domain of x@a.test designates 192.0.2.1) smtp.mailfrom=x@a.test;\r\n dmarc=pass (p=REJECT sp=NONE dis=NONE) header.from=a.test": "mx.google.com " +
			"dkim=pass header.b=ab+/c header.i=@a.test header.s=s|spf=pass smtp.mailfrom=x@a.test|dmarc=pass header.from=a.test",
		"mx.microsoft.com 1; spf=pass (sender ip is 1.2.3.4) smtp.rcpttodomain=b.test smtp.mailfrom=a.test; dmarc=pass (p=reject sp=none pct=100) action=none header.from=a.test; arc=none": "mx.microsoft.com " +
			"spf=pass smtp.mailfrom=a.test smtp.rcpttodomain=b.test|dmarc=pass action=none header.from=a.test|arc=none",
		`h; dkim/1=FAIL reason="a; b=c \" (d" header.d=a.test`: `h dkim=fail header.d=a.test reason=a; b=c " (d`,
		"h; none":                         "h ",
		"h":                               "h ",
		"h 2; spf=pass":                   "!",
		"h; spf=pass (open":               "!",
		`h; spf=pass reason="open`:        "!",
		"h; spf=pass x=1 x=2":             "h spf=pass x=1",
		"h; spf = pass smtp . x = y":      "h spf=pass x=y",
		`h; "open`:                        "!",
		"; spf=pass":                      "!",
		"h;;; ;spf=pass;":                 "h spf=pass",
		"h; spf=pass ]]] dkim=fail <a> x": "h spf=pass dkim=fail",
	} {
		got := "!"
		if p, ok := parsePayload([]byte(in)); ok {
			var list []string
			for _, s := range p.statements {
				words := []string{}
				for k, v := range s.properties {
					words = append(words, " "+k+"="+v)
				}
				slices.Sort(words)
				list = append(list, s.method+"="+s.result+strings.Join(words, ""))
			}
			got = p.id + " " + strings.Join(list, "|")
		}
		if got != want {
			t.Errorf("%q:\n%q, want\n%q", in, got, want)
		}
	}
}

func TestVouches(t *testing.T) {
	for in, want := range map[string]bool{
		"i=1; h; dmarc=pass header.from=a.test":                                true,
		" i=1 ; h; dmarc=pass (p=none) header.from=news.a.test":                true,
		"i=1; h; dkim=pass header.d=a.test":                                    true,
		"i=1; h; dkim=pass header.i=@a.test":                                   true,
		"i=1; h; spf=pass smtp.mailfrom=x@a.test":                              true,
		"i=1; h; dmarc=pass header.from=b.test":                                false,
		"i=1; h; dmarc=fail header.from=a.test":                                false,
		"i=1; h; dmarc=pass":                                                   false, // about whom?
		"i=1; h; spf=pass smtp.helo=a.test":                                    false,
		"i=1; h; spf=softfail smtp.mailfrom=a.test; dkim=none header.d=a.test": false,
		"i=1; h; (dmarc=pass header.from=a.test) none":                         false,
		`i=1; h; spf=fail reason="; dmarc=pass header.from=a.test"`:            false,
		"h; dmarc=pass header.from=a.test":                                     false, // not of an ARC set
		"":                                                                     false,
	} {
		if got := vouches(in, "a.test"); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

// FuzzForged: however a field of ours is spelt, it is known again.
func FuzzForged(f *testing.F) {
	for _, s := range []string{"", " ", "(c)", "\r\n ", "(a(b)\\()", "((", "\"", "x", "\\"} {
		f.Add(s, "; spf=pass", true)
		f.Add(s, " 1; none", false)
	}
	f.Fuzz(func(t *testing.T, before, after string, quote bool) {
		host := "mx.example.jp"
		id := host
		if quote {
			id = `"` + host + `"`
		}
		got := Forged([]byte(before+id+after), host)
		r := resultReader{v: []byte(before)}
		r.skip()
		blank := len(r.v) == 0 && !r.bad
		ends := after == "" || strings.ContainsAny(after[:1], " \t;(\r\n")
		if blank && ends && !got {
			t.Errorf("%q %q passes", before, id+after)
		}
	})
}

// FuzzResults: whatever is in a verdict, the field is one, of printable ASCII,
// and says of us what we said.
func FuzzResults(f *testing.F) {
	f.Add("pass", "a.test", "s", "reason", "mx.example.jp")
	f.Add("pa\r\nss", "a.test\r\nX: y", "s;dkim=pass", `"); dmarc=pass (`, "mx;x")
	f.Add("", "é\x00", "\\", strings.Repeat("(", 500), "")
	f.Fuzz(func(t *testing.T, result, domain, word, reason, host string) {
		c := mail.Check{Result: mail.Result(result), Domain: domain, Reason: reason}
		v := mail.Verdict{SPF: c, IPRev: c, DKIM: []mail.Signature{{Check: c, Selector: word, Algorithm: word, Start: word}},
			DMARC: mail.DMARC{Check: c, Policy: word, Override: reason}, ARC: mail.ARC{Check: c, Sealers: []string{domain, word}}}
		field := string(Results(host, v))
		rest, ok := strings.CutSuffix(field, "\r\n")
		rest, named := strings.CutPrefix(rest, "Authentication-Results: ")
		if !ok || !named || strings.ContainsAny(strings.ReplaceAll(rest, "\r\n\t", ""), "\r\n") {
			t.Fatalf("not one field: %q", field)
		}
		for _, line := range strings.Split(field, "\r\n") {
			if len(line) > 998 {
				t.Errorf("a line of %d", len(line))
			}
		}
		for i := range len(rest) {
			if c := rest[i]; c > '~' || c < ' ' && c != '\r' && c != '\n' && c != '\t' {
				t.Errorf("byte %#x in %q", c, field)
			}
		}
		p, ok := parsePayload([]byte(rest))
		if !ok {
			t.Fatalf("cannot be read: %q", field)
		}
		var methods []string
		for _, s := range p.statements {
			methods = append(methods, s.method)
		}
		want := "[spf dkim dmarc arc iprev]"
		switch result {
		case "":
			want = "[]"
		case "none":
			want = "[spf dkim dmarc iprev]"
		}
		if fmt.Sprint(methods) != want && result != "" {
			t.Errorf("%q says %v, want %s", field, methods, want)
		}
	})
}

// FuzzPayload: a quoted string or a comment says nothing.
func FuzzPayload(f *testing.F) {
	f.Add("mx.test; spf=pass", "dmarc=pass header.from=a.test")
	f.Add("", "; dmarc=pass header.from=a.test;")
	f.Add(";\"", "0")
	f.Fuzz(func(t *testing.T, before, hidden string) {
		if strings.ContainsAny(hidden, `\"()`) {
			return
		}
		plain := vouches("i=1; "+before, "a.test")
		if !plain && vouches("i=1; "+before+` reason="`+hidden+`"`, "a.test") && balanced(before) {
			t.Errorf("%q: a quoted %q vouches", before, hidden)
		}
		if !plain && vouches("i=1; "+before+" ("+hidden+")", "a.test") && balanced(before) {
			t.Errorf("%q: a comment %q vouches", before, hidden)
		}
	})
}

// balanced reports whether a payload stands for itself: what follows is not
// within it.
func balanced(s string) bool {
	return !strings.ContainsAny(s, `\"()`) && !strings.HasSuffix(strings.TrimRight(s, " \t\r\n"), "=")
}
