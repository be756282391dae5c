package deliver

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"homemail/mail"
	"homemail/mail/message"
	"homemail/store"
)

// Outside is what mail needs to leave the house. A nil function does without.
type Outside struct {
	// Open returns nil if there is a way out for mail of ours from one path to
	// another, and why not otherwise. Without it there is none.
	Open func(from, to mail.Path) error
	// Sign begins to sign as a domain of ours; nil without an error if it has
	// no key. RFC 6376.
	Sign func(domain string) (Signing, error)
	// Seal begins an ARC set of a domain of ours for what it forwards, RFC 8617.
	Seal func(domain string) (Sealing, error)
	// Rewrite makes a reverse-path of a domain of ours for what is forwarded, so
	// that SPF passes and bounces come back to us (SRS); Reverse finds the sender
	// that such a path stands for.
	Rewrite func(from mail.Path, domain string) (mail.Path, error)
	Reverse func(mail.Path) (mail.Path, error)
	// Hold says why mail of an account to so many more is to wait for the owner,
	// "" if it is not, or mail.ErrTooMany if it is not even to be taken.
	Hold func(by mail.AccountID, to []mail.Path) (reason string, err error)
}

// A Signing makes DKIM-Signature fields for the bytes that are written to it.
type Signing interface {
	io.Writer
	Fields() ([]byte, error)
}

// A Sealing makes an ARC set for the bytes that are written to it and what was
// found about them when they came.
type Sealing interface {
	io.Writer
	Seal(v mail.Verdict) ([]byte, error)
}

// A departure is a recipient outside.
type departure struct {
	reached
	bounce bool // for whom we had forwarded, RFC 5321 §4.4 does not come into it
}

// rcptOutside adds a recipient that is not of this server.
func (t *Transaction) rcptOutside(p mail.Path, err error) error {
	o := &t.a.o.Outside
	if t.by == 0 || o.Open == nil {
		return err
	}
	if err := o.Open(t.from, p); err != nil {
		return fmt.Errorf("%s: %w: %w", p, mail.ErrNoWayOut, err)
	}
	t.depart(departure{reached: reached{outside: p}})
	return nil
}

// unwrapped returns the sender that a rewritten reverse-path stands for, when
// what we forwarded for him comes back; "" if p is no such path.
func (t *Transaction) unwrapped(p mail.Path) mail.Path {
	reverse := t.a.o.Outside.Reverse
	if t.by != 0 || !t.from.IsNull() || reverse == nil || !t.a.s.IsLocal(p.Domain()) {
		return ""
	}
	to, err := reverse(p)
	if err != nil {
		return ""
	}
	return to
}

func (t *Transaction) depart(d departure) {
	if !slices.ContainsFunc(t.away, func(o departure) bool { return o.same(d.reached) }) {
		t.away = append(t.away, d)
	}
}

// A seals is what signs and seals a message as its bytes pass. For a signature
// the header is kept until it is known who wrote the message.
type seals struct {
	header  []byte
	begun   bool
	signing Signing
	sealing map[string]Sealing // by domain
}

// maxHeader is how much of a message is looked through for the end of its
// header; longer ones are refused anyway.
const maxHeader = 256 << 10

// pass gives the next bytes to whom they concern.
func (t *Transaction) pass(p []byte) error {
	if len(t.away) == 0 {
		return nil
	}
	s := &t.seals
	if !s.begun {
		from := max(0, len(s.header)-len("\r\n\r"))
		s.header = append(s.header, p...)
		if !bytes.Contains(s.header[from:], []byte("\r\n\r\n")) && len(s.header) < maxHeader {
			return nil
		}
		return t.begin()
	}
	if s.signing != nil {
		s.signing.Write(p)
	}
	for _, w := range s.sealing {
		w.Write(p)
	}
	return nil
}

// begin decides who signs and seals, now that the header is known.
func (t *Transaction) begin() (err error) {
	s := &t.seals
	if s.begun {
		return nil
	}
	if t.by != 0 {
		err = t.beginSigning()
	} else {
		err = t.beginSealing()
	}
	if err != nil {
		return err
	}
	header := s.header
	s.begun, s.header = true, nil
	return t.pass(header)
}

func (t *Transaction) beginSigning() (err error) {
	if sign := t.a.o.Outside.Sign; sign != nil {
		t.seals.signing, err = sign(authorDomain(t.seals.header))
	}
	return err
}

