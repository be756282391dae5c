package message

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	const mixed = "Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\nFrom: \"Terry \\\"T\\\" Gray\" <gray@cac.washington.edu>\nSubject: a \\ \"b\"\nTo: friends: x@y.test;, z@y.test\nMessage-Id: <B27397@cac>\n" +
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nplain\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nx\ny\n--b\nContent-Type: image/png; name=a\nContent-Disposition: attachment; filename=\"\xe3\x81\x82.png\"\nContent-Language: en, ja\nContent-MD5: abc\n\n\x89\n--b--\n"
	s := parse(crlf(mixed))
	for _, tt := range []struct{ what, got, want string }{
		{"envelope", string(s.Envelope.AppendEnvelope(nil)), `("Mon, 7 Feb 1994 21:52:25 -0800 (PST)" "a \\ \"b\"" (("Terry \"T\" Gray" NIL "gray" "cac.washington.edu"))` +
			` (("Terry \"T\" Gray" NIL "gray" "cac.washington.edu")) (("Terry \"T\" Gray" NIL "gray" "cac.washington.edu"))` +
			` ((NIL NIL "friends" NIL)(NIL NIL "x" "y.test")(NIL NIL NIL NIL)(NIL NIL "z" "y.test")) NIL NIL NIL "<B27397@cac>")`},
		{"structure", string(s.Root.AppendStructure(nil, true)), `(("text" "plain" NIL NIL NIL "7bit" 5 0 NIL NIL NIL NIL)` +
			`("message" "rfc822" NIL NIL NIL "7bit" 22 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" NIL NIL NIL "7bit" 4 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)` +
			`("image" "png" ("name" "a") NIL NIL "7bit" 1 "abc" ("attachment" ("filename" {7}` + "\r\n\xe3\x81\x82.png" + `)) ("en" "ja") NIL) "mixed" ("boundary" "b") NIL NIL NIL)`},
		{"body", string(s.Root.AppendStructure(nil, false)), `(("text" "plain" NIL NIL NIL "7bit" 5 0)` +
			`("message" "rfc822" NIL NIL NIL "7bit" 22 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" NIL NIL NIL "7bit" 4 1) 3)` +
			`("image" "png" ("name" "a") NIL NIL "7bit" 1) "mixed")`},
		{"empty multipart", string(parse(crlf("Content-Type: multipart/mixed; boundary=b\n\nx\n")).Root.AppendStructure(nil, false)), `("text" "plain" NIL NIL NIL "7bit" 3 1)`},
		{"encoded message", string(parse(crlf("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nx\n")).Root.AppendStructure(nil, false)), `("application" "octet-stream" NIL NIL NIL "base64" 3)`},
		{"parameter twice", string(parse(crlf("Content-Type: text/plain; a=1; a=2; b=3\n\n")).Root.AppendStructure(nil, false)), `("text" "plain" ("a" "1" "b" "3") NIL NIL "7bit" 0 0)`},
		{"NUL", string(AppendString(nil, "a\x00b")), "{2}\r\nab"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.what, tt.got, tt.want)
		}
	}
}

// FuzzRender renders any message: what comes out is lists and strings that a
// client can read, has the parts and addresses that the structure has, and is
// bounded.
func FuzzRender(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.eml")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("Subject: \"\\\x80\x00\r\nContent-Type: multipart/x; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n--b--"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := parse(b)
		for _, extended := range []bool{false, true} {
			out := s.Root.AppendStructure(nil, extended)
			r := wireReader{rest: out}
			r.value(0)
			if r.bad || len(r.rest) > 0 {
				t.Fatalf("not a list: %q", out)
			}
			if want := leaves(&s.Root); r.leaves < want {
				t.Errorf("%d leaves, want %d: %q", r.leaves, want, out)
			}
		}
		out := s.Envelope.AppendEnvelope(nil)
		r := wireReader{rest: out}
		if n := r.value(0); n != 10 || r.bad || len(r.rest) > 0 {
			t.Fatalf("an envelope of %d fields: %q", n, out)
		}
	})
}

func leaves(p *Part) int {
	if !p.IsMultipart() {
		return 1
	}
	n := 0
	for i := range p.Children {
		n += leaves(&p.Children[i])
	}
	return n
}

// A wireReader reads lists, strings, numbers and NIL.
type wireReader struct {
	rest   []byte
	bad    bool
	leaves int // lists that begin with a string
}

// value reads a value and returns how many members it has if it is a list.
func (r *wireReader) value(depth int) (members int) {
	if len(r.rest) == 0 || depth > 4*maxDepth {
		r.bad = true
		return 0
	}
	switch c := r.rest[0]; c {
	case '(':
		r.rest = r.rest[1:]
		if len(r.rest) > 0 && r.rest[0] == '"' {
			r.leaves++
		}
		for !r.bad && len(r.rest) > 0 && r.rest[0] != ')' {
			r.value(depth + 1)
			members++
			if len(r.rest) > 0 && r.rest[0] == ' ' {
				r.rest = r.rest[1:]
			}
		}
		r.skip(1)
	case '"':
		i := 1
		for ; i < len(r.rest) && r.rest[i] != '"'; i++ {
			if r.rest[i] == '\\' {
				i++
			}
		}
		if i < len(r.rest) && bytes.ContainsAny(r.rest[:i], "\x00\r\n") {
			r.bad = true
		}
		r.skip(i + 1)
	case '{':
		size, _, ok := bytes.Cut(r.rest[1:], []byte("}\r\n"))
		n, err := strconv.Atoi(string(size))
		r.bad = r.bad || !ok || err != nil
		r.skip(1 + len(size) + 3 + n)
	default:
		i := bytes.IndexFunc(r.rest, func(c rune) bool { return strings.ContainsRune(" ()", c) })
		word := r.rest
		if i >= 0 {
			word = r.rest[:i]
		}
		if _, err := strconv.Atoi(string(word)); err != nil && string(word) != "NIL" {
			r.bad = true
		}
		r.skip(len(word))
	}
	return members
}

func (r *wireReader) skip(n int) {
	if n > len(r.rest) {
		r.bad = true
		n = len(r.rest)
	}
	r.rest = r.rest[n:]
}
