// Package client speaks SMTP to one server, RFC 5321: the greeting, EHLO,
// STARTTLS, AUTH and one transaction after the other.
//
// It takes nothing on trust. What a server says is bounded and read strictly,
// each wait has an end, and whatever bytes a message holds, nothing can leave
// that a server could take for another message (see dotWriter). It never looks
// up a name, opens a connection or decides which certificate will do.
package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"homemail/mail"
)

var (
	errOutOfTurn = errors.New("the server speaks out of turn")
	errUnsafe    = errors.New("a command would hold what no command may hold")
	errNoTLS     = errors.New("the connection is not encrypted")
)

// A Conn is a connection to a server. It is used by one goroutine at a time.
// Once a method has returned an error, only Close and Quit are of use.
type Conn struct {
	raw  net.Conn // the deadlines are its
	rw   net.Conn // raw, or TLS over it
	br   *bufio.Reader
	helo string

	ext   extensions
	tls   *tls.ConnectionState
	begun bool // MAIL was sent since the last reset or end of data
	dead  bool // nothing that is said now would be understood

	mu  sync.Mutex
	cut error // why all I/O must end: a context that is done
}

// New starts SMTP on a connection: it reads the greeting, RFC 5321 §3.1. Helo
// is our name, a domain or an address literal. The connection is closed if an
// error is returned.
func New(ctx context.Context, nc net.Conn, helo string) (*Conn, error) {
	c := &Conn{raw: nc, helo: helo}
	c.over(nc)
	return c.greeting(ctx)
}

// NewTLS is New on a connection that begins with TLS, RFC 8314 §3.3.
func NewTLS(ctx context.Context, nc net.Conn, helo string, config *tls.Config) (*Conn, error) {
	c := &Conn{raw: nc, helo: helo}
	if err := c.handshake(ctx, config); err != nil {
		c.Close()
		return nil, err
	}
	return c.greeting(ctx)
}

