package smtpd

import (
	"bytes"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/mail"
)

// checkAuthor sees that a submitted message says who wrote it, and that it was
// the one who signed in: RFC 6409 §6.1 and §8.1, RFC 5322 §3.6.2.
func (s *session) checkAuthor() *smtp.SMTPError {
	m := s.tx.tx.Structure()
	if m.HasFrom != 1 || len(m.Envelope.From) == 0 {
		return oneFrom
	}
	for _, a := range m.Envelope.From {
		p, err := mail.ParsePath(a.Mailbox + "@" + a.Host)
		if err != nil || !s.c.s.o.Directory.Owns(s.tx.by.Account, p) {
			return said(553, 7, 1, "The From address "+plain(a.Mailbox+"@"+a.Host)+" does not belong to "+plain(string(s.tx.by.Address)))
		}
	}
	return nil
}

// A headerFilter passes a message on with its top header as it should be. A
// submitted one leaves the house without Bcc (RFC 5322 §3.6.3) and with a Date
// and a Message-ID (RFC 6409 §8.2, §8.3); a stranger's loses what claims to be
// our own judgement (RFC 8601 §5); one of a machine that cannot be set right
// gets an author of ours. All else passes byte for byte. It holds back no more
// than a field's name, or one field that it may have to change.
type headerFilter struct {
	w         io.Writer
	messageID string // "" for a stranger's message
	date      time.Time
	forged    func(value []byte) bool // nil if nobody else's message can be
	author    *author                 // nil if the author is not to be changed

	name    []byte // start of a line, as long as it is not clear what it is
	within  bool   // past that, within a line
	drop    bool   // the field is one to leave out
	body    bool   // the header is over
	hasDate bool
	hasID   bool
	held    []byte // a field that is held back

	// mend says what becomes of the held field; nil if none is held.
	mend func(field []byte) []byte
}

// maxHeld is longer than any true Authentication-Results or From field.
const maxHeld = 64 << 10

// maxName is enough to know every field that matters here.
const maxName = 80

func newHeaderFilter(w io.Writer, messageID string, date time.Time) *headerFilter {
	return &headerFilter{w: w, messageID: messageID, date: date, name: make([]byte, 0, maxName)}
}

func (f *headerFilter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && !f.body {
		var err error
		if f.within {
			p, err = f.rest(p)
		} else {
			p, err = f.start(p)
		}
		if err != nil {
			return 0, err
		}
	}
	if len(p) > 0 {
		if _, err := f.w.Write(p); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// rest passes on what is left of a line whose kind is known.
func (f *headerFilter) rest(p []byte) ([]byte, error) {
	n := len(p)
	if lf := bytes.IndexByte(p, '\n'); lf >= 0 {
		n, f.within = lf+1, false
	}
	return p[n:], f.pass(p[:n])
}

func (f *headerFilter) pass(p []byte) error {
	switch {
	case f.drop || len(p) == 0:
		return nil
	case f.mend != nil && len(f.held)+len(p) > maxHeld:
		f.drop, f.mend = true, nil
		return nil
	case f.mend != nil:
		f.held = append(f.held, p...)
		return nil
	}
	_, err := f.w.Write(p)
	return err
}

// release ends a field that was held back.
func (f *headerFilter) release() error {
	if f.mend == nil {
		return nil
	}
	field := f.mend(f.held)
	f.mend = nil
	if len(field) == 0 {
		return nil
	}
	_, err := f.w.Write(field)
	return err
}

// hold holds back the field that begins, until it is whole.
func (f *headerFilter) hold(mend func(field []byte) []byte) {
	f.mend, f.held = mend, f.held[:0]
}

// notForged keeps an Authentication-Results field that does not claim to be ours.
func (f *headerFilter) notForged(field []byte) []byte {
	if _, value, _ := bytes.Cut(field, []byte(":")); f.forged(value) {
		return nil
	}
	return field
}

// start gathers the start of a line until it is clear what the line is.
func (f *headerFilter) start(p []byte) ([]byte, error) {
	for i, ch := range p {
		if len(f.name) == 0 && ch != ' ' && ch != '\t' {
			if err := f.release(); err != nil {
				return nil, err
			}
		}
		f.name = append(f.name, ch)
		first := f.name[0]
		switch {
		case first == ' ' || first == '\t': // goes with the line before, RFC 5322 §2.2.3
			return p[i+1:], f.decided(ch)
		case ch == ':':
			f.field(string(bytes.TrimRight(f.name[:len(f.name)-1], " \t")))
			return p[i+1:], f.decided(ch)
		case ch == '\n' && len(bytes.TrimRight(f.name, "\r\n")) == 0: // the empty line
			return p[i+1:], f.endHeader()
		case ch == '\n': // no field; whoever reads the message goes on to the next line, and so do we
			f.drop = false
			return p[i+1:], f.decided(ch)
		case len(f.name) == maxName: // a long name, or a short one with many spaces
			f.field(string(bytes.TrimRight(f.name, " \t")))
			return p[i+1:], f.decided(ch)
		}
	}
	return nil, nil
}

// decided passes the gathered bytes on, of which last is the last.
func (f *headerFilter) decided(last byte) error {
	f.within = last != '\n'
	err := f.pass(f.name)
	f.name = f.name[:0]
	return err
}

// field notes what is there and drops what must not leave.
func (f *headerFilter) field(name string) {
	f.drop = false
	switch {
	case strings.EqualFold(name, "Date"):
		f.hasDate = true
	case strings.EqualFold(name, "Message-ID"):
		f.hasID = true
	case strings.EqualFold(name, "Bcc"), strings.EqualFold(name, "Resent-Bcc"):
		f.drop = f.messageID != ""
	case strings.EqualFold(name, "Authentication-Results") && f.forged != nil:
		f.hold(f.notForged)
	case f.author == nil:
	case strings.EqualFold(name, "From"):
		f.author.count++
		f.hold(f.author.from)
	case strings.EqualFold(name, "Sender"):
		f.hold(f.author.sender)
	case strings.EqualFold(name, "Reply-To"):
		f.author.replies = true
	}
}

// endHeader adds what is missing, then passes the line on that ended the header.
func (f *headerFilter) endHeader() error {
	f.body = true
	if err := f.add(); err != nil {
		return err
	}
	_, err := f.w.Write(f.name)
	return err
}

func (f *headerFilter) add() error {
	if f.messageID == "" {
		return nil
	}
	var b []byte
	if !f.hasDate {
		b = append(f.date.AppendFormat(append(b, "Date: "...), "Mon, 02 Jan 2006 15:04:05 -0700"), "\r\n"...)
	}
	if !f.hasID {
		b = append(append(append(b, "Message-ID: "...), f.messageID...), "\r\n"...)
	}
	if f.author != nil {
		b = f.author.missing(b)
	}
	if len(b) == 0 {
		return nil
	}
	_, err := f.w.Write(b)
	return err
}

// Close ends a message that may be all header.
func (f *headerFilter) Close() error {
	if f.body {
		return nil
	}
	f.body = true
	if f.mend != nil && len(f.name) > 0 {
		f.held, f.name = append(f.held, f.name...), f.name[:0]
	}
	if err := f.release(); err != nil {
		return err
	}
	if len(f.name) > 0 || f.within { // it ends within a line: nothing can be added after that
		_, err := f.w.Write(f.name)
		return err
	}
	return f.add()
}
