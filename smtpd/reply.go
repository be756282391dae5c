package smtpd

import (
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/mail"
	"homemail/signin"
)

// said makes a reply: a code (RFC 5321 §4.2), the last two parts of its
// enhanced code (RFC 3463), and words for people. Nothing but such a reply
// leaves a session as an error: go-smtp shows strangers the text of any other.
func said(code, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, subject, detail}, Message: text}
}

// status is the enhanced code as it is written.
func status(r *smtp.SMTPError) string {
	return fmt.Sprintf("%d.%d.%d", r.EnhancedCode[0], r.EnhancedCode[1], r.EnhancedCode[2])
}

// Replies that are always the same. The connection ends after each 421.
var (
	stopping       = said(421, 3, 2, "This server is stopping; please try again in a moment")
	timedOut       = said(421, 4, 2, "You were quiet for too long")
	tooSlow        = said(421, 4, 2, "The message comes in too slowly")
	tooManyErrors  = said(421, 7, 0, "Too many errors")
	tooMuchJunk    = said(421, 7, 0, "Too many commands and no mail")
	tooManyUnknown = said(421, 7, 1, "Too many addresses that do not exist; try again in an hour")
	revoked        = said(421, 7, 0, "Your sign-in is no longer valid")
	webBrowser     = said(421, 7, 0, "This is a mail server")
	badName        = said(501, 5, 4, "Say your host's name, and nothing else")
	badNewline     = said(500, 5, 2, "Lines must end in CR LF and have no control characters")
	nestedMail     = said(503, 5, 1, "A message is already under way")
	midMessage     = said(503, 5, 1, "Not within a message")
	noArguments    = said(501, 5, 4, "No arguments, please")
	tlsIsOn        = said(503, 5, 1, "TLS is on already")
	noTLS          = said(502, 5, 1, "TLS is not set up here")
	noSignIn       = said(503, 5, 1, "Nobody signs in here; use the submission ports 465 or 587")
	tooBig         = said(552, 3, 4, "The message is too big for this server")
	longDataLine   = said(554, 6, 0, "A line of the message is too long")
	needTLS        = said(538, 7, 11, "Signing in needs TLS; say STARTTLS first")
	needAuth       = said(530, 7, 0, "Sign in first")
	utf8Needed     = said(553, 6, 7, "This address needs SMTPUTF8")
	badSender      = said(553, 1, 7, "Bad sender address")
	badRecipient   = said(553, 1, 3, "Bad recipient address")
	tooFast        = said(450, 7, 1, "You have sent to very many people; try again later")
	oneFrom        = said(550, 6, 0, "The message must have exactly one From")
	authFault      = said(454, 7, 0, "Signing in does not work at the moment; try again later")
	noWayOut       = said(550, 7, 1, "Sending mail outside is not set up yet on this server; only addresses of this server can be written to")
	noRelay        = said(550, 7, 1, "Not an address of this server, and we do not relay")
	junkOnly       = said(550, 7, 1, "The message looks like junk, and this address only forwards")
	localOnly      = said(550, 7, 1, "This device may only write to addresses of this server")
	deviceOff      = said(550, 7, 1, "The account of this device is disabled")
	ourFault       = said(451, 3, 0, "Something is wrong on our side; please try again later")
)

// Replies after which the connection ends, although their codes do not say so.
var (
	talkedFirst = said(554, 5, 1, "You spoke before it was your turn")
	talkedOn    = said(554, 5, 1, "Nothing may follow STARTTLS")
	lineTooLong = said(500, 5, 6, "Line too long")
	badChunk    = said(501, 5, 4, "Syntax: BDAT size [LAST]")
	bareNewline = said(550, 6, 11, "CR and LF may only come as a pair")
)

// refusal chooses the reply for an error of the Directory. What we do not
// recognise is a fault of ours and passes: it must cost time, never mail.
// Ours says that it is one of us who writes.
func (s *Server) refusal(err error, ours bool) *smtp.SMTPError {
	switch {
	case errors.Is(err, mail.ErrUnknownRecipient):
		return said(550, 1, 1, "No such address here")
	case errors.Is(err, mail.ErrNoWayOut), errors.Is(err, mail.ErrNotLocal) && ours:
		return noWayOut
	case errors.Is(err, mail.ErrTooMany):
		return tooFast
	case errors.Is(err, mail.ErrJunk):
		return junkOnly
	case errors.Is(err, mail.ErrNotLocal):
		return noRelay
	case errors.Is(err, mail.ErrDisabled):
		return said(550, 2, 1, "This mailbox is disabled")
	case errors.Is(err, mail.ErrMailboxFull):
		return said(452, 2, 2, "The mailbox is full")
	case errors.Is(err, mail.ErrNoSpace):
		return said(452, 3, 1, "There is no room on our disk; please try again later")
	case errors.Is(err, mail.ErrLoop):
		return said(550, 4, 6, "The message goes round in a loop")
	case errors.Is(err, mail.ErrBadHeader):
		return said(550, 6, 0, plain(err.Error()))
	}
	return ourFault
}

// authRefusal chooses the reply for a failed sign-in, RFC 4954 §6.
func authRefusal(err error) *smtp.SMTPError {
	var wait *signin.WaitError
	switch {
	case errors.Is(err, signin.ErrDenied):
		return said(535, 7, 8, "Wrong name or password")
	case errors.As(err, &wait):
		return said(454, 7, 0, fmt.Sprintf("Too many failed sign-ins; try again in %v", max(wait.Wait, time.Second).Round(time.Second)))
	case errors.Is(err, signin.ErrBusy):
		return said(454, 7, 0, "Too many sign-ins at the moment; try again")
	case errors.Is(err, signin.ErrMechanism):
		return said(504, 5, 4, "Unknown sign-in mechanism")
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
