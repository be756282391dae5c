package imapd

import (
	"errors"

	"github.com/emersion/go-imap/v2"

	"homemail/mail"
	"homemail/store"
)

// replace is REPLACE and UID REPLACE, RFC 8508. The new message is on disk before
// the old one goes: a crash between the two leaves both, and never none.
func (s *session) replace(c *call) error {
	s.l.SP()
	num := s.l.Number()
	s.l.SP()
	name := s.l.Mailbox()
	up := s.uploadArgs()
	if err := s.l.Err(); err != nil {
		return err
	}
	v := s.view
	old, err := v.one(num, c.uid)
	if v.readOnly {
		err = errReadOnly
	}
	if err != nil {
		return s.drain(up.lit, err)
	}
	sp, box, err := s.uploaded(name, &up)
	if err != nil {
		return err
	}
	defer sp.Discard()
	placed, err := s.s.o.Store.Deliver(sp, []store.Delivery{up.delivery(s.acct, &box)})
	if err != nil {
		return s.refuse(err, "replace")
	}
	s.untagged(appendUID(placed), "Replacement message ready") // RFC 8508 §3.5
	if _, err := s.acct.Expunge(v.box, []mail.UID{old}); err != nil && !errors.Is(err, store.ErrNotFound) {
		return s.refuse(err, "replace")
	}
	c.removed = true
	if i, ok := v.index(old); ok && i < v.told {
		s.tellGone(v.expunge(map[mail.UID]struct{}{old: {}}))
	}
	return nil
}

// one finds the one message that a number means.
func (v *view) one(num uint32, uid bool) (mail.UID, error) {
	if uid {
		if i, ok := v.index(mail.UID(num)); ok && i < v.told {
			return mail.UID(num), nil
		}
	} else if 0 < num && int(num) <= v.told {
		return v.uids[num-1], nil
	}
	return 0, no(imap.ResponseCodeNonExistent, "There is no such message")
}
