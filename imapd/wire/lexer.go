// Package wire reads and writes the tokens of IMAP (RFC 9051 §4 and §9): atoms,
// strings, literals, numbers, sets, dates, lists and mailbox names. It streams:
// no more than one token is in memory, and each has a bound. It knows no
// command, no session and no store.
package wire

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// The bounds on what a client may send. RFC 7162 §4 and RFC 2683 §3.2.1.5 ask
// for lines of 8,192 bytes at least.
const (
	MaxCommand  = 64 << 10 // of a command with the literals in it, a message aside
	MaxArgument = 8 << 10  // of a string
	MaxRanges   = 10000    // of a set of numbers
	MaxList     = 2000     // elements of a list in parentheses
	MaxDepth    = 100      // of lists within lists, and of NOT and OR in SEARCH
	MaxDrain    = 4 << 10  // of literals that nobody wants: more of it ends the connection

	StrangerCommand  = 8 << 10 // before sign-in
	StrangerArgument = 2 << 10
)

// Errors that leave the stream in no state to go on from.
var (
	ErrTooLong = errors.New("command or literal is too long")
	ErrRefused = errors.New("a literal was refused")
)

// A SyntaxError says what is wrong with a command. It is fit for a BAD.
type SyntaxError string

func (e SyntaxError) Error() string { return string(e) }

// A Lexer reads the tokens of commands. The first error sticks: what is read
// after it is empty, so that a parser looks at Err once, at the end of its
// command. Skip goes on behind the command, whatever was wrong with it.
type Lexer struct {
	r       *bufio.Reader
	proceed func() error // asks for a synchronising literal, RFC 9051 §4.3

	// UTF8 says that mailbox names come in UTF-8 and not in modified UTF-7,
	// RFC 6855 §3.
	UTF8 bool

	limit    int // of a command
	argument int // of a string
	large    int // of a literal in this command, if more

	err   error // sticks until Next
	fatal error // sticks for ever
	used  int   // bytes of the command so far
	owed  int64 // bytes of a literal that was announced and not read
	depth int
	ended bool // the command's line end was read
	tail  []byte
}

// NewLexer returns a Lexer over r. Proceed asks the client for a synchronising
// literal; it has to reach the client before it returns.
func NewLexer(r *bufio.Reader, proceed func() error) *Lexer {
	l := &Lexer{r: r, proceed: proceed}
	l.Known(false)
	return l
}

// Reset goes on with another stream, behind a command.
func (l *Lexer) Reset(r *bufio.Reader) { l.r = r }

// Known says whether it is known who sends, and so how much that may be.
func (l *Lexer) Known(is bool) {
	l.limit, l.argument = StrangerCommand, StrangerArgument
	if is {
		l.limit, l.argument = MaxCommand, MaxArgument
	}
}

// Next begins a command.
func (l *Lexer) Next() {
	l.err, l.used, l.owed, l.depth, l.ended, l.large = l.fatal, 0, 0, 0, false, 0
}

// Large lets the literals of this command have up to n bytes.
func (l *Lexer) Large(n int) { l.large = n }

// Err returns the first error.
func (l *Lexer) Err() error { return l.err }

// Fail notes that the command is wrong; the first error stays.
func (l *Lexer) Fail(text string) {
	if l.err == nil {
		l.err = SyntaxError(text)
	}
}

func (l *Lexer) die(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	l.err, l.fatal = err, err
}

// Peek returns the next byte without taking it, 0 after an error.
func (l *Lexer) Peek() byte {
	if l.err != nil {
		return 0
	}
	b, err := l.r.Peek(1)
	if err != nil {
		l.die(err)
		return 0
	}
	return b[0]
}

// PeekAfterSpace returns the byte behind a space that comes next, 0 if there is
// none: some items have modifiers that other items are not told from.
func (l *Lexer) PeekAfterSpace() byte {
	if l.Peek() != ' ' || l.err != nil {
		return 0
	}
	b, err := l.r.Peek(2)
	if err != nil {
		l.die(err)
		return 0
	}
	return b[1]
}

func (l *Lexer) take() byte {
	if l.err != nil {
		return 0
	}
	c, err := l.r.ReadByte()
	if err != nil {
		l.die(err)
		return 0
	}
	if l.used++; l.used > l.limit {
		l.die(ErrTooLong)
		return 0
	}
	return c
}

// Accept takes c if it comes next.
func (l *Lexer) Accept(c byte) bool {
	if l.Peek() != c || l.err != nil {
		return false
	}
	l.take()
	return true
}

// Expect takes c, which must come next.
func (l *Lexer) Expect(c byte) bool {
	if !l.Accept(c) {
		l.Fail("Expected " + printable(c))
		return false
	}
	return true
}

func printable(c byte) string {
	switch {
	case c == ' ':
		return "a space"
	case c < ' ' || c > '~':
		return "the end of the line"
	}
	return "'" + string(rune(c)) + "'"
}

// SP takes the space between arguments.
func (l *Lexer) SP() bool { return l.Expect(' ') }

// AtEnd reports whether the line ends here.
func (l *Lexer) AtEnd() bool {
	c := l.Peek()
	return l.err != nil || c == '\r' || c == '\n'
}

