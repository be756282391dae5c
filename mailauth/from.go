package mailauth

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"homemail/mail"
	"homemail/mail/message"
)

// What a From field may hold. The door lets in one field.
const (
	maxFrom     = 8 << 10 // bytes
	maxLines    = 1000    // of a header: what message.Fields looks at
	maxAuthors  = 4       // domains whose policy is asked for
	maxComments = 32      // depth of comments
)

// A header is what of a message's header matters for its verdict.
type header struct {
	domains []string // of From, A-labels, without address literals
	bad     string   // why From cannot be relied on
	id      string   // Message-ID, to draw lots with
	listID  string   // of List-Id, lower case
	post    string   // the domain of List-Post's mailto
}

// noFrom is what is bad about a message that shows no author to anybody.
const noFrom = "no From field"

// readHeader reads a header; cut says that there was more of it.
func readHeader(b []byte, cut bool) header {
	var h header
	froms := 0
	for name, value := range message.Fields(b) {
		switch strings.ToLower(name) {
		case "from":
			if froms++; froms == 1 {
				h.domains, h.bad = fromDomains(value)
			}
		case "message-id":
			h.id = string(bytes.TrimSpace(value))
		case "list-id":
			h.listID = listID(value)
		case "list-post":
			h.post = mailtoDomain(value)
		}
	}
	switch {
	case froms == 0 && !cut:
		h.bad = noFrom
	case froms != 1:
		h.domains, h.bad = nil, "not one From field"
	case cut || bytes.Count(b, []byte{'\n'}) > maxLines:
		h.bad = "the header is too long" // who knows what else is in there
	}
	return h
}

// fromDomains returns the domains of the addresses in the value of a From
// field, RFC 5322 §3.6.2 and RFC 6854. The words outside of angle brackets may
// be anything: it is the address that counts. bad says why somebody else may
// read other addresses there.
func fromDomains(value []byte) (domains []string, bad string) {
	if len(value) > maxFrom {
		return nil, "From is too long"
	}
	r := fromReader{v: value, utf8: utf8.Valid(value)}
	for len(r.v) > 0 && r.bad == "" {
		r.step()
	}
	r.end()
	if len(r.domains) == 0 && !r.literal && r.bad == "" && bytes.IndexByte(value, '@') >= 0 {
		return nil, "From has no address, and something like one"
	}
	return r.domains, r.bad
}

// A fromReader reads addresses, one piece at a time.
type fromReader struct {
	v       []byte
	word    []byte // outside of angle brackets, without comments; quoted strings as a 'q'
	angle   []byte // within them
	in      bool   // within angle brackets
	seen    bool   // the address has had angle brackets
	utf8    bool   // the bytes over 127 are UTF-8
	domains []string
	literal bool // there is an address literal
	bad     string
}

// step reads one character, quoted string or comment.
func (r *fromReader) step() {
	c, n := r.v[0], r.letter(0)
	r.v = r.v[n:]
	switch {
	case n > 1:
		c = 'q'
	case c == '"':
		r.skipQuoted()
		c = 'q'
	case c == '(':
		r.skipComment()
		return
	case c == '<' && !r.in && !r.seen:
		r.in, r.seen = true, true
		return
	case c == '>' && r.in:
		r.in = false
		return
	case c == '<' || c == '>':
		r.bad = "From has angle brackets in a wrong place"
		return
	case !r.in && (c == ',' || c == ';'):
		r.end()
		return
	case !r.in && c == ':' && !r.seen && bytes.IndexByte(r.word, '@') < 0: // the name of a group
		r.word = r.word[:0]
		return
	}
	switch {
	case r.in:
		r.angle = append(r.angle, c)
	case r.seen && c != ' ' && c != '\t' && c != '\r' && c != '\n':
		r.bad = "From has words after an address"
	default:
		r.word = append(r.word, c)
	}
}

