package client

import (
	"bufio"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"homemail/mail"
)

func parseReply(s string) (reply, error) {
	return readReply(bufio.NewReaderSize(strings.NewReader(s), maxLine))
}

func TestReply(t *testing.T) {
	for in, want := range map[string]mail.Reply{
		"250 ok\r\n":                       {Code: 250, Text: "ok"},
		"250\r\n":                          {Code: 250},
		"250 \r\n":                         {Code: 250},
		"250-a\r\n250 b\r\n":               {Code: 250, Text: "a\nb"},
		"550 5.1.1 no such user\r\n":       {Code: 550, Enhanced: "5.1.1", Text: "no such user"},
		"550-5.1.1 no\r\n550 5.1.1 go\r\n": {Code: 550, Enhanced: "5.1.1", Text: "no\ngo"},
		"550-5.1.1 no\r\n550 5.7.1 go\r\n": {Code: 550, Enhanced: "5.1.1", Text: "no\n5.7.1 go"},
		"550 4.1.1 odd\r\n":                {Code: 550, Text: "4.1.1 odd"},
		"550 5.1 odd\r\n":                  {Code: 550, Text: "5.1 odd"},
		"550 5.1.1.1 odd\r\n":              {Code: 550, Text: "5.1.1.1 odd"},
		"550 5.1111.1 odd\r\n":             {Code: 550, Text: "5.1111.1 odd"},
		"354 3.0.0 go\r\n":                 {Code: 354, Text: "3.0.0 go"},
		"550 \x1b[31mred\x00\x7f\r\n":      {Code: 550, Text: "?[31mred??"},
		"550 \xff\xfe\xe9t\u00e9\r\n":      {Code: 550, Text: "???t\u00e9"},
		"550 \u202egnp.exe\r\n":            {Code: 550, Text: "?gnp.exe"},
		"250 a\tb\r\n":                     {Code: 250, Text: "a b"},
	} {
		r, err := parseReply(in)
		if err != nil || r.mail() != want {
			t.Errorf("%q: %+v, %v", in, r.mail(), err)
		}
	}
	for _, in := range []string{
		"", "\r\n", "25\r\n", "2500 x\r\n", "250x\r\n", "150 x\r\n", "650 x\r\n", "25a x\r\n", " 250 x\r\n",
		"250 x\n", "250 x\r", "250 a\rb\r\n", "250-a\r\n", "250-a\r\n251 b\r\n", "250-a\r\nb\r\n", "+OK\r\n",
		"250 " + strings.Repeat("x", maxLine) + "\r\n", strings.Repeat("250-x\r\n", maxLines) + "250 x\r\n",
		strings.Repeat("250-"+strings.Repeat("x", 1000)+"\r\n", 66) + "250 x\r\n",
	} {
		if r, err := parseReply(in); err == nil {
			t.Errorf("%.40q is %+v", in, r)
		}
	}
}

// FuzzReply: what is kept of a reply is short, printable and not invented, and a
// reply ends where its last line does.
func FuzzReply(f *testing.F) {
	f.Add("250 ok\r\n")
	f.Add("550-5.1.1 a\r\n550 5.1.1 b\r\nrest")
	f.Add("250-x\r\n250")
	f.Add("250 \x00\x1b\xff\u202e\r\n")
	f.Add("550 5.1.1\r\n")
	f.Add("250-\r\n250 \r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := parseReply(in)
		if err != nil {
			return
		}
		m := r.mail()
		switch {
		case !strings.HasPrefix(in, strconv.Itoa(m.Code)) || m.Code < 200 || m.Code > 599:
			t.Errorf("%q has code %d", in, m.Code)
		case len(m.Text) > maxWords || len(m.Enhanced) > len("5.999.999") || !utf8.ValidString(m.Text):
			t.Errorf("%q gives %d octets", in, len(m.Text))
		case strings.ContainsFunc(m.Text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }):
			t.Errorf("%q gives %q", in, m.Text)
		case m.Enhanced != "" && (m.Enhanced[0] != in[0] || !strings.Contains(in, m.Enhanced)):
			t.Errorf("%q gives %q", in, m.Enhanced)
		case len(r.lines) > maxLines || len(r.lines) > strings.Count(in, "\r\n"):
			t.Errorf("%q has %d lines", in, len(r.lines))
		}
	})
}

func TestExtensions(t *testing.T) {
	r, err := parseReply("250-mx size 5\r\n250-Size 1000\r\n250-starttls\r\n250-AUTH=LOGIN\r\n250-auth plain\r\n250-X.Y odd\r\n250 PIPELINING \r\n")
	if err != nil {
		t.Fatal(err)
	}
	e := parseExtensions(r)
	if len(e) != 4 || e.size() != 1000 || !e.has("STARTTLS") || !e.has("PIPELINING") || strings.Join(e.mechanisms(), " ") != "LOGIN PLAIN" {
		t.Errorf("%q", e)
	}
	for _, size := range []string{"", "x", "-1", "99999999999999999999", "1 2"} {
		if n := (extensions{"SIZE": size}).size(); n != 0 {
			t.Errorf("SIZE %s is %d", size, n)
		}
	}
}

// FuzzExtensions: keywords are what RFC 5321 has for keywords, and come from the
// reply.
func FuzzExtensions(f *testing.F) {
	f.Add("mx\nSIZE 10\nauth=plain login\nAUTH X")
	f.Add("mx\n-X\n=\nAUTH=\n")
	f.Fuzz(func(t *testing.T, in string) {
		r := reply{code: 250, lines: strings.Split(in, "\n")}
		e := parseExtensions(r)
		if len(e) >= len(r.lines) {
			t.Errorf("%q has %d", in, len(e))
		}
		for k := range e {
			if !isKeyword(k) || !strings.Contains(strings.ToUpper(in), k) {
				t.Errorf("%q has %q", in, k)
			}
		}
		if e.size() < 0 {
			t.Errorf("%q has size %d", in, e.size())
		}
		e.mechanisms()
	})
}
