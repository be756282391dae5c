package mail

import "fmt"

// A Reply is what a server said, RFC 5321 §4.2 and RFC 3463.
type Reply struct {
	Code     int    `json:"code,omitempty"`     // 0 if nothing was said
	Enhanced string `json:"enhanced,omitempty"` // "5.1.1"; "" if it gave none
	Text     string `json:"text,omitempty"`     // printable, lines joined by "\n", bounded
}

func (r Reply) String() string {
	switch {
	case r.Code == 0:
		return r.Text
	case r.Enhanced == "":
		return fmt.Sprintf("%d %s", r.Code, r.Text)
	}
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)
}

// A Fate is how an attempt ended for one recipient.
type Fate string

// The fates of an attempt. What is not known to be permanent is temporary: a
// bug must cost time, never mail.
const (
	Relayed   Fate = "relayed"   // the next hop has taken it over
	Delivered Fate = "delivered" // it is in a mailbox here
	Temporary Fate = "temporary"
	Permanent Fate = "permanent"
)

// A Cause is our own word for what went wrong, for those who read no SMTP.
type Cause string

// The causes. CauseReply is what the remote server's words explain.
const (
	CauseNone      Cause = ""
	CauseReply     Cause = "reply"      // the server refused; see Reply
	CauseDNS       Cause = "dns"        // its name could not be looked up just now
	CauseNoDomain  Cause = "no-domain"  // the domain does not exist
	CauseNoMail    Cause = "no-mail"    // null MX: the domain takes no mail, RFC 7505
	CauseBadMX     Cause = "bad-mx"     // its MX leads nowhere or back to us
	CauseConnect   Cause = "connect"    // no server of it could be reached
	CauseTimeout   Cause = "timeout"    // it stopped answering
	CauseLost      Cause = "lost"       // the connection broke
	CauseBroken    Cause = "broken"     // it does not keep to the protocol
	CauseTLS       Cause = "tls"        // a secure connection was demanded and not to be had
	CauseAuth      Cause = "auth"       // the smarthost did not take our name and password
	CauseNeedsUTF8 Cause = "needs-utf8" // the address needs SMTPUTF8 and the server lacks it, RFC 6531 §3.4
	CauseNeedsTLS  Cause = "needs-tls"  // REQUIRETLS and the server lacks it, RFC 8689
	CauseTooBig    Cause = "too-big"    // over the server's SIZE, RFC 1870
	CauseBody      Cause = "body"       // binary or 8-bit that the server cannot take
	CauseExpired   Cause = "expired"    // five days have passed
	CauseRemoved   Cause = "removed"    // the owner took it out of the queue
	CauseNotSetUp  Cause = "not-set-up" // there is no way out of the house yet
	CauseOurs      Cause = "ours"       // a fault on our side
)

// An Outcome is how an attempt ended for one recipient.
type Outcome struct {
	Fate   Fate   `json:"fate"`
	Cause  Cause  `json:"cause,omitempty"`
	Reply  Reply  `json:"reply,omitzero"`
	Remote string `json:"remote,omitempty"` // "mx.example.org [192.0.2.1]:25"; "" if nobody was reached
	TLS    string `json:"tls,omitempty"`    // "TLS 1.3, verified by DANE"; "" without
	// DSN says that the next hop has promised to send what DSNs were asked
	// for, RFC 3461 §5.2.2; else we say that it was relayed.
	DSN bool `json:"dsn,omitempty"`
}
