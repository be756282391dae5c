package message

import (
	"fmt"
	"net/mail"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []Address
	}{
		{"", nil},
		{" , ;,", nil},
		{"a@b.test", []Address{{"", "a", "b.test"}}},
		{"A B <a@b.test>", []Address{{"A B", "a", "b.test"}}},
		{"A\r\n B <a\r\n @b.test>", []Address{{"A B", "a", "b.test"}}},
		{`"B, A" <a@b.test>, c@d`, []Address{{"B, A", "a", "b.test"}, {"", "c", "d"}}},
		{`"a\"\\b" <a@b.test>`, []Address{{`a"\b`, "a", "b.test"}}},
		{`"a b"@c.test`, []Address{{"", "a b", "c.test"}}},
		{`"a@b"@c.test`, []Address{{"", "a@b", "c.test"}}},
		{`=?utf-8?Q?a?= =?utf-8?Q?b?= <a@b>`, []Address{{"=?utf-8?Q?a?= =?utf-8?Q?b?=", "a", "b"}}},
		{"a@b.test (A (the) B)", []Address{{"A (the) B", "a", "b.test"}}},
		{"a@b <c@d>", []Address{{"a@b", "c", "d"}}},
		{"A (comment) B <a@b>", []Address{{"A B", "a", "b"}}},
		{"<@x,@y:a@b>", []Address{{"", "a", "b"}}},
		{"g: a@b, B <c@d>; e@f", []Address{{"", "g", ""}, {"", "a", "b"}, {"B", "c", "d"}, {"", "", ""}, {"", "e", "f"}}},
		{`"The Group":;`, []Address{{"", "The Group", ""}, {"", "", ""}}},
		{"g: a@b", []Address{{"", "g", ""}, {"", "a", "b"}, {"", "", ""}}},
		{"a@[192.0.2.1]", []Address{{"", "a", "[192.0.2.1]"}}},
		{"a . b @ c . d", []Address{{"", "a . b", "c.d"}}},
		{"a@b; c@d", []Address{{"", "a", "b"}, {"", "c", "d"}}},
		{"a@b c@d", []Address{{"", "a@b c", "d"}}}, // nobody knows; it must only be bounded
		{"A <a@b> \"x\" y, c@d", []Address{{"A", "a", "b"}, {"", "c", "d"}}},
		{"A <a@b", []Address{{"A", "a", "b"}}},
		{"A a@b>", []Address{{"", "A a", "b>"}}},
		{": a@b", []Address{{"", "a", "b"}}},
		{"A <B <a@b>>", []Address{{"A", "B <a", "b"}}},
		{"\x1b$B!J(,\x1b(B <a@b>", []Address{{"\x1b$B!J(,\x1b(B", "a", "b"}}},
	} {
		p := NewParser()
		if got := p.readAddresses(nil, []byte(tt.in)); !slices.Equal(got, tt.want) {
			t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
}

// Where net/mail reads a list, we read the same.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"a@b.test", "A B <a@b.test>, \"C, D\" <c@d>", "a@b (A)", "g: a@b;, c@d", `"a b"@c`, "<a@b>", "\x00:::\x00d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 500 {
			return
		}
		got := NewParser().readAddresses(nil, []byte(s))
		open := false
		for _, a := range got {
			if a.Host == "" {
				if start := a.Mailbox != ""; start == open {
					t.Fatalf("%q: groups do not match in %q", s, got)
				}
				open = !open
			}
		}
		if open {
			t.Fatalf("%q: a group does not end in %q", s, got)
		}
		want, err := mail.ParseAddressList(s)
		if err != nil || strings.ContainsAny(s, "=(\\\"[") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
			return
		}
		var plain []string
		for _, a := range got {
			if a.Host != "" {
				plain = append(plain, a.Name+"|"+a.Mailbox+"@"+a.Host)
			}
		}
		var theirs []string
		for _, a := range want {
			theirs = append(theirs, a.Name+"|"+a.Address)
		}
		if !slices.Equal(plain, theirs) {
			t.Errorf("%q: %q, net/mail has %q", s, plain, theirs)
		}
	})
}

