package imapd

import (
	"math"
	"strings"

	"github.com/emersion/go-imap/v2"

	"homemail/mail/message"
)

// envelope is ENVELOPE as the record has it, RFC 9051 §7.5.2.
func envelope(e *message.Envelope) *imap.Envelope {
	out := &imap.Envelope{
		Date: e.Time, Subject: e.Subject,
		From: addresses(e.From), Sender: addresses(e.Sender), ReplyTo: addresses(e.ReplyTo),
		To: addresses(e.To), Cc: addresses(e.Cc), Bcc: addresses(e.Bcc),
		MessageID: unbracket(e.MessageID),
	}
	if e.InReplyTo != "" { // whole: the library puts the brackets back
		out.InReplyTo = []string{unbracket(e.InReplyTo)}
	}
	return out
}

func unbracket(id string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(id), "<"), ">")
}

func addresses(list []message.Address) []imap.Address {
	var out []imap.Address // nil if none: Sender and Reply-To default to From
	for _, a := range list {
		out = append(out, imap.Address{Name: a.Name, Mailbox: a.Mailbox, Host: a.Host})
	}
	return out
}

// bodyStructure is BODYSTRUCTURE as the record has it. What the writer cannot
// say is shown as a leaf: a multipart without parts as text, a message that was
// not looked into as bytes.
func bodyStructure(p *message.Part) imap.BodyStructure {
	if isMultipart(p) {
		m := &imap.BodyStructureMultiPart{Subtype: p.Subtype, Extended: &imap.BodyStructureMultiPartExt{
			Params: params(p.Params), Disposition: disposition(p), Language: p.Language, Location: p.Location,
		}}
		for i := range p.Children {
			m.Children = append(m.Children, bodyStructure(&p.Children[i]))
		}
		return m
	}
	leaf := &imap.BodyStructureSinglePart{
		Type: p.Type, Subtype: p.Subtype, Params: params(p.Params), ID: p.ID, Description: p.Description,
		Encoding: p.Encoding, Size: uint32(min(max(p.End-p.BodyAt, 0), math.MaxUint32)),
		Extended: &imap.BodyStructureSinglePartExt{Disposition: disposition(p), Language: p.Language, Location: p.Location},
	}
	switch {
	case isMessage(p):
		e := p.Envelope
		if e == nil {
			e = &message.Envelope{}
		}
		leaf.MessageRFC822 = &imap.BodyStructureMessageRFC822{
			Envelope: envelope(e), BodyStructure: bodyStructure(&p.Children[0]), NumLines: p.Lines,
		}
	case p.Type == "multipart":
		leaf.Type, leaf.Subtype, leaf.Params = "text", "plain", nil
	case p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global"):
		leaf.Type, leaf.Subtype = "application", "octet-stream"
	}
	if leaf.Type == "text" {
		leaf.Text = &imap.BodyStructureText{NumLines: p.Lines}
	}
	return leaf
}

func isMultipart(p *message.Part) bool { return p.Type == "multipart" && len(p.Children) > 0 }
func isMessage(p *message.Part) bool   { return p.Type == "message" && len(p.Children) > 0 }

func params(list []message.Param) map[string]string {
	m := make(map[string]string, len(list))
	for _, p := range list {
		if _, twice := m[p.Name]; !twice {
			m[p.Name] = p.Value
		}
	}
	return m
}

func disposition(p *message.Part) *imap.BodyStructureDisposition {
	if p.Disposition == "" {
		return nil
	}
	return &imap.BodyStructureDisposition{Value: p.Disposition, Params: params(p.DispParams)}
}
