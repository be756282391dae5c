package wire

import (
	"bytes"
	"io"
	"math"
	"strconv"
)

// A Literal is a literal's announcement: its bytes are still to come.
type Literal struct {
	Size   int64
	Plus   bool // non-synchronising, RFC 7888: its bytes come whatever we say
	Binary bool // literal8, RFC 3516 §4.4
}

// Literal reads the announcement of a literal, with its line end. Its bytes are
// then read by Body, or dropped by Skip.
func (l *Lexer) Literal() (lit Literal) {
	lit.Binary = l.Accept('~')
	l.Expect('{')
	lit.Size = l.number(math.MaxInt64)
	lit.Plus = l.Accept('+')
	l.Expect('}')
	l.Accept('\r')
	if l.err == nil && l.Peek() != '\n' {
		l.Fail("Expected the end of the line")
	}
	if l.err != nil {
		return Literal{}
	}
	l.take()
	if lit.Plus {
		l.owed = lit.Size
	} else {
		l.ended = true // unless we ask for it, nothing more comes
	}
	return lit
}

// Body asks for the bytes of a literal, if that is needed, and returns a reader
// of just these. The caller reads all of them, or the connection ends.
func (l *Lexer) Body(lit Literal) io.Reader {
	if l.err == nil && !lit.Plus {
		if err := l.proceed(); err != nil {
			l.die(err)
		}
		l.ended = false
	}
	l.owed = 0
	if l.err != nil {
		return bytes.NewReader(nil)
	}
	return &body{l, lit.Size}
}

type body struct {
	l    *Lexer
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.l.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil {
		b.l.die(err)
		err = b.l.err
	}
	return n, err
}

// literal reads a literal that is an argument.
func (l *Lexer) literal() string {
	lit := l.Literal()
	if l.err != nil {
		return ""
	}
	if lit.Size > int64(max(l.argument, l.large)) {
		l.Fail("The literal is too long")
		return ""
	}
	if l.used += int(lit.Size); l.used > l.limit {
		l.die(ErrTooLong)
		return ""
	}
	b, err := io.ReadAll(l.Body(lit)) // grows with what comes, not with what is announced
	if err != nil || l.err != nil {
		return ""
	}
	if !lit.Binary && bytes.IndexByte(b, 0) >= 0 {
		l.Fail("NUL needs a literal8") // RFC 9051 §4.3
		return ""
	}
	return string(b)
}

// quoted reads a quoted string, which may hold UTF-8 (RFC 9051 §4.3).
func (l *Lexer) quoted() string {
	l.Expect('"')
	var b []byte
	for l.err == nil {
		c := l.take()
		if c == '"' {
			return string(b)
		}
		if c == '\\' {
			if c = l.take(); c != '"' && c != '\\' {
				l.Fail("Only a quote or a backslash may follow a backslash")
			}
		}
		if !isPrintableQuoted(c) {
			l.Fail("Unfinished quoted string")
			l.ended = c == '\n'
		}
		if b = append(b, c); len(b) > l.argument {
			l.die(ErrTooLong)
		}
	}
	return ""
}

// Text reads a quoted string or a literal.
func (l *Lexer) Text() string {
	switch l.Peek() {
	case '"':
		return l.quoted()
	case '{', '~':
		return l.literal()
	}
	l.Fail("Expected a string")
	return ""
}

// AString reads an atom or a string.
func (l *Lexer) AString() string {
	if c := l.Peek(); c == '"' || c == '{' {
		return l.Text()
	}
	return l.run(isAStringChar, "a string")
}

// NString reads a string or NIL, which is not ok.
func (l *Lexer) NString() (s string, ok bool) {
	if c := l.Peek(); c == '"' || c == '{' || c == '~' {
		return l.Text(), true
	}
	if l.Word() != "NIL" {
		l.Fail("Expected a string or NIL")
	}
	return "", false
}

// Pattern reads a pattern of LIST.
func (l *Lexer) Pattern() string {
	if c := l.Peek(); c == '"' || c == '{' {
		return l.name(l.Text())
	}
	return l.name(l.run(isListChar, "a mailbox pattern"))
}

// Mailbox reads a mailbox's name and returns it in UTF-8.
func (l *Lexer) Mailbox() string { return l.name(l.AString()) }

func (l *Lexer) name(s string) string {
	if l.err != nil {
		return ""
	}
	name, ok := DecodeName(s, l.UTF8)
	if !ok {
		l.Fail("Bad mailbox name")
	}
	return name
}

// LiteralAt reads the {n} or {n+} at the end of a line (RFC 9051, section 4.3), with
// what is tolerated behind it: a space, and LF without CR.
func LiteralAt(line []byte) (size int64, plus, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	line = bytes.TrimSuffix(line, []byte(" "))
	line, ok = bytes.CutSuffix(line, []byte("}"))
	if !ok {
		return 0, false, false
	}
	line, plus = bytes.CutSuffix(line, []byte("+"))
	i := len(line)
	for i > 0 && isDigit(line[i-1]) {
		i--
	}
	if i == len(line) || i == 0 || line[i-1] != '{' {
		return 0, false, false
	}
	size, err := strconv.ParseInt(string(line[i:]), 10, 64)
	if err != nil {
		size = math.MaxInt64
	}
	return size, plus, true
}
