package smtpd

import (
	"encoding/base64"
	"strings"
	"time"

	"homemail/signin"
)

// mechanisms are what AUTH may be used with now: none in the clear.
func (c *conn) mechanisms() []string {
	if c.s.o.Kind != Submission || c.s.o.Users == nil || c.tls == nil {
		return nil
	}
	return c.s.o.Users.Mechanisms(true)
}

// auth is AUTH, RFC 4954.
func (c *conn) auth(arg string) reply {
	switch {
	case c.s.o.Kind != Submission || c.s.o.Users == nil:
		return reply{code: 503, status: "5.5.1", text: "Nobody signs in here; use the submission ports 465 or 587"}
	case !c.esmtp:
		return sayHello
	case c.tls == nil:
		return needTLS
	case c.login != nil:
		return reply{code: 503, status: "5.5.1", text: "You are signed in already"}
	case c.tx != nil:
		return midMessage
	}
	mech, initial, hasInitial := strings.Cut(arg, " ")
	if mech == "" {
		return reply{code: 501, status: "5.5.4", text: "Syntax: AUTH mechanism [response]"}
	}
	at := signin.Attempt{Remote: c.remote, Protocol: "smtp", TLS: c.tls}
	x, err := c.s.o.Users.SASL(c.ctx, at, strings.ToUpper(mech))
	if err != nil {
		return c.authFailed(err)
	}
	var response []byte
	if hasInitial {
		var ok bool
		if response, ok = decodeResponse(initial); !ok {
			return badBase64
		}
	}
	if r := c.exchange(x, response); r.code != 0 {
		return r
	}
	c.signedIn(x.Login())
	return reply{code: 235, status: "2.7.0", text: "You are signed in"}
}

var (
	badBase64 = reply{code: 501, status: "5.5.2", text: "That is not base64"}
	cancelled = reply{code: 501, status: "5.7.0", text: "Signing in was cancelled"}
)

// exchange does the challenges and responses. It returns the zero reply when
// the client is signed in.
func (c *conn) exchange(x Exchange, response []byte) reply {
	for {
		challenge, done, err := x.Next(response)
		if err != nil {
			return c.authFailed(err)
		}
		if done && len(challenge) == 0 {
			return reply{}
		}
		c.write(reply{code: 334, text: base64.StdEncoding.EncodeToString(challenge)})
		line, err := c.readLine(c.commandDeadline())
		if err != nil {
			if r := c.readFailure(err); r != nil {
				return r.andHangup()
			}
			return reply{hangup: true}
		}
		text, ok := cutCRLF(line)
		switch {
		case !ok:
			return badNewline
		case text == "*":
			return cancelled
		case done: // the client has seen the last word, RFC 4954 §4
			return reply{}
		}
		if response, ok = decodeResponse(text); !ok {
			return badBase64
		}
	}
}

// decodeResponse decodes a SASL response; "=" is an empty one. It is never nil,
// which would be none.
func decodeResponse(s string) ([]byte, bool) {
	if s == "=" || s == "" {
		return []byte{}, true
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil
}

// authFailed counts a failed sign-in. signin has logged it if it was one.
func (c *conn) authFailed(err error) reply {
	c.s.count.authFailed.Add(1)
	r := authRefusal(err)
	if r == authFault {
		c.s.log.Error("cannot sign anybody in", "remote", c.remote, "err", err)
	}
	return r
}

// signedIn notes who it is, and ends the connection when that is over.
func (c *conn) signedIn(l Login) {
	c.login = &l
	c.start = time.Now() // untilMail counts from here
	if l.Done == nil {
		return
	}
	go func() {
		select {
		case <-l.Done:
			c.end(revoked, true)
		case <-c.closed:
		}
	}()
}
