package imapd

import (
	"errors"
	"strconv"

	"github.com/emersion/go-imap/v2"

	"homemail/mail"
	"homemail/store"
)

// A resync is what a client that was here before knows, RFC 7162 §3.2.5.
type resync struct {
	given       bool
	uidValidity uint32
	since       mail.ModSeq
	known       imap.UIDSet // nil: all
}

// resyncArgs reads the parameter QRESYNC of SELECT. Message sequence match data
// is read and not needed: what has gone is known.
func (s *session) resyncArgs() (q resync) {
	if !s.on.qresync {
		s.l.Fail("QRESYNC is not enabled") // RFC 7162 §3.2.5
	}
	q.given = true
	s.l.SP()
	s.l.Expect('(')
	q.uidValidity = s.l.Number()
	s.l.SP()
	q.since = mail.ModSeq(s.l.Number64())
	if s.l.Accept(' ') && s.l.Peek() != '(' {
		q.known = s.l.UIDSet()
		if s.l.Peek() == ' ' {
			s.l.SP()
		}
	}
	if s.l.Accept('(') {
		s.l.SeqSet()
		s.l.SP()
		s.l.UIDSet()
		s.l.Expect(')')
	}
	s.l.Expect(')')
	return q
}

// resynced tells what happened to the mailbox since the client was here: a
// read of what changed, not of the mailbox. What changed after the view was
// opened comes later, as always.
func (s *session) resynced(q *resync, box *store.Mailbox) error {
	if q.uidValidity != box.UIDValidity {
		return nil // what the client knows is of another mailbox
	}
	c, err := s.changesSince(q.since)
	if err != nil {
		return err
	}
	s.vanishedEarlier(&c, q.known)
	v := s.view
	for _, e := range c.Changed {
		i, ok := v.index(e.UID)
		if ok && i < v.told && e.ModSeq <= v.since && v.inSet(q.known, e.UID) {
			s.tellFlags(i, flagsAt{v.flags.of(e.Flags, e.Keywords), e.ModSeq})
		}
	}
	return nil
}

// changesSince is what happened to the selected mailbox. If its history does not
// reach back that far, what has gone is not in it.
func (s *session) changesSince(since mail.ModSeq) (store.Changes, error) {
	v := s.view
	c, err := s.acct.Changes(v.box, since)
	if errors.Is(err, store.ErrCorrupt) {
		c.Whole, err = true, nil
	}
	if err != nil || !c.Whole {
		return c, err
	}
	list, err := s.entries(v.box)
	for _, e := range list {
		if e.ModSeq > since {
			c.Changed = append(c.Changed, e)
		}
	}
	return c, err
}

// vanishedEarlier tells which messages of a set are gone, RFC 7162 §3.2.10.1:
// all UIDs that are not there, if the history does not reach back.
func (s *session) vanishedEarlier(c *store.Changes, known imap.UIDSet) {
	v := s.view
	var gone []uidRange
	if c.Whole {
		gone = v.holes(known)
	}
	for _, uid := range c.Gone {
		if _, there := v.index(uid); !there && v.inSet(known, uid) {
			gone = appendUID1(gone, uid)
		}
	}
	if len(gone) == 0 {
		return
	}
	s.w.Raw("* VANISHED (EARLIER) ").Append(func(b []byte) []byte {
		for i, r := range gone {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(r.first), 10)
			if r.last > r.first {
				b = strconv.AppendUint(append(b, ':'), uint64(r.last), 10)
			}
		}
		return b
	}).End()
}

// A uidRange is UIDs without a gap.
type uidRange struct{ first, last mail.UID }

func appendUID1(list []uidRange, uid mail.UID) []uidRange {
	if n := len(list); n > 0 && list[n-1].last+1 == uid {
		list[n-1].last = uid
		return list
	}
	return append(list, uidRange{uid, uid})
}

// holes are the UIDs of a set that no message has, up to the highest that one
// has or had.
func (v *view) holes(known imap.UIDSet) (list []uidRange) {
	next := mail.UID(1)
	for _, uid := range v.uids {
		if next < uid {
			list = append(list, uidRange{next, uid - 1})
		}
		next = uid + 1
	}
	if next < v.uidNext {
		list = append(list, uidRange{next, v.uidNext - 1})
	}
	if known == nil {
		return list
	}
	var cut []uidRange
	for _, r := range list {
		for _, k := range known {
			first, last := v.bounds(k)
			if first, last = max(first, r.first), min(last, r.last); first <= last {
				cut = append(cut, uidRange{first, last})
			}
		}
	}
	return cut
}

// bounds are a range's ends, with "*" the highest UID there is.
func (v *view) bounds(r imap.UIDRange) (first, last mail.UID) {
	first, last = mail.UID(r.Start), mail.UID(r.Stop)
	if last == 0 {
		last = 1
		if n := len(v.uids); n > 0 {
			last = v.uids[n-1]
		}
		if first == 0 || first > last {
			first = last
		}
	}
	return first, last
}

// inSet reports whether a set that a client named has a UID; nil has all.
func (v *view) inSet(set imap.UIDSet, uid mail.UID) bool {
	if set == nil {
		return true
	}
	for _, r := range set {
		if first, last := v.bounds(r); first <= uid && uid <= last {
			return true
		}
	}
	return false
}
