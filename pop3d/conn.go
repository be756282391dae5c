package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"homemail/signin"
)

// A conn is one client's connection.
type conn struct {
	s      *Server
	ctx    context.Context // its cause says why the connection has to end
	cancel context.CancelCauseFunc
	woken  chan struct{} // closed when the end of ctx has woken reads and writes
	raw    net.Conn
	nc     net.Conn // raw, or TLS over it
	r      *bufio.Reader
	w      *bufio.Writer
	tls    *tls.ConnectionState // nil: none
	remote netip.Addr
	start  time.Time
	errors int
	buf    []byte // for bodies

	user    string // of USER
	utf8    bool   // RFC 6856 §2
	quit    bool   // the reply to the last command is the last one
	session *signin.Session
	drop    *maildrop // not nil: the TRANSACTION state
}

// A refusal is what follows -ERR, and does not end the connection.
type refusal string

func (r refusal) Error() string { return string(r) }

// Why a connection ends early, as its client is told.
var (
	errRevoked  = errors.New("[SYS/PERM] this device's access was turned off")
	errStopping = errors.New("[SYS/TEMP] the server is stopping")
	errIdle     = errors.New("[SYS/TEMP] too long without a command")
	errTooMany  = errors.New("[SYS/PERM] too many errors")
	errLine     = errors.New("[SYS/PERM] line too long")
)

func newConn(s *Server, ctx context.Context, cancel context.CancelCauseFunc, nc net.Conn) *conn {
	c := &conn{s: s, ctx: ctx, cancel: cancel, woken: make(chan struct{}), raw: nc, remote: remoteAddr(nc), start: time.Now()}
	c.attach(nc)
	return c
}

// attach makes nc what is read and written, with empty buffers.
func (c *conn) attach(nc net.Conn) {
	c.nc = nc
	c.r = bufio.NewReaderSize(nc, readBuffer)
	c.w = bufio.NewWriterSize(deadlineWriter{c}, writeBuffer)
}

// A deadlineWriter gives every write of a full buffer its own time, so that a
// slow client gets a large message and a stopped one goes.
type deadlineWriter struct{ c *conn }

func (d deadlineWriter) Write(p []byte) (int, error) {
	d.c.nc.SetWriteDeadline(time.Now().Add(writeTime))
	if d.c.ctx.Err() != nil { // asked after the deadline is set, as ending sets it too
		d.c.nc.SetWriteDeadline(time.Now().Add(goodbyeTime))
	}
	return d.c.nc.Write(p)
}

// startTLS does the handshake. What was read before is forgotten: it came in
// the clear, from anybody, RFC 2595 §4.
func (c *conn) startTLS() error {
	t := tls.Server(c.raw, c.s.o.TLS)
	ctx, cancel := context.WithDeadline(c.ctx, c.start.Add(signInTime))
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	state := t.ConnectionState()
	c.tls, c.user, c.utf8 = &state, "", false
	c.attach(t)
	return nil
}

// run serves the connection to its end.
func (c *conn) run(implicitTLS bool) {
	if implicitTLS {
		if err := c.startTLS(); err != nil {
			c.s.o.Log.Debug("TLS handshake failed", "door", "pop3", "remote", c.remote, "err", err)
			return
		}
	}
	// No "<...>" in the greeting: it would offer APOP, RFC 1939 §7.
	c.ok("%s POP3 ready", c.s.o.Host)
	var err error
	for err == nil && !c.quit {
		err = c.next()
	}
	c.goodbye(err)
}

// next reads a command and answers it.
func (c *conn) next() error {
	line, err := c.readLine()
	if err != nil {
		return err
	}
	verb, args := split(line)
	cmd, ok := commands[verb]
	switch {
	case len(line)+len("\r\n") > maxLine && verb != "AUTH":
		err = refusal("line too long")
	case !ok:
		err = refusal("unknown command")
	case cmd.in == authorization && c.drop != nil:
		err = refusal("already signed in")
	case cmd.in == transaction && c.drop == nil:
		err = refusal("sign in first")
	default:
		err = cmd.do(c, args)
	}
	var no refusal
	if !errors.As(err, &no) {
		return err
	}
	if c.errors++; c.errors > maxErrors {
		return errTooMany
	}
	fmt.Fprintf(c.w, "-ERR %s\r\n", no)
	return nil
}

// readLine returns a line without its end. Before it waits it sends what was
// answered so far: replies to a pipeline share their packets, RFC 2449 §6.8.
func (c *conn) readLine() (string, error) {
	if b, _ := c.r.Peek(c.r.Buffered()); bytes.IndexByte(b, '\n') < 0 {
		if err := c.w.Flush(); err != nil {
			return "", err
		}
	}
	deadline := c.start.Add(signInTime)
	if c.drop != nil {
		deadline = time.Now().Add(idleTime)
	}
	c.nc.SetReadDeadline(deadline)
	if c.ctx.Err() != nil { // asked after the deadline is set, as ending sets it too
		return "", context.Cause(c.ctx)
	}
	b, err := c.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", errLine
	case errors.Is(err, os.ErrDeadlineExceeded) && c.ctx.Err() != nil:
		return "", context.Cause(c.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", errIdle
	case err != nil:
		return "", err
	}
	b = bytes.TrimSuffix(b[:len(b)-1], []byte("\r"))
	return string(b), nil
}

// split takes the verb, in upper case, off a command line. What follows the
// one space is left as it is: a password may begin with another.
func split(line string) (verb, args string) {
	verb, args, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), args
}

// ok writes a positive reply.
func (c *conn) ok(format string, args ...any) {
	c.w.WriteString("+OK ")
	fmt.Fprintf(c.w, format, args...)
	c.w.WriteString("\r\n")
}

// goodbye sends what there is to say at the end, and what was not sent yet.
func (c *conn) goodbye(err error) {
	if c.ctx.Err() != nil {
		<-c.woken // or its deadline would come after ours
	}
	if errors.Is(err, context.Canceled) {
		err = errStopping
	}
	for _, e := range []error{errRevoked, errStopping, errIdle, errTooMany, errLine} {
		if errors.Is(err, e) {
			fmt.Fprintf(c.w, "-ERR %s\r\n", e)
		}
	}
	c.w.Flush()
	c.log(err)
}

// log says once how the connection went.
func (c *conn) log(err error) {
	if c.session == nil {
		c.s.o.Log.Debug("pop3 connection ended", "remote", c.remote, "tls", c.tls != nil, "err", err)
		return
	}
	attrs := []any{"address", c.session.Address, "device", c.session.Device, "remote", c.remote,
		"retrieved", c.drop.retrieved, "octets", c.drop.octets, "deleted", c.drop.removed,
		"for", time.Since(c.start).Round(time.Millisecond)}
	switch {
	case errors.Is(err, io.EOF):
		attrs = append(attrs, "err", "left without QUIT")
	case err != nil:
		attrs = append(attrs, "err", err)
	}
	c.s.o.Log.Info("pop3 session ended", attrs...)
}

// close gives back what the connection holds, however it ended.
func (c *conn) close() {
	if c.session != nil {
		c.s.unlock(c.session.Account.ID)
		c.session.Close()
	}
	c.nc.Close()
	c.cancel(nil)
}
