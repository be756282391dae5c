package imapd

import (
	"slices"
	"strconv"
	"strings"
)

// Capabilities before and after sign-in, RFC 9051 §7.2.2. Each stands for what
// its RFC says; docs/imap.md has the list with their RFCs.
var (
	capsBefore = []string{"IMAP4rev2", "IMAP4rev1", "SASL-IR", "LITERAL+", "ENABLE", "ID"}
	capsAfter  = []string{
		"IMAP4rev2", "IMAP4rev1", "LITERAL+", "ENABLE", "ID", "IDLE", "UNSELECT", "UIDPLUS", "MOVE", "NAMESPACE",
		"CHILDREN", "SPECIAL-USE", "CREATE-SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS", "STATUS=SIZE",
		"ESEARCH", "SEARCHRES", "BINARY", "UTF8=ACCEPT", "UNAUTHENTICATE",
		"CONDSTORE", "QRESYNC", "UIDONLY", "WITHIN", "PARTIAL", "SAVEDATE", "OBJECTID", "PREVIEW", "INPROGRESS",
		"METADATA", "LIST-METADATA", "QUOTA", "QUOTA=RES-STORAGE", "COMPRESS=DEFLATE",
		"REPLACE", "MULTISEARCH", "SORT", "SORT=DISPLAY", "ESORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES",
	}
)

// capabilities are those of the session's state.
func (s *session) capabilities() string {
	if s.signed == nil {
		list := slices.Clone(capsBefore)
		for _, mech := range s.s.o.SignIn.Mechanisms(true) {
			list = append(list, "AUTH="+mech)
		}
		return strings.Join(list, " ")
	}
	list := slices.Clone(capsAfter)
	list = append(list, "APPENDLIMIT="+strconv.FormatInt(s.s.o.AppendLimit, 10)) // RFC 7889 §3
	list = slices.DeleteFunc(list, func(name string) bool { return s.off[name] })
	return strings.Join(list, " ")
}

// capability is CAPABILITY, RFC 9051 §6.1.1.
func (s *session) capability(*call) error {
	if err := s.end(); err != nil {
		return err
	}
	return s.w.Raw("* CAPABILITY ").Raw(s.capabilities()).End()
}

// noop is NOOP, RFC 9051 §6.1.2, and CHECK: what is said to be done is on disk.
func (s *session) noop(*call) error { return s.end() }

// logout is LOGOUT, RFC 9051 §6.1.3.
func (s *session) logout(c *call) error {
	if err := s.end(); err != nil {
		return err
	}
	s.deselect()
	s.w.Raw("* BYE Logging out").End()
	s.tagged(c.tag, "OK", "", "LOGOUT completed")
	s.w.Flush()
	return errLoggedOut
}

// id is ID, RFC 2971. Who we are is no secret; our version is nobody's business
// before sign-in, and of no use after it.
func (s *session) id(*call) error {
	s.l.SP()
	if s.l.Peek() == '(' {
		s.l.List(func() { s.l.NString() })
	} else if s.l.Word() != "NIL" {
		s.l.Fail("Expected a list or NIL")
	}
	if err := s.end(); err != nil {
		return err
	}
	return s.w.Raw(`* ID ("name" "homemail")`).End()
}

// enable is ENABLE, RFC 9051 §6.3.1.
func (s *session) enable(*call) error {
	var asked []string
	for s.l.SP() {
		asked = append(asked, strings.ToUpper(s.l.Atom()))
		if s.l.AtEnd() {
			break
		}
	}
	if err := s.end(); err != nil {
		return err
	}
	text := "* ENABLED"
	for _, name := range asked {
		if !s.off[name] && s.turnOn(name) {
			text += " " + name
		}
	}
	return s.w.Raw(text).End()
}

// turnOn enables an extension, and reports whether it is one.
func (s *session) turnOn(name string) bool {
	switch name {
	case "IMAP4REV2":
		s.on.rev2 = true
	case "UTF8=ACCEPT": // RFC 6855 §3
		s.on.utf8, s.l.UTF8, s.w.UTF8 = true, true, true
	case "CONDSTORE", "QRESYNC": // RFC 7162 §3.1 and §3.2.3: the second means the first, too
		s.on.condStore, s.on.qresync = true, s.on.qresync || name == "QRESYNC"
		if s.view != nil {
			s.untagged("HIGHESTMODSEQ "+strconv.FormatUint(uint64(s.view.since), 10), "Highest mod-sequence")
		}
	case "UIDONLY": // RFC 9586 §3
		s.on.uidOnly = true
	default:
		return false
	}
	return true
}

// namespace is NAMESPACE, RFC 9051 §6.3.10: all mailboxes are the person's own.
func (s *session) namespace(*call) error {
	if err := s.end(); err != nil {
		return err
	}
	return s.w.Raw(`* NAMESPACE (("" "/")) NIL NIL`).End()
}
