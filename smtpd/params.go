package smtpd

import (
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
)

// cutPath takes a reverse-path or forward-path and its parameters apart,
// RFC 5321 §4.1.2: word, "<", maybe a source route, the mailbox, ">". The
// route is passed over (appendix C); the mailbox is not looked at.
func cutPath(arg, word string) (mailbox, params string, ok bool) {
	if len(arg) < len(word) || !strings.EqualFold(arg[:len(word)], word) {
		return "", "", false
	}
	arg = strings.TrimLeft(arg[len(word):], " ") // no space belongs here, but many send one
	if arg == "" || arg[0] != '<' {
		return "", "", false
	}
	end := closing(arg)
	if end < 0 {
		return "", "", false
	}
	mailbox, params = arg[1:end], arg[end+1:]
	if params != "" && params[0] != ' ' {
		return "", "", false
	}
	if strings.HasPrefix(mailbox, "@") {
		if _, mailbox, ok = strings.Cut(mailbox, ":"); !ok || mailbox == "" {
			return "", "", false
		}
	}
	return mailbox, params, true
}

// closing finds the ">" that ends a path, which is none within quotes.
func closing(path string) int {
	quoted := false
	for i := 1; i < len(path); i++ {
		switch ch := path[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case ch == '>' && !quoted:
			return i
		}
	}
	return -1
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func badParam(name string) reply {
	return reply{code: 501, status: "5.5.4", text: "Bad value of " + name}
}

// eachParam calls fn for every parameter, and refuses those given twice and
// those that fn does not know.
func eachParam(params string, fn func(name, value string) (known, good bool)) reply {
	var seen [16]string
	n := 0
	for word := range strings.FieldsSeq(params) {
		name, value, _ := strings.Cut(word, "=")
		name = strings.ToUpper(name)
		for _, s := range seen[:n] {
			if s == name {
				return reply{code: 501, status: "5.5.4", text: "A parameter is given twice"}
			}
		}
		known, good := fn(name, value)
		if !known || n == len(seen) {
			return reply{code: 555, status: "5.5.4", text: "Unknown parameter"} // RFC 5321 §4.1.1.11
		}
		if !good {
			return badParam(name)
		}
		seen[n] = name
		n++
	}
	return ok
}

// mailParams notes the parameters of MAIL.
func (c *conn) mailParams(t *transaction, params string) reply {
	if params == "" {
		return ok
	}
	e := &t.env
	return eachParam(params, func(name, value string) (known, good bool) {
		switch name {
		case "SIZE": // RFC 1870
			var err error
			if t.size, err = strconv.ParseInt(value, 10, 64); err != nil && digits(value) {
				t.size, err = 1<<63-1, nil // too big is another reply
			}
			return true, err == nil && t.size >= 0
		case "BODY": // RFC 6152, RFC 3030
			e.Body = mail.BodyType(strings.ToUpper(value))
			return true, e.Body == mail.Body7Bit || e.Body == mail.Body8Bit || e.Body == mail.BodyBinary
		case "SMTPUTF8": // RFC 6531
			e.UTF8 = true
			return true, value == ""
		case "REQUIRETLS": // RFC 8689
			e.RequireTLS = true
			return c.tls != nil, value == ""
		case "RET": // RFC 3461 §4.3
			e.Return = strings.ToUpper(value)
			return true, e.Return == "FULL" || e.Return == "HDRS"
		case "ENVID": // RFC 3461 §4.4
			e.EnvelopeID = value
			return true, len(value) <= 100 && isXtext(value)
		case "AUTH": // RFC 4954 §5; we trust nobody's word on it
			return true, isXtext(value)
		}
		return false, false
	})
}

// rcptParams notes the parameters of RCPT.
func rcptParams(r *mail.Recipient, params string) reply {
	if params == "" {
		return ok
	}
	return eachParam(params, func(name, value string) (known, good bool) {
		switch name {
		case "NOTIFY": // RFC 3461 §4.1
			r.Notify = strings.Split(strings.ToUpper(value), ",")
			return true, goodNotify(r.Notify)
		case "ORCPT": // RFC 3461 §4.2, RFC 6533 §3
			kind, address, found := strings.Cut(value, ";")
			r.Original = value
			return true, found && kind != "" && address != "" && len(value) <= 500
		}
		return false, false
	})
}

func goodNotify(words []string) bool {
	for i, w := range words {
		switch w {
		case "NEVER":
			if len(words) > 1 {
				return false
			}
		case "SUCCESS", "FAILURE", "DELAY":
			for _, before := range words[:i] {
				if before == w {
					return false
				}
			}
		default:
			return false
		}
	}
	return true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isXtext reports whether s is an xtext, RFC 3461 §4.
func isXtext(s string) bool {
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '+':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
			i += 2
		case ch < '!' || ch > '~' || ch == '=':
			return false
		}
	}
	return s != ""
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

// newID makes the id of a message: the time, so that ids sort, then chance.
func newID(t time.Time) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz" // no i, l, o, u: ids are read out on the telephone
	var random [6]byte
	rand.Read(random[:])
	var id [15]byte
	ms := t.UnixMilli()
	for i := 8; i >= 0; i-- {
		id[i] = alphabet[ms&31]
		ms >>= 5
	}
	for i, b := range random {
		id[9+i] = alphabet[b&31]
	}
	return string(id[:])
}
