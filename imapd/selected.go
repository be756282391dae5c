package imapd

import (
	"errors"
	"maps"
	"slices"

	"github.com/emersion/go-imap/v2"

	"homemail/imapd/wire"
	"homemail/mail"
	"homemail/store"
)

// entries reads what a mailbox holds, as far as it can be read.
func (s *session) entries(box mail.MailboxID) ([]store.Entry, error) {
	list, err := s.acct.Entries(box)
	if errors.Is(err, store.ErrCorrupt) {
		s.log.Error("imap: a mailbox is damaged", "mailbox", box, "err", err)
		err = nil
	}
	return list, err
}

// load reads the flags of the selected mailbox, for a command that needs them.
func (s *session) load() error {
	v := s.view
	if v.loaded || v.deleted {
		return nil
	}
	list, err := s.entries(v.box)
	if err != nil {
		return err
	}
	v.load(list)
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
		if !v.again {
			return nil
		}
	}
	v.again = false
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
		s.hangUp("The selected mailbox was deleted")
		return no(imap.ResponseCodeNonExistent, "The selected mailbox was deleted")
	}
	if err != nil {
		return s.refuse(err, "read changes")
	}
	v.apply(c)
	return nil
}

// tell tells the client all that it may know now.
func (s *session) tell(expunge bool) {
	v := s.view
	if expunge && len(v.gone) > 0 {
		s.tellGone(v.expunge(v.gone))
	}
	if len(v.uids) > v.told {
		v.told = len(v.uids)
		s.w.Numbered(uint32(v.told), "EXISTS").End()
	}
	if v.flags.fresh {
		v.flags.fresh = false
		s.w.Raw("* FLAGS (").Raw(v.flags.names()).Raw(")").End()
	}
	if len(v.changed) == 0 {
		return
	}
	changed := v.changed
	v.changed = nil
	for _, uid := range slices.Sorted(maps.Keys(changed)) {
		i, ok := v.index(uid)
		if _, gone := v.gone[uid]; !gone && ok && i < v.told {
			s.tellFlags(i, changed[uid])
		}
	}
}

// tellGone tells of messages that are gone: RFC 9051 §7.5.1 EXPUNGE, the highest
// number first so that each is still right, or RFC 7162 §3.2.10 VANISHED.
func (s *session) tellGone(uids []mail.UID, nums []uint32) {
	if len(uids) > 0 && (s.on.qresync || s.on.uidOnly) {
		s.w.Raw("* VANISHED ")
		wire.Set(s.w, uids).End()
		return
	}
	for _, n := range slices.Backward(nums) {
		s.w.Numbered(n, "EXPUNGE").End()
	}
}

// tellFlags tells the flags of a message that nobody asked for.
func (s *session) tellFlags(i int, f flagsAt) {
	s.beginFetch(i, true).Raw("FLAGS ").Raw(s.view.flags.states[f.state].text)
	if s.on.condStore { // RFC 7162 §3.1
		s.w.Raw(" MODSEQ (").Unsigned(uint64(f.mod)).Byte(')')
	}
	s.w.Byte(')').End()
}

// beginFetch begins a FETCH response, with its UID and a space behind it if
// that is wanted; or the UIDFETCH of RFC 9586 §3.4.
func (s *session) beginFetch(i int, uid bool) *wire.Writer {
	if s.on.uidOnly {
		return s.w.Numbered(uint32(s.view.uids[i]), "UIDFETCH (")
	}
	s.w.Numbered(uint32(i+1), "FETCH (")
	if uid {
		s.w.Raw("UID ").Unsigned(uint64(s.view.uids[i])).Byte(' ')
	}
	return s.w
}