func (c *Conn) greeting(ctx context.Context) (*Conn, error) {
	defer c.watch(ctx)()
	r, err := c.read("waiting for the greeting", greetingTime)
	if err == nil && r.code != 220 {
		err = unexpected("greeting", r)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// over makes nc the connection that is spoken over.
func (c *Conn) over(nc net.Conn) {
	c.rw, c.br = nc, bufio.NewReaderSize(nc, maxLine)
}

// Hello says EHLO, or HELO to a server that does not know it, RFC 5321 §4.1.1.1.
func (c *Conn) Hello(ctx context.Context) error {
	defer c.watch(ctx)()
	c.ext = nil
	r, err := c.ask("EHLO", "EHLO "+c.helo, helloTime)
	if err != nil {
		return err
	}
	if r.class() == 5 {
		if r, err = c.ask("HELO", "HELO "+c.helo, helloTime); err != nil {
			return err
		}
		r.lines = r.lines[:1] // HELO offers nothing
	}
	if r.code != 250 {
		return unexpected("EHLO", r)
	}
	c.ext = parseExtensions(r)
	return nil
}

// Offers reports whether the server offers an extension, by its keyword in
// upper case. Only what it says over TLS is from the server for sure.
func (c *Conn) Offers(keyword string) bool { return c.ext.has(keyword) }

// StartTLS turns TLS on, RFC 3207. The caller says Hello again: what was offered
// before is forgotten (§4.2). A server that refuses the command stays usable.
func (c *Conn) StartTLS(ctx context.Context, config *tls.Config) error {
	if err := c.startTLS(ctx); err != nil {
		return err
	}
	return c.handshake(ctx, config)
}

func (c *Conn) startTLS(ctx context.Context) error {
	defer c.watch(ctx)()
	r, err := c.ask("STARTTLS", "STARTTLS", authTime)
	switch {
	case err != nil:
		return err
	case r.code != 220:
		return unexpected("STARTTLS", r)
	case c.br.Buffered() > 0: // injected before the encryption, to be read as if after it
		c.dead = true
		return broken("after STARTTLS", errOutOfTurn)
	}
	return nil
}

func (c *Conn) handshake(ctx context.Context, config *tls.Config) error {
	defer c.watch(ctx)()
	c.ext = nil
	c.limit(tlsTime)
	secure := tls.Client(c.raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.dead = true
		e := failed("TLS handshake", c.why(err))
		if e.Cause != mail.CauseTimeout && e.Cause != mail.CauseOurs {
			e.Cause = mail.CauseTLS
		}
		return e
	}
	state := secure.ConnectionState()
	c.tls = &state
	c.over(secure)
	return nil
}

// TLS returns the state of TLS, nil without.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// Quit ends the session politely but not patiently, and closes the connection.
func (c *Conn) Quit() {
	defer c.Close()
	if c.dead {
		return
	}
	c.limit(quitTime)
	if _, err := c.rw.Write([]byte("QUIT\r\n")); err == nil {
		readReply(c.br) // RFC 5321 §4.1.1.10 wants us to wait for it
	}
}

// Close closes the connection and says nothing.
func (c *Conn) Close() error { return c.raw.Close() }

// ask sends one command and returns its reply. Name is for the error: a command
// may hold a password.
func (c *Conn) ask(name, command string, limit time.Duration) (reply, error) {
	if err := c.write("sending "+name, limit, command); err != nil {
		return reply{}, err
	}
	return c.read("waiting for the reply to "+name, limit)
}

// write sends commands at once. Whatever the server has said without being
// asked would be taken for their replies.
func (c *Conn) write(doing string, limit time.Duration, commands ...string) error {
	var b []byte
	for _, cmd := range commands {
		if !safe(cmd) {
			return &Error{Cause: mail.CauseOurs, Doing: doing, Err: errUnsafe}
		}
		b = append(append(b, cmd...), '\r', '\n')
	}
	if c.br.Buffered() > 0 {
		return c.outOfTurn(doing)
	}
	c.limit(limit)
	if _, err := c.rw.Write(b); err != nil {
		c.dead = true
		return failed(doing, c.why(err))
	}
	return nil
}

// outOfTurn tells what it was that the server said without being asked. A 421
// is its right, RFC 5321 §3.8.
func (c *Conn) outOfTurn(doing string) error {
	c.dead = true
	c.limit(quitTime)
	if r, err := readReply(c.br); err == nil && r.code == 421 {
		return refused(doing, r)
	}
	return broken(doing, errOutOfTurn)
}

// read reads a reply. A 421 is an error whatever it answers: the server goes.
func (c *Conn) read(doing string, limit time.Duration) (reply, error) {
	c.limit(limit)
	r, err := readReply(c.br)
	c.dead = err != nil || r.code == 421
	switch {
	case err != nil:
		return reply{}, failed(doing, c.why(err))
	case r.code == 421:
		return reply{}, refused(doing, r)
	}
	return r, nil
}

// unexpected makes an error of a reply that is no success.
func unexpected(doing string, r reply) error {
	if r.class() == 4 || r.class() == 5 {
		return refused(doing, r)
	}
	e := refused(doing, r)
	e.Cause = mail.CauseBroken
	return e
}

// safe reports whether a command holds no control: no line end, above all.
func safe(command string) bool {
	for i := range len(command) {
		if c := command[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// watch ends all I/O when ctx is done, until the returned function is called.
// That reports false if ctx was done before.
func (c *Conn) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cut = context.Cause(ctx)
		c.raw.SetDeadline(time.Unix(1, 0))
	})
}

// limit gives what follows an end.
func (c *Conn) limit(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut == nil {
		c.raw.SetDeadline(time.Now().Add(d))
	}
}

// why returns the reason for a failed read or write.
func (c *Conn) why(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut != nil {
		return c.cut
	}
	return err
}
