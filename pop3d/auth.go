package pop3d

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"homemail/signin"
)

const needTLS = refusal("[SYS/PERM] no password without encryption: use STLS first")

// stls begins TLS, RFC 2595 §4.
func (c *conn) stls(args string) error {
	switch {
	case args != "":
		return refusal("STLS has no arguments")
	case c.utf8: // RFC 6856 §2.1
		return refusal("STLS has to come before UTF8")
	case !c.canSTLS():
		return refusal("[SYS/PERM] no STLS here or not again")
	}
	c.ok("begin TLS")
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.startTLS()
}

// doUTF8 changes nothing: our replies are ASCII and messages go out as they
// are stored, whatever their header holds.
func (c *conn) doUTF8(string) error {
	c.utf8 = true
	c.ok("UTF8 enabled")
	return nil
}

// doUser takes any name: whether it exists is nobody's business yet.
func (c *conn) doUser(args string) error {
	if c.tls == nil {
		return needTLS
	}
	if c.user = args; args == "" {
		return refusal("USER needs a name")
	}
	c.ok("now the password")
	return nil
}

func (c *conn) doPass(args string) error {
	if c.tls == nil {
		return needTLS
	}
	if c.user == "" {
		return refusal("USER comes first")
	}
	name := c.user
	c.user = "" // a wrong password needs USER again, RFC 1939 §7
	s, err := c.s.o.SignIn.Password(c.ctx, c.attempt(), name, args)
	if err != nil {
		return c.denied(err)
	}
	return c.open(s)
}

func (c *conn) attempt() signin.Attempt {
	return signin.Attempt{Remote: c.remote, Protocol: "pop3", TLS: c.tls}
}

// doAuth signs in by SASL, RFC 5034 §4.
func (c *conn) doAuth(args string) error {
	if c.tls == nil {
		return needTLS
	}
	mech, initial, given := strings.Cut(strings.TrimRight(args, " "), " ")
	mech = strings.ToUpper(mech)
	if mech == "" { // from before RFC 5034, and still asked: what is there?
		c.ok("mechanisms follow")
		fmt.Fprintf(c.w, "%s\r\n.\r\n", strings.Join(c.s.o.SignIn.Mechanisms(true), "\r\n"))
		return nil
	}
	if !c.knows(mech) {
		return refusal("unknown mechanism")
	}
	var response []byte // nil: none
	if given {
		var err error
		if response, err = initialResponse(initial); err != nil {
			return err
		}
	}
	x, err := c.s.o.SignIn.SASL(c.ctx, c.attempt(), mech)
	if err != nil {
		return c.denied(err)
	}
	return c.exchange(x, response)
}

// initialResponse decodes the argument of AUTH; "=" stands for an empty one.
func initialResponse(s string) ([]byte, error) {
	if s == "=" {
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, refusal("that is no base64")
	}
	return b, nil
}

// exchange takes challenges and responses to and fro.
func (c *conn) exchange(x *signin.Exchange, response []byte) error {
	for {
		challenge, done, err := x.Next(response)
		if err != nil {
			return c.denied(err)
		}
		if done {
			return c.open(x.Session())
		}
		fmt.Fprintf(c.w, "+ %s\r\n", base64.StdEncoding.EncodeToString(challenge))
		line, err := c.readLine()
		if err != nil {
			return err
		}
		if line == "*" {
			return refusal("sign-in cancelled")
		}
		if response, err = base64.StdEncoding.DecodeString(line); err != nil {
			return refusal("that is no base64")
		}
	}
}

// denied gives a refused sign-in its code of RFC 3206: with AUTH a program
// asks for another password, with SYS/TEMP it tries the same again later.
func (c *conn) denied(err error) error {
	var wait *signin.WaitError
	switch {
	case errors.Is(err, signin.ErrDenied):
		return refusal("[AUTH] wrong name or password")
	case errors.As(err, &wait):
		return refusal("[SYS/TEMP] " + wait.Error())
	case errors.Is(err, signin.ErrBusy):
		return refusal("[SYS/TEMP] too many sign-ins at the moment, please try again")
	case c.ctx.Err() != nil:
		return err
	}
	c.s.o.Log.Error("cannot check a sign-in", "door", "pop3", "remote", c.remote, "err", err)
	return refusal("[SYS/TEMP] something is wrong on our side; please try again later")
}

// open locks and reads the maildrop: the TRANSACTION state begins.
func (c *conn) open(s *signin.Session) error {
	id := s.Account.ID
	if err := c.s.lock(id); err != nil {
		s.Close()
		return err
	}
	drop, err := openMaildrop(s.Account)
	if err != nil {
		c.s.unlock(id)
		s.Close()
		c.s.o.Log.Error("cannot open the maildrop", "address", s.Address, "err", err)
		return refusal("[SYS/TEMP] the mailbox cannot be read just now")
	}
	if drop.damage != nil {
		c.s.o.Log.Error("the maildrop is shown without damaged messages", "address", s.Address, "err", drop.damage)
	}
	c.session, c.drop = s, drop
	c.s.stats.Sessions.Add(1)
	go func() {
		select {
		case <-s.Done():
			c.cancel(errRevoked)
		case <-c.ctx.Done():
		}
	}()
	n, size := drop.totals()
	c.ok("%d messages (%d octets)", n, size)
	return nil
}
