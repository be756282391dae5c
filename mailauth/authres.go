package mailauth

import (
	"bytes"
	"strings"

	"golang.org/x/net/idna"

	"homemail/mail"
)

// What an Authentication-Results payload may hold.
const (
	maxPayload    = 16 << 10 // bytes
	maxStatements = 50
	maxProperties = 20
)

// A payload is the value of an Authentication-Results field, RFC 8601 §2.2.
type payload struct {
	id         string // authserv-id, lower case
	statements []statement
}

// A statement is what one method found.
type statement struct {
	method, result string            // lower case
	properties     map[string]string // "header.d" to its value
}

// parsePayload reads a payload with comments, quoted strings and folding;
// false if it is none or too long.
func parsePayload(value []byte) (payload, bool) {
	if len(value) > maxPayload {
		return payload{}, false
	}
	r := resultReader{v: value}
	id, ok := r.value()
	if !ok || r.bad {
		return payload{}, false
	}
	p := payload{id: strings.ToLower(id)}
	if version, ok := r.value(); ok && version != "1" {
		return payload{}, false
	}
	for r.take(';') && len(p.statements) < maxStatements {
		if s, ok := r.statement(); ok {
			p.statements = append(p.statements, s)
		}
	}
	r.skip()
	return p, !r.bad && len(r.v) == 0
}

// A resultReader reads a payload from its start.
type resultReader struct {
	v   []byte
	bad bool // a comment or a quoted string is open
}

// skip passes over white space and comments.
func (r *resultReader) skip() {
	for len(r.v) > 0 {
		switch r.v[0] {
		case ' ', '\t', '\r', '\n':
			r.v = r.v[1:]
		case '(':
			f := fromReader{v: r.v[1:]}
			f.skipComment()
			if f.bad != "" {
				r.bad, r.v = true, nil
				return
			}
			r.v = f.v
		default:
			return
		}
	}
}

// take passes over a character if it is next.
func (r *resultReader) take(c byte) bool {
	r.skip()
	if len(r.v) == 0 || r.v[0] != c {
		return false
	}
	r.v = r.v[1:]
	return true
}

// value reads a token of RFC 2045 §5.1, with the '/', '@' and ':' that names
// and addresses may hold, or a quoted string.
func (r *resultReader) value() (string, bool) {
	r.skip()
	if len(r.v) > 0 && r.v[0] == '"' {
		return r.quoted()
	}
	n := 0
	for n < len(r.v) && r.v[n] > ' ' && r.v[n] != 0x7f && !strings.ContainsRune(`()<>,;\"=`, rune(r.v[n])) {
		n++
	}
	s := string(r.v[:n])
	r.v = r.v[n:]
	return s, n > 0
}

func (r *resultReader) quoted() (string, bool) {
	var b strings.Builder
	for i := 1; i < len(r.v); i++ {
		switch c := r.v[i]; {
		case c == '"':
			r.v = r.v[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(r.v):
			i++
			b.WriteByte(r.v[i])
		case c != '\r' && c != '\n':
			b.WriteByte(c)
		}
	}
	r.bad, r.v = true, nil
	return "", false
}

// statement reads up to the next semicolon. What it cannot read there it
// passes over, but never over a semicolon.
func (r *resultReader) statement() (statement, bool) {
	s := statement{properties: make(map[string]string)}
	for first := true; ; first = false {
		r.skip()
		if len(r.v) == 0 || r.v[0] == ';' {
			break
		}
		name, ok := r.value()
		if !ok {
			r.v = r.v[min(1, len(r.v)):] // a character that means nothing here, or the end
			continue
		}
		if !r.take('=') {
			continue
		}
		value, ok := r.value()
		if r.v0() == '=' { // base64 and such, without quotes
			for len(r.v) > 0 && r.v[0] == '=' {
				r.v = r.v[1:]
			}
		}
		name = strings.ToLower(name)
		switch {
		case !ok:
		case first:
			s.method, _, _ = strings.Cut(name, "/") // its version
			s.result = strings.ToLower(value)
		case len(s.properties) < maxProperties:
			if _, twice := s.properties[name]; !twice {
				s.properties[name] = value
			}
		}
	}
	return s, s.method != ""
}

func (r *resultReader) v0() byte {
	if len(r.v) == 0 {
		return 0
	}
	return r.v[0]
}

// vouches reports whether an ARC-Authentication-Results field says that mail
// from the domain of From passed: DMARC did, or SPF or DKIM in line with it.
func vouches(value, domain string) bool {
	instance, rest, _ := strings.Cut(value, ";") // RFC 8617 §4.1.1
	if name, _, _ := strings.Cut(instance, "="); strings.TrimSpace(name) != "i" {
		return false
	}
	p, ok := parsePayload([]byte(rest))
	if !ok {
		return false
	}
	for _, s := range p.statements {
		if s.result != string(mail.ResultPass) {
			continue
		}
		var about []string
		switch s.method {
		case "dmarc":
			about = []string{"header.from"}
		case "dkim":
			about = []string{"header.d", "header.i"}
		case "spf":
			about = []string{"smtp.mailfrom"}
		}
		for _, name := range about {
			value, said := s.properties[name]
			d, ok := domainOf(value[strings.LastIndexByte(value, '@')+1:])
			if said && ok && aligned(d, domain, false) {
				return true
			}
		}
	}
	return false
}

// Forged reports whether an Authentication-Results field, by its raw value,
// claims to be ours: the authserv-id is host in any case. The door drops such
// fields, RFC 8601 §5. What cannot be read and names host anywhere does too:
// who knows how others read it.
func Forged(value []byte, host string) bool {
	host = hostKey(host)
	if host == "" {
		return false
	}
	r := resultReader{v: value}
	id, ok := r.value()
	if ok && !r.bad {
		id, _, _ = strings.Cut(id, "/") // a version, written as for methods
		return hostKey(id) == host
	}
	return bytes.Contains(bytes.ToLower(value), []byte(host))
}

// hostKey is the form in which two authserv-ids are compared.
func hostKey(s string) string {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if a, err := idna.Lookup.ToASCII(s); err == nil {
		return a
	}
	return s
}
