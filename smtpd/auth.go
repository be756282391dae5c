package smtpd

import (
	"time"

	"github.com/emersion/go-sasl"

	"homemail/signin"
)

// AuthMechanisms are what AUTH may be used with now: none in the clear.
func (s *session) AuthMechanisms() []string {
	o := &s.c.s.o
	if o.Kind != Submission || o.Users == nil || s.c.tls == nil {
		return nil
	}
	return o.Users.Mechanisms(true)
}

// Auth is AUTH, RFC 4954.
func (s *session) Auth(mech string) (sasl.Server, error) {
	o := &s.c.s.o
	switch {
	case o.Kind != Submission || o.Users == nil:
		return nil, noSignIn
	case s.c.tls == nil:
		return nil, needTLS
	case s.tx != nil:
		return nil, midMessage
	}
	x, err := o.Users.SASL(s.c.ctx, signin.Attempt{Remote: s.c.remote, Protocol: "smtp", TLS: s.c.tls}, mech)
	if err != nil {
		return nil, s.authFailed(err)
	}
	return &attempt{s, x}, nil
}

// An attempt to sign in is an Exchange as go-smtp uses it.
type attempt struct {
	s *session
	x Exchange
}

// Next is of sasl.Server.
func (a *attempt) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = a.x.Next(response)
	if err != nil {
		return nil, false, a.s.authFailed(err)
	}
	if done {
		a.s.signedIn(a.x.Login())
	}
	return challenge, done, nil
}

// authFailed counts a failed sign-in. signin has logged it if it was one.
func (s *session) authFailed(err error) error {
	s.c.s.count.authFailed.Add(1)
	r := authRefusal(err)
	if r == authFault {
		s.c.s.log.Error("cannot sign anybody in", "remote", s.c.remote, "err", err)
	}
	return r
}

// signedIn notes who it is, and ends the connection when that is over.
func (s *session) signedIn(l Login) {
	s.login = &l
	s.c.start = time.Now() // untilMail counts from here
	if l.Done == nil {
		return
	}
	go func() {
		select {
		case <-l.Done:
			s.c.end(revoked, true)
		case <-s.c.closed:
		}
	}()
}
