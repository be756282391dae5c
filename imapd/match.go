package imapd

import "strings"

// maxPattern bounds a LIST pattern: names have at most 1000 bytes.
const maxPattern = 1024

// A pattern is a mailbox name with wildcards, RFC 9051 §6.3.9: "*" stands for
// anything, "%" for anything without a hierarchy separator.
type pattern string

// newPattern puts a reference and a pattern together and drops wildcards that
// add nothing.
func newPattern(ref, p string) pattern {
	var b strings.Builder
	s := ref + p
	if strings.HasPrefix(p, "/") {
		s = p[1:]
	}
	for i := 0; i < len(s); i++ {
		n := b.Len()
		if n > 0 && isWild(s[i]) && isWild(b.String()[n-1]) {
			run := b.String()
			if s[i] == '*' && run[n-1] == '%' { // "%*" is "*"
				b.Reset()
				b.WriteString(run[:n-1] + "*")
			}
			continue
		}
		b.WriteByte(s[i])
	}
	return pattern(b.String())
}

func isWild(c byte) bool { return c == '*' || c == '%' }

// match reports whether a name fits. It follows all the places of the pattern
// that the name read so far may have led to, so that its time is at most the
// product of the lengths, whatever the pattern is.
func (p pattern) match(name string) bool {
	if len(p) > maxPattern {
		return false
	}
	if strings.EqualFold(name, "INBOX") { // in any case, RFC 9051 §5.1
		p, name = pattern(strings.ToUpper(string(p))), "INBOX"
	}
	at := make([]bool, len(p)+1) // at[i]: p[:i] fits what was read
	p.reach(at, 0)
	next := make([]bool, len(p)+1)
	for i := 0; i < len(name); i++ {
		clear(next)
		for j, ok := range at[:len(p)] {
			switch c := p[j]; {
			case !ok:
			case c == '*' || c == '%' && name[i] != '/':
				p.reach(next, j)
			case c == name[i] && c != '%':
				p.reach(next, j+1)
			}
		}
		at, next = next, at
	}
	return at[len(p)]
}

// reach marks place i, and what follows if a wildcard stands for nothing.
func (p pattern) reach(at []bool, i int) {
	for !at[i] {
		at[i] = true
		if i == len(p) || !isWild(p[i]) {
			return
		}
		i++
	}
}
