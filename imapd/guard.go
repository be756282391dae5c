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
	inBuffer     = 2 << 10          // of what the client sends; the TLS connection has one of its own
)

// A guard stands between a session and its TLS connection. It owns the
// deadlines and bounds what a stranger may send. Before it waits for the client
// it has what was written sent, and while it waits it gives away the turn: who
// holds the turn works for the client, and writes to it.
type guard struct {
	net.Conn // the TLS connection; deadlines, Read, Write and Close are ours
	ctx      context.Context
	begun    time.Time
	upgraded bool          // by STARTTLS: the client has had its greeting
	in       *bufio.Reader // of the goroutine that reads, over Read

	turn     sync.Mutex
	working  bool               // Read is called by who holds the turn
	watching bool               // Read is called by the watcher of during
	flush    func() error       // sends what was gathered; nil if there is nobody who gathers
	say      func(string) error // writes a last line; nil writes it as it is

	mu      sync.Mutex
	reading bool          // we wait for the client
	budget  int64         // bytes that may still be read; negative: no bound
	patient time.Duration // how long to wait for the client; 0: until loginTimeout is over
	data    bool          // a message is being uploaded
	leaving string        // BYE text, to be said as soon as no command runs
	closed  bool
}

func newGuard(ctx context.Context, c *tls.Conn, begun time.Time, upgraded bool) *guard {
	g := &guard{Conn: c, ctx: ctx, begun: begun, upgraded: upgraded, budget: loginBudget}
	g.in = bufio.NewReaderSize(g, inBuffer)
	return g
}

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

// signedOut puts them up again, RFC 8437.
func (g *guard) signedOut() {
	g.mu.Lock()
	g.budget, g.patient, g.begun = loginBudget, 0, time.Now()
	g.mu.Unlock()
}

// upload says whether a message is being read.
func (g *guard) upload(on bool) {
	g.mu.Lock()
	g.data = on
	g.mu.Unlock()
}

// bye ends the connection: at once when it waits for the client, else when the
// running command is done, but at last after grace.
func (g *guard) bye(text string, grace time.Duration) {
	time.AfterFunc(grace, g.kill)
	g.mu.Lock()
	g.leaving = text
	g.mu.Unlock()
	go func() {
		g.turn.Lock() // else the command that runs comes to it by itself
		defer g.turn.Unlock()
		g.mu.Lock()
		now := g.reading && !g.data
		g.mu.Unlock()
		if now {
			g.farewell(text)
		}
	}()
}

// kill ends the connection without a word.
func (g *guard) kill() { g.Conn.(*tls.Conn).NetConn().Close() }

// Read waits for the client.
func (g *guard) Read(p []byte) (int, error) {
	if g.watching {
		return g.Conn.Read(p)
	}
	if err := g.await(); err != nil {
		return 0, err
	}
	if g.working {
		g.turn.Unlock()
	}
	n, err := g.Conn.Read(p)
	if g.working {
		g.turn.Lock()
	}
	g.mu.Lock()
	g.reading = false
	if g.budget >= 0 {
		g.budget = max(g.budget-int64(n), 0)
	}
	closed, spent := g.closed, g.budget == 0
	g.mu.Unlock()
	switch {
	case closed: // what was sent behind the end is not run
		return 0, io.EOF
	case spent:
		g.farewell("Too much without signing in")
		return 0, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		g.farewell("Autologout, nothing was heard for too long")
		return 0, io.EOF
	}
	return n, err
}

// await sends what waits to be sent and sets the deadline.
func (g *guard) await() error {
	if g.flush != nil {
		if err := g.flush(); err != nil {
			return err
		}
	}
	g.mu.Lock()
	leaving := g.leaving
	if g.data {
		leaving = ""
	}
	until := g.begun.Add(loginTimeout)
	switch {
	case g.data:
		until = time.Now().Add(dataTimeout)
	case g.patient > 0:
		until = time.Now().Add(g.patient)
	}
	closed := g.closed
	g.reading = leaving == "" && !closed
	g.mu.Unlock()
	switch {
	case closed:
		return io.EOF
	case leaving != "":
		g.farewell(leaving)
		return io.EOF
	}
	return g.Conn.SetReadDeadline(until)
}

// Write sends p, with a deadline for each piece: a slow client may take its
// time for a large message, one that does not read at all may not.
func (g *guard) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		var m int
		m, err = g.Conn.Write(p[n:min(n+outMax, len(p))])
		n += m
	}
	return n, err
}

// farewell says BYE and closes. The caller has the turn.
func (g *guard) farewell(text string) {
	g.mu.Lock()
	closed := g.closed
	g.closed = true
	g.mu.Unlock()
	if closed {
		return
	}
	line := "* BYE " + text + "\r\n"
	if g.say != nil {
		g.say(line)
	} else {
		g.Write([]byte(line))
	}
	g.Conn.Close()
}

// Close closes without a word.
func (g *guard) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	return g.Conn.Close()
}

// during runs work with a context that ends when the client hangs up, the
// server stops or limit has passed. Only the goroutine that reads may call it.
func (g *guard) during(limit time.Duration, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(g.ctx, limit)
	defer cancel()
	watched := make(chan struct{})
	g.Conn.SetReadDeadline(time.Time{})
	g.watching = true
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
	g.watching = false
	return err
}
