package imapd

import (
	"encoding/base64"
	"slices"

	"github.com/emersion/go-imap/v2"

	"homemail/imapd/wire"
	"homemail/signin"
)

// login is LOGIN, RFC 9051 §6.2.3.
func (s *session) login(c *call) error {
	s.l.SP()
	name := s.l.AString()
	s.l.SP()
	password := s.l.AString()
	if err := s.end(); err != nil {
		return err
	}
	signed, err := s.s.o.SignIn.Password(s.g.ctx, s.at, name, password)
	return s.begin(c, signed, err)
}

// begin begins the session of somebody who signed in, or counts a failure.
func (s *session) begin(c *call, signed *signin.Session, err error) error {
	if err != nil {
		if s.fails++; s.fails >= loginTries {
			s.hangUp("Too many failed sign-ins")
		}
		return s.denied(err)
	}
	if !s.s.admit(signed.Account.ID) {
		signed.Close()
		return no(imap.ResponseCodeLimit, "Too many connections of this account")
	}
	s.signed, s.acct = signed, signed.Account
	s.log = s.log.With("account", signed.Account.ID)
	s.l.Known(true)
	s.g.signedIn()
	s.leaveOut()
	c.code, c.text = "CAPABILITY "+s.capabilities(), "Signed in" // saves a round trip, RFC 9051 §6.2.2
	s.left = make(chan struct{})
	go s.untilRevoked(signed, s.left)
	return nil
}

// untilRevoked ends the connection when the device is signed out by its owner.
func (s *session) untilRevoked(signed *signin.Session, left <-chan struct{}) {
	select {
	case <-signed.Done():
		s.g.bye("This device is signed out", revokedGrace)
	case <-left:
	}
}

// signOut ends what begin began.
func (s *session) signOut() {
	if s.signed != nil {
		close(s.left)
		s.signed.Close()
		s.s.left(s.acct.ID)
	}
	s.signed, s.acct, s.off, s.on = nil, nil, nil, enabled{}
}

// startTLS is STARTTLS under TLS, RFC 9051 §6.2.1. What comes before TLS is in
// starttls.go.
func (s *session) startTLS(*call) error {
	if err := s.end(); err != nil {
		return err
	}
	return wire.SyntaxError("TLS is on already")
}

var errCancelled = wire.SyntaxError("Cancelled")

// authenticate is AUTHENTICATE, RFC 9051 §6.2.2.
func (s *session) authenticate(c *call) error {
	s.l.SP()
	mech := s.l.Word()
	first, given := "", false
	if s.l.Accept(' ') { // SASL-IR, RFC 4959
		first, given = s.l.Base64(), true
	}
	if err := s.end(); err != nil {
		return err
	}
	if !slices.Contains(s.s.o.SignIn.Mechanisms(true), mech) {
		return s.denied(signin.ErrMechanism)
	}
	var response []byte
	if given {
		var err error
		if response, err = unbase64(first); err != nil {
			return err
		}
	}
	e, err := s.s.o.SignIn.SASL(s.g.ctx, s.at, mech)
	if err != nil {
		return s.begin(c, nil, err)
	}
	for {
		challenge, done, err := e.Next(response)
		if done || err != nil {
			return s.begin(c, e.Session(), err)
		}
		if response, err = s.ask(challenge); err != nil {
			return err
		}
	}
}

// ask sends a challenge and reads the response to it.
func (s *session) ask(challenge []byte) ([]byte, error) {
	s.w.Raw("+ ").Raw(base64.StdEncoding.EncodeToString(challenge)).End()
	s.l.Next()
	line := s.l.Line()
	if err := s.l.Err(); err != nil {
		return nil, err
	}
	if line == "*" {
		return nil, errCancelled
	}
	return unbase64(line)
}

// unbase64 decodes a response, which is not nil: that says that there is none.
// "=" is an initial response that is empty, RFC 4959 §3.
func unbase64(s string) ([]byte, error) {
	if s == "=" {
		s = ""
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, wire.SyntaxError("The response is not in base64")
	}
	return append([]byte{}, b...), nil
}

// unauthenticate is UNAUTHENTICATE, RFC 8437.
func (s *session) unauthenticate(*call) error {
	if err := s.end(); err != nil {
		return err
	}
	s.deselect()
	s.signOut()
	s.l.UTF8, s.w.UTF8 = false, false
	s.l.Known(false)
	s.g.signedOut()
	return nil
}
