package wire

import (
	"fmt"
	"testing"
)

func TestLiteralAt(t *testing.T) {
	for line, want := range map[string]string{
		"a LOGIN {5}\r\n": "5 false true", "{5+}\n": "5 true true", "x {12+} \r\n": "12 true true", "{}\r\n": "0 false false",
		"5}\r\n": "0 false false", "{5} x\r\n": "0 false false", "{5+}+\r\n": "0 false false", "\r\n": "0 false false", "": "0 false false",
		"{99999999999999999999+}\r\n": "9223372036854775807 true true", "~{3+}\r\n": "3 true true", "{5-}\r\n": "0 false false",
	} {
		n, plus, ok := LiteralAt([]byte(line))
		if got := fmt.Sprint(n, plus, ok); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}
