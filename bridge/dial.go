package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// helloMax bounds a line before TLS. RFC 3501 sets no limit; a greeting
	// with all capabilities has half of this.
	helloMax = 4 << 10
	// helloLines is how many lines a server may say before it answers STARTTLS.
	helloLines = 20
	// allowance is how much a server may say that nobody has taken yet. It is
	// what a response can take of our memory.
	allowance = 1 << 20
)

// A wire is a connection to a server that may be hostile. A Read fails when
// the server says nothing for too long, and when it has said far more than
// was taken from it.
type wire struct {
	net.Conn
	patience atomic.Int64 // how long a Read may take
	left     atomic.Int64 // bytes that may still be read
}

// expect sets how long the server may say nothing from now on, also for a Read
// that is under way.
func (w *wire) expect(d time.Duration) {
	w.patience.Store(int64(d))
	_ = w.Conn.SetReadDeadline(time.Now().Add(d)) // a closed connection says so when it is used
}

// allow says that all that came so far was taken.
func (w *wire) allow() { w.left.Store(allowance) }

func (w *wire) Read(p []byte) (int, error) {
	left := w.left.Load()
	if left <= 0 {
		return 0, errFlood
	}
	if err := w.Conn.SetReadDeadline(time.Now().Add(time.Duration(w.patience.Load()))); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(p[:min(len(p), int(left))])
	w.left.Add(int64(-n))
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	if err := w.Conn.SetWriteDeadline(time.Now().Add(time.Duration(w.patience.Load()))); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// SetReadDeadline does nothing: deadlines are the wire's own. One for a whole
// message, as the IMAP client sets it, would never let a large one through a
// slow line.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline does nothing.
func (w *wire) SetDeadline(time.Time) error { return nil }

// dial connects to an account's server with TLS. Hello asks for TLS where it
// does not come first. The connection is closed when ctx is done, and by stop.
func (b *Bridge) dial(ctx context.Context, a Account, hello func(net.Conn) error) (w *wire, stop func(), err error) {
	conn, err := b.o.Dial(ctx, "tcp", a.target())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errConnect, err)
	}
	unhook := context.AfterFunc(ctx, func() { conn.Close() })
	stop = func() {
		unhook()
		conn.Close()
	}
	raw := &wire{Conn: conn}
	raw.expect(b.o.Stall)
	raw.allow()
	if a.TLS != Implicit {
		if err := hello(raw); err != nil {
			stop()
			return nil, nil, err
		}
	}
	secure := tls.Client(conn, &tls.Config{ServerName: a.Host, RootCAs: b.o.Roots, MinVersion: tls.VersionTLS12})
	_ = conn.SetDeadline(time.Now().Add(b.o.Stall))
	if err := secure.HandshakeContext(ctx); err != nil {
		stop()
		return nil, nil, fmt.Errorf("%w: %w", errTLS, err)
	}
	_ = conn.SetDeadline(time.Time{})
	w = &wire{Conn: secure}
	w.expect(b.o.Stall)
	w.allow()
	return w, stop, nil
}

// helloLine reads a line before TLS and nothing behind it: whatever somebody
// has put there is then the start of the TLS handshake, and breaks it (no
// STARTTLS response injection, CVE-2021-38371 and its kin).
func helloLine(r io.Reader) (string, error) {
	var line []byte
	for len(line) < helloMax {
		var c [1]byte
		if _, err := io.ReadFull(r, c[:]); err != nil {
			return "", fmt.Errorf("%w: %w", errLost, err)
		}
		if c[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, c[0])
	}
	return "", fmt.Errorf("%w: an endless line", errProtocol)
}

// helloIMAP asks an IMAP server for TLS, RFC 3501 §6.2.1. One that says it
// knows us already (PREAUTH) would get our mail's commands in the clear.
func helloIMAP(c net.Conn) error {
	line, err := helloLine(c)
	if err != nil {
		return err
	}
	if word(line, 0) != "*" || word(line, 1) != "OK" {
		return fmt.Errorf("%w: it greeted with %.100q", errNoTLS, line)
	}
	if _, err := io.WriteString(c, "S STARTTLS\r\n"); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	for range helloLines {
		line, err := helloLine(c)
		if err != nil {
			return err
		}
		switch {
		case word(line, 0) != "S":
		case word(line, 1) == "OK":
			return nil
		default:
			return fmt.Errorf("%w: it answered %.100q", errNoTLS, line)
		}
	}
	return fmt.Errorf("%w: no answer to STARTTLS", errProtocol)
}

// helloPOP3 asks a POP3 server for TLS, RFC 2595 §4.
func helloPOP3(c net.Conn) error {
	for _, command := range []string{"", "STLS\r\n"} {
		if _, err := io.WriteString(c, command); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		line, err := helloLine(c)
		if err != nil {
			return err
		}
		if word(line, 0) != "+OK" {
			return fmt.Errorf("%w: it said %.100q", errNoTLS, line)
		}
	}
	return nil
}

// word returns a word of a line in capitals, "" if there are fewer.
func word(line string, n int) string {
	f := strings.Fields(line)
	if n >= len(f) {
		return ""
	}
	return strings.ToUpper(f[n])
}

// What goes wrong with a server. Explain has the words for people.
var (
	errConnect  = errors.New("the server cannot be reached")
	errTLS      = errors.New("no trusted secure connection")
	errNoTLS    = errors.New("the server offers no secure connection")
	errLost     = errors.New("the connection broke")
	errProtocol = errors.New("the server does not keep to the protocol")
	errFlood    = errors.New("the server says far more than it was asked")
	errRefused  = errors.New("the server refused the password")
	errBusy     = errors.New("the server is busy with this account")
	errNoUIDs   = errors.New("the server does not tell its messages apart")
	errTooMany  = errors.New("the mailbox has too many messages")
	errDelete   = errors.New("the server does not let us delete messages")
	errTooLarge = errors.New("the message is too large")
	errNobody   = errors.New("the person whose mail it is has no account here")
)
