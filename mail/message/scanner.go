package message

// A scanner reads the tokens of a structured field, RFC 5322 §3.2. It is
// tolerant, and linear: that a comment, a quoted string or a double-byte text
// does not end is found out once, then its opening is a letter like others.
type scanner struct {
	v []byte
	i int

	wide                         bool // not UTF-8: mind letters of two bytes whose second is ASCII
	noComment, noQuote, noEscape bool // none ends
}

func (sc *scanner) more() bool { return sc.i < len(sc.v) }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// space skips white space and comments.
func (sc *scanner) space() {
	for sc.more() {
		if isSpace(sc.v[sc.i]) {
			sc.i++
		} else if _, ok := sc.comment(); !ok {
			return
		}
	}
}

// comment reads a comment, with those in it, and returns what is between its
// brackets.
func (sc *scanner) comment() (text []byte, ok bool) {
	if sc.noComment || !sc.more() || sc.v[sc.i] != '(' {
		return nil, false
	}
	depth := 0
	for j := sc.i; j < len(sc.v); j++ {
		switch sc.v[j] {
		case '(':
			depth++
		case ')':
			depth--
		case '\\':
			j++
		default:
			j += sc.letter(j) - 1
		}
		if depth == 0 {
			text, sc.i = sc.v[sc.i+1:j], j+1
			return text, true
		}
	}
	sc.noComment = true
	return nil, false
}

// quoted appends the meaning of a quoted string to b.
func (sc *scanner) quoted(b []byte) ([]byte, bool) {
	if sc.noQuote || !sc.more() || sc.v[sc.i] != '"' {
		return b, false
	}
	start := len(b)
	for j := sc.i + 1; j < len(sc.v); {
		c, n := sc.v[j], sc.letter(j)
		switch {
		case c == '"':
			sc.i = j + 1
			return b, true
		case c == '\\' && j+1 < len(sc.v):
			j++
			n = 1
		}
		b = append(b, sc.v[j:j+n]...)
		j += n
	}
	sc.noQuote = true
	return b[:start], false
}

// letter returns the length of the letter at j: one byte, two if it is of
// Shift_JIS, or a whole run of ISO-2022-JP (RFC 1468), whose bytes look like
// ASCII, up to its return to ASCII.
func (sc *scanner) letter(j int) int {
	c := sc.v[j]
	if sc.wide && j+1 < len(sc.v) && (c >= 0x81 && c <= 0x9f || c >= 0xe0 && c <= 0xfc) {
		if t := sc.v[j+1]; t >= 0x40 && t <= 0x7e {
			return 2
		}
	}
	if c != 0x1b || sc.noEscape || j+1 == len(sc.v) || sc.v[j+1] != '$' {
		return 1
	}
	for k := j + 2; k+2 < len(sc.v); k++ {
		if sc.v[k] == 0x1b && sc.v[k+1] == '(' {
			return k + 3 - j
		}
	}
	sc.noEscape = true
	return 1
}

// word reads ASCII letters after any space.
func (sc *scanner) word() []byte {
	sc.space()
	start := sc.i
	for sc.more() && (sc.v[sc.i]|0x20) >= 'a' && (sc.v[sc.i]|0x20) <= 'z' {
		sc.i++
	}
	return sc.v[start:sc.i]
}

// number reads at most nine digits after any space.
func (sc *scanner) number() (n int, ok bool) {
	sc.space()
	start := sc.i
	for sc.more() && sc.i-start < 9 && sc.v[sc.i] >= '0' && sc.v[sc.i] <= '9' {
		n = n*10 + int(sc.v[sc.i]-'0')
		sc.i++
	}
	return n, sc.i > start
}

// skip reads the byte c after any space.
func (sc *scanner) skip(c byte) bool {
	sc.space()
	if sc.more() && sc.v[sc.i] == c {
		sc.i++
		return true
	}
	return false
}

// token reads a token of RFC 2045 §5.1 after any space: no control, no space,
// none of the specials but those that follow a letter in real mail.
func (sc *scanner) token() []byte {
	sc.space()
	start := sc.i
	for sc.more() {
		switch c := sc.v[sc.i]; c {
		case '(':
			if sc.i == start {
				return nil
			}
		case ' ', '\t', '\r', '\n', ';', '"', '=', '/', ',', 0:
			return sc.v[start:sc.i]
		}
		sc.i++
	}
	return sc.v[start:]
}
