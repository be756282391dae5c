package imapd

import (
	"bytes"
	"math"
	"strconv"
)

// literalAt reads the {n} or {n+} at the end of a line, with what is
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
