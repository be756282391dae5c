package dsn

import (
	"strconv"
	"strings"
	"time"

	"homemail/mail"
)

// status is the part for programs, RFC 3464 §2 and RFC 6533 §4.
func (r *Report) status() part {
	w := &writer{utf8: r.UTF8()}
	if id := unxtext(r.EnvelopeID); id != "" {
		w.line("Original-Envelope-Id", id) // §2.2.1
	}
	w.line("Reporting-MTA", "dns; "+r.host())
	if !r.Arrived.IsZero() {
		w.line("Arrival-Date", r.Arrived.In(r.Now.Location()).Format(time.RFC1123Z))
	}
	for _, rc := range r.Recipients {
		w.raw("\r\n")
		r.recipientStatus(w, rc)
	}
	p := part{contentType: "message/delivery-status", body: w.Bytes()}
	if w.utf8 {
		p.contentType = "message/global-delivery-status"
	}
	return p.withEncoding()
}

// recipientStatus writes the fields of one recipient, RFC 3464 §2.3.
func (r *Report) recipientStatus(w *writer, rc Recipient) {
	if kind, addr, ok := strings.Cut(rc.Original, ";"); ok {
		w.line("Original-Recipient", token(kind)+"; "+unxtext(addr))
	}
	addr := address(rc.Path)
	if isASCII(addr) {
		w.line("Final-Recipient", "rfc822; "+addr)
	} else {
		w.line("Final-Recipient", "utf-8; "+addr) // RFC 6533 §3
	}
	o := rc.Outcome
	w.line("Action", r.action(rc))
	w.line("Status", r.code(rc))
	if host, _, _ := strings.Cut(o.Remote, " "); host != "" {
		w.line("Remote-MTA", "dns; "+host)
	}
	if o.Reply.Code != 0 {
		w.field("Diagnostic-Code", "smtp; "+o.Reply.String())
	}
	if !rc.LastTry.IsZero() {
		w.line("Last-Attempt-Date", rc.LastTry.In(r.Now.Location()).Format(time.RFC1123Z))
	}
	if r.Kind == Delay && !rc.WillRetryUntil.IsZero() {
		w.line("Will-Retry-Until", rc.WillRetryUntil.In(r.Now.Location()).Format(time.RFC1123Z))
	}
}

// action is the word of RFC 3464 §2.3.3.
func (r *Report) action(rc Recipient) string {
	switch {
	case r.Kind == Failure:
		return "failed"
	case r.Kind == Delay:
		return "delayed"
	case rc.Expanded:
		return "expanded"
	case rc.Outcome.Fate == mail.Relayed:
		return "relayed"
	}
	return "delivered"
}

// code is the status code, RFC 3463: the remote server's own if it fits what
// happened, else ours.
func (r *Report) code(rc Recipient) string {
	own := rc.Outcome.Reply.Enhanced
	class, detail, ok := strings.Cut(own, ".")
	switch {
	case r.Kind == Success && class == "2" && isDetail(detail):
		return own
	case r.Kind == Success:
		return "2.0.0"
	case ok && isDetail(detail) && (class == "4" || class == "5" && r.Kind == Failure):
		return own
	}
	class = "5"
	reason := Explain(rc.Outcome, rc.Path)
	if r.Kind == Delay || rc.Outcome.Cause == mail.CauseExpired || rc.Outcome.Fate == mail.Temporary {
		class = "4" // RFC 3464 §2.3.4: given up is not the same as refused
	}
	if detail = statusOf[reason]; detail == "" {
		detail = "0.0"
	}
	return class + "." + detail
}

// isDetail reports whether s is the subject and detail of a status code.
func isDetail(s string) bool {
	subject, detail, ok := strings.Cut(s, ".")
	return ok && isNumber(subject) && isNumber(detail)
}

func isNumber(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n < 1000 && s == strconv.Itoa(n)
}

// address is an address as it stands in the status. What is no address is shown
// as far as it can be.
func address(p mail.Path) string {
	if q, err := mail.ParsePath(string(p)); err == nil {
		return q.Wire()
	}
	return toASCII(clean(string(p), 256))
}

// token keeps what can be an address-type.
func token(s string) string {
	s = strings.Map(func(c rune) rune {
		if c == '-' || c < 0x80 && isAlnum(byte(c)) {
			return c
		}
		return -1
	}, s[:min(len(s), 32)])
	if s == "" {
		return "unknown"
	}
	return s
}

// unxtext decodes xtext, RFC 3461 §4. What is none stays as it is.
func unxtext(s string) string {
	var b strings.Builder
	s = s[:runeEnd(s, maxXtext)]
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
