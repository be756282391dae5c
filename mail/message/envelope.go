package message

import "bytes"

// readEnvelope takes the fields of ENVELOPE, RFC 9051 §7.5.2. Of a field that
// may come once the first counts; lists of addresses add up.
func (p *Parser) readEnvelope(e *Envelope, name, value []byte) {
	switch string(name) {
	case "date":
		if e.Date == "" {
			e.Date = p.keep(value)
			e.Time = parseDate(value)
		}
	case "subject":
		p.keepFirst(&e.Subject, value)
	case "from":
		e.From = p.readAddresses(e.From, value)
	case "sender":
		e.Sender = p.readAddresses(e.Sender, value)
	case "reply-to":
		e.ReplyTo = p.readAddresses(e.ReplyTo, value)
	case "to":
		e.To = p.readAddresses(e.To, value)
	case "cc":
		e.Cc = p.readAddresses(e.Cc, value)
	case "bcc":
		e.Bcc = p.readAddresses(e.Bcc, value)
	case "in-reply-to":
		p.keepFirst(&e.InReplyTo, value)
	case "message-id":
		p.keepFirst(&e.MessageID, value)
	case "references":
		if e.References == nil {
			e.References = p.readIDs(value)
		}
	}
}

// setDefaults obeys RFC 9051 §7.5.2: a Sender or Reply-To that is absent or
// empty is From.
func (e *Envelope) setDefaults() {
	if len(e.Sender) == 0 {
		e.Sender = e.From
	}
	if len(e.ReplyTo) == 0 {
		e.ReplyTo = e.From
	}
}

// readIDs reads the message ids of References, RFC 5322 §3.6.4, with their
// angle brackets. Of too many the first, which names the thread, and the
// newest are kept.
func (p *Parser) readIDs(value []byte) []string {
	n := bytes.Count(value, []byte{'<'})
	var ids []string
	for i := 0; ; i++ {
		start := bytes.IndexByte(value, '<')
		if start < 0 {
			return ids
		}
		value = value[start:]
		end := bytes.IndexByte(value, '>')
		if end < 0 {
			return ids
		}
		if i == 0 || n-i < maxReferences {
			ids = append(ids, p.keepName(value[:end+1]))
		}
		value = value[end+1:]
		if len(ids) == maxReferences {
			return ids
		}
	}
}
