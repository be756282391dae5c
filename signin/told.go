package signin

import (
	"net/netip"

	"homemail/mail"
)

// A Told is a sign-in, for who keeps a record of them.
type Told struct {
	OK       bool
	Name     string         // as it was given, shortened
	Account  mail.AccountID // whom it was for; 0 if there is no such name
	Device   string         // the name of the device that it was right for
	Protocol string
	Remote   netip.Addr
}

func (c *Checker) tellRight(at Attempt, who person, device string) {
	if c.o.Told != nil {
		c.o.Told(Told{OK: true, Name: string(who.address), Account: who.id, Device: device, Protocol: at.Protocol, Remote: at.Remote})
	}
}

func (c *Checker) tellWrong(at Attempt, who person) {
	if c.o.Told != nil {
		c.o.Told(Told{Name: loggable(who.name), Account: who.id, Protocol: at.Protocol, Remote: at.Remote})
	}
}
