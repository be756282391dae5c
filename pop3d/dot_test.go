package pop3d

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

// dotted writes b in pieces of the given size and ends it.
func dotted(b []byte, piece int) string {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	d := &dotWriter{w: w}
	for len(b) > 0 {
		n := min(piece, len(b))
		d.Write(b[:n])
		b = b[n:]
	}
	d.Close()
	w.Flush()
	return out.String()
}

// normal is what a client gets of b, said in another way than dotWriter says it.
func normal(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	s := regexp.MustCompile(`(^|[^\r])\n\.`).ReplaceAllString(string(b), "$1\r\n.")
	s = regexp.MustCompile(`(^|[^\r])\n\.`).ReplaceAllString(s, "$1\r\n.")
	switch {
	case strings.HasSuffix(s, "\r\n"):
	case strings.HasSuffix(s, "\n"):
		s = s[:len(s)-1] + "\r\n"
	case strings.HasSuffix(s, "\r"):
		s += "\n"
	default:
		s += "\r\n"
	}
	return s
}

// undot is a strict client: lines end in CRLF only. It returns what follows
// the end of the reply, too.
func undot(s string) (text, rest string, err error) {
	var out strings.Builder
	for {
		line, after, ok := strings.Cut(s, "\r\n")
		switch {
		case !ok:
			return "", "", io.ErrUnexpectedEOF
		case line == ".":
			return out.String(), after, nil
		}
		out.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		s = after
	}
}

// undotLax is a client for which any LF ends a line; it ends where the strict
// one does, or a message could make up replies.
func undotLax(s string) (rest string, err error) {
	for {
		line, after, ok := strings.Cut(s, "\n")
		if !ok {
			return "", io.ErrUnexpectedEOF
		}
		if strings.TrimSuffix(line, "\r") == "." {
			return after, nil
		}
		s = after
	}
}

func checkDots(t *testing.T, b []byte, piece int) {
	t.Helper()
	out := dotted(b, piece)
	got, rest, err := undot(out)
	if want := normal(b); got != want || rest != "" || err != nil {
		t.Errorf("%q in pieces of %d is sent as %q: read as %q, then %q, %v; want %q", b, piece, out, got, rest, err, want)
	}
	if rest, err := undotLax(out); rest != "" || err != nil {
		t.Errorf("%q is sent as %q, and a lax client stops at %q, %v", b, out, rest, err)
	}
}

// Every pattern of up to six of the bytes that matter.
func TestDotWriter(t *testing.T) {
	const alphabet = ".\r\na"
	for length := range 7 {
		b := make([]byte, length)
		for n := range 1 << (2 * length) {
			for i := range b {
				b[i] = alphabet[n>>(2*i)&3]
			}
			for piece := 1; piece <= 3; piece++ {
				checkDots(t, b, piece)
			}
		}
	}
}

func FuzzDotWriter(f *testing.F) {
	for _, s := range []string{"", ".", "a\n.\r\nb", "\r\n.\r\n", "..\n.\n\n.", "\r.\r", "Subject: x\r\n\r\n.dot\r\n"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, piece int) { checkDots(t, b, max(piece, 1)) })
}

func TestTop(t *testing.T) {
	const m = "A: 1\r\n b\r\n\r\n1\r\n.2\r\n\r\n4"
	for lines, want := range []string{"A: 1\r\n b\r\n\r\n", "A: 1\r\n b\r\n\r\n1\r\n", "A: 1\r\n b\r\n\r\n1\r\n.2\r\n", "A: 1\r\n b\r\n\r\n1\r\n.2\r\n\r\n", m + "\r\n", m + "\r\n"} {
		for piece := 1; piece < len(m); piece++ {
			if got := topOf(m, lines, piece); got != want {
				t.Errorf("%d lines in pieces of %d: %q, want %q", lines, piece, got, want)
			}
		}
	}
	for m, want := range map[string]string{"\r\nbody\r\n": "\r\n", "\nbody": "\n", "A: 1": "A: 1\r\n", "A: 1\n\nx": "A: 1\n\n", "A\r\n\r\r\n": "A\r\n\r\r\n"} {
		want := normal([]byte(want))
		if got := topOf(m, 0, 1); got != want {
			t.Errorf("%q: %q, want %q", m, got, want)
		}
	}
}

func topOf(m string, lines, piece int) string {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	d := &dotWriter{w: w}
	top := &topWriter{w: d, lines: lines}
	for len(m) > 0 {
		n := min(piece, len(m))
		if _, err := top.Write([]byte(m[:n])); errors.Is(err, errTopDone) {
			break
		}
		m = m[n:]
	}
	d.Close()
	w.Flush()
	text, _, err := undot(out.String())
	if err != nil {
		return err.Error()
	}
	return text
}
