package client

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"homemail/mail"
)

// A transaction is one MAIL with what belongs to it, RFC 5321 §3.3.
type transaction struct {
	c     *Conn
	m     mail.Handover
	utf8  bool           // SMTPUTF8 is said
	outs  []mail.Outcome // one for each of m.Envelope.To
	live  []int          // the recipients that are sent, by their place in outs
	taken []int          // those that the server took
	data  bool           // DATA was answered with 354
	until time.Time      // when MAIL and RCPT must be through
}

// Send runs one transaction and returns what became of each recipient, always
// one outcome for each, without Remote and TLS. A message that the server would
// not take by what it offers is refused here. An error means that the
// connection is of no more use; the outcomes say the same. Size must be exactly
// what Open gives, or 0: less is not taken for the whole message.
//
// Mail with octets over 127 goes as it is to a server that has no 8BITMIME, like
// mox and Exim have it: all take it, and to change it would break signatures.
// Once the final dot is on its way, a done ctx no longer counts: the reply is
// waited for, since without it nobody knows who has the message.
func (c *Conn) Send(ctx context.Context, m mail.Handover) ([]mail.Outcome, error) {
	t := &transaction{c: c, m: m, outs: make([]mail.Outcome, len(m.Envelope.To))}
	if err := t.prepare(); err != nil {
		t.fail(all(len(t.outs)), Outcome(err))
		return t.outs, nil // nothing was said to the server
	}
	if len(t.live) == 0 {
		return t.outs, nil
	}
	err := t.run(ctx)
	return t.outs, err
}

func (t *transaction) run(ctx context.Context) error {
	body, err := t.m.Open()
	if err != nil {
		t.fail(t.live, Outcome(&readError{err}))
		return nil
	}
	defer done(body)
	stop := t.c.watch(ctx)
	defer stop()
	if err := t.envelope(); err != nil {
		t.fail(t.open(), Outcome(err))
		return err
	}
	r, err := t.content(body, stop)
	if errors.Is(err, errBareNewline) {
		t.c.dead = true
		t.fail(t.taken, refusal(mail.CauseBody, "5.6.3", "The message holds binary data that cannot be sent"))
		return err
	}
	if err != nil {
		t.c.dead = true // it would take QUIT for a line of the message
		t.fail(t.taken, Outcome(err))
		return err
	}
	if len(t.taken) > 0 {
		t.c.begun = false
		t.fail(t.taken, t.outcome(r))
	}
	if r.class() == 3 {
		return broken("end of data", errReplyForm)
	}
	return nil
}

// done closes what has to be closed.
func done(r io.Reader) {
	if c, ok := r.(io.Closer); ok {
		c.Close()
	}
}

// envelope says MAIL, RCPT and, if all goes well, DATA, and fills the outcomes
// of the recipients that were refused. With PIPELINING (RFC 2920) as many
// commands as fit go out before their replies are read.
func (t *transaction) envelope() error {
	t.until = time.Now().Add(envelopeTime)
	list := t.commands()
	for len(list) > 0 {
		n := t.batch(list)
		lines := make([]string, n)
		for i, cmd := range list[:n] {
			lines[i] = cmd.line
		}
		if err := t.c.write("sending "+list[0].name, time.Until(t.until), lines...); err != nil {
			return err
		}
		going := true
		for _, cmd := range list[:n] {
			ok, err := t.reply(cmd)
			if err != nil {
				return err
			}
			going = going && ok
		}
		list = list[n:]
		if !going || len(list) == 1 && list[0].name == "DATA" && len(t.taken) == 0 {
			return t.abandon()
		}
	}
	return t.abandon()
}

// abandon ends a transaction that the server was made to begin although it took
// no recipient: a lone dot, RFC 2920 §3.1.
func (t *transaction) abandon() error {
	if !t.data || len(t.taken) > 0 {
		return nil
	}
	t.data = false
	_, err := t.c.ask("the end of an empty message", ".", finalTime)
	return err
}

