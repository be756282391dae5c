package imapd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	loginTimeout = 60 * time.Second // from the connection to being signed in
	idleTimeout  = 35 * time.Minute // RFC 9051 §5.4: at least 30 minutes
	dataTimeout  = 5 * time.Minute  // between two pieces of a message being uploaded
	writeTimeout = time.Minute      // for the client to take outMax bytes
	loginBudget  = 64 << 10         // bytes that a stranger may send
	outMax       = 16 << 10         // one TLS record
)

// A guard stands between the library and a TLS connection. It owns the
// deadlines (the library's are absolute and too tight for a slow upload),
// gathers small responses into one TLS record, bounds what a stranger may send,
// and hangs up when a refused literal would be read as commands.
type guard struct {
	net.Conn // the TLS connection; deadlines, Read, Write and Close are ours
	ctx      context.Context
	begun    time.Time
	in       *bufio.Reader // of the goroutine that reads
	done     func()        // called by the session when it has ended

	mu      sync.Mutex
	track   tracker
	out     []byte
	mute    bool          // the next write is the library's greeting: the client had ours
	reading bool          // the library waits for the client: what is written must leave now
	budget  int64         // bytes that may still be read; negative: no bound
	patient time.Duration // how long to wait for the client; 0: until loginTimeout is over
	leaving string        // BYE text, to be said as soon as no command runs
	last    string        // BYE text, to be said behind the next write
	closed  bool
}

func newGuard(ctx context.Context, c *tls.Conn, begun time.Time, mute bool) *guard {
	return &guard{Conn: c, ctx: ctx, begun: begun, in: bufio.NewReader(c), mute: mute, budget: loginBudget}
}

func (g *guard) SetDeadline(time.Time) error      { return nil }
func (g *guard) SetReadDeadline(time.Time) error  { return nil }
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

func (g *guard) tls() *tls.ConnectionState {
	cs := g.Conn.(*tls.Conn).ConnectionState()
	return &cs
}

// signedIn lifts the bounds for strangers.
func (g *guard) signedIn() {
	g.mu.Lock()
	g.budget, g.patient = -1, idleTimeout
	g.mu.Unlock()
}

// upload says whether a message is being read.
func (g *guard) upload(on bool) {
	g.mu.Lock()
	g.patient = idleTimeout
	if on {
		g.patient = dataTimeout
	}
	g.mu.Unlock()
}

// hangUp ends the connection behind the next thing that is written.
func (g *guard) hangUp(text string) {
	g.mu.Lock()
	g.last = text
	g.mu.Unlock()
}

// hungUp ends the connection if hangUp was called, and reports whether.
func (g *guard) hungUp() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last != "" {
		g.farewell(g.last)
	}
	return g.last != ""
}

// bye ends the connection: at once when it waits for the client, else when the
// running command is done, but at last after grace.
func (g *guard) bye(text string, grace time.Duration) {
	time.AfterFunc(grace, g.kill)
	go func() { // a writer that waits for its client holds the lock
		g.mu.Lock()
		defer g.mu.Unlock()
		g.leaving = text
		if g.reading && g.track.rest() == 0 {
			g.farewell(text)
		}
	}()
}

// kill ends the connection without a word.
func (g *guard) kill() { g.Conn.(*tls.Conn).NetConn().Close() }

// Read reads at most up to the announcement of a literal.
func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if g.in.Buffered() == 0 {
		if err := g.await(); err != nil {
			return 0, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed { // what was pipelined behind the end is not run
		return 0, io.EOF
	}
	b, _ := g.in.Peek(min(g.in.Buffered(), len(p)))
	n, err := g.track.take(b)
	if errors.Is(err, errTooLong) {
		g.farewell("Command or literal is too long")
		return 0, io.EOF
	}
	if g.budget >= 0 {
		if g.budget -= int64(n); g.budget < 0 {
			g.farewell("Too much without signing in")
			return 0, io.EOF
		}
	}
	copy(p, b[:n])
	g.in.Discard(n)
	return n, nil
}

// await sends what waits to be sent and waits for the client.
func (g *guard) await() error {
	g.mu.Lock()
	err := g.flush()
	if g.leaving != "" && g.track.rest() == 0 {
		g.farewell(g.leaving)
		err = io.EOF
	}
	if err != nil {
		g.mu.Unlock()
		return err
	}
	until := g.begun.Add(loginTimeout)
	if g.patient > 0 {
		until = time.Now().Add(g.patient)
	}
	g.Conn.SetReadDeadline(until)
	g.reading = true
	g.mu.Unlock()

	_, err = g.in.Peek(1)

	g.mu.Lock()
	defer g.mu.Unlock()
	g.reading = false
	if errors.Is(err, os.ErrDeadlineExceeded) {
		g.farewell("Autologout, nothing was heard for too long")
		return io.EOF
	}
	return err
}

// Write keeps p until the library waits for the client, or there is a TLS
// record full of it.
func (g *guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mute {
		g.mute = false
		return len(p), nil
	}
	if g.closed {
		return 0, net.ErrClosed
	}
	if g.track.answered(p) {
		g.last = "A literal was refused"
	}
	if len(g.out)+len(p) > outMax {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) >= outMax {
		return g.send(p)
	}
	g.out = append(g.out, p...)
	if g.last != "" {
		g.farewell(g.last)
		return len(p), nil
	}
	if g.reading {
		return len(p), g.flush()
	}
	return len(p), nil
}

// flush sends what was kept. The buffer is not kept over a wait: most
// connections do nothing most of the time.
func (g *guard) flush() error {
	if len(g.out) == 0 {
		return nil
	}
	_, err := g.send(g.out)
	g.out = nil
	return err
}

// send writes p, with a deadline for each piece: a slow client may take its
// time for a large message, one that does not read at all may not.
func (g *guard) send(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		var m int
		m, err = g.Conn.Write(p[n:min(n+outMax, len(p))])
		n += m
	}
	return n, err
}

// farewell says BYE and closes.
func (g *guard) farewell(text string) {
	if g.closed {
		return
	}
	g.out = append(g.out, "* BYE "+text+"\r\n"...)
	g.flush()
	g.closed = true
	g.Conn.Close()
}

// Close sends what was kept and closes, unless another goroutine is in the
// middle of sending.
func (g *guard) Close() error {
	if g.mu.TryLock() {
		if !g.closed {
			g.flush()
			g.closed = true
		}
		g.mu.Unlock()
	}
	return g.Conn.Close()
}

// during runs work with a context that ends when the client hangs up, the
// server stops or limit has passed. Only the goroutine that reads may call it.
func (g *guard) during(limit time.Duration, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(g.ctx, limit)
	defer cancel()
	watched := make(chan struct{})
	g.Conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(watched)
		_, err := g.in.Peek(g.in.Buffered() + 1) // more input is as good as silence
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel()
		}
	}()
	err := work(ctx)
	g.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes the watcher; reading goes on after it
	<-watched
	return err
}
