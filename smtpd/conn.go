package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// A conn is one client. Its methods belong to the goroutine that serves it,
// except end.
type conn struct {
	s      *Server
	ctx    context.Context // ends with the server
	raw    net.Conn        // what was accepted; deadlines are set here
	nc     net.Conn        // raw, or TLS over it
	tls    *tls.ConnectionState
	cipher string
	r      *bufio.Reader
	w      *bufio.Writer
	remote netip.Addr
	start  time.Time

	helo   string
	esmtp  bool
	mailed bool // there was a MAIL
	login  *Login
	tx     *transaction // nil without MAIL
	told   Transaction  // committed, and the client has said nothing since its 250
	errors int
	junk   int

	closed chan struct{}

	mu      sync.Mutex // for what follows, which end uses
	ending  *reply     // say this and hang up
	atOnce  bool       // do not even wait for a message that is coming in
	sending bool       // a message is coming in
}

const (
	readBuffer  = 16 << 10 // a TLS record
	writeBuffer = 2 << 10
)

// Buffers outlive connections: a busy server makes thousands of short ones.
var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBuffer) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}
)

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, raw: nc, nc: nc, start: time.Now(), closed: make(chan struct{})}
	c.r = readers.Get().(*bufio.Reader)
	c.w = writers.Get().(*bufio.Writer)
	c.useConn(nc)
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.remote = a.Addr().Unmap()
	}
	return c
}

// useConn reads and writes by nc from now on, with nothing left over.
func (c *conn) useConn(nc net.Conn) {
	c.nc = nc
	c.r.Reset(nc)
	c.w.Reset(nc)
}

// close frees everything. What was committed and never confirmed is said so.
func (c *conn) close() {
	if c.tx != nil && c.tx.body != nil {
		c.s.count.lost.Add(1)
		c.s.log.Info("message lost on the way in", "id", c.tx.id, "remote", c.remote, "from", c.tx.env.From, "bytes", c.tx.body.n)
	}
	c.reset()
	if c.told != nil {
		c.told.Unconfirmed()
	}
	if c.login != nil && c.login.Close != nil {
		c.login.Close()
	}
	close(c.closed)
	c.raw.SetWriteDeadline(time.Now().Add(time.Second)) // for TLS's close_notify
	c.nc.Close()
	c.r.Reset(nil)
	c.w.Reset(nil)
	readers.Put(c.r)
	writers.Put(c.w)
}

// end tells the connection, from outside, to say r and hang up: at once if it
// waits for a command or if now is set, else after the message that comes in.
func (c *conn) end(r reply, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending == nil {
		c.ending = &r
	}
	c.atOnce = c.atOnce || now
	if c.atOnce || !c.sending {
		c.raw.SetReadDeadline(past)
	}
}

var past = time.Unix(1, 0)

// setReadDeadline sets when reading gives up, unless the connection is ending.
func (c *conn) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending != nil && (c.atOnce || !c.sending) {
		t = past
	}
	c.raw.SetReadDeadline(t)
}

// setSending marks that a message is coming in, which a stop waits for.
func (c *conn) setSending(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sending = on
}

// ended is what to say last, nil if the connection may go on.
func (c *conn) ended() *reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

func (c *conn) serve(ctx context.Context) {
	c.ctx = ctx
	if !c.greet() {
		return
	}
	for {
		line, err := c.readLine(c.commandDeadline())
		if err != nil {
			if r := c.readFailure(err); r != nil {
				c.write(*r)
				c.hangUp(*r)
			}
			return
		}
		c.told = nil // whatever the client says now, it has read our 250
		r := c.answer(line)
		if r.code != 0 {
			c.write(r)
		}
		if r.hangup {
			c.hangUp(r)
			return
		}
	}
}

