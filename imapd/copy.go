package imapd

import (
	"strconv"

	"homemail/imapd/wire"
	"homemail/mail"
	"homemail/store"
)

// copy is COPY, RFC 9051 §6.4.7: all or nothing.
func (s *session) copy(c *call) error {
	set := s.numbers(c)
	s.l.SP()
	name := s.l.Mailbox()
	if err := s.end(); err != nil {
		return err
	}
	box, err := s.destination(name)
	if err != nil {
		return err
	}
	v := s.view
	pairs, err := s.acct.Copy(v.box, v.uidsOf(v.resolve(set)), box.ID)
	if err != nil {
		return s.refuse(err, "copy")
	}
	c.code = copyUID(box, pairs)
	return nil
}

// copyUID is the COPYUID of RFC 9051 §7.1; nothing if nothing was copied, as a
// set is never empty.
func copyUID(box store.Mailbox, pairs []store.Pair) string {
	if len(pairs) == 0 {
		return ""
	}
	from, to := make([]mail.UID, len(pairs)), make([]mail.UID, len(pairs))
	for i, p := range pairs {
		from[i], to[i] = p.From, p.To
	}
	b := strconv.AppendUint([]byte("COPYUID "), uint64(box.UIDValidity), 10)
	b = wire.AppendSet(append(b, ' '), from)
	return string(wire.AppendSet(append(b, ' '), to))
}

// move is MOVE, RFC 9051 §6.4.8: one commit.
func (s *session) move(c *call) error {
	set := s.numbers(c)
	s.l.SP()
	name := s.l.Mailbox()
	if err := s.end(); err != nil {
		return err
	}
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	box, err := s.destination(name)
	if err != nil {
		return err
	}
	pairs, err := s.acct.Move(v.box, v.uidsOf(v.resolve(set)), box.ID)
	if err != nil {
		return s.refuse(err, "move")
	}
	if len(pairs) == 0 {
		return nil
	}
	s.untagged(copyUID(box, pairs), "Moved") // before the EXPUNGEs, RFC 6851 §4.3
	gone := make(map[mail.UID]struct{}, len(pairs))
	for _, p := range pairs {
		gone[p.From] = struct{}{}
	}
	s.tellGone(v.expunge(gone))
	return nil
}
