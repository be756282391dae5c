// Package imapd is the IMAP door: IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051)
// on ports 143 and 993, with the extensions that docs/imap.md lists. Each session
// keeps its own view of the selected mailbox, and everything that lasts is in the
// store. It never parses a message and never keeps one in memory.
package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"homemail/mail"
	"homemail/search"
	"homemail/signin"
	"homemail/store"
)

const (
	defaultAppendLimit = 50 << 20         // what SMTP takes too
	handshakeTimeout   = 30 * time.Second // a phone on a bad line needs some of it
	stopTimeout        = 10 * time.Second // for commands that run when the server stops
)

// Options say what a Server works with. Store and SignIn are needed.
type Options struct {
	Host        string // the name in the greeting
	Store       *store.Store
	SignIn      *signin.Checker
	TLS         *tls.Config   // for STARTTLS; nil: not offered
	AppendLimit int64         // the largest message that APPEND takes, 50 MiB if 0 (RFC 7889)
	Search      *search.Index // answers SEARCH for text; one that reads the messages if nil
	Log         *slog.Logger  // slog.Default() if nil
}

// A Server serves IMAP on any number of listeners.
type Server struct {
	o         Options
	deflaters sync.Pool // of *flate.Writer

	mu   sync.Mutex
	open map[mail.AccountID]int // sessions
}

// sessionsMax is how many sessions an account may have at once. Mail programs
// have some five each; a hundred are a fault in one of them.
const sessionsMax = 100

// admit counts a session in. It reports whether there may be another one.
func (s *Server) admit(a mail.AccountID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[a] >= sessionsMax {
		return false
	}
	s.open[a]++
	return true
}

// left counts a session out.
func (s *Server) left(a mail.AccountID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[a]--; s.open[a] == 0 {
		delete(s.open, a)
	}
}

// New returns a server. It starts nothing.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.AppendLimit <= 0 {
		o.AppendLimit = defaultAppendLimit
	}
	if o.Search == nil {
		o.Search = search.New(o.Store, o.Log)
	}
	o.AppendLimit = min(o.AppendLimit, math.MaxUint32)
	return &Server{o: o, open: make(map[mail.AccountID]int)}
}

// Serve serves the connections of l until ctx ends, then says BYE to all of
// them and returns nil once the last has let go of the store, which closes
// after us. Connections of a TLS listener are IMAP at once; all others must
// begin with STARTTLS.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()

	var open sync.WaitGroup
	err := s.accept(ctx, l, &open)
	l.Close()
	cancel()    // every guard says BYE, and closes what has not ended in time
	open.Wait() // so this is bounded
	return err
}

// accept hands every connection of l to a goroutine of its own until l fails.
func (s *Server) accept(ctx context.Context, l net.Listener, open *sync.WaitGroup) error {
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		var ne net.Error
		switch {
		case err == nil:
			wait = 0
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		case errors.As(err, &ne): // out of files, perhaps: it passes
			wait = min(2*wait+5*time.Millisecond, time.Second)
			s.o.Log.Warn("imap accept failed", "err", err, "wait", wait)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			continue
		default:
			return fmt.Errorf("imap on %v: %w", l.Addr(), err)
		}
		open.Add(1)
		go func() {
			defer open.Done()
			s.handle(ctx, c)
		}()
	}
}

// handle brings a connection under TLS and serves it to its end.
func (s *Server) handle(ctx context.Context, c net.Conn) {
	begun := time.Now()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	tc, upgraded, err := s.secure(ctx, c)
	stop()
	if err != nil {
		s.o.Log.Debug("imap connection ended before TLS", "remote", c.RemoteAddr().String(), "err", err)
		c.Close()
		return
	}
	g := newGuard(ctx, tc, begun, upgraded)
	defer context.AfterFunc(ctx, func() { g.bye("Server is shutting down", stopTimeout) })()
	s.newSession(g).serve()
}

// secure does the TLS handshake, after STARTTLS if c is not of a TLS listener.
func (s *Server) secure(ctx context.Context, c net.Conn) (tc *tls.Conn, upgraded bool, err error) {
	tc, ok := c.(*tls.Conn)
	if !ok {
		if err := s.starttls(c); err != nil {
			return nil, false, err
		}
		tc = tls.Server(c, s.o.TLS)
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	return tc, !ok, tc.HandshakeContext(ctx)
}
