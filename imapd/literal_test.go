package imapd

import (
	"bytes"
	"fmt"
	"testing"
)

func TestLiteralAt(t *testing.T) {
	for line, want := range map[string]string{
		"a LOGIN {5}\r\n": "5 false true", "{5+}\n": "5 true true", "x {12+} \r\n": "12 true true", "{}\r\n": "0 false false",
		"5}\r\n": "0 false false", "{5} x\r\n": "0 false false", "{5+}+\r\n": "0 false false", "\r\n": "0 false false", "": "0 false false",
		"{99999999999999999999+}\r\n": "9223372036854775807 true true", "~{3+}\r\n": "3 true true", "{5-}\r\n": "0 false false",
	} {
		n, plus, ok := literalAt([]byte(line))
		if got := fmt.Sprint(n, plus, ok); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

// However the input is cut, the tracker hands out all of it, and never a byte
// of a literal together with its announcement.
func FuzzTracker(f *testing.F) {
	f.Add([]byte("a LOGIN {3+}\r\nabc {2}\r\nde\r\nb NOOP\r\n"), 1)
	f.Add([]byte("a APPEND INBOX {9+}\r\nx DELETE y\r\n{1+}\r\nz"), 5)
	f.Add([]byte("a APPEND {5000+}\r\n"), 100)
	f.Add(bytes.Repeat([]byte("x"), maxCommand+2), 4096)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var tr tracker
		var out []byte
		cut = max(1, cut%5000)
		for rest := in; len(rest) > 0; {
			b := rest[:min(cut, len(rest))]
			was := tr.state
			n, err := tr.take(b)
			if err != nil {
				return
			}
			if n <= 0 || n > len(b) {
				t.Fatalf("took %d of %d", n, len(b))
			}
			if was != inLiteral && was != announced {
				for i := range n - 1 {
					if _, _, ok := literalAt(append(bytes.Clone(out), b[:i+1]...)); ok && b[i] == '\n' {
						t.Fatalf("%q goes on behind a literal", b[:n])
					}
				}
			}
			out = append(out, b[:n]...)
			if tr.state == asked {
				tr.answered([]byte("+ go on\r\n"))
			}
			rest = rest[n:]
		}
		if !bytes.Equal(in, out) {
			t.Errorf("%q became %q", in, out)
		}
	})
}
