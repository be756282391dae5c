package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

func lexer(in string) *Lexer {
	l := NewLexer(bufio.NewReader(strings.NewReader(in)), func() error { return nil })
	l.Known(true)
	l.Next()
	return l
}

func TestTokens(t *testing.T) {
	l := lexer("a1 LOGIN \"a \\\"b\\\\\" {3}\r\nx\ny {4+}\r\n1234 ~{2}\r\n\x00\x01 NIL \\Seen (a (b) c) BODY.PEEK[1] 7\r\n")
	got := []any{l.Tag(), l.SP(), l.Word(), l.SP(), l.AString(), l.SP(), l.Text(), l.SP(), l.AString(), l.SP(), l.Text(), l.SP()}
	nilText, isText := l.NString()
	got = append(got, nilText, isText, l.SP(), l.Flag(), l.SP())
	var list []string
	l.List(func() {
		if l.Peek() == '(' {
			l.List(func() { list = append(list, "("+l.Atom()) })
			return
		}
		list = append(list, l.Atom())
	})
	got = append(got, fmt.Sprint(list), l.SP(), l.Word(), l.Accept('['), l.Number(), l.Accept(']'), l.SP(), l.Number64(), l.End())
	want := []any{"a1", true, "LOGIN", true, `a "b\`, true, "x\ny", true, "1234", true, "\x00\x01", true,
		"", false, true, `\Seen`, true, "[a (b c]", true, "BODY.PEEK", true, uint32(1), true, true, int64(7), true}
	if fmt.Sprint(got) != fmt.Sprint(want) || l.Err() != nil {
		t.Errorf("got  %q\nwant %q\n%v", got, want, l.Err())
	}
}

func TestBadTokens(t *testing.T) {
	for in, read := range map[string]func(*Lexer){
		"\"a\r\n":                         func(l *Lexer) { l.Text() },
		"\"a\\b\"\r\n":                    func(l *Lexer) { l.Text() },
		"\"a\x00\"\r\n":                   func(l *Lexer) { l.Text() },
		"{1}\r\n\x00\r\n":                 func(l *Lexer) { l.Text() },
		"{99999999999999999999}\r\n":      func(l *Lexer) { l.Text() },
		"{5 \r\n":                         func(l *Lexer) { l.Text() },
		"4294967296\r\n":                  func(l *Lexer) { l.Number() },
		"9223372036854775808\r\n":         func(l *Lexer) { l.Number64() },
		"0:1\r\n":                         func(l *Lexer) { l.SeqSet() },
		"1,\r\n":                          func(l *Lexer) { l.SeqSet() },
		"&&&\r\n":                         func(l *Lexer) { l.Mailbox() },
		"&AGE-\r\n":                       func(l *Lexer) { l.Mailbox() }, // "a" needs no shift
		"&2AA-\r\n":                       func(l *Lexer) { l.Mailbox() }, // half a character
		"\"\xff\"\r\n":                    func(l *Lexer) { l.Mailbox() },
		"31-Feb-2026\r\n":                 func(l *Lexer) { l.Date() },
		"\"no date\"\r\n":                 func(l *Lexer) { l.DateTime() },
		"(a b\r\n":                        func(l *Lexer) { l.List(func() { l.Atom() }) },
		strings.Repeat("(", 300) + "\r\n": func(l *Lexer) { nest(l) },
		"NIX\r\n":                         func(l *Lexer) { l.NString() },
		"a b\r\n":                         func(l *Lexer) { l.Atom(); l.End() },
	} {
		l := lexer(in + "next\r\n")
		read(l)
		var bad SyntaxError
		if !errors.As(l.Err(), &bad) {
			t.Errorf("%.40q: %v", in, l.Err())
		}
		if err := l.Skip(); err != nil {
			t.Errorf("%.40q: skip: %v", in, err)
		}
		l.Next()
		if rest := l.Atom(); rest != "next" && !strings.HasPrefix(in, "{1}") { // what was asked for has come
			t.Errorf("%.40q: then %q", in, rest)
		}
	}
}

func nest(l *Lexer) {
	l.List(func() { nest(l) })
}

// A literal that nobody wants is dropped or ends the connection, and is never
// read as a command.
func TestRefusedLiteral(t *testing.T) {
	for _, tt := range []struct {
		in  string
		err error
	}{
		{"a NOOP {6+}\r\nx y z\r\n", nil},
		{"a NOOP {3+}\r\nabc {4+}\r\ndefg\r\n", nil},
		{"a NOOP {3}\r\n", nil},
		{"a NOOP {9000+}\r\n" + strings.Repeat("x NOOP\r\n", 1125) + "\r\n", ErrRefused},
		{"a NOOP" + strings.Repeat(" {1000+}\r\n"+strings.Repeat("x", 1000), 5) + "\r\n", ErrRefused},
		{"a " + strings.Repeat("x", MaxCommand) + "\r\n", ErrTooLong},
		{"a {99999999999999999999+}\r\n", ErrRefused},
		{"a {20+}\r\nshort", io.ErrUnexpectedEOF},
	} {
		l := lexer(tt.in + "next\r\n")
		l.Tag()
		l.Fail("refused")
		if err := l.Skip(); !errors.Is(err, tt.err) {
			t.Errorf("%.40q: %v, want %v", tt.in, err, tt.err)
		}
		l.Next()
		if rest := l.Atom(); tt.err == nil && rest != "next" || tt.err != nil && rest != "" {
			t.Errorf("%.40q: then %q", tt.in, rest)
		}
	}
}

// Nothing is made room for because it was announced.
func TestAnnouncedIsNotAllocated(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		l := lexer("a APPEND x {9223372036854775807+}\r\nabc")
		l.Tag()
		l.SP()
		l.Word()
		l.SP()
		l.Mailbox()
		l.SP()
		lit := l.Literal()
		n, err := io.Copy(io.Discard, l.Body(lit))
		if n != 3 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(n, err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / 100; got > 128<<10 {
		t.Errorf("%d bytes", got)
	}
}

// scan reads tokens by what they start with, as commands do, and prints them.
func scan(l *Lexer) string {
	var w Writer
	depth, token := 0, false
	for l.Err() == nil && !l.AtEnd() {
		c := l.Peek()
		separates := c == ' ' || c == '(' || c == ')'
		if token && !separates {
			l.Fail("two in one")
		}
		token = !separates
		switch {
		case c == ' ' || c == ')' || c == '(' && depth < MaxDepth:
			l.Expect(c)
			w.Byte(c)
			depth++
		case c == '"' || c == '{' || c == '~':
			w.UTF8 = true
			if s := l.Text(); strings.IndexByte(s, 0) < 0 {
				w.String(s)
			} else {
				w.Literal(int64(len(s)), true).Raw(s)
			}
		case isDigit(c) || c == '*':
			w.Raw(l.SeqSet().String())
		case c == '\\':
			w.Raw(l.Flag())
		default:
			w.Raw(l.Atom())
		}
	}
	if !l.End() {
		return ""
	}
	return string(w.buf)
}

// What is parsed and printed is parsed again to the same, however the input is
// cut; memory stays in proportion; and behind a command, right or wrong, the
// next one is found or the stream is over.
func FuzzLexer(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {3+}\r\nabc {2}\r\nde\r\nb NOOP\r\n", "a APPEND INBOX {9+}\r\nx DELETE y\r\n{1+}\r\nz", "a APPEND {5000+}\r\n",
		"{1} \n{0}\n", "a 1:*,3,*:5 (\\Seen (\"x\\\"y\") ~{2+}\r\n\x00a)\r\n", "a \"unfinished\r\nb c\r\n", "a {99999999999999999999+}\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		whole := commands(bytes.NewReader(in))
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 200*uint64(len(in))+1<<20 {
			t.Errorf("%d bytes allocated for %d", got, len(in))
		}
		if pieces := commands(iotest.OneByteReader(bytes.NewReader(in))); fmt.Sprint(pieces) != fmt.Sprint(whole) {
			t.Errorf("whole %q, in pieces %q", whole, pieces)
		}
		for _, c := range whole {
			l := lexer(c + "\r\n")
			if again := scan(l); again != c && c != "" {
				t.Errorf("%q printed, %q again: %v", c, again, l.Err())
			}
		}
	})
}

func commands(r io.Reader) (list []string) {
	l := NewLexer(bufio.NewReader(r), func() error { return nil })
	l.Known(true)
	for range 1000 {
		l.Next()
		list = append(list, scan(l))
		if l.Skip() != nil {
			break
		}
	}
	return list
}

// A name survives the way to the client and back, in either form.
func FuzzName(f *testing.F) {
	for _, s := range []string{"INBOX", "日本語/台北", "a & b", "&-", "&ZeVnLIqe-/&U,BTFw-", "\x01", "𝄞", "&2DTdHg-", "&AGE-", "x&&y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if utf8.ValidString(s) {
			if got, ok := DecodeName(EncodeName(s), false); !ok || got != s {
				t.Errorf("%q came back as %q, %v", s, got, ok)
			}
			if got, ok := DecodeName(s, true); !ok || got != s {
				t.Errorf("%q in UTF-8 came back as %q, %v", s, got, ok)
			}
		}
		if name, ok := DecodeName(s, false); ok {
			if again, ok := DecodeName(EncodeName(name), false); !ok || again != name {
				t.Errorf("%q is %q, and then %q", s, name, again)
			}
		}
	})
}

// A string survives the way to a client that reads as we do.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", "a \"b\" \\", "\r\n", "é", "\xff", strings.Repeat("x", quoteMax+1)} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, raw bool) {
		if len(s) > MaxArgument || strings.IndexByte(s, 0) >= 0 {
			return
		}
		out := AppendString(nil, s, raw)
		l := lexer(string(out) + "\r\n")
		if got := l.Text(); got != s || !l.End() {
			t.Errorf("%q went as %q and came back as %q: %v", s, out, got, l.Err())
		}
		if !raw && bytes.HasPrefix(out, []byte(`"`)) && bytes.ContainsFunc(out, func(r rune) bool { return r > 0x7f }) {
			t.Errorf("8-bit in quotes: %q", out)
		}
	})
}

func TestSets(t *testing.T) {
	for in, want := range map[string]string{
		"1": "1", "*": "*", "1:*": "1:*", "*:1": "1:*", "4:2": "2:4", "5,1,3:2": "5,1,2:3", "*:*": "*",
	} {
		if got := lexer(in + "\r\n").SeqSet().String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if !imap.IsSearchRes(lexer("$\r\n").SeqSet()) || !imap.IsSearchRes(lexer("$\r\n").UIDSet()) {
		t.Error("$ is not the saved result")
	}
	if l := lexer(strings.Repeat("1,", MaxRanges) + "1\r\n"); l.SeqSet() != nil && l.Err() == nil {
		t.Error("a set without bound")
	}
	if got := string(AppendSet(nil, []uint32{1, 2, 3, 5, 7, 8})); got != "1:3,5,7:8" {
		t.Error(got)
	}
}
