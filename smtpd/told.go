package smtpd

import (
	"net/netip"

	"github.com/emersion/go-smtp"

	"homemail/mail"
)

// A Refusal is a message, or a recipient of one, that was not taken.
type Refusal struct {
	ID     string // of the message; "" if there is none yet
	Kind   Kind   // of the door
	From   mail.Path
	To     []mail.Path // the one that was refused, or all of a message
	By     *Login      // who writes; nil for a stranger
	Remote netip.Addr
	Helo   string
	Size   int64         // octets that came in, or were declared
	Reply  mail.Reply    // what the client was told
	Reason Reason        // the same in a word
	About  *mail.Verdict // what the reason is about, if it was judged
}

// A Reason is a word for why something was refused.
type Reason string

// The reasons, as in package events.
const (
	ReasonForged   Reason = "forged"
	ReasonUnproven Reason = "unproven"
	ReasonBroken   Reason = "broken"
	ReasonOther    Reason = "other"
)

// reasons are those of replies that are always the same.
var reasons = map[*smtp.SMTPError]Reason{
	timedOut: ReasonBroken, tooSlow: ReasonBroken, stopping: ReasonBroken,
	tooManyUnknown: "guessing", tooBig: "too-big", longDataLine: "malformed", bareNewline: "malformed", needAuth: "no-sign-in",
	noWayOut: "no-way-out", noRelay: "not-ours", junkOnly: "only-forward", tooFast: "too-fast", oneFrom: "bad-header", ourFault: "ours",
	localOnly: ReasonOther, deviceOff: "disabled",
	badSender: "malformed", badRecipient: "malformed", utf8Needed: "malformed",
}

// statuses are the reasons of the other replies, by enhanced code.
var statuses = map[string]Reason{
	"5.1.1": "unknown", "5.2.1": "disabled", "4.2.2": "full", "4.3.1": "no-space", "5.4.6": "loop", "5.6.0": "bad-header",
	"5.7.1": "not-yours", // of one of ours; strangers get those above
}

// tell tells of a refusal.
func (s *session) tell(r *smtp.SMTPError, to ...mail.Path) {
	told := s.c.s.o.Told
	if told == nil {
		return
	}
	f := Refusal{Kind: s.c.s.o.Kind, To: to, Remote: s.c.remote, Helo: s.c.helo, Reply: mail.Reply{Code: r.Code, Text: r.Message}, By: s.login}
	if r.Code != 0 {
		f.Reply.Enhanced = status(r)
	}
	if t := s.tx; t != nil {
		f.ID, f.From, f.By, f.Size, f.About = t.id, t.env.From, t.by, max(t.octets, t.size), t.verdict
	}
	f.Reason = reasonOf(r, f.About)
	told(f)
}

func reasonOf(r *smtp.SMTPError, about *mail.Verdict) Reason {
	if about != nil {
		switch about.Disposition {
		case mail.Reject:
			return ReasonForged
		case mail.Defer:
			return ReasonUnproven
		}
	}
	if reason, ok := reasons[r]; ok {
		return reason
	}
	if r.Code == 0 || r.Code == 421 {
		return ReasonBroken
	}
	if reason, ok := statuses[status(r)]; ok {
		return reason
	}
	return ReasonOther
}

// recipients are the paths of an envelope.
func recipients(e *mail.Envelope) []mail.Path {
	list := make([]mail.Path, len(e.To))
	for i, r := range e.To {
		list[i] = r.Path
	}
	return list
}

// spoken is a path as a refused command has it, if it is one.
func spoken(path string) []mail.Path {
	p, err := mail.ParsePath(path)
	if err != nil {
		return nil
	}
	return []mail.Path{p}
}
