package smtpd

import (
	"errors"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/mail"
)

// A session is what go-smtp asks: who may send what to whom. go-smtp calls it
// from the goroutine that serves the connection, and Data, for chunks, from one
// that has the message for itself until Data returns.
type session struct {
	c     *conn
	login *Login
	tx    *transaction // nil without MAIL
}

// A transaction is the message under way.
type transaction struct {
	id     string
	by     *Login // who writes: signed in, or a neighbour; nil for a stranger
	tx     Transaction
	env    mail.Envelope
	size   int64 // declared
	start  time.Time
	octets int64     // that came in
	chunks *chunks   // once there was a BDAT
	judged Judgement // of a stranger's message, from its first recipient on

	verdict *mail.Verdict // why it is refused
}

// Chunks tell the goroutine of the connection about the one that runs Data.
type chunks struct {
	begun, over chan struct{}
}

// openChunks notes a BDAT, and reports whether it may be the message's first.
func (s *session) openChunks() bool {
	if s.tx == nil || s.receiving() {
		return false
	}
	s.tx.chunks = &chunks{begun: make(chan struct{}), over: make(chan struct{})}
	return true
}

// receiving reports whether chunks of a message have been taken.
func (s *session) receiving() bool {
	if s.tx == nil || s.tx.chunks == nil {
		return false
	}
	select {
	case <-s.tx.chunks.begun:
		return true
	default:
		return false
	}
}

// Reset forgets the message under way: RSET, EHLO, or its end.
func (s *session) Reset() {
	if s.tx == nil {
		return
	}
	if s.receiving() {
		<-s.tx.chunks.over
	}
	s.tx.tx.Discard()
	if s.tx.judged != nil {
		s.tx.judged.Close()
	}
	s.tx = nil
}

// Logout ends the session with its go-smtp.
func (s *session) Logout() error {
	defer s.c.guard() // go-smtp does not, here
	s.Reset()
	if s.login != nil && s.login.Close != nil {
		s.login.Close()
	}
	return nil
}

// Mail is MAIL, RFC 5321 §4.1.1.2.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	if s.tx != nil {
		return nestedMail
	}
	t := &transaction{size: o.Size, start: time.Now()}
	t.id = newID(t.start)
	var r *smtp.SMTPError
	if t.by, r = s.writer(t.id); r != nil {
		return s.refuse("MAIL", from, r)
	}
	if t.env, r = envelope(from, o); r == nil {
		r = s.admit(t)
	}
	if r != nil {
		return s.refuse("MAIL", from, r)
	}
	t.tx = s.c.s.o.Directory.Begin(t.env.From, t.account())
	s.tx, s.c.mailed = t, true
	return nil
}

// writer returns who writes the message that MAIL begins, nil for a stranger
// where strangers may.
func (s *session) writer(id string) (*Login, *smtp.SMTPError) {
	if s.login != nil {
		return s.login, nil
	}
	n, err := s.c.neighbour()
	switch {
	case errors.Is(err, mail.ErrDisabled):
		return nil, deviceOff
	case err != nil:
		return nil, s.fault(id, err)
	case n == nil && s.c.s.o.Kind == Submission:
		return nil, needAuth
	}
	return n, nil
}

// account is who writes, 0 if it is a stranger.
func (t *transaction) account() mail.AccountID {
	if t.by == nil {
		return 0
	}
	return t.by.Account
}

// device is with what it is written, "" if by a stranger.
func (t *transaction) device() string {
	if t.by == nil {
		return ""
	}
	return t.by.Device
}

// admit says whether a message of this sender and size can be taken at all.
func (s *session) admit(t *transaction) *smtp.SMTPError {
	o := &s.c.s.o
	if t.size > o.MaxSize {
		return tooBig
	}
	if err := o.Directory.Room(t.size); err != nil {
		return s.fault(t.id, err)
	}
	switch {
	case t.by == nil:
	case t.env.From.IsNull() && !t.by.Rewrite, o.Directory.Owns(t.by.Account, t.env.From):
	case t.by.Rewrite: // also the null path: somebody has to hear of what fails
		t.env.From = t.by.Address
	default:
		return said(553, 7, 1, "This sender address does not belong to "+plain(string(t.by.Address)))
	}
	return nil
}

// Rcpt is RCPT, RFC 5321 §4.1.1.3.
func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	var rcpt mail.Recipient
	var r *smtp.SMTPError
	if s.c.bare {
		rcpt.Path = postmaster
	} else if rcpt.Path, r = path(to, s.tx.env.UTF8, badRecipient); r != nil {
		return s.refuse("RCPT", to, r)
	}
	options(&rcpt, o)
	if r := s.recipient(rcpt.Path); r != nil {
		return s.refuse("RCPT", to, r)
	}
	s.tx.env.To = append(s.tx.env.To, rcpt)
	if c := s.c; c.s.o.Judge != nil && s.tx.by == nil && s.tx.judged == nil {
		s.tx.judged = c.s.o.Judge.Begin(c.ctx, c.remote, c.helo, s.tx.env.From)
	}
	return nil
}

// recipient asks the Directory for a forward-path, and keeps strangers from
// asking for every name there may be.
func (s *session) recipient(to mail.Path) *smtp.SMTPError {
	v, by := s.c.s, s.tx.by
	if by == nil && v.unknown.spent(network(s.c.remote)) {
		return tooManyUnknown // also for who exists: the difference would tell
	}
	if by != nil && by.Local && s.isOutside(to) {
		return localOnly
	}
	err := s.tx.tx.Rcpt(to, s.tx.size)
	if err == nil {
		if by != nil && !(v.hourly.take(by.Account) && v.daily.take(by.Account)) {
			return tooFast
		}
		return nil
	}
	if errors.Is(err, mail.ErrUnknownRecipient) {
		v.count.unknown.Add(1)
		if by == nil && !v.unknown.take(network(s.c.remote)) {
			return tooManyUnknown
		}
	}
	return s.fault(s.tx.id, err)
}

// isOutside reports whether a stranger would not get a path taken for the reason
// that it is not of this house.
func (s *session) isOutside(to mail.Path) bool {
	probe := s.c.s.o.Directory.Begin(s.tx.env.From, 0)
	defer probe.Discard()
	return errors.Is(probe.Rcpt(to, 0), mail.ErrNotLocal)
}

// refuse logs a refused command, once, where it ends.
func (s *session) refuse(verb, path string, r *smtp.SMTPError) error {
	from := mail.Path("")
	if s.tx != nil {
		from = s.tx.env.From
	}
	s.c.s.log.Info("refused", "verb", verb, "path", path, "from", from, "remote", s.c.remote,
		"code", r.Code, "status", status(r), "why", r.Message)
	if verb == "RCPT" {
		s.tell(r, spoken(path)...)
	} else {
		s.tell(r)
	}
	return r
}

// fault chooses the reply for an error of the Directory, and logs it if it is
// a fault of ours.
func (s *session) fault(id string, err error) *smtp.SMTPError {
	r := s.c.s.refusal(err, s.tx != nil && s.tx.by != nil)
	if r == ourFault {
		s.c.s.log.Error("cannot take mail", "id", id, "remote", s.c.remote, "err", err)
	}
	return r
}
