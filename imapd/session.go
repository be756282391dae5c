package imapd

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-sasl"

	"homemail/signin"
	"homemail/store"
)

const (
	loginTries   = 5               // wrong passwords before we hang up
	revokedGrace = 2 * time.Second // for the running command when a device was revoked: 5 s in all
)

// A session is one client's connection. The library calls one method at a
// time, except that Idle may still be on its way out when the next one comes.
type session struct {
	s    *Server
	conn *imapserver.Conn
	g    *guard
	at   signin.Attempt
	log  *slog.Logger

	fails  int
	signed *signin.Session // nil until signed in
	acct   *store.Account
	ended  chan struct{}

	mu   sync.Mutex // over the view, for Idle
	view *view      // of the selected mailbox, nil if none
	over bool
}

var (
	_ imapserver.SessionIMAP4rev2   = (*session)(nil)
	_ imapserver.SessionSASL        = (*session)(nil)
	_ imapserver.SessionAppendLimit = (*session)(nil)
)

func (s *Server) newSession(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	g, ok := c.NetConn().(*guard)
	if !ok { // InsecureAuth is set: nothing but a guard may come here
		return nil, nil, fmt.Errorf("imap: connection of type %T", c.NetConn())
	}
	remote := g.RemoteAddr().String()
	ap, _ := netip.ParseAddrPort(remote)
	return &session{
		s: s, conn: c, g: g, ended: make(chan struct{}),
		at:  signin.Attempt{Remote: ap.Addr().Unmap(), Protocol: "imap", TLS: g.tls()},
		log: s.o.Log.With("remote", remote),
	}, nil, nil
}

// Close ends the session, however the connection ended.
func (s *session) Close() error {
	s.mu.Lock()
	s.over = true
	s.deselect()
	s.mu.Unlock()
	close(s.ended)
	if s.signed != nil {
		s.signed.Close()
	}
	level := slog.LevelDebug // strangers come and go
	if s.signed != nil {
		level = slog.LevelInfo
	}
	s.log.Log(context.Background(), level, "imap session ended", "device", s.device(), "lasted", time.Since(s.g.begun).Round(time.Millisecond))
	s.g.done()
	return nil
}

func (s *session) device() string {
	if s.signed == nil {
		return ""
	}
	return s.signed.Device
}

// Login is LOGIN, RFC 9051 §6.2.3.
func (s *session) Login(name, password string) error {
	signed, err := s.s.o.SignIn.Password(s.g.ctx, s.at, name, password)
	return s.begin(signed, err)
}

// begin begins the session of somebody who signed in, or counts a failure.
func (s *session) begin(signed *signin.Session, err error) error {
	if err != nil {
		if s.fails++; s.fails >= loginTries {
			s.g.hangUp("Too many failed sign-ins")
		}
		return s.denied(err)
	}
	s.signed, s.acct = signed, signed.Account
	s.log = s.log.With("account", signed.Account.ID)
	s.g.signedIn()
	go func() {
		select {
		case <-signed.Done():
			s.g.bye("This device is signed out", revokedGrace)
		case <-s.ended:
		}
	}()
	return nil
}

// AuthenticateMechanisms tells what AUTHENTICATE knows.
func (s *session) AuthenticateMechanisms() []string { return s.s.o.SignIn.Mechanisms(true) }

// Authenticate begins AUTHENTICATE, RFC 9051 §6.2.2.
func (s *session) Authenticate(mech string) (sasl.Server, error) {
	e, err := s.s.o.SignIn.SASL(s.g.ctx, s.at, mech)
	if err != nil {
		return nil, s.begin(nil, err)
	}
	return &exchange{s: s, e: e}, nil
}

// An exchange is a SASL exchange on the way to a session.
type exchange struct {
	s *session
	e *signin.Exchange
}

// Next takes a response. An empty challenge must be nil for the library, which
// else writes "=" as for an empty initial response.
func (x *exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = x.e.Next(response)
	if err != nil {
		return nil, false, x.s.begin(nil, err)
	}
	if done {
		return nil, true, x.s.begin(x.e.Session(), nil)
	}
	if len(challenge) == 0 {
		challenge = nil
	}
	return challenge, false, nil
}

// AppendLimit is the APPENDLIMIT of RFC 7889.
func (s *session) AppendLimit() uint32 { return uint32(s.s.o.AppendLimit) }

// rev2 reports whether the client has enabled IMAP4rev2.
func (s *session) rev2() bool { return s.conn.EnabledCaps().Has(imap.CapIMAP4rev2) }
