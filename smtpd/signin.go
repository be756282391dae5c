package smtpd

import (
	"context"

	"homemail/signin"
)

// SignIn makes Users of a Checker.
func SignIn(c *signin.Checker) Users { return checker{c} }

type checker struct{ c *signin.Checker }

func (k checker) Mechanisms(tls bool) []string { return k.c.Mechanisms(tls) }

func (k checker) SASL(ctx context.Context, at signin.Attempt, mech string) (Exchange, error) {
	x, err := k.c.SASL(ctx, at, mech)
	if err != nil {
		return nil, err
	}
	return exchange{x}, nil
}

type exchange struct{ *signin.Exchange }

func (x exchange) Login() Login {
	s := x.Session()
	return Login{Account: s.Account.ID, Address: s.Address, Done: s.Done(), Close: s.Close}
}
