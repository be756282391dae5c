package bridge

import (
	"fmt"
	"io"
	"strings"
)

// A lexer follows the responses of an IMAP server, RFC 3501 §9, before the
// client reads them. The client's parser goes as deep as a server wants, and
// takes minutes for a megabyte of brackets and for ever for one bracket behind
// CAPABILITY; and where it meets something that is no IMAP, it may see other
// lines and literals than we do. So what we have not asked for, what is too
// deep, and what could be read in two ways ends the connection.
type lexer struct {
	head    []byte // the start of the line, which tells its kind
	kind    lineKind
	flat    bool // no brackets at all
	depth   int
	quoted  bool
	escaped bool
	code    codeState
	name    []byte // of the code, up to what it can be
	mark    markState
	size    int64 // of the literal that is announced
	skip    int64 // octets of a literal that are still to come
	length  int   // of the line, without literals
}

type lineKind int

const (
	unknownLine lineKind = iota
	textLine             // a status with words for people
	dataLine             // parenthesised lists, strings, literals
	flatLine             // as that, without lists
	wrongLine            // nothing that we have asked for
)

// A codeState is about the [response code] of a text line.
type codeState int

const (
	noCode codeState = iota
	codeMayStart
	inName
	inCode
)

// A markState is how much of a literal's "{n}" was seen.
type markState int

const (
	noMark markState = iota
	markOpen
	markClosed
)

const (
	depthMax   = 10        // brackets; what we ask for has three
	lineMax    = 256 << 10 // a line of SEARCH may be long; a FETCH of ours has 300 octets
	headMax    = 40        // "* 4294967295 CAPABILITY " and more
	nameMax    = 20        // "CAPABILITY" and more
	literalMax = 1 << 40
)

// A sieve reads what a lexer lets through: no octet of a line before it is known
// what the line is.
type sieve struct {
	r    io.Reader
	lex  lexer
	buf  [16 << 10]byte
	seen []byte // part of buf that may be given out
	head []byte // what comes behind it, once its line is known
	err  error  // when all is given out
}

func (s *sieve) Read(p []byte) (int, error) {
	for len(s.seen) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		held := copy(s.buf[:], s.head)
		n, err := s.r.Read(s.buf[held:])
		if bad := s.lex.scan(s.buf[held : held+n]); bad != nil {
			s.err = bad
			return 0, bad
		}
		s.err, n = err, held+n
		known := n
		if s.lex.kind == unknownLine {
			known -= len(s.lex.head)
		}
		s.seen, s.head = s.buf[:known], append(s.head[:0], s.buf[known:n]...)
	}
	n := copy(p, s.seen)
	s.seen = s.seen[n:]
	return n, nil
}

// scan takes what comes next.
func (l *lexer) scan(p []byte) error {
	for len(p) > 0 {
		if l.skip > 0 {
			n := min(l.skip, int64(len(p)))
			l.skip -= n
			p = p[n:]
			continue
		}
		if err := l.octet(p[0]); err != nil {
			return err
		}
		p = p[1:]
	}
	return nil
}

func (l *lexer) octet(c byte) error {
	if l.length++; l.length > lineMax {
		return fmt.Errorf("%w: an endless line", errProtocol)
	}
	if c == '\n' {
		return l.end()
	}
	if l.kind == unknownLine {
		l.head = append(l.head, c)
		return l.begin(kindOf(string(l.head)))
	}
	if l.kind == textLine {
		return l.text(c)
	}
	return l.data(c)
}

// begin takes the start of a line once its kind is known.
func (l *lexer) begin(kind lineKind) error {
	l.kind = kind
	switch kind {
	case wrongLine:
		return fmt.Errorf("%w: %.40q was not asked for", errProtocol, l.head)
	case textLine:
		l.code = codeMayStart
	case dataLine, flatLine:
		l.flat = kind == flatLine
		for _, c := range l.head {
			if err := l.data(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// kindOf tells what line starts with head, once it holds the words that say it.
func kindOf(head string) lineKind {
	if head[0] == '+' { // a continuation request
		return textLine
	}
	f := strings.Split(head, " ")
	words := f[:len(f)-1] // the last is not complete
	number := len(words) > 1 && strings.Trim(words[1], "0123456789") == "" && words[1] != ""
	switch {
	case len(words) < 2 || number && len(words) < 3:
		if len(head) < headMax {
			return unknownLine
		}
		return wrongLine
	case number && words[0] == "*":
		switch strings.ToUpper(words[2]) {
		case "FETCH":
			return dataLine
		case "EXISTS", "RECENT", "EXPUNGE":
			return flatLine
		}
		return wrongLine
	}
	switch strings.ToUpper(words[1]) {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		if words[0] != "" {
			return textLine
		}
	case "LIST", "FLAGS":
		if words[0] == "*" {
			return dataLine
		}
	case "CAPABILITY":
		if words[0] == "*" {
			return flatLine
		}
	}
	return wrongLine
}

// text follows a status. Its response code ends where it can be seen to end.
func (l *lexer) text(c byte) error {
	switch l.code {
	case codeMayStart:
		l.code = noCode
		if c == '[' {
			l.code = inName
		}
	case inName, inCode:
		if c == ']' {
			l.code = noCode
			break
		}
		if l.code == inName && c != ' ' && c != '(' && len(l.name) < nameMax {
			l.name = append(l.name, c)
			break
		}
		l.code = inCode
		if c == '(' && strings.EqualFold(string(l.name), "CAPABILITY") {
			return fmt.Errorf("%w: a bracket among capabilities", errProtocol)
		}
	}
	return nil
}

// data follows lists, strings and the marks of literals.
func (l *lexer) data(c byte) error {
	if l.quoted {
		switch {
		case l.escaped:
			l.escaped = false
		case c == '\\':
			l.escaped = true
		case c == '"':
			l.quoted = false
		}
		return nil
	}
	switch {
	case c == '{':
		l.mark, l.size = markOpen, 0
		return nil
	case l.mark == markOpen && '0' <= c && c <= '9':
		if l.size = l.size*10 + int64(c-'0'); l.size > literalMax {
			return fmt.Errorf("%w: a literal beyond reason", errProtocol)
		}
		return nil
	case l.mark == markOpen && c == '}':
		l.mark = markClosed
		return nil
	case l.mark == markClosed && (c == ' ' || c == '\r'): // as the client's parser has it
		return nil
	}
	l.mark = noMark
	switch c {
	case '"':
		l.quoted = true
	case '(':
		if l.depth++; l.depth > depthMax || l.flat {
			return fmt.Errorf("%w: %d brackets deep", errProtocol, l.depth)
		}
	case ')':
		l.depth = max(l.depth-1, 0)
	}
	return nil
}

// end is the end of a line, or what a literal stands behind.
func (l *lexer) end() error {
	if l.kind == unknownLine && len(l.head) > 0 { // a short one: "* OK" alone is a status
		kind := kindOf(strings.TrimSuffix(string(l.head), "\r") + " ")
		if kind == unknownLine {
			kind = wrongLine
		}
		if err := l.begin(kind); err != nil {
			return err
		}
	}
	switch {
	case l.quoted, l.code == inName, l.code == inCode:
		return fmt.Errorf("%w: a line ends within a string or a code", errProtocol)
	case l.mark == markClosed:
		l.skip, l.mark = l.size, noMark
		return nil
	}
	*l = lexer{head: l.head[:0]}
	return nil
}
