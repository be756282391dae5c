package signin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emersion/go-sasl"
)

// The mechanisms we know, strongest last.
const (
	mechPlain     = "PLAIN"              // RFC 4616
	mechLogin     = "LOGIN"              // draft-murchison-sasl-login-00: old, and asked for by old programs
	mechScram     = "SCRAM-SHA-256"      // RFC 7677
	mechScramPlus = "SCRAM-SHA-256-PLUS" // with channel binding, RFC 5802 §6
)

// Mechanisms returns the SASL mechanisms to advertise: none without TLS.
func (c *Checker) Mechanisms(tls bool) []string {
	if !tls {
		return nil
	}
	return []string{mechPlain, mechLogin, mechScram, mechScramPlus}
}

// An Exchange is one SASL exchange, the server's side. It is a sasl.Server:
// Next takes nil first if the client sent no initial response.
type Exchange struct {
	c       *Checker
	ctx     context.Context
	at      Attempt
	server  sasl.Server
	name    string // as far as the client has said it
	judged  bool   // the error is the checker's own word, not bad syntax
	over    bool
	session *Session
}

var _ sasl.Server = (*Exchange)(nil)

// SASL begins an exchange by the given mechanism, whose name is upper case.
func (c *Checker) SASL(ctx context.Context, at Attempt, mech string) (*Exchange, error) {
	if at.TLS == nil {
		return nil, ErrDenied
	}
	if !slices.Contains(c.Mechanisms(true), mech) {
		return nil, ErrMechanism
	}
	if err := c.admit(at); err != nil {
		return nil, err
	}
	e := &Exchange{c: c, ctx: ctx, at: at}
	switch mech {
	case mechPlain:
		e.server = sasl.NewPlainServer(e.password)
	case mechLogin:
		e.server = &loginServer{check: e.password}
	default:
		e.server = newScramExchange(e, mech == mechScramPlus)
	}
	return e, nil
}

// Next takes a response of the client, decoded, and returns what to send. After
// done without an error, Session has the session.
func (e *Exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	if e.over {
		return nil, false, sasl.ErrUnexpectedClientResponse
	}
	challenge, done, err = e.server.Next(response)
	e.over = done || err != nil
	if err != nil && !e.judged { // not an exchange at all: a failed one
		who := person{name: e.name, key: e.name}
		err = e.c.fail(e.ctx, e.at, who, time.Now())
	}
	if err != nil {
		return nil, false, err
	}
	return challenge, done, nil
}

// Session returns the session after Next said done, nil before. It is the
// caller's to Close.
func (e *Exchange) Session() *Session { return e.session }

// password is the end of PLAIN and LOGIN.
func (e *Exchange) password(authz, name, password string) error {
	e.judged = true
	s, err := e.c.password(e.ctx, e.at, authz, name, password)
	e.session = s
	return err
}

// loginServer is the server's side of LOGIN: two questions, two answers.
type loginServer struct {
	check func(authz, name, password string) error
	asked bool // for the password
	name  string
}

var errTooLong = errors.New("response too long")

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	const longest = 1024
	switch {
	case response == nil && !l.asked:
		return []byte("Username:"), false, nil
	case len(response) > longest:
		return nil, false, errTooLong
	case !l.asked:
		l.asked, l.name = true, string(response)
		return []byte("Password:"), false, nil
	}
	err = l.check("", l.name, string(response))
	return nil, err == nil, err
}
