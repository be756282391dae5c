package imapd

import (
	"strings"

	"homemail/mail"
	"homemail/store"
)

const separator = '/'

// A listing is what a LIST asks for, RFC 5258.
type listing struct {
	name  string // LIST or LSUB
	ref   string
	match []pattern

	subscribed, recursive, special bool // which to list
	saySubscribed                  bool // what to say
	status                         statusSet
	metadata                       *metadataQuery // RFC 9590
}

// list is LIST, RFC 9051 §6.3.9.
func (s *session) list(*call) error {
	q := &listing{name: "LIST"}
	s.l.SP()
	extended := s.l.Peek() == '('
	if extended {
		s.selectArgs(q)
		s.l.SP()
	}
	q.ref = s.l.Mailbox()
	s.l.SP()
	empty := s.patterns(q)
	if s.l.Accept(' ') {
		s.returnArgs(q)
		extended = true
	}
	if err := s.end(); err != nil {
		return err
	}
	if empty && !extended { // asks for the separator
		return s.w.Raw(`* LIST (\Noselect) "/" ""`).End()
	}
	return s.listAll(q)
}

// lsub is LSUB, RFC 3501 §6.3.9.
func (s *session) lsub(*call) error {
	q := &listing{name: "LSUB", subscribed: true}
	s.l.SP()
	q.ref = s.l.Mailbox()
	s.l.SP()
	q.match = []pattern{newPattern(q.ref, s.l.Pattern())}
	if err := s.end(); err != nil {
		return err
	}
	return s.listAll(q)
}

// selectArgs reads selection options, RFC 5258 §3.1.
func (s *session) selectArgs(q *listing) {
	s.l.List(func() {
		switch s.l.Word() {
		case "SUBSCRIBED":
			q.subscribed = true
		case "RECURSIVEMATCH":
			q.recursive = true
		case "SPECIAL-USE": // RFC 6154 §2
			q.special = true
		case "REMOTE": // there are none
		default:
			s.l.Fail("Unknown selection option")
		}
	})
	if q.recursive && !q.subscribed {
		s.l.Fail("RECURSIVEMATCH needs SUBSCRIBED")
	}
}

// patterns reads one pattern or a list of them. It reports whether there is
// nothing but an empty one.
func (s *session) patterns(q *listing) (empty bool) {
	one := func() {
		p := s.l.Pattern()
		q.match = append(q.match, newPattern(q.ref, p))
		empty = p == "" && len(q.match) == 1
	}
	if s.l.Peek() != '(' {
		one()
		return empty
	}
	s.l.List(one)
	if len(q.match) == 0 {
		s.l.Fail("Expected a pattern")
	}
	return false
}

// returnArgs reads return options, RFC 5258 §3.2.
func (s *session) returnArgs(q *listing) {
	if s.l.Word() != "RETURN" {
		s.l.Fail("Expected RETURN")
	}
	s.l.SP()
	s.l.List(func() {
		switch s.l.Word() {
		case "SUBSCRIBED":
			q.saySubscribed = true
		case "CHILDREN", "SPECIAL-USE": // always said
		case "STATUS": // RFC 5819
			s.l.SP()
			q.status = s.statusArgs()
		case "METADATA": // RFC 9590 §3
			s.l.SP()
			q.metadata = &metadataQuery{max: -1}
			s.l.List(func() { q.metadata.names = append(q.metadata.names, s.entryName()) })
		default:
			s.l.Fail("Unknown return option")
		}
	})
}

func (s *session) listAll(q *listing) error {
	boxes, err := s.acct.Mailboxes()
	if err != nil {
		return s.refuse(err, "list")
	}
	below := parents(boxes)
	for i := range boxes {
		box := &boxes[i]
		if !matchAny(q.match, box.Name) || q.special && attrOf(box) == "" {
			continue
		}
		kin := below[box.Name]
		if q.subscribed && !box.Subscribed && !(q.recursive && kin.subscribed) {
			continue
		}
		if err := s.listOne(q, box, kin); err != nil {
			return err
		}
	}
	return nil
}

// listOne writes a LIST response, RFC 9051 §7.3.1.
func (s *session) listOne(q *listing, box *store.Mailbox, kin descendants) error {
	children := `\HasNoChildren`
	if kin.any {
		children = `\HasChildren`
	}
	s.w.Raw("* ").Raw(q.name).Raw(" (").Raw(children)
	if use := attrOf(box); use != "" {
		s.w.Byte(' ').Raw(use)
	}
	if box.Subscribed && (q.subscribed || q.saySubscribed) {
		s.w.Raw(` \Subscribed`)
	}
	s.w.Raw(`) "/" `).Mailbox(box.Name)
	if q.recursive && kin.subscribed {
		s.w.Raw(` (CHILDINFO ("SUBSCRIBED"))`) // RFC 5258 §3.5
	}
	err := s.w.End()
	if q.status != nil {
		err = s.writeStatus(box, q.status)
	}
	if q.metadata != nil {
		_, err = s.writeMetadata(box.ID, box.Name, q.metadata)
	}
	return err
}

// attrOf is the special use of a mailbox on the wire. INBOX has none.
func attrOf(box *store.Mailbox) string {
	if box.Use == mail.Inbox {
		return ""
	}
	return string(box.Use)
}

func matchAny(list []pattern, name string) bool {
	for _, p := range list {
		if p.match(name) {
			return true
		}
	}
	return false
}

// descendants tells what is below a mailbox.
type descendants struct{ any, subscribed bool }

func parents(boxes []store.Mailbox) map[string]descendants {
	m := make(map[string]descendants)
	for i := range boxes {
		name := boxes[i].Name
		for at := strings.LastIndexByte(name, separator); at > 0; at = strings.LastIndexByte(name, separator) {
			name = name[:at]
			d := m[name]
			m[name] = descendants{any: true, subscribed: d.subscribed || boxes[i].Subscribed}
		}
	}
	return m
}
