package imapd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"homemail/mail"
	"homemail/store"
)

// metadataMax is the largest value that can be set: a command holds it.
const metadataMax = 32 << 10

// A metadataQuery is what GETMETADATA asks for, RFC 5464 §4.2.
type metadataQuery struct {
	max   int64 // of a value; negative: no bound
	depth int   // below the entries; -1: infinity
	names []string
}

// getMetadata is GETMETADATA.
func (s *session) getMetadata(c *call) error {
	q := metadataQuery{max: -1}
	s.l.SP()
	if s.l.Peek() == '(' {
		s.metadataOptions(&q)
		s.l.SP()
	}
	name := s.l.Mailbox()
	s.l.SP()
	if s.l.Peek() == '(' && len(q.names) == 0 {
		s.l.List(func() { q.names = append(q.names, s.entryName()) })
	} else {
		q.names = append(q.names, s.entryName())
	}
	if err := s.end(); err != nil {
		return err
	}
	box, err := s.annotated(name)
	if err != nil {
		return err
	}
	longest, err := s.writeMetadata(box, name, &q)
	if longest > 0 { // RFC 5464 §4.2.1
		c.code = fmt.Sprintf("METADATA LONGENTRIES %d", longest)
	}
	return err
}

func (s *session) metadataOptions(q *metadataQuery) {
	s.l.List(func() {
		switch s.l.Word() {
		case "MAXSIZE":
			s.l.SP()
			q.max = int64(s.l.Number())
		case "DEPTH":
			s.l.SP()
			switch s.l.Word() {
			case "0":
			case "1":
				q.depth = 1
			case "INFINITY":
				q.depth = -1
			default:
				s.l.Fail("Bad DEPTH")
			}
		default:
			s.l.Fail("Unknown option of GETMETADATA")
		}
	})
}

// entryName reads the name of an entry, which is the same in any case.
func (s *session) entryName() string {
	name := strings.ToLower(s.l.AString())
	if !strings.HasPrefix(name+"/", "/private/") && !strings.HasPrefix(name+"/", "/shared/") || strings.HasSuffix(name, "/") {
		s.l.Fail("An entry begins with /private/ or /shared/")
	}
	return name
}

// annotated finds a mailbox that has annotations; "" is the server.
func (s *session) annotated(name string) (mail.MailboxID, error) {
	if name == "" {
		return 0, nil
	}
	box, err := s.acct.Mailbox(name)
	return box.ID, s.refuse(err, "metadata")
}

// writeMetadata writes a METADATA response, RFC 5464 §4.4.1, if there is anything
// to tell. It returns the size of the largest value that was left out.
func (s *session) writeMetadata(box mail.MailboxID, name string, q *metadataQuery) (longest int, err error) {
	list, err := s.acct.Annotations(box)
	if err != nil {
		return 0, s.refuse(err, "metadata")
	}
	for _, entry := range q.names { // what is not there is NIL, RFC 9590 §3
		if _, ok := list[entry]; !ok && q.depth == 0 {
			list[entry] = nil
		}
	}
	said := false
	for _, entry := range slices.Sorted(maps.Keys(list)) {
		value := list[entry]
		if !q.wants(entry) {
			continue
		}
		if q.max >= 0 && int64(len(value)) > q.max {
			longest = max(longest, len(value))
			continue
		}
		if said {
			s.w.Byte(' ')
		} else {
			s.w.Raw("* METADATA ").Mailbox(name).Raw(" (")
		}
		said = true
		s.w.Raw(entry).Byte(' ')
		if value == nil {
			s.w.Raw("NIL")
		} else if slices.Contains(value, 0) {
			s.w.Literal(int64(len(value)), true).RawBytes(value)
		} else {
			s.w.String(string(value))
		}
	}
	if said {
		s.w.Byte(')').End()
	}
	return longest, nil
}

// wants reports whether an entry is one of those asked for, or below one.
func (q *metadataQuery) wants(entry string) bool {
	return slices.ContainsFunc(q.names, func(name string) bool {
		rest, ok := strings.CutPrefix(entry, name)
		switch {
		case !ok || rest != "" && rest[0] != '/':
			return false
		case q.depth < 0:
			return true
		}
		return strings.Count(rest, "/") <= q.depth
	})
}

// setMetadata is SETMETADATA, RFC 5464 §4.3.
func (s *session) setMetadata(*call) error {
	s.l.SP()
	name := s.l.Mailbox()
	s.l.SP()
	s.l.Large(metadataMax)
	entries := make(map[string][]byte)
	s.l.List(func() {
		entry := s.entryName()
		s.l.SP()
		if strings.Count(entry, "/") < 2 {
			s.l.Fail("An entry has a name behind /private/ or /shared/")
		}
		entries[entry] = nil
		if value, ok := s.l.NString(); ok {
			entries[entry] = []byte(value)
		}
	})
	if err := s.end(); err != nil {
		return err
	}
	box, err := s.annotated(name)
	if err != nil {
		return err
	}
	err = s.acct.Annotate(box, entries)
	if errors.Is(err, store.ErrTooMany) {
		return no("METADATA TOOMANY", "There are too many annotations")
	}
	return s.refuse(err, "metadata")
}
