package mail

import (
	"net/netip"
	"time"
)

// A Trace is what the door knows about the way a message came in: the stuff of
// its Received field, RFC 5321 §4.4.
type Trace struct {
	ID       string     // ours, also in the reply and the log
	Remote   netip.Addr // who sent it
	Helo     string     // who it says it is, as it says it
	Protocol string     // the "with" keyword: ESMTP, ESMTPSA, UTF8SMTPS..., RFC 3848 and RFC 6531
	TLS      string     // the cipher suite, "" without TLS, RFC 8314 §4.3
	Account  AccountID  // who signed in, 0 if nobody did
	Device   string     // with which device, by its name
	Time     time.Time
	Junk     bool     // a verdict at the door: file it under Junk
	Results  []byte   // the Authentication-Results field that says it
	Verdict  *Verdict // what the door found; nil if it did not look
}
