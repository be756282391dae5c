package smtpd

import (
	"mime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"homemail/mail"
	"homemail/mail/message"
)

// An author makes the account the author of a message that says another: for
// scanners and their kin, which write as scanner@localhost or as nobody at all.
// Whom it said before gets the replies, if mail can reach them.
type author struct {
	by   *Login
	owns func(mail.AccountID, mail.Path) bool

	count   int      // From fields
	replies bool     // there is a Reply-To
	others  []string // whom From said
}

const (
	maxOthers = 5   // of whom replies go to
	maxPhrase = 100 // bytes of a display name that we write
	maxWords  = 400 // bytes of one that has encoded words, which cannot be cut
	softLine  = 78  // octets in a line, RFC 5322 §2.1.1
)

// addresses reads a field of addresses.
func addresses(field []byte) *message.Envelope {
	p := message.NewParser()
	p.Write(field)
	p.Write([]byte("\r\n\r\n"))
	return &p.Structure().Envelope
}

// owned reports whether all of list are the account's.
func (a *author) owned(list []message.Address) bool {
	for _, x := range list {
		p, err := mail.ParsePath(x.Mailbox + "@" + x.Host)
		if err != nil || !a.owns(a.by.Account, p) {
			return false
		}
	}
	return len(list) > 0
}

// sender drops a Sender that is not the account's: with an author of ours it
// would be a stranger who speaks for us.
func (a *author) sender(field []byte) []byte {
	if a.owned(addresses(field).Sender) {
		return field
	}
	return nil
}

// from is the From field as it should be.
func (a *author) from(field []byte) []byte {
	list := addresses(field).From
	if a.owned(list) {
		return field
	}
	name := ""
	for _, x := range list {
		if x.Host == message.MissingDomain && x.Name == "" && x.Mailbox != message.MissingMailbox {
			x.Name = x.Mailbox // "From: Scanner"
		}
		if name == "" && x.Host != "" {
			name = x.Name
		}
		if reply := routable(x); reply != "" && len(a.others) < maxOthers {
			a.others = append(a.others, reply)
		}
	}
	return a.field(nil, name)
}

// field appends a From field that says the account, under a name.
func (a *author) field(b []byte, name string) []byte {
	if name = phrase(name); name == "" {
		name = phrase(a.by.Device)
	}
	b = append(append(b, "From: "...), name...)
	address := "<" + a.by.Address.Wire() + ">"
	switch last := name[strings.LastIndexByte(name, '\n')+1:]; {
	case name == "":
	case len("From: ")+len(last)+1+len(address) > softLine:
		b = append(b, "\r\n "...)
	default:
		b = append(b, ' ')
	}
	return append(append(b, address...), "\r\n"...)
}

// missing appends what the header lacks at its end.
func (a *author) missing(b []byte) []byte {
	if a.count == 0 {
		b = a.field(b, "")
	}
	if len(a.others) > 0 && !a.replies {
		b = append(append(append(b, "Reply-To: "...), strings.Join(slices.Compact(a.others), ",\r\n ")...), "\r\n"...)
	}
	return b
}

// homeNames are top-level domains that mean nothing outside a house: RFC 2606,
// RFC 6762, RFC 8375, and what routers make up.
var homeNames = []string{"localhost", "local", "localdomain", "lan", "home", "internal", "intranet", "corp", "invalid", "arpa"}

// routable returns an address if mail can reach it, and a header can hold it,
// from anywhere; else "".
func routable(x message.Address) string {
	p, err := mail.ParsePath(x.Mailbox + "@" + x.Host)
	if err != nil || !isASCII(p.Wire()) {
		return ""
	}
	domain := p.Domain()
	last := domain[strings.LastIndexByte(domain, '.')+1:]
	if last == domain || strings.HasPrefix(domain, "[") || slices.Contains(homeNames, last) {
		return ""
	}
	return p.Wire()
}

// phrase writes a display name, RFC 5322 §3.2.5: as it is if it has encoded
// words (RFC 2047), else quoted or encoded. It is "" if nothing is left of it.
func phrase(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
	words := strings.Fields(name)
	name = strings.Join(words, " ")
	switch {
	case name == "":
		return ""
	case strings.Contains(name, "=?") && len(name) <= maxWords && isASCII(name) && !strings.ContainsAny(name, `()<>@,;:\"[]`):
		return strings.Join(words, "\r\n ")
	case isASCII(name):
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(cut(name)) + `"`
	}
	// The Q encoding of package mime leaves commas as they are, against §5 (3).
	return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", cut(name)), "?= =?", "?=\r\n =?")
}

// cut shortens a name, between its runes.
func cut(name string) string {
	if len(name) <= maxPhrase {
		return name
	}
	n := maxPhrase
	for !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}