// beginSealing begins a seal of each domain that forwards.
func (t *Transaction) beginSealing() error {
	seal := t.a.o.Outside.Seal
	if seal == nil {
		return nil
	}
	t.seals.sealing = make(map[string]Sealing)
	for _, d := range t.away {
		domain := d.via.Domain()
		if d.bounce || t.seals.sealing[domain] != nil {
			continue
		}
		w, err := seal(domain)
		if err != nil {
			return err
		}
		if w != nil {
			t.seals.sealing[domain] = w
		}
	}
	return nil
}

// authorDomain is the domain of the first author in a header.
func authorDomain(header []byte) string {
	p := message.NewParser()
	p.Write(header)
	from := p.Structure().Envelope.From
	if len(from) == 0 {
		return ""
	}
	return mail.Path(from[0].Mailbox + "@" + from[0].Host).Domain()
}

// outgoing is what the queue gets: one message of our own people, or one for
// each address that forwards.
func (t *Transaction) outgoing(e mail.Envelope, tr mail.Trace) ([]store.Outgoing, error) {
	if len(t.away) == 0 {
		return nil, nil
	}
	if err := t.begin(); err != nil {
		return nil, err
	}
	if t.by != 0 {
		return t.submitted(e, tr)
	}
	var list []store.Outgoing
	for _, d := range t.away {
		i := slices.IndexFunc(list, func(o store.Outgoing) bool { return o.Account == d.owner && o.Envelope.EnvelopeID == string(d.via) })
		if i < 0 {
			o, err := t.forwarded(d, e, tr)
			if err != nil {
				return nil, err
			}
			o.Envelope.EnvelopeID = string(d.via) // to find it again, until all are there
			list, i = append(list, o), len(list)
		}
		list[i].Envelope.To = append(list[i].Envelope.To, mail.Recipient{Path: d.outside})
	}
	for i := range list {
		list[i].Envelope.EnvelopeID = ""
	}
	return list, nil
}

// submitted is a message that somebody of ours wrote.
func (t *Transaction) submitted(e mail.Envelope, tr mail.Trace) ([]store.Outgoing, error) {
	o := store.Outgoing{Origin: store.Submitted, Account: t.by, Trace: tr.ID, Envelope: e, Prefix: leaving(t.a.o.Host, tr)}
	o.Envelope.To = nil
	var paths []mail.Path
	for _, d := range t.away {
		r := mail.Recipient{Path: d.outside}
		for _, said := range e.To { // an alias that leads outside is not the person that it was asked about
			if said.Path == d.outside {
				r = said
			}
		}
		o.Envelope.To = append(o.Envelope.To, r)
		paths = append(paths, d.outside)
	}
	if t.seals.signing != nil {
		fields, err := t.seals.signing.Fields()
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		o.Prefix = append(fields, o.Prefix...)
	}
	if hold := t.a.o.Outside.Hold; hold != nil {
		var err error
		if o.Hold, err = hold(t.by, paths); err != nil {
			return nil, err
		}
		t.held = o.Hold
	}
	return []store.Outgoing{o}, nil
}

// forwarded is a message that came in for an address which leads outside.
func (t *Transaction) forwarded(d departure, e mail.Envelope, tr mail.Trace) (o store.Outgoing, err error) {
	o = store.Outgoing{Origin: store.Forwarded, Account: d.owner, Trace: tr.ID, Envelope: e}
	if d.bounce {
		o.Origin = store.Bounced
	}
	o.Envelope.To = nil
	o.Envelope.Return = ""
	if o.Account == 0 { // an alias is nobody's, and somebody has to hear of what fails
		if first, err := t.a.oldest(); err == nil {
			o.Account = first[0].id
		}
	}
	if rewrite := t.a.o.Outside.Rewrite; rewrite != nil && !d.bounce {
		if o.Envelope.From, err = rewrite(e.From, d.via.Domain()); err != nil {
			// No path of ours can hold it: then bounces come to who forwards.
			t.a.o.Log.Info("a sender's address cannot be rewritten", "id", tr.ID, "from", e.From, "err", err)
			o.Envelope.From = d.via
		}
	}
	head := []byte("Delivered-To: " + d.via.Wire() + "\r\n")
	if w := t.seals.sealing[d.via.Domain()]; w != nil && tr.Verdict != nil {
		seal, err := w.Seal(*tr.Verdict)
		if err != nil {
			return o, fmt.Errorf("sealing: %w", err)
		}
		head = append(slices.Clone(seal), head...)
	}
	o.Prefix = append(head, received(t.a.o.Host, e, tr)...)
	return o, nil
}
