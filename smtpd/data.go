package smtpd

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
)

// A body is the bytes of a message on their way from the wire to the spool.
type body struct {
	scan   scanner
	w      io.Writer
	header *headerFilter // Submission; also what w is
	max    int64
	n      int64  // octets seen
	failed *reply // the message is refused: the rest is read and thrown away
	err    error  // why, if it is a fault of ours
}

// emit takes the message's next bytes.
func (b *body) emit(p []byte) {
	b.n += int64(len(p))
	switch {
	case b.failed != nil || len(p) == 0:
		return
	case b.n > b.max:
		b.failed = &tooBig
	case b.scan.long:
		b.failed = &longDataLine
	default:
		if _, err := b.w.Write(p); err != nil {
			b.failed, b.err = &ourFault, err
		}
	}
}

// begin makes the body of the message under way.
func (c *conn) begin(dots bool) {
	t := c.tx
	binary := t.env.Body == mail.BodyBinary
	t.body = &body{scan: scanner{dots: dots, binary: binary}, w: t.tx, max: c.s.o.MaxSize}
	if c.s.o.Kind == Submission {
		t.body.header = newHeaderFilter(t.tx, "<"+t.id+"@"+c.s.o.Host+">", t.start)
		t.body.w = t.body.header
	}
}

// data is DATA, RFC 5321 §4.1.1.4.
func (c *conn) data(arg string) reply {
	switch {
	case arg != "":
		return noArguments
	case c.tx == nil:
		return needMail
	case c.tx.body != nil:
		return midMessage
	case c.tx.env.Body == mail.BodyBinary:
		return binaryByBdat // RFC 3030 §3
	case len(c.tx.env.To) == 0:
		return needRcpt
	}
	c.begin(true)
	c.write(reply{code: 354, text: "Go on; end with a line with only a dot"})
	if r := c.receive(-1); r != nil {
		return *r
	}
	return c.finish()
}

// bdat is BDAT, RFC 3030 §2. Its octets follow whatever we think of it.
func (c *conn) bdat(arg string) reply {
	word, rest, _ := strings.Cut(arg, " ")
	rest = strings.TrimSpace(rest)
	size, err := strconv.ParseInt(word, 10, 64)
	last := strings.EqualFold(rest, "LAST")
	switch {
	case err != nil || size < 0 || word[0] == '+' || rest != "" && !last:
		// Where the next command starts is anybody's guess.
		return reply{code: 501, status: "5.5.4", text: "Syntax: BDAT size [LAST]", hangup: true}
	case c.tx == nil:
		return c.skip(size, needMail)
	case len(c.tx.env.To) == 0:
		return c.skip(size, needRcpt)
	}
	if c.tx.body == nil {
		c.begin(false)
	}
	if size > c.s.o.MaxSize-c.tx.body.n {
		c.abandon(tooBig)
		return c.skip(size, tooBig)
	}
	if r := c.receive(size); r != nil {
		return *r
	}
	if !last && c.tx.body.failed == nil {
		return reply{code: 250, status: "2.0.0", text: word + " octets received"}
	}
	if c.tx.body.scan.close() != nil {
		return c.abandon(bareNewline)
	}
	return c.finish()
}

// skip throws a chunk away that nobody wants. Nobody has to read gigabytes for
// that: one of absurd size ends the connection.
func (c *conn) skip(size int64, r reply) reply {
	if size > 2*c.s.o.MaxSize {
		return r.andHangup()
	}
	if fail := c.transfer(size, func(p []byte) (int, bool, error) { return len(p), false, nil }); fail != nil {
		return *fail
	}
	return r
}

// receive reads a message up to its final dot, or a chunk of the given size.
// It returns nil, or the reply to hang up with.
func (c *conn) receive(size int64) *reply {
	b := c.tx.body
	fail := c.transfer(size, func(p []byte) (int, bool, error) {
		n, end, err := b.scan.scan(p, b.emit)
		if b.n > 2*b.max+lingerBytes { // it has no end, and we have shown patience
			return n, end, errEndless
		}
		return n, end, err
	})
	if fail != nil {
		return fail
	}
	if b.scan.long && b.failed == nil {
		b.failed = &longDataLine
	}
	return nil
}

var errEndless = errors.New("no end in sight")

