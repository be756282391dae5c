package imapd

import (
	"errors"
	"strings"

	"homemail/mail"
	"homemail/store"
)

// uses are the special uses that CREATE may ask for, RFC 6154 §3.
var uses = map[string]mail.SpecialUse{
	`\DRAFTS`: mail.Drafts, `\SENT`: mail.Sent, `\JUNK`: mail.Junk, `\TRASH`: mail.Trash, `\ARCHIVE`: mail.Archive,
}

// name reads the name of a mailbox, the last argument. A separator at the end
// only says that there will be mailboxes below, RFC 9051 §6.3.4.
func (s *session) name() string {
	s.l.SP()
	return strings.TrimSuffix(s.l.Mailbox(), "/")
}

// create is CREATE, RFC 9051 §6.3.4 and RFC 6154 §3.
func (s *session) create(c *call) error {
	name := s.name()
	use, bad := mail.NoUse, false
	if s.l.Accept(' ') {
		s.l.List(func() {
			if s.l.Word() != "USE" {
				s.l.Fail("Unknown parameter of CREATE")
			}
			s.l.SP()
			s.l.List(func() {
				u, ok := uses[strings.ToUpper(s.l.Flag())]
				bad = bad || !ok || use != mail.NoUse
				use = u
			})
		})
	}
	if err := s.end(); err != nil {
		return err
	}
	if bad {
		return no("USEATTR", "That special use is not possible") // RFC 6154 §6
	}
	box, err := s.acct.Create(name, use)
	if err == nil {
		c.code = "MAILBOXID (" + box.ObjectID() + ")" // RFC 8474 §4.1
	}
	return s.refuse(err, "create a mailbox")
}

// delete is DELETE, RFC 9051 §6.3.5. A client that deletes the mailbox it has
// selected finds it empty; the others hear BYE.
func (s *session) delete(*call) error {
	name := s.name()
	if err := s.end(); err != nil {
		return err
	}
	box, err := s.acct.Mailbox(name)
	if err == nil {
		err = s.acct.Delete(name)
	}
	if err == nil && s.view != nil && s.view.box == box.ID {
		s.view.deleted = true
		s.view.replace(nil, 0)
	}
	return s.refuse(err, "delete a mailbox")
}

// rename is RENAME, RFC 9051 §6.3.6. A session that has the mailbox selected
// keeps it: it is the same mailbox.
func (s *session) rename(*call) error {
	from, to := s.name(), s.name()
	if err := s.end(); err != nil {
		return err
	}
	return s.refuse(s.acct.Rename(from, to), "rename a mailbox")
}

// subscribe is SUBSCRIBE, RFC 9051 §6.3.7.
func (s *session) subscribe(*call) error { return s.subscribed(true) }

// unsubscribe is UNSUBSCRIBE, RFC 9051 §6.3.8.
func (s *session) unsubscribe(*call) error { return s.subscribed(false) }

func (s *session) subscribed(on bool) error {
	name := s.name()
	if err := s.end(); err != nil {
		return err
	}
	return s.refuse(s.acct.Subscribe(name, on), "subscribe")
}

// destination finds the mailbox of APPEND, COPY and MOVE. One that is missing
// can be made, RFC 9051 §7.1 TRYCREATE.
func (s *session) destination(name string) (store.Mailbox, error) {
	box, err := s.acct.Mailbox(name)
	if errors.Is(err, store.ErrNotFound) {
		return box, no("TRYCREATE", "There is no such mailbox")
	}
	return box, s.refuse(err, "find a mailbox")
}
