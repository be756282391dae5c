package imapd

import (
	"bytes"
	"io"
	"strings"

	"github.com/emersion/go-imap/v2"

	"homemail/mail/message"
)

// headerMax bounds the header bytes that are looked at for HEADER.FIELDS and
// SEARCH. BODY[HEADER] has no bound: it is not looked at.
const headerMax = 1 << 20

// A region is a run of bytes of a message.
type region struct{ at, end int64 }

func (r region) size() int64 { return max(r.end-r.at, 0) }

// partial cuts what <offset.size> asks for, RFC 9051 §6.4.5.
func (r region) partial(p *imap.SectionPartial) region {
	if p == nil {
		return r
	}
	at := r.at + min(max(p.Offset, 0), r.size())
	return region{at, at + min(max(p.Size, 0), max(r.end-at, 0))}
}

// A layout tells where the parts of a message are: its structure counts from
// behind the prefix, whose lines are the first of the top header.
type layout struct {
	root   *message.Part
	prefix int64
	size   int64 // of prefix and blob
}

func (l layout) header(p *message.Part) region {
	if p == l.root {
		return region{0, l.prefix + p.BodyAt}
	}
	return region{l.prefix + p.HeaderAt, l.prefix + p.BodyAt}
}

func (l layout) body(p *message.Part) region {
	if p == l.root {
		return region{l.prefix + p.BodyAt, l.size}
	}
	return region{l.prefix + p.BodyAt, l.prefix + p.End}
}

// part finds a part by its number, RFC 9051 §6.4.5.1; nil if there is none. The
// only part of a message that is no multipart has the number 1.
func (l layout) part(path []int) *message.Part {
	p, entity := l.root, true // entity: p is a message's root, which has no number yet
	for _, n := range path {
		if !entity && p.IsMessage() { // numbers go on inside
			p, entity = &p.Children[0], true
		}
		switch {
		case p.IsMultipart() && 1 <= n && n <= len(p.Children):
			p = &p.Children[n-1]
		case entity && !p.IsMultipart() && n == 1:
		default:
			return nil
		}
		entity = false
	}
	return p
}

// section finds the bytes of BODY[...], except for HEADER.FIELDS, of which it
// gives the whole header. A section that does not exist is empty.
func (l layout) section(s *imap.FetchItemBodySection) region {
	p := l.part(s.Part)
	if p == nil {
		return region{}
	}
	if len(s.Part) == 0 {
		switch s.Specifier {
		case imap.PartSpecifierHeader:
			return l.header(p)
		case imap.PartSpecifierText:
			return l.body(p)
		case imap.PartSpecifierMIME: // needs a part
			return region{}
		}
		return region{0, l.size}
	}
	switch s.Specifier {
	case imap.PartSpecifierMIME:
		return l.header(p)
	case imap.PartSpecifierHeader, imap.PartSpecifierText: // of a message within
		if !p.IsMessage() {
			return region{}
		}
		if s.Specifier == imap.PartSpecifierHeader {
			return l.header(&p.Children[0])
		}
		return l.body(&p.Children[0])
	}
	return l.body(p)
}

// readHeader reads a header, or as much of it as is looked at.
func readHeader(r io.ReaderAt, where region) ([]byte, error) {
	b := make([]byte, min(where.size(), headerMax))
	n, err := r.ReadAt(b, where.at)
	if n == len(b) {
		err = nil
	}
	return b[:n], err
}

// headerFields picks fields out of a header as they are, RFC 9051 §6.4.5.1
// HEADER.FIELDS, or all but those. The blank line is there in any case.
func headerFields(header []byte, names []string, not bool) []byte {
	want := make(map[string]bool, len(names))
	for _, n := range names {
		want[strings.ToLower(n)] = true
	}
	var out []byte
	eachField(header, func(name string, field []byte) {
		if want[strings.ToLower(name)] != not {
			out = append(out, field...)
		}
	})
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return append(out, "\r\n"...)
}

// eachField calls fn for every field of a header, with its folded lines. A line
// that is no field has no name. The header ends at an empty line.
func eachField(header []byte, fn func(name string, field []byte)) {
	for len(header) > 0 {
		end := endOfLine(header)
		if len(bytes.TrimRight(header[:end], "\r\n")) == 0 {
			return
		}
		for end < len(header) && (header[end] == ' ' || header[end] == '\t') {
			end += endOfLine(header[end:])
		}
		field := header[:end]
		header = header[end:]
		name, _, ok := bytes.Cut(field, []byte(":"))
		if name = bytes.TrimRight(name, " \t"); !ok || bytes.ContainsAny(name, " \t\r\n") {
			name = nil
		}
		fn(string(name), field)
	}
}

// endOfLine is the index behind the first line of b.
func endOfLine(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}
