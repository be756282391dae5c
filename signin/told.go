package signin

import (
	"net/netip"

	"homemail/mail"
)

// A Told is a sign-in, for who keeps a record of them.
type Told struct {
	OK       bool
	Name     string         // as it was given, shortened; UnknownName if there is no such name
	Account  mail.AccountID // whom it was for; 0 if there is no such name
	Device   string         // the name of the device that it was right for
	Protocol string
	Remote   netip.Addr
}

// UnknownName stands for a name that nobody has. What was typed is kept nowhere:
// it may be a password that went into the wrong field.
const UnknownName = "unknown name"

const passkey = "a passkey" // stands for the name of who has tried one

// said is who somebody claimed to be, as it may be kept.
func (p person) said() string {
	if p.id == 0 && p.name != passkey {
		return UnknownName
	}
	return loggable(p.name)
}

func (c *Checker) tellRight(at Attempt, who person, device string) {
	if c.o.Told != nil {
		c.o.Told(Told{OK: true, Name: string(who.address), Account: who.id, Device: device, Protocol: at.Protocol, Remote: at.Remote})
	}
}

func (c *Checker) tellWrong(at Attempt, who person) {
	if c.o.Told != nil {
		c.o.Told(Told{Name: who.said(), Account: who.id, Protocol: at.Protocol, Remote: at.Remote})
	}
}
