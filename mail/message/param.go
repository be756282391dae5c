package message

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

const maxToken = 127 // bytes of a type or a subtype, RFC 6838 §4.2

// readContentType reads RFC 2045 §5.1. A type that is not valid is text/plain,
// §5.2, but its parameters count: a charset helps whatever the type is.
func (p *Parser) readContentType(e *Part, value []byte) {
	sc := newScanner(value)
	kind, ok1 := p.token(&sc)
	var sub string
	ok2 := sc.skip('/')
	if ok2 {
		sub, ok2 = p.token(&sc)
	}
	if !ok1 || !ok2 {
		kind, sub = "text", "plain"
	}
	e.Type, e.Subtype = kind, sub
	sc.toSemicolon()
	e.Params = p.readParams(&sc, maxParams-len(e.DispParams))
}

// readDisposition reads RFC 2183 §2.
func (p *Parser) readDisposition(e *Part, value []byte) {
	sc := newScanner(value)
	kind, ok := p.token(&sc)
	switch {
	case !ok:
		return
	case sc.skip('='): // the type was forgotten
		kind, sc.i = "attachment", 0
	default:
		sc.toSemicolon()
	}
	e.Disposition = kind
	e.DispParams = p.readParams(&sc, maxParams-len(e.Params))
}

// readToken reads a field whose value is one token.
func (p *Parser) readToken(value []byte) (string, bool) {
	sc := newScanner(value)
	return p.token(&sc)
}

// readLanguages reads a list of tags, RFC 3282 §2.
func (p *Parser) readLanguages(value []byte) []string {
	sc := newScanner(value)
	var tags []string
	for len(tags) < maxLanguages {
		if tag := sc.token(); len(tag) > 0 {
			tags = append(tags, p.keepText(tag, maxToken))
		}
		if !sc.skip(',') {
			break
		}
	}
	return tags
}

// token reads a token in lower case; ok is false if it is none.
func (p *Parser) token(sc *scanner) (s string, ok bool) {
	t := sc.token()
	if len(t) == 0 || len(t) > maxToken {
		return "", false
	}
	for _, c := range t {
		if c <= ' ' || c > '~' {
			return "", false
		}
	}
	p.scratch = toLower(p.scratch[:0], t)
	return p.keepText(p.scratch, maxToken), true
}

// A segment is a parameter as written: name, name*, name*2 or name*2*, RFC
// 2231 §3 and §4.
type segment struct {
	Param
	number   int  // of a continuation, else -1
	extended bool // percent-encoded
}

// readParams reads at most room parameters, each name once.
func (p *Parser) readParams(sc *scanner, room int) []Param {
	var params []Param
	var segments []segment
	for n := 0; n < room; n++ {
		s, ok := p.readSegment(sc)
		if !ok {
			break
		}
		if s.number >= 0 || s.extended {
			segments = append(segments, s)
		} else if indexParam(params, s.Name) < 0 {
			params = append(params, s.Param)
		}
	}
	for _, s := range segments {
		if s.Name == "" { // was joined
			continue
		}
		value, ok := join(segments, s.Name)
		if i := indexParam(params, s.Name); !ok {
			continue
		} else if i >= 0 { // RFC 2231 beats the form for old readers, RFC 6266 §4.3
			params[i].Value = value
		} else {
			params = append(params, Param{s.Name, value})
		}
	}
	return params
}

// readSegment reads the next parameter, passing over what is none.
func (p *Parser) readSegment(sc *scanner) (s segment, ok bool) {
	for {
		for sc.skip(';') {
		}
		if !sc.more() {
			return s, false
		}
		name := sc.token()
		if len(name) == 0 || !sc.skip('=') {
			if !sc.toSemicolon() {
				return s, false
			}
			continue
		}
		s = p.segmentOf(name)
		p.scratch = sc.paramValue(p.scratch[:0])
		s.Value = p.keepText(p.scratch, maxValue)
		return s, true
	}
}

