package message

import (
	"bytes"
	"unicode/utf8"
)

// What stands in an Address for what the header does not say: nothing may be
// empty that would make it the mark of a group. Clients know these words.
const (
	MissingMailbox = "MISSING_MAILBOX"
	MissingDomain  = "MISSING_DOMAIN"
)

// newScanner returns a scanner that knows whether value is UTF-8.
func newScanner(value []byte) scanner {
	return scanner{v: value, wide: !utf8.Valid(value)}
}

// An addressReader reads an address-list of RFC 5322 §3.4 as people and
// programs really write it: display names with '@' in them, dots anywhere in
// local parts, raw 8-bit text, the name in a comment, missing quotes.
type addressReader struct {
	scanner
	p    *Parser
	list []Address

	text    []byte // words of the mailbox, unquoted
	at      int    // place in text of the last '@' that no quotes hold, or -1
	blank   bool   // white space before the next word
	name    string // what stood before '<'
	comment []byte // the last one
	angle   state
	group   bool // inside a group
}

// A state tells where a reader is with the angle brackets of a mailbox.
type state int

const (
	before state = iota
	within
	after
)

// readAddresses appends the addresses of a field to list.
func (p *Parser) readAddresses(list []Address, value []byte) []Address {
	if p.addresses >= maxAddresses {
		return list
	}
	r := addressReader{scanner: newScanner(value), p: p, list: list, text: p.scratch[:0], at: -1}
	for r.more() && p.addresses < maxAddresses {
		r.step()
	}
	r.endMailbox()
	r.endGroup()
	p.scratch = r.text[:0]
	return r.list
}

// step reads one token.
func (r *addressReader) step() {
	c := r.v[r.i]
	if isSpace(c) {
		r.blank, r.i = true, r.i+1
		return
	}
	if text, ok := r.scanner.comment(); ok {
		r.comment, r.blank = text, true
		return
	}
	if r.angle == after && c != ',' && c != ';' { // nothing more is of use
		r.i += r.letter(r.i)
		return
	}
	if c == '"' && !r.noQuote {
		r.startWord()
		var ok bool
		if r.text, ok = r.quoted(r.text); ok {
			return
		}
	}
	if r.special(c) {
		r.i++
		return
	}
	r.startWord()
	n := r.letter(r.i)
	r.text = append(r.text, r.v[r.i:r.i+n]...)
	r.i += n
}

// startWord puts one space between words.
func (r *addressReader) startWord() {
	if r.blank && len(r.text) > 0 {
		r.text = append(r.text, ' ')
	}
	r.blank = false
}

// special acts on a byte that may have a meaning here.
func (r *addressReader) special(c byte) bool {
	route := r.angle == within && r.at == 0 // <@a,@b:c@d>, RFC 5322 §4.4
	switch {
	case c == '<' && r.angle == before:
		r.name = r.p.keepName(r.text)
		r.reset()
		r.angle = within
	case c == '>' && r.angle == within:
		r.angle = after
	case (c == ',' || c == ':') && route:
		r.reset()
	case c == ',':
		r.endMailbox()
	case c == ';':
		r.endMailbox()
		r.endGroup()
	case c == ':' && r.angle == before && r.at < 0 && !r.group:
		r.startGroup()
	case c == '@':
		r.at, r.blank = len(r.text), false
		r.text = append(r.text, c)
	default:
		return false
	}
	return true
}

func (r *addressReader) reset() { r.text, r.at, r.blank = r.text[:0], -1, false }

// endMailbox adds the mailbox that was read, if one was.
func (r *addressReader) endMailbox() {
	a := Address{Name: r.name}
	text := bytes.TrimSpace(r.text)
	switch {
	case r.at >= 0:
		a.Mailbox = r.p.keepName(r.text[:r.at])
		a.Host = r.p.keepHost(r.text[r.at+1:])
	case r.angle == before && bytes.IndexByte(text, ' ') >= 0:
		a.Name = r.p.keepName(text)
	default:
		a.Mailbox = r.p.keepName(text)
	}
	if a.Name == "" {
		a.Name = r.p.keepName(r.comment)
	}
	if a.Mailbox != "" || a.Host != "" || a.Name != "" && (r.angle != before || len(text) > 0) {
		if a.Mailbox == "" {
			a.Mailbox = MissingMailbox
		}
		if a.Host == "" {
			a.Host = MissingDomain
		}
		r.add(a)
	}
	r.reset()
	r.name, r.comment, r.angle = "", nil, before
}

// startGroup makes a group of the words so far, unless they have no text: the
// mark of its start would be that of an end.
func (r *addressReader) startGroup() {
	if name := r.p.keepName(r.text); name != "" {
		r.group = r.add(Address{Mailbox: name})
	}
	r.reset()
}

func (r *addressReader) endGroup() {
	if r.group {
		r.group = false
		r.add(Address{})
	}
}

// add keeps room for the end of a group that has begun, and begins none
// without it.
func (r *addressReader) add(a Address) bool {
	room := maxAddresses - r.p.addresses
	if r.group || a.Host == "" && a.Mailbox != "" {
		room--
	}
	if room < 1 {
		return false
	}
	r.list = append(r.list, a)
	r.p.addresses++
	return true
}

// keepHost keeps a domain without the white space of RFC 5322 §4.4.
func (p *Parser) keepHost(host []byte) string {
	if bytes.IndexByte(host, ' ') >= 0 {
		host = bytes.ReplaceAll(host, []byte{' '}, nil)
	}
	return p.keepName(host)
}
