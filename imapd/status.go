package imapd

import (
	"homemail/imapd/wire"
	"homemail/store"
)

// statusItems are what STATUS can tell, in the order in which it is told.
var statusItems = []struct {
	name string
	tell func(s *session, box *store.Mailbox, w *wire.Writer)
}{
	{"MESSAGES", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Number(int64(b.Messages)) }},
	{"UIDNEXT", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Number(int64(b.UIDNext)) }},
	{"UIDVALIDITY", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Number(int64(b.UIDValidity)) }},
	{"UNSEEN", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Number(int64(b.Unseen)) }},
	{"DELETED", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Number(int64(b.Deleted)) }},
	{"SIZE", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Number(b.Size) }},                             // RFC 8438
	{"APPENDLIMIT", func(s *session, _ *store.Mailbox, w *wire.Writer) { w.Number(s.s.o.AppendLimit) }},           // RFC 7889 §3.2
	{"DELETED-STORAGE", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Number(b.DeletedSize) }},           // RFC 9208 §4.1.4
	{"RECENT", func(_ *session, _ *store.Mailbox, w *wire.Writer) { w.Number(0) }},                                // RFC 3501 §6.3.10; nobody asks what it means any more
	{"MAILBOXID", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Byte('(').Raw(b.ObjectID()).Byte(')') }}, // RFC 8474 §4.3
	{"HIGHESTMODSEQ", func(_ *session, b *store.Mailbox, w *wire.Writer) { w.Unsigned(uint64(b.ModSeq)) }},        // RFC 7162 §3.1.2.1
}

// A statusSet says which of statusItems are asked for.
type statusSet []bool

// statusArgs reads a list of items.
func (s *session) statusArgs() statusSet {
	set := make(statusSet, len(statusItems))
	s.l.List(func() {
		name := s.l.Word()
		for i := range statusItems {
			if statusItems[i].name == name && !s.off[name] {
				set[i] = true
				s.on.condStore = s.on.condStore || name == "HIGHESTMODSEQ" // RFC 7162 §3.1
				return
			}
		}
		s.l.Fail("Unknown item of STATUS")
	})
	return set
}

// status is STATUS, RFC 9051 §6.3.11.
func (s *session) status(*call) error {
	s.l.SP()
	name := s.l.Mailbox()
	s.l.SP()
	set := s.statusArgs()
	if err := s.end(); err != nil {
		return err
	}
	box, err := s.acct.Mailbox(name)
	if err != nil {
		return s.refuse(err, "status")
	}
	return s.writeStatus(&box, set)
}

// writeStatus writes a STATUS response, RFC 9051 §7.3.4.
func (s *session) writeStatus(box *store.Mailbox, set statusSet) error {
	s.w.Raw("* STATUS ").Mailbox(box.Name).Raw(" (")
	first := true
	for i, it := range statusItems {
		if !set[i] {
			continue
		}
		if !first {
			s.w.Byte(' ')
		}
		first = false
		s.w.Raw(it.name).Byte(' ')
		it.tell(s, box, s.w)
	}
	return s.w.Raw(")").End()
}
