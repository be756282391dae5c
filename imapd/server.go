// Package imapd is the IMAP door: IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051)
// on ports 143 and 993. It translates between go-imap's server and the store:
// each session keeps its own view of the selected mailbox, and everything that
// lasts is in the store. It never parses a message and never keeps one in memory.
package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

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
	TLS         *tls.Config  // for STARTTLS; nil: not offered
	AppendLimit int64        // the largest message that APPEND takes, 50 MiB if 0 (RFC 7889)
	Log         *slog.Logger // slog.Default() if nil
}

// A Server serves IMAP on any number of listeners.
type Server struct {
	o    Options
	imap *imapserver.Server
}

// New returns a server. It starts nothing.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.AppendLimit <= 0 {
		o.AppendLimit = defaultAppendLimit
	}
	o.AppendLimit = min(o.AppendLimit, math.MaxUint32)
	s := &Server{o: o}
	s.imap = imapserver.New(&imapserver.Options{
		NewSession: s.newSession,
		Caps:       capabilities(),
		Logger:     libraryLog{o.Log},
		// The library sees a guard, never the *tls.Conn under it, and so cannot
		// tell that TLS is on. Only TLS connections are ever handed to it: see
		// Server.handle.
		InsecureAuth: true,
	})
	return s
}

func capabilities() imap.CapSet {
	set := make(imap.CapSet)
	for _, c := range []imap.Cap{
		imap.CapIMAP4rev1, imap.CapIMAP4rev2, imap.CapNamespace, imap.CapUIDPlus, imap.CapESearch,
		imap.CapSearchRes, imap.CapListExtended, imap.CapListStatus, imap.CapMove, imap.CapStatusSize,
		imap.CapBinary, imap.CapChildren, imap.CapSpecialUse, imap.CapCreateSpecialUse, imap.CapLiteralPlus,
		imap.CapAppendLimit,
	} {
		set[c] = struct{}{}
	}
	return set
}

// Serve serves the connections of l until ctx ends, then says BYE to all of
// them and returns nil once the last has let go of the store, which closes
// after us. Connections of a TLS listener are IMAP at once; all others must
// begin with STARTTLS.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &handoff{addr: l.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.imap.Serve(h) }()
	defer context.AfterFunc(ctx, func() { l.Close() })()

	var open sync.WaitGroup
	err := s.accept(ctx, l, h, &open)
	l.Close()
	cancel()    // every guard says BYE, and closes what has not ended in time
	open.Wait() // so this is bounded
	h.Close()
	<-served
	return err
}

// accept hands every connection of l to a goroutine of its own until l fails.
func (s *Server) accept(ctx context.Context, l net.Listener, h *handoff, open *sync.WaitGroup) error {
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
		go s.handle(ctx, c, h, open)
	}
}

// handle brings a connection under TLS and hands it to the library. From then
// on the session owns it, and counts it out of open when it ends.
func (s *Server) handle(ctx context.Context, c net.Conn, h *handoff, open *sync.WaitGroup) {
	begun := time.Now()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	tc, upgraded, err := s.secure(ctx, c)
	if err != nil {
		s.o.Log.Debug("imap connection ended before TLS", "remote", c.RemoteAddr().String(), "err", err)
		c.Close()
		open.Done()
		return
	}
	stop()
	g := newGuard(ctx, tc, begun, upgraded)
	stop = context.AfterFunc(ctx, func() { g.bye("Server is shutting down", stopTimeout) })
	g.done = func() {
		stop()
		open.Done()
	}
	if !h.give(g) {
		c.Close()
		g.done()
	}
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

// A handoff is a listener whose connections come from Server.handle.
type handoff struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (h *handoff) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handoff) Addr() net.Addr { return h.addr }

// libraryLog takes what the library says. Nearly all of it is clients that
// went away; a panic is ours.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if strings.HasPrefix(text, "panic") {
		l.log.Error("imap command failed", "err", text)
		return
	}
	l.log.Debug("imap library", "text", text)
}
