package imapd

import (
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"homemail/mail"
	"homemail/store"
)

// Select is SELECT and EXAMINE, RFC 9051 §6.3.2 and §6.3.3.
func (s *session) Select(name string, o *imap.SelectOptions) (*imap.SelectData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deselect()
	box, err := s.acct.Mailbox(name)
	if err != nil {
		return nil, s.refuse(err, "select")
	}
	watch := s.acct.Watch(box.ID) // before reading, so that nothing is missed
	list, err := s.entries(box.ID)
	if err != nil {
		watch.Close()
		return nil, s.refuse(err, "select")
	}
	v := newView(box, list)
	v.watch, v.readOnly = watch, o.ReadOnly
	s.view = v

	data := &imap.SelectData{
		Flags: v.flags.names(), PermanentFlags: []imap.Flag{}, NumMessages: uint32(len(v.uids)),
		UIDNext: imap.UID(box.UIDNext), UIDValidity: box.UIDValidity,
	}
	if len(v.uids) > 0 { // one may have come since box was read
		data.UIDNext = max(data.UIDNext, imap.UID(v.uids[len(v.uids)-1])+1)
	}
	if !o.ReadOnly {
		data.PermanentFlags = append(v.flags.names(), imap.FlagWildcard)
	}
	i := slices.IndexFunc(v.state, func(st uint32) bool { return !v.flags.states[st].flags.Has(mail.Seen) })
	data.FirstUnseenSeqNum = uint32(i + 1)
	if s.rev2() {
		data.List = s.listed(&box, descendants{}, &imap.ListOptions{})
		data.List.Attrs = data.List.Attrs[1:] // whether it has children was not asked
	}
	return data, nil
}

// entries reads what a mailbox holds, as far as it can be read.
func (s *session) entries(box mail.MailboxID) ([]store.Entry, error) {
	list, err := s.acct.Entries(box)
	if errors.Is(err, store.ErrCorrupt) {
		s.log.Error("imap: a mailbox is damaged", "mailbox", box, "err", err)
		err = nil
	}
	return list, err
}

// Unselect is UNSELECT, RFC 9051 §6.4.2, and the end of CLOSE.
func (s *session) Unselect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deselect()
	return nil
}

func (s *session) deselect() {
	if s.view != nil {
		s.view.watch.Close()
		s.view = nil
	}
}

// catchUp takes up what happened to the selected mailbox, if the watch says
// that something did. The client hears of it later, by tell.
func (s *session) catchUp() error {
	v := s.view
	select {
	case <-v.watch.C:
	default:
		return nil
	}
	return s.read()
}

// read takes up changes. A mailbox that is gone ends the session: RFC 2180 §3.3
// leaves that or lying about its messages.
func (s *session) read() error {
	v := s.view
	if v.deleted {
		return nil
	}
	c, err := s.acct.Changes(v.box, v.since)
	switch {
	case err == nil && c.Whole:
		var list []store.Entry
		if list, err = s.acct.Entries(v.box); err == nil {
			v.replace(list, c.ModSeq)
			return nil
		}
	case errors.Is(err, store.ErrCorrupt): // what cannot be read is not known to be gone
		c = store.Changes{}
		c.Changed, err = s.entries(v.box)
	}
	if errors.Is(err, store.ErrNotFound) {
		s.g.hangUp("The selected mailbox was deleted")
		return no(imap.ResponseCodeNonExistent, "The selected mailbox was deleted")
	}
	if err != nil {
		return s.refuse(err, "read changes")
	}
	v.apply(c)
	return nil
}

// Poll tells the client what happened, after a command, RFC 9051 §5.2.
func (s *session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil
	}
	if err := s.catchUp(); err != nil {
		return s.hear(err)
	}
	return s.view.tell(w, allowExpunge)
}

// hear deals with an error outside of a command's answer: the library would
// end the connection without a word. The command itself was done, so changes
// that cannot be read now are left for later.
func (s *session) hear(err error) error {
	if s.g.hungUp() {
		return err
	}
	return nil
}

// Idle is IDLE, RFC 9051 §6.3.13. The watch stands since SELECT and is only
// emptied before the mailbox is read, so no change falls between two reads.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.mu.Lock()
	v := s.view
	s.mu.Unlock()
	if v == nil {
		<-stop
		return nil
	}
	for {
		if err := s.idleOnce(w, v); err != nil {
			return err
		}
		select {
		case <-v.watch.C:
			s.mu.Lock()
			err := s.refreshed(v)
			s.mu.Unlock()
			if err != nil {
				return s.hear(err)
			}
		case <-stop:
			return nil
		}
	}
}

// refreshed reads changes if v is still the view.
func (s *session) refreshed(v *view) error {
	if s.over || s.view != v {
		return nil
	}
	return s.read()
}

func (s *session) idleOnce(w *imapserver.UpdateWriter, v *view) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.view != v {
		return nil
	}
	if err := s.catchUp(); err != nil {
		return s.hear(err)
	}
	return v.tell(w, true)
}
