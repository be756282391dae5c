package mail

import "errors"

// Why mail is not taken. Whoever decides returns one of these, possibly wrapped
// with more words; the door chooses the code (RFC 5321 §4.2, RFC 3463).
var (
	ErrUnknownRecipient = errors.New("no such address here")
	ErrNotLocal         = errors.New("not an address of this server")
	ErrDisabled         = errors.New("the account is disabled")
	ErrMailboxFull      = errors.New("the mailbox is full")
	ErrNoSpace          = errors.New("the disk is full")
	ErrLoop             = errors.New("the message goes round in a loop")
	ErrBadHeader        = errors.New("the header breaks the rules")
	ErrNoWayOut         = errors.New("sending mail outside is not set up yet")
	ErrTooMany          = errors.New("the account has written to far too many people")
	ErrJunk             = errors.New("the message looks like junk and is not forwarded")
)