// greet does the TLS handshake of an implicit TLS door and writes the banner.
func (c *conn) greet() bool {
	if t, ok := c.raw.(*tls.Conn); ok {
		if !c.shake(t) {
			return false
		}
	} else if c.s.o.ImplicitTLS {
		if !c.shake(tls.Server(c.raw, c.s.o.TLS)) {
			return false
		}
	} else if c.s.o.Kind == MX && pending(c.raw) {
		c.write(talkedFirst)
		c.hangUp(talkedFirst)
		return false
	}
	c.w.WriteString("220 ")
	c.w.WriteString(c.s.o.Host)
	c.w.WriteString(" ESMTP homemail\r\n")
	return true
}

// shake does the server's side of a TLS handshake, and goes on with TLS.
func (c *conn) shake(t *tls.Conn) bool {
	ctx, cancel := context.WithTimeout(c.ctx, handshake)
	defer cancel()
	c.raw.SetDeadline(time.Now().Add(handshake))
	if err := t.HandshakeContext(ctx); err != nil {
		c.s.log.Debug("TLS handshake failed", "remote", c.remote, "err", err)
		return false
	}
	state := t.ConnectionState()
	c.tls, c.cipher = &state, tls.CipherSuiteName(state.CipherSuite)
	c.s.count.encrypted.Add(1)
	c.useConn(t)
	return true
}

// commandDeadline is when the next command must have come, RFC 5321 §4.5.3.2.
func (c *conn) commandDeadline() time.Time {
	t := time.Now().Add(idle)
	var by time.Time
	switch {
	case c.s.o.Kind == Submission && c.login == nil:
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

// readFailure is what to say when no command came, nil if nobody listens.
func (c *conn) readFailure(err error) *reply {
	if r := c.ended(); r != nil {
		return r
	}
	switch {
	case err == errLineTooLong:
		return &lineTooLong
	case isTimeout(err):
		return &timedOut
	}
	return nil
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// answer does one command line and counts what it came to.
func (c *conn) answer(line []byte) reply {
	if e := c.ended(); e != nil {
		return *e
	}
	r := c.command(line)
	switch {
	case r.code >= 500:
		c.s.count.permanent.Add(1)
	case r.code >= 400:
		c.s.count.temporary.Add(1)
	}
	if !r.failed() || r.hangup {
		return r
	}
	if c.errors++; c.errors > maxErrors {
		return tooManyErrors
	}
	return r
}

// command finds the command of a line and does it.
func (c *conn) command(line []byte) reply {
	text, ok := cutCRLF(line)
	if !ok {
		return badNewline
	}
	verb, arg, _ := strings.Cut(text, " ")
	verb = strings.ToUpper(verb)
	do := commands[verb]
	if do == nil {
		do = unknown
	}
	if c.junk++; c.junk > maxJunk {
		return tooMuchJunk
	}
	return do(c, strings.TrimRight(arg, " "))
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

// write queues a reply.
func (c *conn) write(r reply) {
	b := c.w.AvailableBuffer()
	b = append(b, byte('0'+r.code/100), byte('0'+r.code/10%10), byte('0'+r.code%10), ' ')
	if r.status != "" {
		b = append(append(b, r.status...), ' ')
	}
	b = append(append(b, r.text...), "\r\n"...)
	c.writeOut(b)
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

// hangUp sends the last reply and lets the client read it: closing with unread
// input would make the kernel reset the connection and throw the reply away.
func (c *conn) hangUp(r reply) {
	if c.flush() != nil || !r.failed() || c.ended() != nil { // never delays a stop
		return
	}
	if t, ok := c.nc.(*tls.Conn); ok {
		t.CloseWrite()
	}
	under := innermost(c.raw)
	if h, ok := under.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
	}
	c.raw.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, under, lingerBytes)
}

// innermost returns the connection that TLS and counting wrappers are around.
func innermost(nc net.Conn) net.Conn {
	for {
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = outer.NetConn()
	}
}

// reset forgets the message under way.
func (c *conn) reset() {
	if c.tx != nil {
		c.tx.tx.Discard()
		c.tx = nil
	}
}
