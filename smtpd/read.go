package smtpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
)

// Read gives go-smtp the next command line or, where go-smtp has agreed to take
// a message, the next of its bytes, and never both at once: what is left of a
// message that broke off cannot be taken for commands, nor does a command wait
// in go-smtp's buffer while the one before it is done.
func (c *conn) Read(p []byte) (int, error) {
	defer c.guard() // go-smtp does not, between commands
	for !c.over {
		switch {
		case len(c.line) > 0:
			n := copy(p, c.line)
			c.line = c.line[n:]
			return n, nil
		case c.flow.open():
			if n := c.receive(p); n > 0 {
				return n, nil
			}
		default:
			c.next()
		}
	}
	if c.flow.chunk > 0 { // go-smtp would take the end of the connection for that of the chunk
		c.flow.chunk = 0
		return 0, io.ErrUnexpectedEOF
	}
	return 0, io.EOF
}

// next waits for a command and does it, or sets line for go-smtp to do so.
func (c *conn) next() {
	c.awaitChunks()
	line, err := c.readLine(c.commandDeadline())
	switch end := c.ended(); {
	case end != nil:
		c.hangUp(end)
	case err == errLineTooLong:
		c.hangUp(lineTooLong)
	case isTimeout(err):
		c.hangUp(timedOut)
	case err != nil:
		c.over = true // nobody listens
	default:
		c.told = nil // whatever the client says now, it has read our 250
		c.command(line)
	}
}

// commandDeadline is when the next command must have come, RFC 5321 §4.5.3.2.
func (c *conn) commandDeadline() time.Time {
	t := time.Now().Add(idle)
	var by time.Time
	switch {
	case c.s.o.Kind == Submission && c.session.login == nil && !c.mailed && !c.isNeighbour():
		by = c.start.Add(untilAuth)
	case !c.mailed:
		by = c.start.Add(untilMail)
	}
	if !by.IsZero() && by.Before(t) {
		return by
	}
	return t
}

var errLineTooLong = errors.New("line too long")

// readLine reads up to an LF. Replies are written out before it waits, and only
// then, so that pipelined commands get theirs in one packet (RFC 2920).
func (c *conn) readLine(deadline time.Time) ([]byte, error) {
	if have, _ := c.r.Peek(c.r.Buffered()); bytes.IndexByte(have, '\n') < 0 {
		if err := c.flush(); err != nil {
			return nil, err
		}
		c.setReadDeadline(deadline)
	}
	line, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull || len(line) > maxLine {
		return nil, errLineTooLong
	}
	return line, err
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// command looks at a line. What go-smtp does not know, or would see in another
// way than we must, is done here; the rest it gets.
func (c *conn) command(line []byte) {
	text, ok := cutCRLF(line)
	if c.code == 334 { // a SASL response, whatever it looks like
		if c.line = line; !ok {
			c.line = []byte("*\r\n") // cancelled, RFC 4954 §4
		}
		return
	}
	if c.junk++; c.junk > maxJunk {
		c.hangUp(tooMuchJunk)
		return
	}
	verb, arg, _ := strings.Cut(text, " ")
	arg = strings.TrimSpace(arg)
	c.verb, c.replied, c.bare = strings.ToUpper(verb), false, false
	switch {
	case !ok:
		c.answer(badNewline)
	case strings.HasPrefix(c.verb, "STARTTLS"): // go-smtp does not look further either
		c.startTLS(arg)
	case c.verb == "EHLO" || c.verb == "HELO":
		if arg == "" || len(arg) > 255 || strings.ContainsAny(arg, " \t<>") {
			if !c.isNeighbour() {
				c.answer(badName)
				return
			}
			arg = unnamed
			line = fmt.Appendf(nil, "%s %s\r\n", c.verb, arg)
		}
		c.helo, c.extended, c.line = arg, c.verb == "EHLO", line
	case c.verb == "BDAT":
		c.bdat(arg)
	case c.verb == "MAIL":
		c.line = c.mail(line, arg)
	case c.verb == "RCPT":
		c.line = c.rcpt(line, arg)
	case c.verb == "GET" || c.verb == "POST" || c.verb == "PUT" || c.verb == "OPTIONS" || c.verb == "CONNECT":
		c.answer(webBrowser)
	default:
		c.line = line
	}
}

// cutCRLF returns the line without its CRLF, if it ends so and has no control
// characters: with them it would mean something else to the next reader.
func cutCRLF(line []byte) (string, bool) {
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return "", false
	}
	for _, ch := range line {
		if ch < ' ' && ch != '\t' || ch == 0x7f {
			return "", false
		}
	}
	return string(line), true
}

// postmaster is the only path without a domain, RFC 5321 §4.5.1.
const postmaster mail.Path = "postmaster"

// rcpt gives postmaster a domain for go-smtp, which knows no path without one.
// The session takes it away again.
func (c *conn) rcpt(line []byte, arg string) []byte {
	const path = "<" + string(postmaster) + ">"
	to, rest, _ := strings.Cut(arg, ":")
	rest = strings.TrimLeft(rest, " ")
	if !strings.EqualFold(to, "TO") || len(rest) < len(path) || !strings.EqualFold(rest[:len(path)], path) {
		return line
	}
	c.bare = true
	return fmt.Appendf(nil, "RCPT TO:<%s@%s>%s\r\n", postmaster, c.s.o.Host, rest[len(path):])
}

// startTLS is STARTTLS, RFC 3207.
func (c *conn) startTLS(arg string) {
	switch {
	case arg != "" || c.verb != "STARTTLS":
		c.answer(noArguments)
	case c.tls != nil:
		c.answer(tlsIsOn)
	case c.s.o.TLS == nil:
		c.answer(noTLS)
	case c.session.receiving():
		c.answer(midMessage)
	case c.r.Buffered() > 0: // somebody has put words in front of the handshake, CVE-2011-0411
		c.hangUp(talkedOn)
	default:
		c.upgrade, c.over = true, true
	}
}

// bdat is BDAT, RFC 3030 §2. Its octets follow whatever we think of it, so
// where they end must be beyond doubt: go-smtp reads our words, not the client's.
func (c *conn) bdat(arg string) {
	word, rest, _ := strings.Cut(arg, " ")
	rest = strings.TrimSpace(rest)
	size, err := strconv.ParseInt(word, 10, 64)
	last := strings.EqualFold(rest, "LAST")
	switch {
	case err != nil || size < 0 || word[0] == '+' || rest != "" && !last:
		c.hangUp(badChunk) // where the next command starts is anybody's guess
		return
	case size > min(2*c.s.o.MaxSize, maxChunk):
		c.hangUp(tooBig) // nobody has to read gigabytes only to throw them away
		return
	}
	if c.session.openChunks() {
		c.flow = flow{scan: scanner{binary: c.session.tx.env.Body == mail.BodyBinary}}
	}
	if last && size == 0 && c.session.receiving() && c.flow.scan.close() != nil {
		c.hangUp(bareNewline)
		return
	}
	c.flow.chunk, c.flow.size, c.flow.last = size, size, last
	c.begin()
	c.line = fmt.Appendf(nil, "BDAT %d\r\n", size)
	if last {
		c.line = fmt.Appendf(nil, "BDAT %d LAST\r\n", size)
	}
}

// maxChunk is the largest number that go-smtp takes.
const maxChunk = 1<<32 - 1
