package smtpd

import (
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
)

// commands are the verbs of RFC 5321 §4.1.1 and its extensions. Those that tell
// strangers who lives here or run queues are not implemented on purpose.
var commands = map[string]func(*conn, string) reply{
	"EHLO": (*conn).ehlo, "HELO": (*conn).hello,
	"MAIL": (*conn).mail, "RCPT": (*conn).rcpt, "DATA": (*conn).data, "BDAT": (*conn).bdat,
	"RSET": (*conn).rset, "NOOP": noop, "QUIT": quit, "VRFY": vrfy, "HELP": help,
	"STARTTLS": (*conn).startTLS, "AUTH": (*conn).auth,
	"EXPN": refused, "TURN": refused, "ETRN": refused, "ATRN": refused,
	"SEND": refused, "SOML": refused, "SAML": refused, "XCLIENT": refused, "XFORWARD": refused,
	"GET": browser, "POST": browser, "PUT": browser, "HEAD": browser, "OPTIONS": browser, "CONNECT": browser,
}

func noop(*conn, string) reply    { return ok }
func quit(*conn, string) reply    { return bye }
func refused(*conn, string) reply { return notHere }
func browser(*conn, string) reply { return webBrowser }
func unknown(*conn, string) reply { return unknownCommand }

func vrfy(*conn, string) reply {
	return reply{code: 252, status: "2.5.0", text: "Cannot say; send mail and see"} // RFC 5321 §3.5.3
}

func help(*conn, string) reply {
	return reply{code: 214, status: "2.0.0", text: "See RFC 5321"}
}

func (c *conn) rset(string) reply {
	c.reset()
	return ok
}

// hello is HELO, RFC 5321 §4.1.1.1.
func (c *conn) hello(arg string) reply {
	if !c.introduce(arg) {
		return reply{code: 501, status: "5.5.4", text: "HELO needs your host's name"}
	}
	c.esmtp = false
	return reply{code: 250, text: c.s.o.Host}
}

// ehlo is EHLO, which also says what we can do.
func (c *conn) ehlo(arg string) reply {
	if !c.introduce(arg) {
		return reply{code: 501, status: "5.5.4", text: "EHLO needs your host's name"}
	}
	c.esmtp = true
	b := append(c.w.AvailableBuffer(), "250-"...)
	b = append(append(b, c.s.o.Host...), "\r\n250-PIPELINING\r\n250-SIZE "...)
	b = strconv.AppendInt(b, c.s.o.MaxSize, 10)
	b = append(b, "\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n"...)
	if c.tls != nil {
		b = append(b, "250-REQUIRETLS\r\n"...) // RFC 8689 §2: only under TLS
	} else if c.s.o.TLS != nil {
		b = append(b, "250-STARTTLS\r\n"...)
	}
	if mechs := c.mechanisms(); len(mechs) > 0 {
		b = append(append(append(b, "250-AUTH "...), strings.Join(mechs, " ")...), "\r\n"...)
	}
	c.writeOut(b)
	return reply{code: 250, text: "LIMITS RCPTMAX=" + strconv.Itoa(c.s.o.MaxRecipients)} // RFC 9422
}

// introduce notes the client's name and begins afresh, RFC 5321 §4.1.4.
func (c *conn) introduce(name string) bool {
	if name == "" || len(name) > 255 || strings.ContainsAny(name, " \t<>") {
		return false
	}
	c.reset()
	c.helo = name
	return true
}

// startTLS is STARTTLS, RFC 3207.
func (c *conn) startTLS(arg string) reply {
	switch {
	case arg != "":
		return noArguments
	case c.tls != nil:
		return reply{code: 503, status: "5.5.1", text: "TLS is on already"}
	case c.s.o.TLS == nil:
		return reply{code: 502, status: "5.5.1", text: "TLS is not set up here"}
	case c.tx != nil && c.tx.body != nil:
		return midMessage
	case c.r.Buffered() > 0:
		// Somebody has put words in front of the handshake (CVE-2011-0411).
		return reply{code: 554, status: "5.5.1", text: "Nothing may follow STARTTLS", hangup: true}
	}
	c.write(reply{code: 220, status: "2.0.0", text: "Go ahead"})
	if c.flush() != nil || !c.shake(tls.Server(c.raw, c.s.o.TLS)) {
		return reply{hangup: true} // there is no language left to say it in
	}
	c.reset() // RFC 3207 §4.2: forget all that was said in the clear
	c.helo, c.esmtp = "", false
	return reply{} // the client speaks next
}

// A transaction is the message under way.
type transaction struct {
	id    string
	tx    Transaction
	env   mail.Envelope
	size  int64 // declared
	start time.Time
	body  *body // nil before DATA or BDAT
}

