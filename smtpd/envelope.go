package smtpd

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/mail"
)

// envelope is what MAIL said, as we keep it.
func envelope(from string, o *smtp.MailOptions) (mail.Envelope, *smtp.SMTPError) {
	e := mail.Envelope{
		Body: mail.BodyType(o.Body), UTF8: o.UTF8, RequireTLS: o.RequireTLS,
		Return: string(o.Return), EnvelopeID: xtext(o.EnvelopeID),
	}
	if from == "" {
		return e, nil
	}
	var r *smtp.SMTPError
	e.From, r = path(from, o.UTF8, badSender)
	return e, r
}

// options notes what RCPT said besides the path.
func options(r *mail.Recipient, o *smtp.RcptOptions) {
	for _, n := range o.Notify {
		r.Notify = append(r.Notify, string(n))
	}
	if o.OriginalRecipient != "" {
		r.Original = strings.ToLower(string(o.OriginalRecipientType)) + ";" + xtext(o.OriginalRecipient)
	}
}

// path makes a Path of what go-smtp made of one: it has taken the quotes from
// the local part. With a second "@" nobody could say any more where it ends.
func path(s string, utf8 bool, bad *smtp.SMTPError) (mail.Path, *smtp.SMTPError) {
	if !utf8 && !isASCII(s) {
		return "", utf8Needed
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || strings.Contains(domain, "@") {
		return "", bad
	}
	if strings.ContainsAny(local, " \t\"\\()<>[]:;,") { // RFC 5321 §4.1.2: no atom
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	p, err := mail.ParsePath(local + "@" + domain)
	if err != nil {
		return "", bad
	}
	return p, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// xtext encodes what go-smtp has decoded, RFC 3461 §4.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if ch := s[i]; ch <= ' ' || ch == 0x7f || ch == '+' || ch == '=' {
			fmt.Fprintf(&b, "+%02X", ch)
		} else {
			b.WriteByte(ch)
		}
	}
	return b.String()
}

// newID makes the id of a message: the time, so that ids sort, then chance.
func newID(t time.Time) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz" // no i, l, o, u: ids are read out on the telephone
	var random [6]byte
	rand.Read(random[:])
	var id [15]byte
	ms := t.UnixMilli()
	for i := 8; i >= 0; i-- {
		id[i] = alphabet[ms&31]
		ms >>= 5
	}
	for i, b := range random {
		id[9+i] = alphabet[b&31]
	}
	return string(id[:])
}
