package deliver

import (
	"net/netip"
	"strings"
	"time"

	"homemail/mail"
)

// dateLayout is date-time of RFC 5322 §3.3.
const dateLayout = "Mon, 02 Jan 2006 15:04:05 -0700"

// received is the Received field for a message, RFC 5321 §4.4, folded.
func received(host string, e mail.Envelope, t mail.Trace) []byte {
	b := make([]byte, 0, 512)
	b = append(append(b, "Received: from "...), domain(t.Helo)...)
	if t.Remote.IsValid() {
		b = append(append(append(b, " ("...), literal(t.Remote)...), ')')
	}
	b = append(append(b, "\r\n\tby "...), host...)
	b = append(append(b, " with "...), t.Protocol...)
	b = append(append(b, " id "...), t.ID...)
	if len(e.To) == 1 { // more would tell each about the others, §7.2
		b = append(append(append(b, "\r\n\tfor <"...), e.To[0].Path.Wire()...), '>')
	}
	if t.TLS != "" {
		b = append(append(b, "\r\n\ttls "...), t.TLS...) // RFC 8314 §4.3
	}
	b = append(b, ";\r\n\t"...)
	b = t.Time.AppendFormat(b, dateLayout)
	return append(b, "\r\n"...)
}

// prefix is what final delivery puts before a message, RFC 5321 §4.4, and what
// is known of where it comes from, RFC 8601 §4.1.
func prefix(from, to mail.Path, received, results []byte) []byte {
	f, d := from.Wire(), to.Wire()
	b := make([]byte, 0, len("Return-Path: <>\r\nDelivered-To: \r\n")+len(f)+len(d)+len(received)+len(results))
	b = append(append(append(b, "Return-Path: <"...), f...), ">\r\n"...)
	b = append(append(append(b, "Delivered-To: "...), d...), "\r\n"...)
	return append(append(b, results...), received...)
}

// leaving is the Received field of what our own people send outside. Where in the house
// they sit, and at which program, is nobody's business outside.
func leaving(host string, t mail.Trace) []byte {
	b := make([]byte, 0, 128)
	b = append(append(b, "Received: by "...), host...)
	b = append(append(b, " with "...), t.Protocol...)
	b = append(append(append(b, " id "...), t.ID...), ";\r\n\t"...)
	b = internalDate(t).AppendFormat(b, dateLayout)
	return append(b, "\r\n"...)
}

// literal is an address literal, RFC 5321 §4.1.3.
func literal(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// domain makes what a client called itself fit for a header.
func domain(helo string) string {
	const most = 255
	if helo == "" {
		return "unknown"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune(".-_:[]", r):
			return r
		}
		return '?'
	}, helo[:min(len(helo), most)])
}

// internalDate is when a message came in.
func internalDate(t mail.Trace) time.Time {
	if t.Time.IsZero() {
		return time.Now()
	}
	return t.Time
}
