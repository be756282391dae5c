// Package pop3d is the POP3 server: RFC 1939 with the extensions of RFC 2449,
// 2595, 3206, 5034 and 6856. It shows INBOX as it was at sign-in and changes
// it only at QUIT. It never takes a password without TLS.
package pop3d

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"homemail/mail"
	"homemail/signin"
)

const (
	signInTime   = 60 * time.Second // from the banner to the end of signing in
	idleTime     = 10 * time.Minute // RFC 1939 §3: at least
	writeTime    = 60 * time.Second // for each 32 KiB: 546 octets/s
	goodbyeTime  = 5 * time.Second  // for the last words
	stopTime     = 10 * time.Second // for connections to end when the server stops
	maxErrors    = 20               // then the client is not one
	maxLine      = 255              // RFC 2449 §4, with CRLF
	maxAuthLine  = 12288            // RFC 5034 §4 allows long ones; as RFC 4954 §4
	writeBuffer  = 32 << 10
	readBuffer   = maxAuthLine + 1
	prefetch     = 64 // message records read at once
	acceptPauses = 100 * time.Millisecond
)

// Options are the settings of a Server. SignIn is required.
type Options struct {
	Host       string          // our name, for the greeting
	SignIn     *signin.Checker // says who somebody is
	TLS        *tls.Config     // nil: no STLS and no implicit TLS, and so no sign-in
	LoginDelay time.Duration   // between two sessions of one account; 0: none, RFC 2449 §6.5
	Log        *slog.Logger    // slog.Default() if nil
}

// Stats counts since the start.
type Stats struct {
	Connections atomic.Int64 // open now
	Sessions    atomic.Int64 // maildrops opened
	Retrieved   atomic.Int64 // messages sent by RETR
	Deleted     atomic.Int64 // messages deleted at QUIT
}

// A Server serves POP3 on any number of listeners.
type Server struct {
	o     Options
	stats Stats

	mu     sync.Mutex
	locked map[mail.AccountID]bool      // maildrops in use, RFC 1939 §4
	ended  map[mail.AccountID]time.Time // their last sessions, for LoginDelay
}

// New returns a Server; Serve starts it.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Server{o: o, locked: make(map[mail.AccountID]bool), ended: make(map[mail.AccountID]time.Time)}
}

// Stats returns the counters, which go on counting.
func (s *Server) Stats() *Stats { return &s.stats }

// Serve answers the connections of l, which begin with TLS if implicitTLS,
// until ctx ends; then it closes l, lets a QUIT end and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener, implicitTLS bool) error {
	if implicitTLS && s.o.TLS == nil {
		return errors.New("pop3d: implicit TLS needs a certificate")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	defer l.Close()
	for {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // too many open files: it passes
			s.o.Log.Warn("accept", "door", "pop3", "err", err)
			time.Sleep(acceptPauses)
			continue
		}
		conns.Go(func() { s.serveConn(ctx, nc, implicitTLS) })
	}
}

// serveConn is the life of a connection.
func (s *Server) serveConn(ctx context.Context, nc net.Conn, implicitTLS bool) {
	s.stats.Connections.Add(1)
	defer s.stats.Connections.Add(-1)
	ctx, cancel := context.WithCancelCause(ctx)
	c := newConn(s, ctx, cancel, nc)
	// Whatever ends the context wakes reads and writes that wait, and later
	// closes the connection under one that will not end.
	stop := context.AfterFunc(ctx, func() {
		nc.SetWriteDeadline(time.Now())
		nc.SetReadDeadline(time.Now())
		close(c.woken)
		time.AfterFunc(stopTime, func() { nc.Close() })
	})
	defer func() { // one hostile message must not end the others' connections
		if p := recover(); p != nil {
			s.o.Log.Error("panic", "door", "pop3", "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
		}
		stop() // before close ends the context, and for nothing
		c.close()
	}()
	c.run(implicitTLS)
}

// lock takes the maildrop of an account for one connection.
func (s *Server) lock(id mail.AccountID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked[id] {
		return refusal("[IN-USE] another POP3 session has this mailbox open")
	}
	if last, ok := s.ended[id]; ok && time.Since(last) < s.o.LoginDelay {
		return refusal("[LOGIN-DELAY] signed in a moment ago, please wait")
	}
	s.locked[id] = true
	return nil
}

func (s *Server) unlock(id mail.AccountID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locked, id)
	if s.o.LoginDelay > 0 {
		s.ended[id] = time.Now()
	}
}

// remoteAddr is the zero Addr where the network has none, as in tests.
func remoteAddr(nc net.Conn) netip.Addr {
	ap, _ := netip.ParseAddrPort(nc.RemoteAddr().String())
	return ap.Addr().Unmap()
}
