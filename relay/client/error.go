package client

import (
	"context"
	"errors"
	"fmt"
	"os"

	"homemail/mail"
)

// An Error says why a connection or a command came to nothing. It is never
// permanent: what a server's reply to a transaction means is in the outcomes of
// Send.
type Error struct {
	Cause mail.Cause
	Reply mail.Reply // what the server said, if it said something
	Doing string     // "waiting for the reply to MAIL"
	Err   error
	// Unsure says that the server may have taken the message over: to send it
	// to another one would make a duplicate for sure.
	Unsure bool
}

func (e *Error) Error() string {
	switch {
	case e.Reply.Code != 0:
		return fmt.Sprintf("%s: %s", e.Doing, e.Reply)
	case e.Err != nil:
		return fmt.Sprintf("%s: %v", e.Doing, e.Err)
	}
	return e.Doing
}

func (e *Error) Unwrap() error { return e.Err }

// Outcome returns what err means for the recipients. An error that is not of
// this package is a fault of ours.
func Outcome(err error) mail.Outcome {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Cause: mail.CauseOurs, Doing: "sending", Err: err}
	}
	o := mail.Outcome{Fate: mail.Temporary, Cause: e.Cause, Reply: e.Reply}
	if o.Reply.Code == 0 {
		o.Reply.Text = truncate(printable(e.Error()), maxWords)
		o.Reply.Enhanced = status(e.Cause)
	}
	return o
}

// status is the enhanced code, RFC 3463 §3, for what no server has said.
func status(c mail.Cause) string {
	switch c {
	case mail.CauseConnect:
		return "4.4.1" // no answer from host
	case mail.CauseTimeout, mail.CauseLost:
		return "4.4.2" // bad connection
	case mail.CauseBroken:
		return "4.5.0" // other protocol status
	case mail.CauseTLS:
		return "4.7.5" // cryptographic failure
	case mail.CauseAuth:
		return "4.7.8" // RFC 4954 §6
	}
	return "4.3.0" // other mail system status
}

// unsure marks an error after which the server may have the message.
func unsure(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) && e.Reply.Code == 0 {
		e.Unsure = true
	}
	return err
}

// refused makes an error of a reply.
func refused(doing string, r reply) *Error {
	return &Error{Cause: mail.CauseReply, Reply: r.mail(), Doing: doing}
}

// broken makes an error of a breach of the protocol.
func broken(doing string, err error) *Error {
	return &Error{Cause: mail.CauseBroken, Doing: doing, Err: err}
}

// failed makes an error of a failed read or write.
func failed(doing string, err error) *Error {
	e := &Error{Cause: mail.CauseLost, Doing: doing, Err: err}
	switch {
	case errors.As(err, new(*readError)), errors.Is(err, context.Canceled):
		e.Cause = mail.CauseOurs
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		e.Cause = mail.CauseTimeout
	case errors.Is(err, errReplyLine), errors.Is(err, errReplyLong), errors.Is(err, errReplyEnd),
		errors.Is(err, errReplyForm), errors.Is(err, errReplyCodes), errors.Is(err, errOutOfTurn):
		e.Cause = mail.CauseBroken
	}
	return e
}
