package imapd

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"testing"
)

// literalAt, of the tests' client, reads the {n} or {n+} at the end of a line, with what is
// tolerated behind it: a space, and LF without CR.
func literalAt(line []byte) (size int64, plus, ok bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	line = bytes.TrimSuffix(line, []byte(" "))
	line, ok = bytes.CutSuffix(line, []byte("}"))
	if !ok {
		return 0, false, false
	}
	line, plus = bytes.CutSuffix(line, []byte("+"))
	i := len(line)
	for i > 0 && '0' <= line[i-1] && line[i-1] <= '9' {
		i--
	}
	if i == len(line) || i == 0 || line[i-1] != '{' {
		return 0, false, false
	}
	size, err := strconv.ParseInt(string(line[i:]), 10, 64)
	if err != nil { // out of range
		size = math.MaxInt64
	}
	return size, plus, true
}

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
