package imapd

import (
	"errors"

	"github.com/emersion/go-imap/v2"

	"homemail/signin"
	"homemail/store"
)

func no(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

// Ends of a connection that are no fault.
var errLoggedOut = errors.New("logged out")

var errReadOnly = no(imap.ResponseCodeNoPerm, "The mailbox was opened read-only")

// refusals are the response codes (RFC 5530, RFC 9051 §7.1) of what the store
// cannot do. Words for people are here, details in the log.
var refusals = []struct {
	err  error
	code imap.ResponseCode
	text string
}{
	{store.ErrNotFound, imap.ResponseCodeNonExistent, "There is no such mailbox or message"},
	{store.ErrExists, imap.ResponseCodeAlreadyExists, "The mailbox exists already"},
	{store.ErrOverQuota, imap.ResponseCodeOverQuota, "The account is full"},
	{store.ErrDiskFull, imap.ResponseCodeUnavailable, "The disk is full"},
	{store.ErrCorrupt, imap.ResponseCodeCorruption, "Stored data is damaged; what is whole can still be read"},
	{store.ErrBroken, imap.ResponseCodeUnavailable, "The disk has failed; nothing can be saved"},
	{store.ErrInvalid, imap.ResponseCodeCannot, "That is not possible"},
}

// refuse turns an error of the store into a NO. What is our fault is logged.
func (s *session) refuse(err error, doing string) error {
	var ours *imap.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	for _, r := range refusals {
		if !errors.Is(err, r.err) {
			continue
		}
		if r.err == store.ErrCorrupt || r.err == store.ErrBroken {
			s.log.Error("imap: "+doing, "err", err)
		}
		if r.err == store.ErrInvalid {
			return no(r.code, plain(err.Error()))
		}
		return no(r.code, r.text)
	}
	s.log.Error("imap: "+doing, "err", err)
	return no(imap.ResponseCodeServerBug, "Something is wrong on our side; please try again later")
}

// denied turns an error of signin into a NO.
func (s *session) denied(err error) error {
	var wait *signin.WaitError
	switch {
	case errors.Is(err, signin.ErrMechanism):
		return no(imap.ResponseCodeCannot, "That mechanism is not offered")
	case errors.Is(err, signin.ErrDenied):
		return no(imap.ResponseCodeAuthenticationFailed, "Wrong name or password; mail programs need a device password")
	case errors.As(err, &wait):
		return no(imap.ResponseCodeLimit, plain(err.Error()))
	case errors.Is(err, signin.ErrBusy):
		return no(imap.ResponseCodeUnavailable, "Too busy to sign anyone in; please try again")
	}
	s.log.Error("imap: sign-in", "err", err)
	return no(imap.ResponseCodeUnavailable, "Nobody can sign in at the moment; please try again later")
}

// plain makes text fit for a response: resp-text has no line ends, RFC 9051 §9,
// and no UTF-8 unless the client asked for it.
func plain(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
