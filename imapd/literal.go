package imapd

import (
	"bytes"
	"errors"
	"math"
	"strconv"
)

const (
	// maxCommand bounds a command without its literals. The library gives up at
	// 50 KiB and reads what is left as the next command: we must be first.
	maxCommand = 48 << 10
	// maxArgument bounds a literal that is no message. The library refuses a
	// larger one and goes on in the middle of it: we must be first here too.
	maxArgument = 4096
	// maxHead is how much of a command is kept to tell APPEND from the others.
	maxHead = 128
)

var errTooLong = errors.New("command or literal too long")

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
	head  []byte // start of the command, as far as its first literal
	lits  int    // literals of the command so far
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
		lit, err := t.endLine()
		if lit || err != nil || n == len(b) {
			return n, err
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
		t.state = inLine
		t.next()
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

// next begins a command.
func (t *tracker) next() { t.used, t.lits, t.head = 0, 0, t.head[:0] }

// keep remembers the start of the command and the end of the line.
func (t *tracker) keep(b []byte) {
	if t.lits == 0 && len(t.head) < maxHead {
		t.head = append(t.head, b[:min(len(b), maxHead-len(t.head))]...)
	}
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
func (t *tracker) endLine() (lit bool, err error) {
	size, plus, lit := literalAt(t.tail)
	t.tail = t.tail[:0]
	if !lit {
		t.next()
		return false, nil
	}
	if size > maxArgument && !t.message() {
		return true, errTooLong
	}
	t.lits++
	t.size, t.state = size, asked
	if plus {
		t.state = announced
	}
	return true, nil
}

// message reports whether the literal that the line announces is the message
// of an APPEND: it is not if it comes first, where the mailbox is.
func (t *tracker) message() bool {
	f := bytes.Fields(t.head)
	return len(f) > 2 && bytes.EqualFold(f[1], []byte("APPEND")) && (t.lits > 0 || f[2][0] != '{')
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
