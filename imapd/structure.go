package imapd

import (
	"strconv"

	"homemail/imapd/wire"
	"homemail/mail/message"
)

// A renderer writes ENVELOPE and BODYSTRUCTURE as the record has them.
type renderer struct {
	utf8     bool // strings may be UTF-8, RFC 6855 §3
	extended bool // BODYSTRUCTURE, not BODY
}

// envelope is ENVELOPE, RFC 9051 §7.5.2.
func (r renderer) envelope(b []byte, e *message.Envelope) []byte {
	b = append(b, '(')
	b = r.str(b, e.Date)
	b = append(b, ' ')
	b = r.str(b, e.Subject)
	sender, replyTo := e.Sender, e.ReplyTo
	if len(sender) == 0 {
		sender = e.From
	}
	if len(replyTo) == 0 {
		replyTo = e.From
	}
	for _, list := range [...][]message.Address{e.From, sender, replyTo, e.To, e.Cc, e.Bcc} {
		b = append(b, ' ')
		b = r.addresses(b, list)
	}
	b = append(b, ' ')
	b = r.str(b, e.InReplyTo)
	b = append(b, ' ')
	b = r.str(b, e.MessageID)
	return append(b, ')')
}

func (r renderer) str(b []byte, s string) []byte { return wire.AppendNString(b, s, r.utf8) }

func (r renderer) addresses(b []byte, list []message.Address) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for _, a := range list {
		b = append(b, '(')
		b = r.str(b, a.Name)
		b = append(b, " NIL "...)
		b = r.str(b, a.Mailbox)
		b = append(b, ' ')
		b = r.str(b, a.Host)
		b = append(b, ')')
	}
	return append(b, ')')
}

// body is BODY or BODYSTRUCTURE, RFC 9051 §7.5.2. What the grammar cannot say is
// shown as a leaf: a multipart without parts as text, a message that was not
// looked into as bytes.
func (r renderer) body(b []byte, p *message.Part) []byte {
	if isMultipart(p) {
		b = append(b, '(')
		for i := range p.Children {
			b = r.body(b, &p.Children[i])
		}
		b = append(b, ' ')
		b = wire.AppendString(b, p.Subtype, r.utf8)
		if r.extended {
			b = append(b, ' ')
			b = r.params(b, p.Params)
			b = r.ext(b, p)
		}
		return append(b, ')')
	}
	return r.leaf(b, p)
}

func (r renderer) leaf(b []byte, p *message.Part) []byte {
	typ, sub, params := p.Type, p.Subtype, p.Params
	switch {
	case isMessage(p):
	case typ == "multipart":
		typ, sub, params = "text", "plain", nil
	case typ == "message" && (sub == "rfc822" || sub == "global"):
		typ, sub = "application", "octet-stream"
	}
	b = append(b, '(')
	b = wire.AppendString(b, typ, r.utf8)
	b = append(b, ' ')
	b = wire.AppendString(b, sub, r.utf8)
	b = append(b, ' ')
	b = r.params(b, params)
	b = append(b, ' ')
	b = r.str(b, p.ID)
	b = append(b, ' ')
	b = r.str(b, p.Description)
	b = append(b, ' ')
	b = wire.AppendString(b, p.Encoding, r.utf8)
	b = append(b, ' ')
	b = strconv.AppendInt(b, max(p.End-p.BodyAt, 0), 10)
	if isMessage(p) {
		e := p.Envelope
		if e == nil {
			e = &message.Envelope{}
		}
		b = append(b, ' ')
		b = r.envelope(b, e)
		b = append(b, ' ')
		b = r.body(b, &p.Children[0])
	}
	if isMessage(p) || typ == "text" {
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Lines, 10)
	}
	if r.extended {
		b = append(b, ' ')
		b = r.str(b, p.MD5)
		b = r.ext(b, p)
	}
	return append(b, ')')
}

// ext is what all parts have in BODYSTRUCTURE alone: disposition, language and
// location.
func (r renderer) ext(b []byte, p *message.Part) []byte {
	b = append(b, ' ')
	if p.Disposition == "" {
		b = append(b, "NIL"...)
	} else {
		b = append(b, '(')
		b = wire.AppendString(b, p.Disposition, r.utf8)
		b = append(b, ' ')
		b = r.params(b, p.DispParams)
		b = append(b, ')')
	}
	b = append(b, ' ')
	switch len(p.Language) {
	case 0:
		b = append(b, "NIL"...)
	case 1:
		b = r.str(b, p.Language[0])
	default:
		b = append(b, '(')
		for i, tag := range p.Language {
			if i > 0 {
				b = append(b, ' ')
			}
			b = wire.AppendString(b, tag, r.utf8)
		}
		b = append(b, ')')
	}
	b = append(b, ' ')
	return r.str(b, p.Location)
}

func (r renderer) params(b []byte, list []message.Param) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for i, p := range list {
		if i > 0 {
			b = append(b, ' ')
		}
		b = wire.AppendString(b, p.Name, r.utf8)
		b = append(b, ' ')
		b = wire.AppendString(b, p.Value, r.utf8)
	}
	return append(b, ')')
}

func isMultipart(p *message.Part) bool { return p.Type == "multipart" && len(p.Children) > 0 }
func isMessage(p *message.Part) bool   { return p.Type == "message" && len(p.Children) > 0 }
