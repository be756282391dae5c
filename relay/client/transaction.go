package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
)

// A Message is what one transaction carries.
type Message struct {
	Envelope mail.Envelope
	Size     int64 // exactly what Open gives, 0 if not known
	EightBit bool  // the body has octets over 127
	Open     func() (io.ReadCloser, error)
}

// A transaction is one MAIL with what belongs to it, RFC 5321 §3.3.
type transaction struct {
	c     *Conn
	m     Message
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
// connection is of no more use; the outcomes say the same.
//
// Mail with octets over 127 goes as it is to a server that has no 8BITMIME, like
// mox and Exim have it: all take it, and to change it would break signatures.
// Once the final dot is on its way, a done ctx no longer counts: the reply is
// waited for, since without it nobody knows who has the message.
func (c *Conn) Send(ctx context.Context, m Message) ([]mail.Outcome, error) {
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
	defer body.Close()
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

// content sends the message to the recipients that were taken and returns the
// reply to its end. Stop ends the watch over the context.
func (t *transaction) content(body io.Reader, stop func() bool) (reply, error) {
	if len(t.taken) == 0 {
		return reply{}, nil
	}
	if t.c.br.Buffered() > 0 { // it answers what we have not said
		return reply{}, t.c.outOfTurn("sending the message")
	}
	w := &paced{c: t.c, start: time.Now(), r: body}
	var err error
	if t.binary() {
		err = chunks(w, func(p []byte, last bool) error { return t.chunk(w, p, last, stop) })
	} else {
		err = t.dots(w, stop)
	}
	if err != nil {
		return reply{}, err
	}
	return w.last, nil
}

// dots sends the message after DATA.
func (t *transaction) dots(w *paced, stop func() bool) error {
	d := newDotWriter(w)
	if _, err := io.CopyBuffer(onlyWriter{d}, onlyReader{w}, make([]byte, 32<<10)); err != nil {
		return w.failed(err)
	}
	if err := t.whole(w); err != nil {
		return err
	}
	if !stop() {
		return failed("sending the message", t.c.why(context.Canceled))
	}
	if _, err := w.Write(d.finish()); err != nil {
		return unsure(w.failed(err))
	}
	return t.final(w)
}

// chunk sends a part of the message with BDAT, RFC 3030 §2.
func (t *transaction) chunk(w *paced, p []byte, last bool, stop func() bool) error {
	line := "BDAT " + strconv.Itoa(len(p))
	if last {
		if err := t.whole(w); err != nil {
			return err
		}
		if !stop() {
			return failed("sending the message", t.c.why(context.Canceled))
		}
		line += " LAST"
	}
	if _, err := w.Write(append([]byte(line+"\r\n"), p...)); err != nil {
		if err = w.failed(err); last {
			err = unsure(err)
		}
		return err
	}
	if last {
		return t.final(w)
	}
	r, err := t.c.read("waiting for the reply to BDAT", blockTime)
	if err == nil && r.class() != 2 {
		err = refused("BDAT", r)
		t.fail(t.taken, t.outcome(r))
		t.taken = nil
	}
	return err
}

// whole makes sure that a message which was cut short on our side is not taken
// for the whole.
func (t *transaction) whole(w *paced) error {
	if t.m.Size > 0 && w.read != t.m.Size {
		return &Error{Cause: mail.CauseOurs, Doing: "sending the message",
			Err: fmt.Errorf("it has %d octets and should have %d", w.read, t.m.Size)}
	}
	return nil
}

func (t *transaction) final(w *paced) (err error) {
	w.last, err = t.c.read("waiting for the reply to the end of the message", finalTime)
	return unsure(err)
}

// paced reads and writes a message and sees to it that the server takes it at
// no less than minRate, beside the limit for each block.
type paced struct {
	c       *Conn
	r       io.Reader
	start   time.Time
	read    int64
	written int64
	last    reply // to the end of the data
}

func (w *paced) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.read += int64(n)
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

func (w *paced) Write(p []byte) (int, error) {
	late := blockTime + time.Duration((w.written+int64(len(p)))/minRate)*time.Second - time.Since(w.start)
	w.c.limit(min(blockTime, late))
	n, err := w.c.rw.Write(p)
	w.written += int64(n)
	return n, err
}

// failed makes an error of a message that did not get through. A server that
// does not want to read on may have said why.
func (w *paced) failed(err error) error {
	e := failed("sending the message", w.c.why(err))
	if e.Cause != mail.CauseLost {
		return e
	}
	w.c.limit(quitTime)
	if r, err := readReply(w.c.br); err == nil && (r.class() == 4 || r.class() == 5) {
		return refused("sending the message", r)
	}
	return e
}

// onlyWriter and onlyReader keep io.Copy from finding other ways.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

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