// A command of the envelope. Rcpt is the place of its recipient.
type command struct {
	name, line string
	rcpt       int
	limit      time.Duration
}

func (t *transaction) commands() []command {
	var list []command
	if t.c.begun {
		list = append(list, command{"RSET", "RSET", -1, resetTime})
	}
	list = append(list, command{"MAIL", t.mailLine(), -1, mailTime})
	for _, i := range t.live {
		list = append(list, command{"RCPT", t.rcptLine(t.m.Envelope.To[i]), i, rcptTime})
	}
	if !t.binary() {
		list = append(list, command{"DATA", "DATA", -1, dataTime})
	}
	return list
}

// batch is how many of the commands go out at once.
func (t *transaction) batch(list []command) int {
	if !t.c.Offers("PIPELINING") {
		return 1
	}
	n, size := 1, len(list[0].line)
	for n < len(list) && size+len(list[n].line) <= maxBatch {
		size += len(list[n].line) + len("\r\n")
		n++
	}
	return n
}

// reply reads the reply to one command, and reports whether it makes sense to
// go on with the next one.
func (t *transaction) reply(cmd command) (ok bool, err error) {
	r, err := t.c.read("waiting for the reply to "+cmd.name, min(cmd.limit, time.Until(t.until)))
	if err != nil {
		return false, err
	}
	switch cmd.name {
	case "RSET":
		if r.class() != 2 {
			return false, unexpected("RSET", r)
		}
		t.c.begun = false
	case "MAIL":
		t.c.begun = true
		if r.class() != 2 {
			t.fail(t.live, t.outcome(r))
			return false, nil
		}
	case "RCPT":
		if r.class() == 2 && t.outs[cmd.rcpt].Fate == "" {
			t.taken = append(t.taken, cmd.rcpt)
		} else if t.outs[cmd.rcpt].Fate == "" {
			t.outs[cmd.rcpt] = t.rcptOutcome(r)
		}
	case "DATA":
		t.data = r.code == 354
		if !t.data {
			t.fail(t.taken, t.outcome(r))
			t.taken = nil
		}
		return t.data, nil
	}
	return true, nil
}

// outcome is what a reply means for a recipient.
func (t *transaction) outcome(r reply) mail.Outcome {
	o := mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseReply, Reply: r.mail()}
	switch {
	case r.class() == 2:
		o.Fate, o.Cause, o.DSN = mail.Relayed, mail.CauseNone, t.c.Offers("DSN")
	case r.class() == 3, r.code == 503: // it has lost its place, or we ours
		o.Cause = mail.CauseBroken
	case r.class() == 5:
		o.Fate = mail.Permanent
	}
	return o
}

// rcptOutcome knows that 552 was "too many recipients" once, RFC 5321
// §4.5.3.1.10.
func (t *transaction) rcptOutcome(r reply) mail.Outcome {
	o := t.outcome(r)
	if r.code == 552 && len(t.taken) > 0 && (o.Reply.Enhanced == "" || o.Reply.Enhanced == "5.5.3") {
		o.Fate = mail.Temporary
	}
	return o
}

// open are the recipients whose outcome is not known yet.
func (t *transaction) open() []int {
	var list []int
	for _, i := range t.live {
		if t.outs[i].Fate == "" {
			list = append(list, i)
		}
	}
	return list
}

// fail gives an outcome to those of the recipients that have none yet.
func (t *transaction) fail(rcpts []int, o mail.Outcome) {
	for _, i := range rcpts {
		if t.outs[i].Fate == "" {
			t.outs[i] = o
		}
	}
}

func all(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// refusal is an outcome that we know without asking the server.
func refusal(cause mail.Cause, enhanced, text string) mail.Outcome {
	return mail.Outcome{Fate: mail.Permanent, Cause: cause, Reply: mail.Reply{Enhanced: enhanced, Text: text}}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
