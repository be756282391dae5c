package imapd

import (
	"bytes"
	"errors"
	"math"
	"strconv"
)

// maxCommand bounds a command without its literals. The library gives up at
// 50 KiB and reads what is left as the next command: we must be first.
const maxCommand = 48 << 10

var errTooLong = errors.New("command line too long")

// A tracker follows the client's bytes closely enough to tell a literal
// (RFC 9051 §4.3) from commands. The library answers NO or BAD to a literal it
// does not want, but when that was a non-synchronising one (RFC 7888) its bytes
// are already on their way and would be run as commands: a message that says
// "x DELETE INBOX" in its body would do so. The tracker hands out no byte of a
// literal together with what announced it, so that an answer given before the
// literal was asked for is known to be a refusal.
type tracker struct {
	state trackerState
	size  int64  // of the literal that was announced
	left  int64  // of the literal that is being read
	used  int    // bytes of the command so far
	tail  []byte // end of the line so far, as much as a literal's announcement needs
}

type trackerState int

const (
	inLine    trackerState = iota
	announced              // {n+} was read: its bytes follow whatever we say
	asked                  // {n} was read: its bytes follow if we say "+"
	inLiteral
)

// take returns how many of the bytes in b may be handed out in one go.
func (t *tracker) take(b []byte) (int, error) {
	if t.state == announced { // nothing was said against it
		t.begin()
	}
	if t.state == inLiteral {
		n := min(int64(len(b)), t.left)
		t.left -= n
		if t.left == 0 {
			t.state = inLine
		}
		return int(n), nil
	}
	for n := 0; ; {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			t.keep(b[n:])
			return len(b), t.grow(len(b) - n)
		}
		t.keep(b[n : n+i+1])
		if err := t.grow(i + 1); err != nil {
			return n, err
		}
		n += i + 1
		if t.endLine() || n == len(b) {
			return n, nil
		}
	}
}

// answered notes that the server wrote p. It reports whether p refuses a
// literal that comes all the same.
func (t *tracker) answered(p []byte) (desync bool) {
	switch {
	case t.state == announced:
		return true
	case t.state == asked && len(p) > 0 && p[0] == '+':
		t.begin()
	case t.state == asked:
		t.state, t.used = inLine, 0
	}
	return false
}

// rest is how many bytes of the current literal are still to come.
func (t *tracker) rest() int64 {
	if t.state == announced {
		return t.size
	}
	if t.state == inLiteral {
		return t.left
	}
	return 0
}

func (t *tracker) begin() {
	t.state, t.left = inLiteral, t.size
	if t.left == 0 {
		t.state = inLine
	}
}

// keep remembers the end of the line.
func (t *tracker) keep(b []byte) {
	const need = 32 // "{" and 20 digits and "+} \r\n"
	if len(b) > need {
		b = b[len(b)-need:]
	}
	t.tail = append(t.tail, b...)
	if n := len(t.tail) - need; n > 0 {
		t.tail = append(t.tail[:0], t.tail[n:]...)
	}
}

func (t *tracker) grow(n int) error {
	if t.used += n; t.used > maxCommand {
		return errTooLong
	}
	return nil
}

// endLine reports whether the line announces a literal.
func (t *tracker) endLine() bool {
	size, plus, ok := literalAt(t.tail)
	t.tail = t.tail[:0]
	switch {
	case !ok:
		t.used = 0
	case plus:
		t.state, t.size = announced, size
	default:
		t.state, t.size = asked, size
	}
	return ok
}

// literalAt reads the {n} or {n+} at the end of a line, with what the library
// tolerates behind it: a space, and LF without CR.
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
	if err != nil { // out of range: the library will refuse it
		size = math.MaxInt64
	}
	return size, plus, true
}
