package smtpd

import (
	"bytes"
	"fmt"
	"time"

	"github.com/emersion/go-smtp"
)

// Write takes go-smtp's replies, a line at a time. They gather until the client
// has to be waited for.
func (c *conn) Write(p []byte) (int, error) {
	switch {
	case c.over: // nobody is to hear it
	case c.within:
		c.writeOut(p)
	default:
		c.reply(p)
	}
	c.within = !bytes.HasSuffix(p, []byte("\n"))
	return len(p), nil
}

// reply sees to a line of a reply, or the start of one.
func (c *conn) reply(p []byte) {
	first := !c.replied
	c.replied = true
	c.code = int(p[0]-'0')*100 + int(p[1]-'0')*10 + int(p[2]-'0')
	switch {
	case c.code >= 400:
		if c.countError() > maxErrors {
			c.hangUp(tooManyErrors)
			return
		}
	case c.code == 220 && c.greeted: // no second banner after STARTTLS
		return
	case c.code == 220:
		c.greeted = true
	case c.code == 354:
		c.flow = flow{data: true, scan: scanner{dots: true}}
		c.begin()
	case c.verb == "EHLO" || c.verb == "HELO":
		p = c.hello(p, first)
	case c.verb == "RCPT" || c.verb == "BDAT" && c.flow.size >= worthwhile:
		c.junk-- // it gets on
	}
	c.writeOut(p)
	if c.code == 421 {
		c.hangUp(nil)
	}
}

// countError counts a reply that refuses, and returns how many there have been.
func (c *conn) countError() int {
	if c.code >= 500 {
		c.s.count.permanent.Add(1)
	} else {
		c.s.count.temporary.Add(1)
	}
	if c.code != 421 { // the end anyway
		c.errors++
	}
	return c.errors
}

// hello mends the reply to EHLO and HELO: it has to start with our own name
// (RFC 5321 §4.1.1.1). TLS is ours to offer, as is REQUIRETLS with it (RFC 8689
// §2), and go-smtp's idea of the size is one octet too large.
func (c *conn) hello(p []byte, first bool) []byte {
	switch {
	case first:
		return fmt.Appendf(nil, "250%c%s\r\n", p[3], c.s.o.Host)
	case bytes.HasPrefix(p, []byte("250-SIZE ")):
		return fmt.Appendf(nil, "250-SIZE %d\r\n", c.s.o.MaxSize)
	case string(p) != "250-SMTPUTF8\r\n":
	case c.tls != nil:
		return fmt.Appendf(nil, "%s250-REQUIRETLS\r\n", p)
	case c.s.o.TLS != nil:
		return fmt.Appendf(nil, "%s250-STARTTLS\r\n", p)
	}
	return p
}

// answer replies to a command that go-smtp does not get.
func (c *conn) answer(r *smtp.SMTPError) { fmt.Fprint(c, line(r)) }

// writeReply queues a reply that no command is counted for.
func (c *conn) writeReply(r *smtp.SMTPError) {
	c.code = r.Code
	c.writeOut([]byte(line(r)))
}

// line is a reply as it goes over the wire.
func line(r *smtp.SMTPError) string {
	return fmt.Sprintf("%d %s %s\r\n", r.Code, status(r), r.Message)
}

func (c *conn) writeOut(b []byte) {
	if len(b) > c.w.Available() {
		c.raw.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	c.w.Write(b) // an error stays in w, and flush reports it
}

// flush sends the queued replies.
func (c *conn) flush() error {
	if c.w.Buffered() == 0 {
		return nil
	}
	c.raw.SetWriteDeadline(time.Now().Add(writeTimeout))
	return c.w.Flush()
}