// End takes the line end and reports whether the command was right. Some
// clients leave a space before it, or send LF without CR.
func (l *Lexer) End() bool {
	for l.Accept(' ') {
	}
	l.Accept('\r')
	if l.err == nil && l.Peek() != '\n' {
		l.Fail("Unexpected characters at the end of the command")
	}
	if l.err != nil {
		return false
	}
	l.take()
	l.ended = l.err == nil
	return l.err == nil
}

// Skip goes to the end of the command. Literals on the way are dropped, as
// long as they are small: a literal that was refused must not be read as
// commands (RFC 7888 §4).
func (l *Lexer) Skip() error {
	if l.fatal != nil {
		return l.fatal
	}
	l.err = nil
	for drained := int64(0); !l.ended; {
		if l.owed > 0 {
			if drained += l.owed; drained > MaxDrain {
				l.die(ErrRefused)
				return l.fatal
			}
			if _, err := io.CopyN(io.Discard, l.r, l.owed); err != nil {
				l.die(err)
				return l.fatal
			}
			l.owed = 0
		}
		line := l.restOfLine()
		if l.fatal != nil {
			return l.fatal
		}
		if n, plus, ok := LiteralAt(line); ok && plus {
			l.owed = n
			continue
		}
		l.ended = true
	}
	return nil
}

// restOfLine reads to the end of the line and returns its last bytes.
func (l *Lexer) restOfLine() []byte {
	const need = 32 // "{" and 20 digits and "+}" and the line end
	l.tail = l.tail[:0]
	for l.err == nil {
		c := l.take()
		if len(l.tail) == 2*need {
			l.tail = append(l.tail[:0], l.tail[need:]...)
		}
		l.tail = append(l.tail, c)
		if c == '\n' {
			break
		}
	}
	return l.tail
}

// Line reads the rest of the line: the answer to a challenge of AUTHENTICATE.
func (l *Lexer) Line() string {
	var b []byte
	for l.err == nil {
		c := l.take()
		if c == '\n' {
			l.ended = true
			break
		}
		b = append(b, c)
	}
	return strings.TrimSuffix(string(b), "\r")
}

// isAtomChar reports ATOM-CHAR of RFC 9051 §9.
func isAtomChar(c byte) bool {
	switch c {
	case '(', ')', '{', ' ', '%', '*', '"', '\\', ']':
		return false
	}
	return c > ' ' && c < 0x7f
}

func isTagChar(c byte) bool         { return isAtomChar(c) && c != '+' || c == ']' }
func isAStringChar(c byte) bool     { return isAtomChar(c) || c == ']' }
func isListChar(c byte) bool        { return isAStringChar(c) || c == '%' || c == '*' }
func isDigit(c byte) bool           { return '0' <= c && c <= '9' }
func isKeywordChar(c byte) bool     { return isAtomChar(c) && c != '[' || c == ']' }
func isBase64(c byte) bool          { return isAtomChar(c) }
func isWordChar(c byte) bool        { return isAtomChar(c) && c != '[' && c != '<' && c != '>' }
func isPrintableQuoted(c byte) bool { return c != '\r' && c != '\n' && c != 0 }

// run takes bytes of a class; there must be one.
func (l *Lexer) run(class func(byte) bool, what string) string {
	var b []byte
	for l.err == nil && class(l.Peek()) {
		if b = append(b, l.take()); len(b) > l.argument {
			l.die(ErrTooLong)
		}
	}
	if l.err != nil {
		return ""
	}
	if len(b) == 0 {
		l.Fail("Expected " + what)
	}
	return string(b)
}

// Tag reads a command's tag.
func (l *Lexer) Tag() string { return l.run(isTagChar, "a tag") }

// Atom reads an atom.
func (l *Lexer) Atom() string { return l.run(isAtomChar, "an atom") }

// Base64 reads the initial response of AUTHENTICATE.
func (l *Lexer) Base64() string { return l.run(isBase64, "a response in base64") }

// Word reads a name of the protocol, in upper case. It ends before brackets.
func (l *Lexer) Word() string { return strings.ToUpper(l.run(isWordChar, "a name")) }

// Flag reads a flag or a keyword, RFC 9051 §2.3.2.
func (l *Lexer) Flag() string {
	if l.Accept('\\') {
		return `\` + l.run(isKeywordChar, "a flag")
	}
	return l.run(isKeywordChar, "a flag")
}

// List reads a list in parentheses, and calls fn for each element. It may be
// empty.
func (l *Lexer) List(fn func()) {
	if !l.Expect('(') {
		return
	}
	if l.depth++; l.depth > MaxDepth {
		l.Fail("Nested too deep")
	}
	for n := 0; l.err == nil && !l.Accept(')'); n++ {
		if n > 0 {
			l.SP()
		}
		if n >= MaxList {
			l.Fail("The list is too long")
		}
		if l.err == nil {
			fn()
		}
	}
	l.depth--
}

// Deeper bounds the nesting of what a parser reads by calling itself. It
// reports whether to go on; then the parser calls Shallower when it is done.
func (l *Lexer) Deeper() bool {
	if l.depth >= MaxDepth {
		l.Fail("Nested too deep")
		return false
	}
	l.depth++
	return true
}

// Shallower ends what Deeper began.
func (l *Lexer) Shallower() { l.depth-- }
