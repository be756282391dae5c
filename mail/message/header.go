package message

import (
	"bytes"
	"iter"
)

// Fields yields the name, as written, and the raw value of every field of a
// header, to its blank line if it has one. A value keeps its folding but not
// its last line ending. Lines that are no field are passed over. At most 256
// KiB and 1,000 lines are looked at.
func Fields(header []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		h := firstLines(header)
		for len(h) > 0 {
			name, value, rest := nextField(h)
			if name == nil || !yield(string(name), value) {
				return
			}
			h = rest
		}
	}
}

// HasField reports whether a header has a field of that name, in any case.
func HasField(header []byte, name string) bool {
	for n := range Fields(header) {
		if equalFold(n, name) {
			return true
		}
	}
	return false
}

func firstLines(h []byte) []byte {
	h = wholeLines(h[:min(len(h), maxHeader)])
	n := 0
	for range maxHeaderLines {
		i := bytes.IndexByte(h[n:], '\n')
		if i < 0 {
			return h
		}
		n += i + 1
	}
	return h[:n]
}

// wholeLines leaves out the last line of a header that was cut off.
func wholeLines(h []byte) []byte {
	if len(h) < maxHeader {
		return h
	}
	return h[:bytes.LastIndexByte(h, '\n')+1]
}

// nextField reads a field from the start of h; name is nil if there is none
// before the blank line or the end.
func nextField(h []byte) (name, value, rest []byte) {
	for len(h) > 0 {
		field, rest := h, []byte(nil)
		if n := fieldLength(h); n < len(h) {
			field, rest = h[:n], h[n:]
		}
		field = trimEOL(field)
		if len(field) == 0 {
			return nil, nil, nil
		}
		if name, value, ok := cutField(field); ok {
			return name, value, rest
		}
		h = rest
	}
	return nil, nil, nil
}

// fieldLength returns the length of a line and those that continue it.
func fieldLength(h []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(h[n:], '\n')
		if i < 0 {
			return len(h)
		}
		n += i + 1
		if n == len(h) || h[n] != ' ' && h[n] != '\t' {
			return n
		}
	}
}

func trimEOL(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

// cutField cuts at the colon. White space before it is obs-optional, RFC 5322
// §4.5.
func cutField(field []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(field, []byte{':'})
	name = bytes.TrimRight(name, " \t")
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return nil, nil, false
		}
	}
	return name, value, ok && len(name) > 0
}

// readHeader reads the header that was kept into e and its envelope.
func (p *Parser) readHeader(e *entity) {
	var env *Envelope
	top := len(p.stack) == 1
	switch {
	case top:
		env = &p.s.Envelope
	case e.message:
		env = new(Envelope)
		p.stack[len(p.stack)-2].Envelope = env
	}
	var lower [32]byte
	for h := wholeLines(p.header); len(h) > 0; {
		name, value, rest := nextField(h)
		if name == nil {
			break
		}
		h = rest
		if len(name) > len(lower) {
			continue
		}
		key := toLower(lower[:0], name)
		p.readMIME(&e.Part, key, value)
		if env != nil {
			p.readEnvelope(env, key, value)
		}
		if top {
			p.readTrace(key, value)
		}
	}
	e.setDefaults(len(p.stack) > 1 && !e.message && p.stack[len(p.stack)-2].Subtype == "digest")
	if env != nil {
		env.setDefaults()
	}
}

// readTrace takes what deliveries want to know of the top header.
func (p *Parser) readTrace(name, value []byte) {
	switch string(name) {
	case "received":
		p.s.Received++
	case "delivered-to":
		if len(p.s.Delivered) < maxDelivered {
			p.s.Delivered = append(p.s.Delivered, p.keepName(value))
		}
	case "from":
		p.s.HasFrom++
	case "x-spam-flag":
		p.s.Junk = p.s.Junk || bytes.EqualFold(bytes.TrimSpace(value), []byte("yes"))
	}
}

// readMIME takes the fields of RFC 2045, RFC 2183, RFC 1864, RFC 3282 and RFC
// 2557. Of a field that comes twice the first counts.
func (p *Parser) readMIME(e *Part, name, value []byte) {
	switch string(name) {
	case "content-type":
		if e.Type == "" {
			p.readContentType(e, value)
		}
	case "content-transfer-encoding":
		if e.Encoding == "" {
			e.Encoding, _ = p.readToken(value)
		}
	case "content-disposition":
		if e.Disposition == "" {
			p.readDisposition(e, value)
		}
	case "content-id":
		p.keepFirst(&e.ID, value)
	case "content-description":
		p.keepFirst(&e.Description, value)
	case "content-md5":
		p.keepFirst(&e.MD5, value)
	case "content-location":
		p.keepFirst(&e.Location, value)
	case "content-language":
		if e.Language == nil {
			e.Language = p.readLanguages(value)
		}
	}
}

// setDefaults says what a part is that does not say it, RFC 2045 §5.2 and RFC
// 2046 §5.1.5.
func (e *entity) setDefaults(digest bool) {
	if e.Type == "" {
		e.Type, e.Subtype = "text", "plain"
		if digest {
			e.Type, e.Subtype = "message", "rfc822"
		}
	}
	if e.Encoding == "" {
		e.Encoding = "7bit"
	}
}

func (p *Parser) keepFirst(s *string, value []byte) {
	if *s == "" {
		*s = p.keep(value)
	}
}

// keep returns an unfolded value: no CR, LF or NUL, no white space around it.
func (p *Parser) keep(value []byte) string {
	value = value[:min(len(value), 2*maxValue)]
	return p.keepText(bytes.Trim(value, " \t\r\n\x00"), maxValue)
}

// keepName is keep for a name, a local part or a domain.
func (p *Parser) keepName(value []byte) string {
	value = value[:min(len(value), 2*maxName)]
	return p.keepText(bytes.Trim(value, " \t\r\n\x00"), maxName)
}

// keepText keeps the white space around the value too.
func (p *Parser) keepText(value []byte, most int) string {
	if bytes.IndexByte(value, '\n') >= 0 || bytes.IndexByte(value, '\r') >= 0 || bytes.IndexByte(value, 0) >= 0 {
		p.unfolded = appendUnfolded(p.unfolded[:0], value)
		value = p.unfolded
	}
	value = value[:min(len(value), most)]
	if p.text+len(value) > maxText {
		return ""
	}
	p.text += len(value)
	return intern(value)
}

func appendUnfolded(b, value []byte) []byte {
	for _, c := range value {
		if c != '\r' && c != '\n' && c != 0 {
			b = append(b, c)
		}
	}
	return b
}

// toLower appends s in ASCII lower case to b.
func toLower(b, s []byte) []byte {
	for _, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// equalFold compares in ASCII: no letter beyond it equals one within.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
