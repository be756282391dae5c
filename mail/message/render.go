package message

import "strconv"

// AppendEnvelope appends ENVELOPE as it goes on the wire, RFC 9051 §9 and RFC
// 3501 §9: what is not 7-bit is a literal, so that every client may have it,
// whatever it has enabled.
func (e *Envelope) AppendEnvelope(b []byte) []byte {
	b = append(b, '(')
	b = appendNString(b, e.Date)
	b = appendNString(append(b, ' '), e.Subject)
	for _, list := range [...][]Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		b = appendAddresses(append(b, ' '), list)
	}
	b = appendNString(append(b, ' '), e.InReplyTo)
	b = appendNString(append(b, ' '), e.MessageID)
	return append(b, ')')
}

// appendAddresses appends env-from and its like: NIL, or addresses without a
// space between.
func appendAddresses(b []byte, list []Address) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for _, a := range list {
		b = appendNString(append(b, '('), a.Name)
		b = appendNString(append(b, " NIL "...), a.Mailbox) // addr-adl is obsolete
		b = appendNString(append(b, ' '), a.Host)
		b = append(b, ')')
	}
	return append(b, ')')
}

// AppendStructure appends BODYSTRUCTURE, or BODY, which is without extension
// data, RFC 9051 §7.5.2. What the grammar cannot say is shown as a leaf: a
// multipart without parts as text, a message that was not looked into as bytes.
func (p *Part) AppendStructure(b []byte, extended bool) []byte {
	b = append(b, '(')
	if p.IsMultipart() {
		for i := range p.Children {
			b = p.Children[i].AppendStructure(b, extended)
		}
		b = AppendString(append(b, ' '), p.Subtype)
		if extended {
			b = appendParams(append(b, ' '), p.Params)
			b = p.appendExtension(b)
		}
		return append(b, ')')
	}
	b = p.appendLeaf(b, extended)
	if extended {
		b = appendNString(append(b, ' '), p.MD5)
		b = p.appendExtension(b)
	}
	return append(b, ')')
}

// leafType is the type that a part has as a leaf.
func (p *Part) leafType() (kind, subtype string, params []Param) {
	switch {
	case p.Type == "multipart":
		return "text", "plain", nil
	case !p.IsMessage() && p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global"):
		return "application", "octet-stream", p.Params
	}
	return p.Type, p.Subtype, p.Params
}

// appendLeaf appends body-type-basic, body-type-text or body-type-msg.
func (p *Part) appendLeaf(b []byte, extended bool) []byte {
	kind, subtype, params := p.leafType()
	b = AppendString(b, kind)
	b = AppendString(append(b, ' '), subtype)
	b = appendParams(append(b, ' '), params)
	b = appendNString(append(b, ' '), p.ID)
	b = appendNString(append(b, ' '), p.Description)
	b = AppendString(append(b, ' '), p.Encoding)
	b = appendNumber(b, p.Size())
	if p.IsMessage() {
		b = p.Envelope.AppendEnvelope(append(b, ' '))
		b = p.Children[0].AppendStructure(append(b, ' '), extended)
	}
	if kind == "text" || p.IsMessage() {
		b = appendNumber(b, p.Lines)
	}
	return b
}

// appendExtension appends body-fld-dsp, body-fld-lang and body-fld-loc.
func (p *Part) appendExtension(b []byte) []byte {
	if p.Disposition == "" {
		b = append(b, " NIL"...)
	} else {
		b = AppendString(append(b, " ("...), p.Disposition)
		b = appendParams(append(b, ' '), p.DispParams)
		b = append(b, ')')
	}
	if len(p.Language) == 0 {
		b = append(b, " NIL"...)
	} else {
		b = append(b, ' ')
		for i, tag := range p.Language {
			b = AppendString(append(b, "( "[min(i, 1)]), tag)
		}
		b = append(b, ')')
	}
	return appendNString(append(b, ' '), p.Location)
}

// appendParams appends body-fld-param. Of a name that comes twice the first
// counts.
func appendParams(b []byte, list []Param) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	for i, p := range list {
		if indexParam(list[:i], p.Name) >= 0 {
			continue
		}
		b = AppendString(append(b, "( "[min(i, 1)]), p.Name)
		b = AppendString(append(b, ' '), p.Value)
	}
	return append(b, ')')
}

// appendNumber appends a space and a number of 32 bits, which is all that BODY
// can say.
func appendNumber(b []byte, n int64) []byte {
	return strconv.AppendInt(append(b, ' '), min(max(n, 0), 1<<32-1), 10)
}

func appendNString(b []byte, s string) []byte {
	if s == "" {
		return append(b, "NIL"...)
	}
	return AppendString(b, s)
}

// AppendString appends s as a string of RFC 9051 §4.3: quoted if it is 7-bit
// and of one line, else as a literal. A NUL, which neither can hold, is left
// out.
func AppendString(b []byte, s string) []byte {
	start := len(b)
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 0x80 || c == '\r' || c == '\n' || c == 0:
			return appendLiteral(b[:start], s)
		case c == '"' || c == '\\':
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

func appendLiteral(b []byte, s string) []byte {
	n := 0
	for i := range len(s) {
		if s[i] != 0 {
			n++
		}
	}
	b = strconv.AppendInt(append(b, '{'), int64(n), 10)
	b = append(b, "}\r\n"...)
	for i := range len(s) {
		if s[i] != 0 {
			b = append(b, s[i])
		}
	}
	return b
}