// segmentOf reads the stars of a parameter's name.
func (p *Parser) segmentOf(name []byte) segment {
	p.scratch = toLower(p.scratch[:0], name)
	base, rest, star := strings.Cut(string(p.scratch), "*")
	s := segment{Param: Param{Name: p.keepText([]byte(base), maxToken)}, number: -1}
	if !star {
		return s
	}
	digits, extended := strings.CutSuffix(rest, "*")
	if n, err := strconv.ParseUint(digits, 10, 7); err == nil {
		s.number, s.extended = int(n), extended
	} else {
		s.extended = rest == ""
	}
	return s
}

// join puts the segments of a name together and takes them out. They may come
// in any order, RFC 2231 §3.
func join(segments []segment, name string) (value string, ok bool) {
	var byNumber [maxParams]*segment
	var whole *segment
	for i := range segments {
		s := &segments[i]
		switch {
		case s.Name != name:
			continue
		case s.number < 0 && whole == nil:
			whole = s
		case s.number >= 0 && s.number < len(byNumber) && byNumber[s.number] == nil:
			byNumber[s.number] = s
		}
		s.Name = ""
	}
	if whole != nil {
		byNumber = [maxParams]*segment{whole}
	}
	var charset string
	var b []byte
	for i, s := range byNumber {
		if s == nil {
			break
		}
		text := s.Value
		if i == 0 && s.extended {
			charset, text = cutCharset(text)
		}
		if s.extended {
			b = appendPercent(b, text)
		} else {
			b = append(b, text...)
		}
	}
	if byNumber[0] == nil {
		return "", false
	}
	b = toUTF8(charset, b[:min(len(b), maxValue)])
	b = appendUnfolded(b[:0], b)
	return intern(b[:min(len(b), maxValue)]), true
}

// cutCharset cuts charset'language'text, RFC 2231 §4.
func cutCharset(s string) (charset, text string) {
	charset, rest, ok1 := strings.Cut(s, "'")
	_, text, ok2 := strings.Cut(rest, "'")
	if !ok1 || !ok2 {
		return "", s
	}
	return charset, text
}

func appendPercent(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b
}

// toUTF8 converts at most maxValue bytes; what it cannot convert stays.
func toUTF8(charset string, b []byte) []byte {
	if charset == "" || len(charset) > maxToken || equalFold(charset, "utf-8") || equalFold(charset, "us-ascii") {
		return b
	}
	enc, err := htmlindex.Get(charset)
	if err != nil || enc == encoding.Replacement {
		return b
	}
	u, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return b
	}
	return u
}

// param returns the value of a parameter, "" if there is none.
func param(params []Param, name string) string {
	if i := indexParam(params, name); i >= 0 {
		return params[i].Value
	}
	return ""
}

func indexParam(params []Param, name string) int {
	for i := range params {
		if params[i].Name == name {
			return i
		}
	}
	return -1
}

// toSemicolon passes over what stands before the next semicolon, and tells
// whether there is one.
func (sc *scanner) toSemicolon() bool {
	i := bytes.IndexByte(sc.v[sc.i:], ';')
	if i < 0 {
		sc.i = len(sc.v)
		return false
	}
	sc.i += i
	return true
}

// paramValue appends the value of a parameter to b. One without its quotes may
// have spaces in it, as in filename=my letter.pdf; it ends at a comment, and
// where another parameter follows whose semicolon was forgotten.
func (sc *scanner) paramValue(b []byte) []byte {
	sc.space()
	if b, ok := sc.quoted(b); ok {
		return b
	}
	if sc.more() && sc.v[sc.i] == '"' { // without an end
		sc.i++
	}
	start, next := sc.i, sc.i-1 // next: the ';' or '=' that comes, looked for once
	for sc.more() && sc.v[sc.i] != ';' {
		if !isSpace(sc.v[sc.i]) {
			sc.i += sc.letter(sc.i)
			continue
		}
		end := sc.i
		sc.space()
		commented := bytes.IndexByte(sc.v[end:sc.i], '(') >= 0
		if next < sc.i {
			next = sc.find(sc.i)
		}
		if commented || !sc.more() || next < len(sc.v) && sc.v[next] == '=' {
			return append(b, sc.v[start:end]...)
		}
	}
	return append(b, sc.v[start:sc.i]...)
}

// find returns the place of the first ';' or '=' from i on, or the end.
func (sc *scanner) find(i int) int {
	for i < len(sc.v) && sc.v[i] != ';' && sc.v[i] != '=' {
		i++
	}
	return i
}
