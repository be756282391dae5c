package smtpd

import (
	"errors"
	"fmt"
	"time"

	"homemail/mail"
	"homemail/signin"
)

// A reply is one answer: a code (RFC 5321 §4.2), an enhanced code (RFC 3463)
// and words for people.
type reply struct {
	code   int
	status string // "" for 2xx and 3xx that have none
	text   string
	hangup bool // the connection ends after it
}

func (r reply) String() string {
	if r.status == "" {
		return fmt.Sprintf("%d %s", r.code, r.text)
	}
	return fmt.Sprintf("%d %s %s", r.code, r.status, r.text)
}

func (r reply) failed() bool { return r.code >= 400 }

func (r reply) andHangup() reply {
	r.hangup = true
	return r
}

// Replies that are always the same.
var (
	ok             = reply{code: 250, status: "2.0.0", text: "OK"}
	bye            = reply{code: 221, status: "2.0.0", text: "Goodbye", hangup: true}
	stopping       = reply{code: 421, status: "4.3.2", text: "This server is stopping; please try again in a moment", hangup: true}
	timedOut       = reply{code: 421, status: "4.4.2", text: "You were quiet for too long", hangup: true}
	tooSlow        = reply{code: 421, status: "4.4.2", text: "The message comes in too slowly", hangup: true}
	tooManyErrors  = reply{code: 421, status: "4.7.0", text: "Too many errors", hangup: true}
	tooMuchJunk    = reply{code: 421, status: "4.7.0", text: "Too many commands and no mail", hangup: true}
	tooManyUnknown = reply{code: 421, status: "4.7.1", text: "Too many addresses that do not exist; try again in an hour", hangup: true}
	revoked        = reply{code: 421, status: "4.7.0", text: "Your sign-in is no longer valid", hangup: true}
	talkedFirst    = reply{code: 554, status: "5.5.1", text: "You spoke before it was your turn", hangup: true}
	lineTooLong    = reply{code: 500, status: "5.5.6", text: "Line too long", hangup: true}
	badNewline     = reply{code: 500, status: "5.5.2", text: "Lines must end in CR LF and have no control characters"}
	unknownCommand = reply{code: 500, status: "5.5.1", text: "Unknown command"}
	notHere        = reply{code: 502, status: "5.5.1", text: "Command not implemented"}
	webBrowser     = reply{code: 421, status: "4.7.0", text: "This is a mail server", hangup: true}
	sayHello       = reply{code: 503, status: "5.5.1", text: "Say EHLO first"}
	nestedMail     = reply{code: 503, status: "5.5.1", text: "A message is already under way"}
	needMail       = reply{code: 503, status: "5.5.1", text: "MAIL first"}
	needRcpt       = reply{code: 503, status: "5.5.1", text: "RCPT first"}
	midMessage     = reply{code: 503, status: "5.5.1", text: "Not within a message"}
	noArguments    = reply{code: 501, status: "5.5.4", text: "No arguments, please"}
	binaryByBdat   = reply{code: 503, status: "5.5.1", text: "BINARYMIME needs BDAT"}
	tooManyRcpts   = reply{code: 452, status: "4.5.3", text: "Too many recipients; send the rest in another message"}
	tooBig         = reply{code: 552, status: "5.3.4", text: "The message is too big for this server"}
	longDataLine   = reply{code: 554, status: "5.6.0", text: "A line of the message is too long"}
	bareNewline    = reply{code: 550, status: "5.6.11", text: "CR and LF may only come as a pair", hangup: true}
	needTLS        = reply{code: 538, status: "5.7.11", text: "Signing in needs TLS; say STARTTLS first"}
	needAuth       = reply{code: 530, status: "5.7.0", text: "Sign in first"}
	utf8Needed     = reply{code: 553, status: "5.6.7", text: "This address needs SMTPUTF8"}
	tooFast        = reply{code: 450, status: "4.7.1", text: "You have sent to very many people; try again later"}
	oneFrom        = reply{code: 550, status: "5.6.0", text: "The message must have exactly one From"}
	authFault      = reply{code: 454, status: "4.7.0", text: "Signing in does not work at the moment; try again later"}
	ourFault       = reply{code: 451, status: "4.3.0", text: "Something is wrong on our side; please try again later"}
)

// refusal chooses the reply for an error of the Directory. What we do not
// recognise is a fault of ours and passes: it must cost time, never mail.
func (s *Server) refusal(err error) reply {
	switch {
	case errors.Is(err, mail.ErrUnknownRecipient):
		return reply{code: 550, status: "5.1.1", text: "No such address here"}
	case errors.Is(err, mail.ErrNotLocal) && s.o.Kind == Submission:
		return reply{code: 550, status: "5.7.1", text: "Sending mail outside is not set up yet on this server; only addresses of this server can be written to"}
	case errors.Is(err, mail.ErrNotLocal):
		return reply{code: 550, status: "5.7.1", text: "Not an address of this server, and we do not relay"}
	case errors.Is(err, mail.ErrDisabled):
		return reply{code: 550, status: "5.2.1", text: "This mailbox is disabled"}
	case errors.Is(err, mail.ErrMailboxFull):
		return reply{code: 452, status: "4.2.2", text: "The mailbox is full"}
	case errors.Is(err, mail.ErrNoSpace):
		return reply{code: 452, status: "4.3.1", text: "There is no room on our disk; please try again later"}
	case errors.Is(err, mail.ErrLoop):
		return reply{code: 550, status: "5.4.6", text: "The message goes round in a loop"}
	case errors.Is(err, mail.ErrBadHeader):
		return reply{code: 550, status: "5.6.0", text: plain(err.Error())}
	}
	return ourFault
}

// authRefusal chooses the reply for a failed sign-in, RFC 4954 §6.
func authRefusal(err error) reply {
	var wait *signin.WaitError
	switch {
	case errors.Is(err, signin.ErrDenied):
		return reply{code: 535, status: "5.7.8", text: "Wrong name or password"}
	case errors.As(err, &wait):
		return reply{code: 454, status: "4.7.0", text: fmt.Sprintf("Too many failed sign-ins; try again in %v", max(wait.Wait, time.Second).Round(time.Second))}
	case errors.Is(err, signin.ErrBusy):
		return reply{code: 454, status: "4.7.0", text: "Too many sign-ins at the moment; try again"}
	case errors.Is(err, signin.ErrMechanism):
		return reply{code: 504, status: "5.5.4", text: "Unknown sign-in mechanism"}
	}
	return authFault
}

// plain makes words fit for a reply line.
func plain(s string) string {
	const most = 200
	b := []byte(s[:min(len(s), most)])
	for i, ch := range b {
		if ch < ' ' || ch > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
