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

// However the input is cut, the same literals are announced, and nothing is
// handed out together with what announces them.
func FuzzTracker(f *testing.F) {
	f.Add([]byte("a LOGIN {3+}\r\nabc {2}\r\nde\r\nb NOOP\r\n"), 5)
	f.Add([]byte("a APPEND INBOX {9+}\r\nx DELETE y\r\n{1+}\r\nz"), 7)
	f.Add([]byte("a APPEND {5000+}\r\n"), 100)
	f.Add([]byte("{1} \n{0}\n"), 3)
	f.Add(bytes.Repeat([]byte("x"), maxCommand+2), 4096)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		one, oneErr := announcements(t, in, 1)
		many, manyErr := announcements(t, in, 2+max(0, cut%5000))
		if fmt.Sprint(one) != fmt.Sprint(many) || (oneErr == nil) != (manyErr == nil) {
			t.Errorf("byte by byte %v, %v; in pieces %v, %v", one, oneErr, many, manyErr)
		}
	})
}

// announcements are the places where something is said or not said to a
// literal: a synchronising one is always accepted.
func announcements(t *testing.T, in []byte, cut int) (at []int, err error) {
	var tr tracker
	for n := 0; n < len(in); {
		m, err := tr.take(in[n:min(n+cut, len(in))])
		if err != nil {
			return at, err
		}
		if m <= 0 {
			t.Fatal("nothing was taken")
		}
		n += m
		if tr.state == asked || tr.state == announced {
			at = append(at, n)
		}
		if tr.state == asked {
			tr.answered([]byte("+ go on\r\n"))
		}
	}
	return at, nil
}
