// Package events keeps what happened: mail that came, went or was refused,
// sign-ins, what owners changed, checks whose state changed, starts and stops.
// It is a log in the store, bounded by number, bytes and age, that answers
// "Where is my mail?". It never holds up who tells it something, and what it
// loses is never mail: it knows of a message only who, to whom, when, the
// subject, and what became of it.
package events

import (
	"time"

	"homemail/mail"
)

// A Kind says what happened.
type Kind string

// The kinds.
const (
	Received  Kind = "received"  // a stranger's message was taken
	Refused   Kind = "refused"   // a message, or a recipient of it, was not taken
	Filed     Kind = "filed"     // a message was put into a mailbox
	Submitted Kind = "submitted" // one of ours wrote a message
	Forwarded Kind = "forwarded" // a message that came in goes on to an address outside
	Fetched   Kind = "fetched"   // the bridge has brought a message
	Relayed   Kind = "relayed"   // the next hop has taken a message over
	Deferred  Kind = "deferred"  // it did not work this time
	Failed    Kind = "failed"    // it will not be tried again
	Held      Kind = "held"      // it waits for the owner
	Released  Kind = "released"  // and goes on

	SignedIn     Kind = "signed-in"
	SignInFailed Kind = "sign-in-failed"
	Changed      Kind = "changed" // an owner changed something
	Checked      Kind = "checked" // a check has another state than before
	Started      Kind = "started" // the server did
	Stopped      Kind = "stopped"
	Updated      Kind = "updated"
	Omitted      Kind = "omitted" // more of the same was not noted
	Lost         Kind = "lost"    // events came faster than they could be written
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{
		Received, Refused, Filed, Submitted, Forwarded, Fetched, Relayed, Deferred, Failed, Held, Released,
		SignedIn, SignInFailed, Changed, Checked, Started, Stopped, Updated, Omitted, Lost,
	}
}

// Mail are the kinds that are about a message.
func Mail() []Kind { return Kinds()[:11] }

// A Direction is which way a message goes.
type Direction string

// The directions. What is forwarded comes in and goes out.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// An Event is something that happened. What does not apply is zero.
type Event struct {
	Seq    uint64    `json:"seq"` // its number; a later one is higher
	At     time.Time `json:"at"`
	Unsure bool      `json:"unsure,omitempty"` // the clock could not be relied on
	Kind   Kind      `json:"kind"`

	ID        string         `json:"id,omitempty"`         // of the message, as its 250 told it
	MessageID string         `json:"message_id,omitempty"` // the Message-ID field
	Account   mail.AccountID `json:"account,omitempty"`    // whose event it is: only they and the owner may see it
	From      mail.Path      `json:"from,omitempty"`       // the reverse-path, in its key form
	To        []mail.Path    `json:"to,omitempty"`
	More      int            `json:"more,omitempty"` // recipients that To leaves out
	Subject   string         `json:"subject,omitempty"`
	Size      int64          `json:"size,omitempty"`
	Mailbox   string         `json:"mailbox,omitempty"`

	Door    string     `json:"door,omitempty"`   // smtp, submission, imap, pop3, web, cli, api
	Remote  string     `json:"remote,omitempty"` // who was there, or where it went: an address, perhaps with a name
	TLS     string     `json:"tls,omitempty"`
	Device  string     `json:"device,omitempty"` // the name of a device, or of an account elsewhere
	Who     string     `json:"who,omitempty"`    // the name that was said at a sign-in; who changed something
	What    string     `json:"what,omitempty"`   // the operation, the check, the version, the hop
	Reason  Reason     `json:"reason,omitempty"`
	Domain  string     `json:"domain,omitempty"` // that the reason is about
	Auth    Auth       `json:"auth,omitzero"`    // of a message that strangers brought
	Cause   mail.Cause `json:"cause,omitempty"`
	Reply   mail.Reply `json:"reply,omitzero"`   // ours to who was refused, or the remote server's
	Next    time.Time  `json:"next,omitzero"`    // when it is tried again
	Count   int        `json:"count,omitempty"`  // tries, or events
	Detail  string     `json:"detail,omitempty"` // for experts, or in English
	Details string     `json:"ja,omitempty"`     // the same in Japanese, if there is such a thing
}

// A Reason is our own word for why a message was refused, or is junk.
type Reason string

// The reasons. Those of smtpd have the same words.
const (
	Unknown     Reason = "unknown"      // no such address here
	NotOurs     Reason = "not-ours"     // not an address of this house, and we do not relay
	NoWayOut    Reason = "no-way-out"   // sending outside is not set up
	Disabled    Reason = "disabled"     // the account is
	Full        Reason = "full"         // the mailbox is
	NoSpace     Reason = "no-space"     // on our disk
	Loop        Reason = "loop"         // it goes round
	BadHeader   Reason = "bad-header"   // no two readers would understand it alike
	TooBig      Reason = "too-big"      // for the limit of this server
	Forged      Reason = "forged"       // the domain of its author disowns it
	Unproven    Reason = "unproven"     // whether it does could not be looked up just now
	OnlyForward Reason = "only-forward" // it looks like junk, which is not forwarded
	NotYours    Reason = "not-yours"    // the sender's address is not the account's
	TooFast     Reason = "too-fast"     // it has written to very many
	Guessing    Reason = "guessing"     // many addresses that do not exist
	NoSignIn    Reason = "no-sign-in"   // who is not signed in cannot send here
	Malformed   Reason = "malformed"    // the protocol was broken
	Broken      Reason = "broken"       // the connection was lost before the end
	Ours        Reason = "ours"         // a fault on our side
	Marked      Reason = "marked"       // it calls itself junk
	Other       Reason = "other"

	WrongPassword Reason = "wrong-password"
	ShutOut       Reason = "shut-out" // too many have failed from there
	NotDone       Reason = "not-done" // what an owner wanted did not work

	Ready    Reason = "ready" // an update waits for the owner
	WentBack Reason = "back"  // an update did not work
)

// Direction returns which way the message of an event goes, "" if it is about
// none or stays in the house.
func (e *Event) Direction() Direction {
	switch e.Kind {
	case Received, Filed, Forwarded, Fetched:
		return In
	case Submitted, Relayed, Deferred, Failed, Held, Released:
		return Out
	case Refused:
		if e.Account != 0 {
			return Out
		}
		return In
	}
	return ""
}
