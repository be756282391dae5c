package mailauth

import (
	"fmt"
	"strings"
	"testing"

	"homemail/mail/message"
)

// TestFromDomains has the forms of RFC 5322 §3.4 and §4.4, of RFC 6854, and
// those that are meant to be read in two ways.
func TestFromDomains(t *testing.T) {
	for _, tt := range []struct {
		value, want string // domains; "!" if nobody can be sure
	}{
		{"ceo@bank.example", "bank.example"},
		{" CEO\r\n <ceo@Bank.Example>", "bank.example"},
		{`"Doe, John" <j@bank.example>, a@bank.example`, "bank.example"},
		{"John Q. Public <j@bank.example>", "bank.example"},
		{"a@bank.example (Comment (nested))", "bank.example"},
		{"=?utf-8?Q?J=C3=B6rg_a@b?= <j@bank.example>", "bank.example"},
		{"Jörg <j@bänk.example>", "xn--bnk-qla.example"},
		{`"ceo@x"@bank.example`, "bank.example"},
		{"<@relay.example,@r2.example:ceo@bank.example>", "bank.example"},
		{"a@[192.0.2.1]", ""},
		{"Group: a@bank.example, B <b@shop.example>;", "bank.example shop.example"},
		{"undisclosed-recipients:;", ""},
		{", a@bank.example,,", "bank.example"},
		{"CEO <ceo@bank .example>", "bank.example"},
		{"CEO <ceo@bank (x).example>", "bank.example"},
		{"CEO <ceo@bank\r\n\t.example>", "bank.example"},
		{"ceo@(x)bank.example(y)", "bank.example"},
		{"Doe, John <j@bank.example>", "bank.example"},
		{"Mailer-Daemon", ""},
		{"a@bank.example.", "bank.example"},
		{"John [Jack] <j@bank.example>", "bank.example"},
		{"j@bank.example <J@BANK.example>", "bank.example"},
		{"alice@bank.example <bob@evil.example>", "evil.example bank.example"},
		{"alice @ work <bob@evil.example>", "evil.example"},
		{`"alice@bank.example" <bob@evil.example>`, "evil.example"}, // a name is a name
		{"\x1b$B;3ED<@>\x1b(B <yamada@docomo.ne.jp>", "docomo.ne.jp"},
		{"\"\x95\x5c\" <yamada@docomo.ne.jp>", "docomo.ne.jp"}, // Shift JIS, with a backslash in a letter
		{"<>", ""},
		{"", ""},

		{"<bob@evil.example> alice@bank.example", "!"},
		{"bob <bob@evil.example> <alice@bank.example>", "!"},
		{"ceo@bank.example bob@evil.example", "!"},
		{"ceo@bank example", "!"},
		{"ceo@bank.example>", "!"},
		{"CEO <ceo@bank.example", "!"},
		{`"ceo@bank.example`, "!"},
		{"ceo@bank.example (comment", "!"},
		{"ceo@bank.example " + strings.Repeat("(", 100) + strings.Repeat(")", 100), "!"},
		{"a@[1.2.3.4", "!"},
		{"ceo@bank\x00.example", "!"},
		{"ceo@bank\x7f.example", "!"},
		{"ceo@bank\u3000.example", "!"},
		{"a@b.example, a@c.example, a@d.example, a@e.example, a@f.example", "!"},
		{strings.Repeat("x", 9000) + "@bank.example", "!"},
	} {
		domains, bad := fromDomains([]byte(tt.value))
		got := strings.Join(domains, " ")
		if bad != "" {
			got = "!"
		}
		if got != tt.want {
			t.Errorf("%q: %q (%s), want %q", tt.value, got, bad, tt.want)
		}
	}
}

func TestReadHeader(t *testing.T) {
	for in, want := range map[string]string{
		"From: a@b.test\r\nMessage-Id: <1@b.test> \r\n\r\n":                          "{[b.test]  <1@b.test>  }",
		"Subject: x\r\n\r\nFrom: a@b.test\r\n":                                       "{[] no From field   }",
		"From: a@b.test\r\nfrom: c@d.test\r\n":                                       "{[] not one From field   }",
		"From : a@b.test\r\nList-Id: Cooks <Cooks.Example.NET>\r\n":                  "{[b.test]   cooks.example.net }",
		"From: a@b.test\r\nList-Post: <https://x>, <mailto:c@l.test?subject=x>\r\n":  "{[b.test]    l.test}",
		"From: a@b.test\r\nList-Post: NO\r\nList-Id: nothing\r\n":                    "{[b.test]    }",
		strings.Repeat("X: y\r\n", 998) + "From: a@b.test\r\nX: y\r\n":               "{[b.test]    }",
		strings.Repeat("X: y\r\n", 999) + "From: a@b.test\r\nX: y\r\nFrom: c@d.test": "{[b.test] the header is too long   }",
	} {
		if got := fmt.Sprint(readHeader([]byte(in), false)); got != want {
			t.Errorf("%.80q: %s, want %s", in, got, want)
		}
	}
}

// FuzzFromDomains: if we are sure who the author is, the address that our
// readers are shown is his.
func FuzzFromDomains(f *testing.F) {
	for _, s := range []string{"a@b.test", `"x@y" <a@b.test>, c@d.test`, "G: a@b.test;", "<@r:a@b.test>", "a@b (c).test", "\x1b$B<@\x1b(B <a@b.test>", "\"\x95\x5c\" <a@b.test>", "a(b)@c.test"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if strings.ContainsAny(string(value), "\r\n\x00") {
			return
		}
		domains, bad := fromDomains(value)
		if bad != "" || len(domains) > maxAuthors {
			return
		}
		p := message.NewParser()
		p.Write([]byte("From: " + string(value) + "\r\n\r\n"))
		for _, a := range p.Structure().Envelope.From {
			d, ok := domainOf(a.Host)
			if a.Host == "" || a.Host == message.MissingDomain || !ok || d[0] == '[' {
				continue
			}
			found := false
			for _, have := range domains {
				found = found || have == d
			}
			if !found {
				t.Errorf("%q: we judge %q, and show %+v", value, domains, a)
			}
		}
	})
}

// FuzzReadHeader: what is taken from a header is fit to be asked for.
func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("From: a@b.test\r\nList-Id: x <l.test>\r\nList-Post: <mailto:c@l.test?subject=x>\r\nMessage-ID: <1>\r\n\r\n"))
	f.Add([]byte("From: a@b.test\r\n b@c.test\r\nList-Id: <>\r\nList-Post: <mailto:@>\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := readHeader(b, false)
		for _, d := range append(h.domains, h.listID, h.post) {
			if d != "" && d[0] != '[' && (!isName(d) || strings.ToLower(d) != d) {
				t.Errorf("%q: %q", b, d)
			}
		}
		if len(h.domains) > maxAuthors {
			t.Errorf("%q: %d domains", b, len(h.domains))
		}
	})
}
