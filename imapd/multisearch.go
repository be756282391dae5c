package imapd

import (
	"slices"
	"strings"

	"homemail/mail"
	"homemail/store"
)

// A boxFilter names mailboxes, RFC 5465 §6 and RFC 7377 §2.2.
type boxFilter struct {
	kind  string
	names []string
}

// boxFilter reads a filter, whose kind was read already.
func (s *session) boxFilter(kind string) (f boxFilter) {
	f.kind = kind
	switch kind {
	case "SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED":
	case "SUBTREE", "SUBTREE-ONE", "MAILBOXES":
		s.l.SP()
		if s.l.Peek() != '(' {
			f.names = append(f.names, s.l.Mailbox())
			break
		}
		s.l.List(func() { f.names = append(f.names, s.l.Mailbox()) })
	default:
		s.l.Fail("Unknown filter of mailboxes")
	}
	return f
}

// match reports whether a filter has a mailbox. INBOX is the one where mail
// comes in.
func (f *boxFilter) match(box *store.Mailbox, v *view) bool {
	switch f.kind {
	case "SELECTED", "SELECTED-DELAYED":
		return v != nil && v.box == box.ID
	case "INBOXES":
		return box.Use == mail.Inbox
	case "PERSONAL":
		return true
	case "SUBSCRIBED":
		return box.Subscribed
	}
	return slices.ContainsFunc(f.names, func(name string) bool {
		if strings.EqualFold(name, "INBOX") {
			name = "INBOX"
		}
		rest, below := strings.CutPrefix(box.Name, name)
		switch {
		case below && rest == "":
			return true
		case !below || rest[0] != separator || f.kind == "MAILBOXES":
			return false
		}
		return f.kind == "SUBTREE" || !strings.ContainsRune(rest[1:], separator)
	})
}

// multiSearch is ESEARCH, RFC 7377: a SEARCH of several mailboxes.
func (s *session) multiSearch(c *call) error {
	q := &searching{noNumbers: true}
	var in []boxFilter
	s.l.SP()
	word := s.key()
	if word == "IN" {
		s.l.SP()
		s.l.List(func() { in = append(in, s.boxFilter(s.l.Word())) })
		s.l.SP()
		word = s.key()
	}
	if word == "RETURN" {
		s.resultOptions(q)
		word = s.key()
	}
	if len(in) == 0 {
		in = []boxFilter{{kind: "SELECTED"}}
		if s.view == nil {
			s.l.Fail("No mailbox is selected")
		}
	}
	charset := ""
	if word == "CHARSET" {
		s.l.SP()
		charset = s.l.AString()
		s.l.SP()
		word = s.key()
	}
	if q.save {
		s.l.Fail("SAVE needs SEARCH")
	}
	if err := s.restOfKeys(q, word, charset); err != nil {
		return err
	}
	boxes, err := s.acct.Mailboxes()
	if err != nil {
		return s.refuse(err, "search")
	}
	for i := range boxes {
		if !slices.ContainsFunc(in, func(f boxFilter) bool { return f.match(&boxes[i], s.view) }) {
			continue
		}
		if err := s.searchBox(c, q, &boxes[i]); err != nil {
			return err
		}
	}
	return nil
}

// searchBox searches one mailbox in a view that lasts no longer.
func (s *session) searchBox(c *call, q *searching, box *store.Mailbox) error {
	v, err := s.openView(box)
	if err != nil {
		return s.refuse(err, "search")
	}
	defer func(old *view) { s.view = old }(s.view)
	s.view = v
	if q.root.anyOf(criterion.byFlags) {
		if err := s.load(); err != nil {
			return s.refuse(err, "search")
		}
	}
	found, err := s.find(c.tag, q.root)
	if err != nil || len(found) == 0 {
		return err
	}
	uids, highest := make([]uint32, len(found)), mail.ModSeq(0)
	for n, i := range found {
		uids[n] = uint32(v.uids[i])
		if q.modSeq {
			highest = max(highest, v.mod[i])
		}
	}
	s.w.Raw("* ESEARCH (TAG ").String(c.tag).Raw(" MAILBOX ").Mailbox(box.Name).
		Raw(" UIDVALIDITY ").Unsigned(uint64(box.UIDValidity)).Raw(") UID")
	s.resultData(q, uids, highest)
	return s.w.End()
}