func TestDates(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{"21 Nov 97 09:55 GMT", "1997-11-21T09:55:00Z"},
		{"Thu,\r\n 13\r\n Feb 1969 23:32 -0330 (Newfoundland)", "1969-02-13T23:32:00-03:30"},
		{"1 jan 00 0:0:0 PDT", "2000-01-01T00:00:00-07:00"},
		{"Mon 5 January 2026 1:02:03 +0900", "2026-01-05T01:02:03+09:00"},
		{"Mon, 05-Jan-2026 10:00:00 Z", "2026-01-05T10:00:00Z"},
		{"5 Jan 126 10:00:00 Q", "2026-01-05T10:00:00Z"},
		{"29 Feb 2024 23:59:60 +0000", "2024-03-01T00:00:00Z"},
		{"5 Jan 2026 10:00:00", "2026-01-05T10:00:00Z"},
		{"31 Dec 9999 23:59:59 -2359", "10000-01-01T23:58:59Z"},
		{"29 Feb 2023 00:00:00 +0000", ""}, {"0 Jan 2026 00:00:00 +0000", ""}, {"1 Jan 10000 00:00:00 +0000", ""},
		{"1 Jan 1899 00:00:00 +0000", ""}, {"1 Jan 0001 00:00:00 +0000", ""}, {"1 Foo 2026 00:00:00 +0000", ""}, {"1 Jan 2026 24:00:00 +0000", ""},
		{"1 Jan 2026 00:60:00 +0000", ""}, {"1 Jan 2026 00:00:00 +2400", ""}, {"1 Jan 2026 00:00:00 +0060", ""}, {"1 Jan 2026 00:00:00 +09", ""},
		{"1 Jan 2026", ""}, {"99999999999999 Jan 2026 00:00:00 +0000", ""}, {"", ""}, {"soon", ""}, {strings.Repeat("(", 300), ""}, {"1 anf 2026 00:00:00", ""},
	} {
		got := parseDate([]byte(tt.in))
		switch {
		case tt.want == "" && !got.IsZero():
			t.Errorf("%q: %v, want none", tt.in, got)
		case tt.want != "" && got.UTC().Format("2006-01-02T15:04:05Z") != utc(tt.want):
			t.Errorf("%q: %v, want %s", tt.in, got, tt.want)
		}
	}
}

func utc(s string) string {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC().Format("2006-01-02T15:04:05Z")
	}
	return s
}

// Where net/mail understands a date whose zone is a number, so do we.
func FuzzDate(f *testing.F) {
	f.Add("Fri, 21 Nov 1997 09:55:06 -0600", int64(0), 0)
	f.Add("1 Jan 70 00:00 +0000 (x)", int64(1e9), 540)
	f.Fuzz(func(t *testing.T, s string, unix int64, minutes int) {
		at := inZone(unix%(1<<37), minutes%1440*60)
		if y := at.Year(); y >= 1900 && y <= 9999 {
			if got := parseDate([]byte(at.Format(time.RFC1123Z))); !got.Equal(at) || got.Format("-0700") != at.Format("-0700") {
				t.Errorf("%v: got %v", at, got)
			}
		}
		got := parseDate([]byte(s))
		want, err := mail.ParseDate(s)
		if len(s) > maxDate || got.IsZero() || err != nil || !strings.ContainsAny(s, "+-") {
			return
		}
		if _, offset := want.Zone(); !got.Equal(want) && offset == int(got.Sub(want)/-time.Second) {
			return // a zone by letters, which net/mail takes from this machine
		}
		if !got.Equal(want) && want.Year()-got.Year() != 100 { // two digits: RFC 5322 says 1950, Go 1969
			t.Errorf("%q: %v, net/mail has %v", s, got, want)
		}
	})
}

