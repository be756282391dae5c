// Package web serves what a mail server has to say over HTTP: the MTA-STS
// policy (RFC 8461 §3.3), the settings that mail programs look for and a page
// with them for people, and the answers to an ACME CA (RFC 8555 §8.3). Every request must name a host that is
// ours: a page elsewhere whose name is pointed here (DNS rebinding) gets
// nothing. It never says which addresses there are.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"homemail/autoconfig"
)

// Options are what a Server is made from. The functions are asked at each
// request and must be quick; names may be in any case, as A-labels.
type Options struct {
	Host    func() string   // of the mail server
	Domains func() []string // of the addresses

	// MTASTS returns the policy of a domain; nil, or false, for none.
	MTASTS func(domain string) (policy string, ok bool)

	// Server returns what programs have to know; nil for nothing.
	Server func(domain string) autoconfig.Server

	// LocalName is ours inside the house, as homemail.local; nil or "" for none.
	LocalName func() string

	// ACME answers the HTTP-01 challenges on port 80 and must itself hold them
	// to the names that they are about; nil for none.
	ACME http.Handler

	// First sees each request on either port before anything else, whatever host
	// it names, and gives on what is not for it; nil for nobody.
	First func(next http.Handler) http.Handler

	// People answers over HTTPS for those who live here, whatever host they have
	// typed in: it has to see to the names that it is asked for itself. For tells
	// whose requests it gets; programs' paths on our names stay ours.
	People http.Handler
	For    func(*http.Request) bool

	// Body is what a request over HTTPS may carry, 0 for the usual; nil for that
	// of all. Whoever lets one carry more has to know who asks before it is read.
	Body func(*http.Request) int64

	TLS *tls.Config  // for ServeTLS; its certificate signs Apple profiles, too
	Log *slog.Logger // nil for the default one
}

// A Server is the web server. It has no state of its own, and may serve any
// number of listeners.
type Server struct {
	o      Options
	log    *slog.Logger
	open   http.Handler // port 80
	secure http.Handler // port 443
}

// Limits of a connection. How many there are at once is the listener's Gate.
const (
	maxHeader     = 16 << 10         // octets; Outlook's longest are under 2 KiB
	maxBody       = 64 << 10         // octets; of those we read, 1 KiB is usual
	maxStreams    = 50               // at once in HTTP/2: rapid reset, CVE-2023-44487
	headerTimeout = 10 * time.Second // to be done with the handshake and the header
	readTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = time.Minute
	pingTimeout   = 15 * time.Second // for a silent HTTP/2 peer to say that it lives
	stopTimeout   = 5 * time.Second  // for requests under way, when we stop
)

// New returns a Server. It starts nothing.
func New(o Options) (*Server, error) {
	if o.Host == nil || o.Domains == nil {
		return nil, errors.New("web: a server needs to know its names")
	}
	s := &Server{o: o, log: o.Log}
	if s.log == nil {
		s.log = slog.Default()
	}
	first := o.First
	if first == nil {
		first = func(next http.Handler) http.Handler { return next }
	}
	s.open = limited(nil, first(s.onOpen()))
	s.secure = limited(o.Body, first(s.people(s.inside(s.localName, s.known(s.routes())))))
	return s, nil
}

// Serve serves HTTP on port 80 until ctx is done: challenges, and the way to
// HTTPS. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := s.server(s.open)
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	return s.run(ctx, srv, func() error { return srv.Serve(l) })
}

// ServeTLS serves HTTPS until ctx is done. It closes l.
func (s *Server) ServeTLS(ctx context.Context, l net.Listener) error {
	if s.o.TLS == nil {
		return errors.Join(errors.New("web: no certificate to serve HTTPS with"), l.Close())
	}
	srv := s.server(s.secure)
	srv.TLSConfig = s.o.TLS.Clone() // net/http writes into it
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	return s.run(ctx, srv, func() error { return srv.ServeTLS(l, "", "") })
}

func (s *Server) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingTimeout, PingTimeout: pingTimeout, WriteByteTimeout: writeTimeout},
		ErrorLog:          errorLog(s.log),

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is held to our rules, too
	}
}

// run serves until ctx is done and lets requests under way come to their end.
func (s *Server) run(ctx context.Context, srv *http.Server, serve func() error) error {
	stopped := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-over: // serve failed by itself
		case <-ctx.Done():
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	}()
	err := serve()
	close(over)
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("web: %w", err)
}

// errorLog takes what net/http has to say. A handshake that fails is a scanner,
// or a program that does not trust a certificate that people know about.
func errorLog(to *slog.Logger) *log.Logger {
	return log.New(lines(func(line string) {
		switch {
		case strings.HasPrefix(line, "http: TLS handshake error"):
			to.Debug("TLS handshake failed", "err", line)
		case strings.Contains(line, "panic serving"):
			to.Error("a bug cut a web request", "err", line)
		default:
			to.Warn("web server", "err", line)
		}
	}), "", 0)
}

// lines is called with each line that is written.
type lines func(string)

func (f lines) Write(b []byte) (int, error) {
	f(strings.TrimSpace(string(b)))
	return len(b), nil
}
