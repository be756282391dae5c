package bridge

import (
	"fmt"
	"strings"
)

// A lexer follows the responses of an IMAP server, RFC 3501 §9, before the
// client reads them. The client's parser goes as deep as a server wants, and
// takes minutes for a megabyte of brackets; and where it meets something that
// is no IMAP, it may see other lines and literals than we do. So what is too
// deep or could be read in two ways ends the connection.
type lexer struct {
	head    []byte // the start of the line, which tells its kind
	kind    lineKind
	depth   int
	quoted  bool
	escaped bool
	code    codeState
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
)

// A codeState is about the [response code] of a text line.
type codeState int

const (
	noCode codeState = iota
	codeMayStart
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
	headMax    = 40        // "T4294967295 PREAUTH " and more
	literalMax = 1 << 40
)

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
		return l.begin(kindOf(l.head))
	}
	if l.kind == textLine {
		l.text(c)
		return nil
	}
	return l.data(c)
}

// begin takes the start of a line once its kind is known.
func (l *lexer) begin(kind lineKind) error {
	l.kind = kind
	switch kind {
	case textLine:
		l.code = codeMayStart
	case dataLine:
		for _, c := range l.head {
			if err := l.data(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// kindOf tells what line starts with head. Only a status that is complete, and
// a continuation request, is text.
func kindOf(head []byte) lineKind {
	if head[0] == '+' {
		return textLine
	}
	f := strings.SplitN(string(head), " ", 3)
	switch {
	case len(f) < 3 && len(head) < headMax:
		return unknownLine
	case len(f) < 3 || f[0] == "":
		return dataLine
	}
	switch strings.ToUpper(f[1]) {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return textLine
	}
	return dataLine
}

// text follows a status. Its response code ends where it can be seen to end.
func (l *lexer) text(c byte) {
	switch {
	case l.code == codeMayStart && c == '[':
		l.code = inCode
	case l.code == codeMayStart, l.code == inCode && c == ']':
		l.code = noCode
	}
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
		if l.depth++; l.depth > depthMax {
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
		kind := kindOf([]byte(strings.TrimSuffix(string(l.head), "\r") + " "))
		if kind == unknownLine {
			kind = dataLine
		}
		if err := l.begin(kind); err != nil {
			return err
		}
	}
	switch {
	case l.quoted, l.code == inCode:
		return fmt.Errorf("%w: a line ends within a string or a code", errProtocol)
	case l.mark == markClosed:
		l.skip, l.mark = l.size, noMark
		return nil
	}
	*l = lexer{head: l.head[:0]}
	return nil
}
