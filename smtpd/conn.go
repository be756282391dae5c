package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// A conn is one client, and the connection that go-smtp sees of it. It stands
// above TLS and below go-smtp, which reads from it whole command lines, one at
// a time, and message bytes that have been looked at, and writes its replies to
// it. Time, floods and framing are watched here.
//
// Its methods belong to the goroutine in which go-smtp serves it, except end.
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

	session  *session // a new one after STARTTLS
	helo     string
	extended bool            // it was EHLO
	mailed   bool            // there was a MAIL
	over     bool            // nothing more is read or said
	upgrade  bool            // because of STARTTLS
	last     *smtp.SMTPError // why we hung up, nil if it was not us
	told     Transaction     // committed, and the client has said nothing since its 250
	errors   int
	junk     int

	verb    string // of the last command, in upper case
	line    []byte // of it, what go-smtp has still to read
	bare    bool   // it is RCPT TO:<postmaster>
	flow    flow   // of message bytes that follow it
	replied bool   // there was a reply to it
	code    int    // of the last reply
	within  bool   // a line of that
	greeted bool

	closed chan struct{}

	mu      sync.Mutex      // for what follows, which end uses
	ending  *smtp.SMTPError // say this and hang up
	atOnce  bool            // do not even wait for a message that is coming in
	sending bool            // a message is coming in
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
	if c.told != nil {
		c.told.Unconfirmed()
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
func (c *conn) end(r *smtp.SMTPError, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending == nil {
		c.ending = r
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
func (c *conn) ended() *smtp.SMTPError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// serve is the life of the connection: a go-smtp serves it, and after STARTTLS
// another one, which knows nothing of what was said in the clear (RFC 3207 §4.2).
func (c *conn) serve(ctx context.Context) {
	c.ctx = ctx
	if !c.open() {
		return
	}
	for {
		c.session = &session{c: c}
		c.s.protocol(c).Serve(&oneConn{c: c, closed: make(chan struct{})}) // its error says that there is no other
		if !c.upgrade {
			return
		}
		c.writeReply(said(220, 0, 0, "Go ahead"))
		if c.flush() != nil || !c.shake(tls.Server(c.raw, c.s.o.TLS)) {
			return // there is no language left to say it in
		}
		c.over, c.upgrade = false, false
		c.helo, c.extended = "", false
	}
}

// open does the TLS handshake of an implicit TLS door, and sends those away who
// talk before the banner.
func (c *conn) open() bool {
	if t, ok := c.raw.(*tls.Conn); ok {
		return c.shake(t)
	}
	if c.s.o.ImplicitTLS {
		return c.shake(tls.Server(c.raw, c.s.o.TLS))
	}
	if c.s.o.Kind == MX && pending(c.raw) {
		c.hangUp(talkedFirst)
		return false
	}
	return true
}

// guard, deferred, has a panic end this connection only.
func (c *conn) guard() {
	if p := recover(); p != nil {
		c.over = true
		c.s.log.Error("panic in a connection", "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
	}
}

// A oneConn is a net.Listener with one connection. It is closed when that is.
type oneConn struct {
	c      *conn
	given  bool
	closed chan struct{}
}

func (l *oneConn) Addr() net.Addr { return l.c.LocalAddr() }
func (l *oneConn) Close() error   { return nil }

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return served{l.c, sync.OnceFunc(func() { close(l.closed) })}, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

// served is a conn in the hands of one go-smtp, which may not close what goes
// on under TLS.
type served struct {
	*conn
	done func()
}

// Close is called after QUIT, and in the end.
func (s served) Close() error {
	if !s.over {
		s.hangUp(nil)
	}
	s.done()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.raw.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Deadlines are ours alone.

func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

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

// hangUp says r, if it is not nil, as the last word: from here on go-smtp reads
// the end, and its replies are thrown away. The client is given time to read
// ours: closing with unread input would make the kernel reset the connection
// and throw the reply away.
func (c *conn) hangUp(r *smtp.SMTPError) {
	if r != nil {
		if c.last = r; r.Code >= 500 {
			c.s.count.permanent.Add(1)
		}
		c.writeReply(r)
	}
	c.over = true
	if c.flush() != nil || c.code < 400 || c.ended() != nil { // never delays a stop
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
