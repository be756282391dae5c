package smtpd

import (
	"context"
	"net/netip"

	"homemail/lan"
	"homemail/mail"
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
	return Login{Account: s.Account.ID, Address: s.Address, Device: s.Name, Rewrite: s.Rewrite, Done: s.Done(), Close: s.Close}
}

// LAN makes Neighbours of the devices that the owner has named.
func LAN(d *lan.Devices) Neighbours { return devices{d} }

type devices struct{ d *lan.Devices }

func (k devices) Neighbour(remote netip.Addr) (Login, bool, error) {
	n, ok, err := k.d.Lookup(remote)
	switch {
	case !ok || err != nil:
		return Login{}, false, err
	case n.Disabled:
		return Login{}, false, mail.ErrDisabled
	}
	return Login{Account: n.Account, Address: n.Sender, Device: n.Name, Rewrite: n.Rewrites(), Local: n.Local}, true, nil
}