// mail is MAIL, RFC 5321 §4.1.1.2.
func (c *conn) mail(arg string) reply {
	switch {
	case c.helo == "":
		return sayHello
	case c.s.o.Kind == Submission && c.login == nil:
		return needAuth
	case c.tx != nil:
		return nestedMail
	}
	text, params, ok := cutPath(arg, "FROM:")
	if !ok {
		return reply{code: 501, status: "5.5.4", text: "Syntax: MAIL FROM:<address>"}
	}
	var from mail.Path
	if text != "" {
		var err error
		if from, err = mail.ParsePath(text); err != nil {
			return c.refuse("MAIL", text, reply{code: 553, status: "5.1.7", text: "Bad sender address"})
		}
	}
	t := &transaction{env: mail.Envelope{From: from}, start: time.Now()}
	t.id = newID(t.start)
	if r := c.mailParams(t, params); r.failed() {
		return c.refuse("MAIL", text, r)
	}
	if !t.env.UTF8 && !isASCII(text) {
		return c.refuse("MAIL", text, utf8Needed)
	}
	if r := c.admit(t); r.failed() {
		return c.refuse("MAIL", text, r)
	}
	t.tx = c.s.o.Directory.Begin()
	c.tx, c.mailed = t, true
	return reply{code: 250, status: "2.1.0", text: "Sender OK"}
}

// admit says whether a message of this sender and size can be taken at all.
func (c *conn) admit(t *transaction) reply {
	if t.size > c.s.o.MaxSize {
		return tooBig
	}
	if err := c.s.o.Directory.Room(t.size); err != nil {
		return c.fault(t.id, err)
	}
	if c.login != nil && !t.env.From.IsNull() && !c.s.o.Directory.Owns(c.login.Account, t.env.From) {
		return reply{code: 553, status: "5.7.1", text: "This sender address does not belong to " + plain(string(c.login.Address))}
	}
	return ok
}

// rcpt is RCPT, RFC 5321 §4.1.1.3.
func (c *conn) rcpt(arg string) reply {
	switch {
	case c.tx == nil:
		return needMail
	case c.tx.body != nil:
		return midMessage
	case len(c.tx.env.To) >= c.s.o.MaxRecipients:
		return tooManyRcpts
	}
	text, params, ok := cutPath(arg, "TO:")
	if !ok || text == "" {
		return reply{code: 501, status: "5.5.4", text: "Syntax: RCPT TO:<address>"}
	}
	to, err := mail.ParsePath(text)
	if err != nil {
		return c.refuse("RCPT", text, reply{code: 553, status: "5.1.3", text: "Bad recipient address"})
	}
	rcpt := mail.Recipient{Path: to}
	if r := rcptParams(&rcpt, params); r.failed() {
		return c.refuse("RCPT", text, r)
	}
	if !c.tx.env.UTF8 && !isASCII(text) {
		return c.refuse("RCPT", text, utf8Needed)
	}
	if r := c.recipient(to); r.failed() {
		return c.refuse("RCPT", text, r)
	}
	c.tx.env.To = append(c.tx.env.To, rcpt)
	return reply{code: 250, status: "2.1.5", text: "Recipient OK"}
}

// recipient asks the Directory for a forward-path, and keeps strangers from
// asking for every name there may be.
func (c *conn) recipient(to mail.Path) reply {
	err := c.tx.tx.Rcpt(to, c.tx.size)
	if err != nil {
		r := c.fault(c.tx.id, err)
		if r.status == "5.1.1" {
			c.s.count.unknown.Add(1)
			if c.s.o.Kind == MX && !c.s.unknown.take(network(c.remote)) {
				return tooManyUnknown
			}
		}
		return r
	}
	if c.login != nil && !(c.s.hourly.take(c.login.Account) && c.s.daily.take(c.login.Account)) {
		return tooFast
	}
	return ok
}

// refuse logs a refused command, once, where it ends.
func (c *conn) refuse(verb, path string, r reply) reply {
	from := mail.Path("")
	if c.tx != nil {
		from = c.tx.env.From
	}
	c.s.log.Info("refused", "verb", verb, "path", path, "from", from, "remote", c.remote,
		"code", r.code, "status", r.status, "why", r.text)
	return r
}

// fault chooses the reply for an error of the Directory, and logs it if it is
// a fault of ours.
func (c *conn) fault(id string, err error) reply {
	r := c.s.refusal(err)
	if r == ourFault {
		c.s.log.Error("cannot take mail", "id", id, "remote", c.remote, "err", err)
	}
	return r
}
