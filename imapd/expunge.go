package imapd

import (
	"homemail/mail"

	"github.com/emersion/go-imap/v2"
)

// expunge is EXPUNGE and UID EXPUNGE, RFC 9051 §6.4.3 and §6.4.9.
func (s *session) expunge(c *call) error {
	var set imap.NumSet
	if c.uid {
		set = s.numbers(c)
	}
	if err := s.end(); err != nil {
		return err
	}
	if s.view.readOnly {
		return errReadOnly
	}
	gone, err := s.remove(set)
	if err != nil {
		return err
	}
	c.removed = len(gone) > 0
	s.tellGone(s.view.expunge(gone))
	return nil
}

// remove removes the messages of a set, or all, that have \Deleted.
func (s *session) remove(set imap.NumSet) (map[mail.UID]struct{}, error) {
	if err := s.catchUp(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	v := s.view
	all := []span{{0, v.told}}
	if set != nil {
		all = v.resolve(set)
	}
	var doomed []mail.UID
	for _, sp := range all {
		for i := sp.lo; i < sp.hi; i++ {
			if v.at(i).flags.Has(mail.Deleted) {
				doomed = append(doomed, v.uids[i])
			}
		}
	}
	if len(doomed) == 0 {
		return nil, nil
	}
	list, err := s.acct.Expunge(v.box, doomed)
	if err != nil {
		return nil, s.refuse(err, "expunge")
	}
	gone := make(map[mail.UID]struct{}, len(list))
	for _, uid := range list {
		gone[uid] = struct{}{}
	}
	return gone, nil
}