// transfer hands what comes in to use until that says end or size octets have
// passed (no size if negative). Whoever does not keep to a pace is cut off, and
// after any trouble the connection is too: what follows would be the rest of a
// message, and must never be taken for commands.
func (c *conn) transfer(size int64, use func([]byte) (n int, end bool, err error)) *reply {
	c.setSending(true)
	defer c.setSending(false)
	start, done := time.Now(), int64(0)
	for size < 0 || done < size {
		p, fail := c.next(start, done)
		if fail != nil {
			return fail
		}
		if size >= 0 {
			p = p[:min(int64(len(p)), size-done)]
		}
		n, end, err := use(p)
		switch {
		case err == errEndless:
			return c.broken(tooBig.andHangup())
		case err != nil:
			return c.broken(bareNewline)
		}
		c.r.Discard(n)
		done += int64(n)
		if end {
			return nil
		}
	}
	return nil
}

// next returns what has come in, waiting for something if need be. All of it
// stays in the reader.
func (c *conn) next(start time.Time, done int64) ([]byte, *reply) {
	if c.r.Buffered() == 0 {
		if c.flush() != nil {
			return nil, c.broken(reply{hangup: true})
		}
		now := time.Now()
		slow := start.Add(dataGrace + time.Duration(done)*time.Second/minPace)
		deadline := now.Add(dataIdle)
		if slow.Before(deadline) {
			deadline = slow
		}
		c.setReadDeadline(deadline)
		if _, err := c.r.Peek(1); err != nil {
			switch e := c.ended(); {
			case e != nil:
				return nil, c.broken(*e)
			case isTimeout(err):
				return nil, c.broken(tooSlow)
			}
			return nil, c.broken(reply{hangup: true})
		}
	}
	p, _ := c.r.Peek(c.r.Buffered())
	return p, nil
}

// broken ends a message that cannot be gone on with, and the connection.
func (c *conn) broken(r reply) *reply {
	if r.code == 0 || r.code == 421 {
		c.s.count.lost.Add(1)
	}
	if c.tx != nil {
		r = c.abandon(r)
	}
	return &r
}

// abandon logs and forgets the message under way, which came to r.
func (c *conn) abandon(r reply) reply {
	why, n := r.text, int64(0)
	if r.code == 0 {
		why = "connection lost"
	}
	if c.tx.body != nil {
		n = c.tx.body.n
	}
	c.s.log.Info("refused", "id", c.tx.id, "from", c.tx.env.From, "remote", c.remote,
		"code", r.code, "status", r.status, "why", why, "bytes", n)
	c.reset()
	return r
}

// finish is the end of a message that came in whole: the promise.
func (c *conn) finish() reply {
	t, b := c.tx, c.tx.body
	if b.err != nil {
		return c.abandon(c.fault(t.id, b.err))
	}
	if b.failed != nil {
		return c.abandon(*b.failed)
	}
	if b.header != nil {
		if err := b.header.Close(); err != nil {
			return c.abandon(c.fault(t.id, err))
		}
		if r := c.checkAuthor(); r.failed() {
			return c.abandon(r)
		}
	}
	id, err := t.tx.Commit(t.env, c.trace())
	if err != nil {
		return c.abandon(c.fault(t.id, err))
	}
	c.stored(id)
	return reply{code: 250, status: "2.0.0", text: "OK: stored as " + id}
}

// stored logs and counts a message that is on disk.
func (c *conn) stored(id string) {
	t := c.tx
	c.s.count.accepted.Add(1)
	c.s.count.recipients.Add(int64(len(t.env.To)))
	c.s.count.bytes.Add(t.body.n)
	c.errors, c.junk = 0, 0
	c.told = t.tx
	c.s.log.Info("accepted", "id", id, "from", t.env.From, "rcpts", len(t.env.To), "size", t.body.n,
		"remote", c.remote, "tls", c.cipher, "ms", time.Since(t.start).Milliseconds())
	c.reset()
}

// trace says how the message under way came in.
func (c *conn) trace() mail.Trace {
	t := mail.Trace{ID: c.tx.id, Remote: c.remote, Helo: c.helo, Protocol: c.protocol(), TLS: c.cipher, Time: time.Now()}
	if c.login != nil {
		t.Account = c.login.Account
	}
	return t
}

// protocol is the "with" keyword, RFC 3848 and RFC 6531 §4.3.
func (c *conn) protocol() string {
	if !c.esmtp {
		return "SMTP"
	}
	name := "ESMTP"
	if c.tx.env.UTF8 {
		name = "UTF8SMTP"
	}
	if c.tls != nil {
		name += "S"
	}
	if c.login != nil {
		name += "A"
	}
	return name
}
