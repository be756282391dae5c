package imapd

import (
	"errors"
	"slices"

	"homemail/mail"
	"homemail/store"
)

// selectBox is SELECT and EXAMINE, RFC 9051 §6.3.2 and §6.3.3.
func (s *session) selectBox(c *call) error {
	s.l.SP()
	name := s.l.Mailbox()
	var q resync
	if s.l.Accept(' ') {
		q = s.selectParams()
	}
	if err := s.end(); err != nil {
		return err
	}
	if s.view != nil { // RFC 9051 §7.1 CLOSED
		s.deselect()
		s.untagged("CLOSED", "Previous mailbox is now closed")
	}
	box, err := s.open(name, c.name == "EXAMINE")
	if err != nil {
		return err
	}
	s.describe(box)
	if q.given {
		if err := s.resynced(&q, box); err != nil {
			s.deselect()
			return s.refuse(err, "resynchronise")
		}
	}
	c.code = "READ-WRITE"
	if s.view.readOnly {
		c.code = "READ-ONLY"
	}
	return nil
}

// selectParams reads the parameters of SELECT.
func (s *session) selectParams() (q resync) {
	s.l.List(func() {
		switch s.l.Word() {
		case "CONDSTORE": // RFC 7162 §3.1.8
			s.on.condStore = true
		case "QRESYNC": // §3.2.5
			q = s.resyncArgs()
		default:
			s.l.Fail("Unknown parameter of SELECT")
		}
	})
	return q
}

// open makes a mailbox the selected one.
func (s *session) open(name string, readOnly bool) (*store.Mailbox, error) {
	box, err := s.acct.Mailbox(name)
	if err != nil {
		return nil, s.refuse(err, "select")
	}
	watch := s.acct.Watch(box.ID) // before reading, so that nothing is missed
	v, err := s.openView(&box)
	if err != nil {
		watch.Close()
		return nil, s.refuse(err, "select")
	}
	v.watch, v.readOnly = watch, readOnly
	s.view = v
	return &box, nil
}

// openView makes the view, by reading the mailbox only if it has to.
func (s *session) openView(box *store.Mailbox) (*view, error) {
	now, uids, err := s.acct.Open(box.ID)
	if errors.Is(err, store.ErrCorrupt) { // what is whole can be read
		list, err := s.entries(box.ID)
		return newView(*box, list), err
	}
	if err != nil {
		return nil, err
	}
	*box = now
	return openView(now, slices.AppendSeq(make([]mail.UID, 0, uids.Len()), uids.All())), nil
}

// describe tells what is selected, RFC 9051 §6.3.2.
func (s *session) describe(box *store.Mailbox) {
	v := s.view
	s.w.Raw("* FLAGS (").Raw(v.flags.names()).Raw(")").End()
	s.w.Numbered(uint32(v.told), "EXISTS").End()
	if !s.on.rev2 {
		s.w.Raw("* 0 RECENT").End()
		if n := s.firstUnseen(box); n > 0 {
			s.w.Raw("* OK [UNSEEN ").Number(int64(n)).Raw("] First unseen message").End()
		}
	}
	permanent := ""
	if !v.readOnly {
		permanent = v.flags.names() + ` \*`
	}
	s.untagged("PERMANENTFLAGS ("+permanent+")", "Permanent flags")
	s.w.Raw("* OK [UIDNEXT ").Unsigned(uint64(box.UIDNext)).Raw("] Predicted next UID").End()
	s.w.Raw("* OK [UIDVALIDITY ").Unsigned(uint64(box.UIDValidity)).Raw("] UIDs valid").End()
	s.w.Raw("* OK [HIGHESTMODSEQ ").Unsigned(uint64(box.ModSeq)).Raw("] Highest mod-sequence").End() // RFC 7162 §3.1.2.1
	s.untagged("MAILBOXID ("+box.ObjectID()+")", "Ok")                                               // RFC 8474 §4.2
	if s.on.rev2 {                                                                                   // RFC 9051 §6.3.2
		s.w.Raw("* LIST (")
		if use := attrOf(box); use != "" {
			s.w.Raw(use)
		}
		s.w.Raw(`) "/" `).Mailbox(box.Name).End()
	}
}

// firstUnseen is the number of the first message that was not read, 0 if there
// is none or it would take long to find: RFC 3501 §6.3.1 lets it be missing.
func (s *session) firstUnseen(box *store.Mailbox) int {
	v := s.view
	switch {
	case box.Unseen == 0:
		return 0
	case box.Unseen == box.Messages:
		return 1
	case box.Messages > unseenMax || s.load() != nil:
		return 0
	}
	return 1 + slices.IndexFunc(v.state, func(st uint32) bool { return !v.flags.states[st].flags.Has(mail.Seen) })
}

// unseenMax is up to how many messages the first unseen one is looked for.
const unseenMax = 1000

// closeBox is CLOSE, RFC 9051 §6.4.1: it expunges without a word.
func (s *session) closeBox(*call) error {
	if err := s.end(); err != nil {
		return err
	}
	var err error
	if !s.view.readOnly {
		_, err = s.remove(nil)
	}
	s.deselect()
	return err
}

// unselect is UNSELECT, RFC 9051 §6.4.2.
func (s *session) unselect(*call) error {
	if err := s.end(); err != nil {
		return err
	}
	s.deselect()
	return nil
}
