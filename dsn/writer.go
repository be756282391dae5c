package dsn

import (
	"bytes"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"homemail/mail/message"
)

const (
	foldAt   = 76  // RFC 5322 §2.1.1: 78 with CRLF's place to spare
	longWord = 900 // a word that is longer is cut, to keep a line within maxLine
)

// A writer writes header fields. Whatever it is given, each field ends where it
// should, and it is ASCII unless utf8 is set.
type writer struct {
	bytes.Buffer
	utf8 bool
}

func (w *writer) raw(s string) { w.WriteString(s) }

// line writes a field on one line: for what is made of addresses and tokens.
func (w *writer) line(name, value string) {
	value = w.safe(value)
	w.raw(name + ": " + value[:runeEnd(value, maxLine-len(name)-2)] + "\r\n")
}

// field writes a field that may be folded where it has spaces.
func (w *writer) field(name, value string) {
	w.raw(name + ":")
	n := len(name) + 1
	for word := range strings.FieldsSeq(w.safe(value)) {
		for word != "" {
			piece := word[:runeEnd(word, longWord)]
			word = word[len(piece):]
			if n+1+len(piece) > foldAt && n > 1 {
				w.raw("\r\n")
				n = 0
			}
			w.raw(" " + piece)
			n += 1 + len(piece)
		}
	}
	w.raw("\r\n")
}

// words writes a field of words, encoded if they are not ASCII, RFC 2047.
func (w *writer) words(name, value string) {
	encoded := mime.BEncoding.Encode("utf-8", clean(value, 200))
	w.raw(name + ": " + strings.ReplaceAll(encoded, "?= =?", "?=\r\n =?") + "\r\n")
}

// safe makes any string fit for a field's value.
func (w *writer) safe(s string) string {
	s = clean(s, 8<<10)
	if w.utf8 {
		return s
	}
	return toASCII(s)
}

// copyHeader writes the fields of a stranger's header, as they are if they hold
// to the rules, and never those that name hidden recipients.
func (w *writer) copyHeader(header []byte) {
	for name, value := range message.Fields(header) {
		if w.Len() > maxReturn {
			return
		}
		switch {
		case strings.EqualFold(name, "Bcc") || strings.EqualFold(name, "Resent-Bcc") || len(name) > foldAt:
		case w.isValue(len(name)+1, value):
			w.raw(name + ":")
			w.Write(value)
			w.raw("\r\n")
		default:
			w.field(name, string(value))
		}
	}
}

// isValue reports whether a raw value can be copied: folded by CRLF only, no
// line empty or too long, no control characters. The name takes n octets.
func (w *writer) isValue(n int, value []byte) bool {
	if !isASCII(string(value)) && (!w.utf8 || !utf8.Valid(value)) {
		return false
	}
	for i, line := range bytes.Split(value, []byte("\r\n")) {
		if i > 0 && (len(bytes.TrimSpace(line)) == 0 || line[0] != ' ' && line[0] != '\t') || n+len(line) > maxLine {
			return false
		}
		n = 0
		for _, c := range line {
			if c < ' ' && c != '\t' || c == 0x7f {
				return false
			}
		}
	}
	return true
}

// isMail reports whether a body holds to RFC 5322 §2.3: CR and LF only as a
// pair, no line too long, no NUL, and ASCII unless eightBit.
func isMail(body []byte, eightBit bool) bool {
	if bytes.IndexByte(body, 0) >= 0 || !eightBit && !isASCII(string(body)) {
		return false
	}
	for line := range bytes.SplitSeq(body, []byte("\r\n")) {
		if len(line) > maxLine || bytes.ContainsAny(line, "\r\n") {
			return false
		}
	}
	return true
}

// cutHeader cuts a message at its first blank line.
func cutHeader(b []byte) (header, body []byte) {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return nil, b[2:]
	}
	header, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return b, nil
	}
	return b[:len(header)+2], body
}

// clean makes a line that can be shown: valid UTF-8 of at most so many bytes,
// no controls, nothing that turns the direction of what follows.
func clean(s string, most int) string {
	cut := len(s) > most
	if cut {
		s = s[:runeEnd(s, most)]
	}
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\t' || c == '\r' || c == '\n' || c == '\u2028' || c == '\u2029':
			return ' '
		case unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c):
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "\ufffd"))
	s = strings.TrimSpace(s)
	if cut {
		s += "…"
	}
	return s
}

func toASCII(s string) string {
	if isASCII(s) {
		return s
	}
	return strings.Map(func(c rune) rune {
		if c >= utf8.RuneSelf {
			return '?'
		}
		return c
	}, strings.ReplaceAll(s, "…", "..."))
}

// runeEnd returns where to cut s so that it has at most n bytes, and at least
// one, and no rune is cut.
func runeEnd(s string, n int) int {
	if len(s) <= n {
		return len(s)
	}
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return n // no UTF-8 anyway
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
