package client

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"homemail/mail"
)

// maxHeader is how much of a message is looked through for a header in UTF-8:
// as much as our own doors take as a header.
const maxHeader = 256 << 10

// prepare decides what can be sent to this server at all, RFC 6531 §3.4 and the
// others: it fills live, and the outcomes of the rest. An error is a fault of
// ours.
func (t *transaction) prepare() error {
	e := t.m.Envelope
	if o, bad := t.refuse(); bad {
		t.fail(all(len(t.outs)), o)
		return nil
	}
	t.utf8 = t.c.Offers("SMTPUTF8") && (e.UTF8 || !isASCII(e.From.Wire()) ||
		slices.ContainsFunc(e.To, func(r mail.Recipient) bool { return !isASCII(r.Path.Wire()) }))
	if !t.c.Offers("SMTPUTF8") {
		needs, err := t.needsUTF8()
		if err != nil {
			return err
		}
		if needs {
			t.fail(all(len(t.outs)), needUTF8("The message"))
			return nil
		}
	}
	if wire := e.From.Wire(); !safePath(wire) {
		return fmt.Errorf("sender %q cannot be sent", wire)
	}
	for i, r := range e.To {
		wire := r.Path.Wire()
		switch {
		case !safePath(wire):
			t.outs[i] = Outcome(fmt.Errorf("recipient %q cannot be sent", wire))
		case !t.c.Offers("SMTPUTF8") && !isASCII(wire):
			t.outs[i] = needUTF8("The address")
		default:
			t.live = append(t.live, i)
		}
	}
	return nil
}

// refuse finds what keeps the message from this server for all recipients.
func (t *transaction) refuse() (mail.Outcome, bool) {
	e, limit := t.m.Envelope, t.c.ext.size()
	switch {
	case limit > 0 && t.m.Size > limit:
		return refusal(mail.CauseTooBig, "5.3.4",
			fmt.Sprintf("The message has %d octets; the server takes %d", t.m.Size, limit)), true
	case e.Body == mail.BodyBinary && !(t.c.Offers("BINARYMIME") && t.c.Offers("CHUNKING")):
		return refusal(mail.CauseBody, "5.6.3", "The message holds binary data; the server takes none"), true
	case e.RequireTLS && (t.c.tls == nil || !t.c.Offers("REQUIRETLS")):
		return refusal(mail.CauseNeedsTLS, "5.7.30", "The sender demands REQUIRETLS; the server has none"), true
	}
	return mail.Outcome{}, false
}

func needUTF8(what string) mail.Outcome {
	return refusal(mail.CauseNeedsUTF8, "5.6.7", what+" needs SMTPUTF8; the server has none")
}

// needsUTF8 reports whether no recipient can be reached without SMTPUTF8. That
// the submitter said so is not enough: many programs always do.
func (t *transaction) needsUTF8() (bool, error) {
	if !isASCII(t.m.Envelope.From.Wire()) {
		return true, nil
	}
	if !t.m.Envelope.UTF8 {
		return false, nil
	}
	body, err := t.m.Open()
	if err != nil {
		return false, &readError{err}
	}
	defer done(body)
	return headerUTF8(body)
}

// headerUTF8 reports whether the header of a message has octets over 127. A
// header that does not end within bounds is taken to have some.
func headerUTF8(r io.Reader) (bool, error) {
	br := bufio.NewReader(io.LimitReader(r, maxHeader))
	line := 0 // octets in this line, CR not counted
	for range maxHeader {
		c, err := br.ReadByte()
		switch {
		case err == io.EOF:
			return false, nil
		case err != nil:
			return false, &readError{err}
		case c >= 0x80:
			return true, nil
		case c == '\n' && line == 0:
			return false, nil
		case c == '\n':
			line = 0
		case c != '\r':
			line++
		}
	}
	return true, nil
}

// safePath reports whether an address can stand between angle brackets. One
// from mail.ParsePath always can.
func safePath(wire string) bool {
	if !safe(wire) {
		return false
	}
	quoted := false
	for i := 0; i < len(wire); i++ {
		switch c := wire[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '<' || c == '>' || c == ' '):
			return false
		}
	}
	return !quoted
}

func (t *transaction) binary() bool { return t.m.Envelope.Body == mail.BodyBinary }

// mailLine is the MAIL command with the parameters that the server knows.
func (t *transaction) mailLine() string {
	e := t.m.Envelope
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + e.From.Wire() + ">")
	if t.c.Offers("SIZE") && t.m.Size > 0 {
		b.WriteString(" SIZE=" + strconv.FormatInt(t.m.Size, 10)) // RFC 1870
	}
	switch {
	case t.binary():
		b.WriteString(" BODY=BINARYMIME") // RFC 3030 §3
	case t.c.Offers("8BITMIME") && (t.m.EightBit || e.Body == mail.Body8Bit || t.utf8):
		b.WriteString(" BODY=8BITMIME") // RFC 6152
	}
	if t.utf8 {
		b.WriteString(" SMTPUTF8") // RFC 6531 §3.4
	}
	if e.RequireTLS {
		b.WriteString(" REQUIRETLS") // RFC 8689 §2
	}
	if t.c.Offers("DSN") { // RFC 3461 §4.3, §4.4
		if e.Return == "FULL" || e.Return == "HDRS" {
			b.WriteString(" RET=" + e.Return)
		}
		if isParam(e.EnvelopeID) {
			b.WriteString(" ENVID=" + e.EnvelopeID)
		}
	}
	return b.String()
}

// rcptLine is the RCPT command for one recipient.
func (t *transaction) rcptLine(r mail.Recipient) string {
	line := "RCPT TO:<" + r.Path.Wire() + ">"
	if !t.c.Offers("DSN") { // RFC 3461 §4.1, §4.2
		return line
	}
	if notify := strings.Join(r.Notify, ","); isParam(notify) {
		line += " NOTIFY=" + notify
	}
	if isParam(r.Original) && strings.Contains(r.Original, ";") {
		line += " ORCPT=" + r.Original
	}
	return line
}

// maxParam bounds a parameter's value: ENVID has 100 octets and ORCPT 500, RFC
// 3461 §4.2, §4.4.
const maxParam = 500

// isParam reports whether s can be the value of a parameter: what is printed in
// ASCII, without "=" and space, RFC 5321 §4.1.2. The envelope has them as xtext.
func isParam(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '=' {
			return false
		}
	}
	return s != "" && len(s) <= maxParam
}