// letter returns how many bytes make up the letter at i. Japanese headers may
// be raw ISO-2022-JP, whose letters look like any ASCII, or Shift JIS, whose
// letters may end in a backslash.
func (r *fromReader) letter(i int) int {
	rest := r.v[i:]
	switch {
	case len(rest) < 2:
		return len(rest)
	case rest[0] == 0x1b && rest[1] == '$':
		if end := bytes.Index(rest, []byte("\x1b(")); end >= 0 {
			return min(end+3, len(rest))
		}
	case rest[1] == '\\' && rest[0] > 0x80 && (rest[0] < 0xa0 || rest[0] > 0xdf) && !r.utf8:
		return 2
	}
	return 1
}

func (r *fromReader) skipQuoted() {
	for i := 0; i < len(r.v); i += r.letter(i) {
		switch r.v[i] {
		case '\\':
			i++
		case '"':
			r.v = r.v[i+1:]
			return
		}
	}
	r.bad = "From has an open quoted string"
}

func (r *fromReader) skipComment() {
	depth := 1
	for i := 0; i < len(r.v); i += r.letter(i) {
		switch r.v[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			r.v = r.v[i+1:]
			return
		}
		if depth > maxComments {
			break
		}
	}
	r.bad = "From has an open comment"
}

// end adds the domain of an address that has been read. An address that stands
// in front of it as its name, without quotes, is one that readers may be shown:
// its domain is asked too.
func (r *fromReader) end() {
	word, angle := bytes.TrimSpace(r.word), bytes.TrimSpace(r.angle)
	if r.in {
		r.bad = "From has an open angle bracket"
	}
	seen := r.seen
	r.word, r.angle, r.in, r.seen = r.word[:0], r.angle[:0], false, false
	if !seen {
		r.add(word)
		return
	}
	r.add(angle)
	if at := bytes.LastIndexByte(word, '@'); at > 0 && r.bad == "" {
		if d, ok := domainOf(string(word[at+1:])); ok && isHost(d) && bytes.IndexByte(word[:at], '@') < 0 {
			r.add(word)
		}
	}
}

// add adds the domain of an address.
func (r *fromReader) add(addr []byte) {
	at := bytes.LastIndexByte(addr, '@')
	if at < 0 || r.bad != "" {
		return // no address, or one of this host only: nobody's name is taken
	}
	if bytes.IndexByte(addr[:at], '@') >= 0 && addr[0] != '@' { // a source route is RFC 5322 §4.4
		r.bad = "From has an address with two @"
		return
	}
	d, ok := domainOf(string(addr[at+1:]))
	switch {
	case !ok:
		r.bad = "From has an address without a proper domain"
	case d[0] == '[':
		r.literal = true
	case slices.Contains(r.domains, d):
	case len(r.domains) == maxAuthors:
		r.bad = "From has too many domains"
	default:
		r.domains = append(r.domains, d)
	}
}

// domainOf returns a domain in A-labels and lower case. White space around the
// dots is obs-domain, RFC 5322 §4.4.
func domainOf(s string) (string, bool) {
	pieces := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) })
	for i := 1; i < len(pieces); i++ {
		if !strings.HasSuffix(pieces[i-1], ".") && !strings.HasPrefix(pieces[i], ".") {
			return "", false
		}
	}
	p, err := mail.ParsePath("x@" + strings.TrimSuffix(strings.Join(pieces, ""), "."))
	return p.Domain(), err == nil
}

// listID returns the list-id of RFC 2919 §2; "" if there is none.
func listID(value []byte) string {
	open, end := bytes.LastIndexByte(value, '<'), bytes.LastIndexByte(value, '>')
	if open < 0 || end < open {
		return ""
	}
	id := strings.ToLower(string(bytes.TrimSpace(value[open+1 : end])))
	if !isHost(id) {
		return ""
	}
	return id
}

// mailtoDomain returns the domain of the first mailto URL, RFC 2369 §3.4.
func mailtoDomain(value []byte) string {
	const scheme = "<mailto:"
	i := bytes.Index(bytes.ToLower(value), []byte(scheme))
	if i < 0 {
		return ""
	}
	url, _, _ := bytes.Cut(value[i+len(scheme):], []byte{'>'})
	url, _, _ = bytes.Cut(url, []byte{'?'})
	_, domain, ok := bytes.Cut(url, []byte{'@'})
	if d, good := domainOf(string(domain)); ok && good {
		return d
	}
	return ""
}