func TestParams(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []Param
	}{
		{"", nil},
		{"; a=b", []Param{{"a", "b"}}},
		{`;A="b;\"c" ; d = e;`, []Param{{"a", `b;"c`}, {"d", "e"}}},
		{"; charset=utf-8 (comment); a=b", []Param{{"charset", "utf-8"}, {"a", "b"}}},
		{"; charset=utf-8\r\n name=x", []Param{{"charset", "utf-8"}, {"name", "x"}}},
		{"; name=my letter (1).pdf", []Param{{"name", "my letter"}}},
		{"; name=letter(1).pdf", []Param{{"name", "letter(1).pdf"}}},
		{"; name=a b c; d=e", []Param{{"name", "a b c"}, {"d", "e"}}},
		{"; a=b; a=c", []Param{{"a", "b"}}},
		{";;; =x; y; a=", []Param{{"a", ""}}},
		{`; a=""; b="`, []Param{{"a", ""}, {"b", ""}}},
		{"; f*0=x.e; f*1=xe", []Param{{"f", "x.exe"}}},
		{`; f*1="b "; f*2=c; f*0="a "; f*4=e`, []Param{{"f", "a b c"}}},
		{"; f*=UTF-8''%e2%82%ac%20rates", []Param{{"f", "€ rates"}}},
		{"; f=old; f*=UTF-8''new; g=h", []Param{{"f", "new"}, {"g", "h"}}},
		{"; f*0*=utf-8'en'a%20; f*1=%20b; f*2*=%20c", []Param{{"f", "a %20b c"}}},
		{"; f*=shift_jis''%95%5C.txt", []Param{{"f", "表.txt"}}},
		{"; f*=iso-2022-jp''%1B%24B%3BqNA%1B%28B", []Param{{"f", "資料"}}},
		{"; f*=nonsense''%ff", []Param{{"f", "\xff"}}},
		{"; f*=no-quotes%21", []Param{{"f", "no-quotes!"}}},
		{"; f*=utf-8''a%0d%0ab%00c%z", []Param{{"f", "abc%z"}}},
		{"; f*1=late", nil},
		{"; f*01=b; f*0=a", []Param{{"f", "ab"}}},
		{"; f*999=b; f*-1=c; *=d; *0=e", []Param{{"f", "b"}}},
	} {
		p := NewParser()
		sc := newScanner([]byte(tt.in))
		if got := p.readParams(&sc, maxParams); !slices.Equal(got, tt.want) {
			t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
}

func TestContentType(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"text/html", "text/html"}, {"TEXT / (c) HTML (d); charset=x", "text/html"}, {"text", "text/plain"}, {"text/", "text/plain"}, {"/html", "text/plain"},
		{"", "text/plain"}, {"multipart", "text/plain"}, {"text/ht\xffml", "text/plain"}, {"a b/c", "text/plain"}, {strings.Repeat("x", 200) + "/y", "text/plain"},
		{"image/svg+xml", "image/svg+xml"}, {`"text/html"`, "text/plain"}, {"text/plain; charset", "text/plain"},
	} {
		p := parse([]byte("Content-Type: " + tt.in + "\r\n\r\n")).Root
		if got := p.Type + "/" + p.Subtype; got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestFields(t *testing.T) {
	h := "A: 1\r\nnone\r\nB :2\r\n 3\r\n\t4\nC:\r\n: x\r\nbad name: y\r\na: 5\r\n\r\nD: body\r\n"
	var got []string
	for name, value := range Fields([]byte(h)) {
		got = append(got, fmt.Sprintf("%s=%q", name, value))
	}
	want := []string{`A=" 1"`, `B="2\r\n 3\r\n\t4"`, `C=""`, `a=" 5"`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	for name, want := range map[string]bool{"a": true, "B": true, "c": true, "D": false, "none": false, "bad name": false, "": false} {
		if got := HasField([]byte(h), name); got != want {
			t.Errorf("HasField(%q) = %v", name, got)
		}
	}
	n := 0
	for range Fields([]byte(strings.Repeat("X: y\n", 5000))) {
		n++
	}
	if n != maxHeaderLines {
		t.Errorf("%d fields of 5,000", n)
	}
	for range Fields([]byte("X: y" + strings.Repeat("y", 1<<20))) {
		t.Error("a field that was cut off")
	}
}

func TestPart(t *testing.T) {
	leaf := func(kind string, at int64) Part { return Part{Type: kind, Subtype: "x", HeaderAt: at} }
	message := func(at int64, root Part) Part {
		return Part{Type: "message", Subtype: "rfc822", HeaderAt: at, Envelope: new(Envelope), Children: []Part{root}}
	}
	multi := func(at int64, c ...Part) Part {
		return Part{Type: "multipart", Subtype: "x", HeaderAt: at, Children: c}
	}
	// The example of RFC 9051 §6.4.5.1, parts 1 to 4.2.2.1; at names the place.
	rfc := multi(0, leaf("text", 1), leaf("application", 2),
		message(3, multi(30, leaf("text", 31), leaf("application", 32))),
		multi(4, leaf("image", 41), message(42, multi(420, leaf("text", 421), multi(422, leaf("text", 4221), leaf("text", 4222))))))
	tests := []struct {
		root Part
		path []int
		at   int64 // -1: none
	}{
		{rfc, nil, 0}, {rfc, []int{1}, 1}, {rfc, []int{3}, 3}, {rfc, []int{3, 1}, 31}, {rfc, []int{3, 2}, 32}, {rfc, []int{4}, 4}, {rfc, []int{4, 1}, 41},
		{rfc, []int{4, 2}, 42}, {rfc, []int{4, 2, 1}, 421}, {rfc, []int{4, 2, 2}, 422}, {rfc, []int{4, 2, 2, 1}, 4221}, {rfc, []int{4, 2, 2, 2}, 4222},
		{rfc, []int{0}, -1}, {rfc, []int{5}, -1}, {rfc, []int{-1}, -1}, {rfc, []int{1, 1}, -1}, {rfc, []int{3, 3}, -1}, {rfc, []int{4, 2, 2, 1, 1}, -1},
		{leaf("text", 0), []int{1}, 0}, {leaf("text", 0), []int{2}, -1}, {leaf("text", 0), []int{1, 1}, -1},
		{message(0, leaf("text", 7)), []int{1}, 0}, {message(0, leaf("text", 7)), []int{1, 1}, 7}, {message(0, leaf("text", 7)), []int{1, 1, 1}, -1},
		{message(0, message(7, leaf("text", 8))), []int{1, 1}, 7}, {message(0, message(7, leaf("text", 8))), []int{1, 1, 1}, 8},
		{multi(0, message(1, leaf("text", 9))), []int{1, 1}, 9}, {multi(0, message(1, leaf("text", 9))), []int{1, 2}, -1},
		{multi(0), []int{1}, 0}, {multi(0, multi(1)), []int{1}, 1}, {multi(0, multi(1)), []int{1, 1}, -1},
	}
	for _, tt := range tests {
		s := Structure{Root: tt.root}
		p, ok := s.Part(tt.path)
		if ok != (tt.at >= 0) || ok && p.HeaderAt != tt.at {
			t.Errorf("%v: %+v %v, want the one at %d", tt.path, p, ok, tt.at)
		}
	}
}

func TestFilename(t *testing.T) {
	p := Part{Params: []Param{{"name", "a"}}}
	if got := p.Filename(); got != "a" {
		t.Errorf("name alone: %q", got)
	}
	p.DispParams = []Param{{"filename", "b"}}
	if got := p.Filename(); got != "b" {
		t.Errorf("both: %q", got)
	}
}

func TestStructureTwice(t *testing.T) {
	p := NewParser()
	p.Write([]byte("Subject: a\r\n\r\n"))
	s := p.Structure()
	want := *s
	if n, err := p.Write([]byte("more")); n != 4 || err != nil || p.Structure() != s || !reflect.DeepEqual(*s, want) {
		t.Error("writing after the end changed what was found")
	}
}
