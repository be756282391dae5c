package imapd

import (
	"fmt"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// A fetchList is what a FETCH asks for.
type fetchList struct {
	imap.FetchOptions      // but for its sections
	body              bool // BODY, which is BODYSTRUCTURE without extensions
	saveDate          bool // RFC 8514
	email, thread     bool // EMAILID and THREADID, RFC 8474
	preview           bool // RFC 8970
	vanished          bool
	part              *window
	sections          []section
	binary            []binaryItem
	binarySize        []binaryItem
}

// A section is a BODY[...] with the name that its answer has.
type section struct {
	imap.FetchItemBodySection
	name string
}

// A binaryItem is a BINARY[...] or BINARY.SIZE[...], RFC 3516.
type binaryItem struct {
	part    []int
	partial *imap.SectionPartial
	peek    bool
	name    string
}

// fetchArgs reads items and modifiers, RFC 9051 §6.4.5.
func (s *session) fetchArgs() *fetchList {
	f := &fetchList{}
	s.l.SP()
	if s.l.Peek() == '(' {
		s.l.List(func() { s.fetchItem(f, s.l.Word()) })
	} else if word := s.l.Word(); !f.macro(word) {
		s.fetchItem(f, word)
	}
	if s.l.Accept(' ') {
		s.l.List(func() { s.fetchModifier(f) })
	}
	return f
}

// A window is some of a list, RFC 9394 §3.1: from one place to another, counted
// from 1, or from -1 at the end.
type window struct{ from, to int64 }

// window reads a window.
func (s *session) window() *window {
	w := &window{from: s.l.Signed()}
	s.l.Expect(':')
	w.to = s.l.Signed()
	if w.from == 0 || w.to == 0 || (w.from < 0) != (w.to < 0) {
		s.l.Fail("Bad range of PARTIAL")
	}
	return w
}

// of returns the bounds of the window in a list.
func (w *window) of(n int) (lo, hi int) {
	from, to := min(w.from, w.to), max(w.from, w.to)
	if from < 0 {
		from, to = from+int64(n)+1, to+int64(n)+1
	}
	from, to = max(from, 1), min(to, int64(n))
	if from > to {
		return 0, 0
	}
	return int(from - 1), int(to)
}

func (f *fetchList) macro(word string) bool {
	switch word {
	case "ALL", "FULL", "FAST":
		f.Flags, f.InternalDate, f.RFC822Size = true, true, true
		f.Envelope = word != "FAST"
		f.body = word == "FULL"
		return true
	}
	return false
}

func (s *session) fetchItem(f *fetchList, word string) {
	switch word {
	case "UID":
		f.UID = true
	case "FLAGS":
		f.Flags = true
	case "INTERNALDATE":
		f.InternalDate = true
	case "RFC822.SIZE":
		f.RFC822Size = true
	case "ENVELOPE":
		f.Envelope = true
	case "BODYSTRUCTURE":
		f.BodyStructure = &imap.FetchItemBodyStructure{Extended: true}
	case "MODSEQ": // RFC 7162 §3.1.4
		f.ModSeq, s.on.condStore = true, true
	case "SAVEDATE": // RFC 8514 §4.2
		f.saveDate = true
	case "EMAILID": // RFC 8474 §5.3
		f.email = true
	case "THREADID":
		f.thread = true
	case "PREVIEW":
		f.preview = true
		s.previewModifier()
	case "RFC822":
		f.sections = append(f.sections, section{name: word})
	case "RFC822.HEADER":
		f.sections = append(f.sections, section{imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true}, word})
	case "RFC822.TEXT":
		f.sections = append(f.sections, section{imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, word})
	case "BODY", "BODY.PEEK":
		if s.l.Peek() == '[' {
			f.sections = append(f.sections, s.section(word == "BODY.PEEK"))
		} else if f.body = true; word != "BODY" {
			s.l.Fail("Expected a section")
		}
	case "BINARY", "BINARY.PEEK", "BINARY.SIZE":
		b := s.binaryItem(word)
		if word == "BINARY.SIZE" {
			f.binarySize = append(f.binarySize, b)
		} else {
			f.binary = append(f.binary, b)
		}
	default:
		s.l.Fail("Unknown item of FETCH")
	}
}

// previewModifier reads what may follow PREVIEW, RFC 8970 §3.1: (LAZY) says that
// a preview may be left out if it is not there. They are always there.
func (s *session) previewModifier() {
	if s.l.PeekAfterSpace() != '(' {
		return
	}
	s.l.SP()
	s.l.List(func() {
		if s.l.Word() != "LAZY" {
			s.l.Fail("Unknown modifier of PREVIEW")
		}
	})
}

// section reads what is in the brackets of BODY[...], RFC 9051 §6.4.5.1.
func (s *session) section(peek bool) (b section) {
	b.Peek = peek
	s.l.Expect('[')
	var name strings.Builder
	name.WriteString("BODY[")
	b.Part = s.part(&name)
	if s.l.Peek() != ']' {
		s.sectionText(&b, &name)
	}
	s.l.Expect(']')
	name.WriteByte(']')
	b.Partial = s.partial(&name)
	b.name = name.String()
	return b
}

// part reads the number of a part, with the dot behind it if more follows.
func (s *session) part(name *strings.Builder) (path []int) {
	for c := s.l.Peek(); '0' <= c && c <= '9'; c = s.l.Peek() {
		n := s.l.Number()
		path = append(path, int(n))
		fmt.Fprintf(name, "%d", n)
		if !s.l.Accept('.') {
			return path
		}
		name.WriteByte('.')
		if len(path) == partDepth {
			s.l.Fail("Nested too deep")
		}
	}
	return path
}

const partDepth = 100 // numbers of a part; the parser of messages goes no deeper

func (s *session) sectionText(b *section, name *strings.Builder) {
	word := s.l.Word()
	name.WriteString(word)
	switch word {
	case "HEADER":
		b.Specifier = imap.PartSpecifierHeader
	case "TEXT":
		b.Specifier = imap.PartSpecifierText
	case "MIME":
		b.Specifier = imap.PartSpecifierMIME
		if len(b.Part) == 0 {
			s.l.Fail("MIME needs a part")
		}
	case "HEADER.FIELDS":
		b.Specifier, b.HeaderFields = imap.PartSpecifierHeader, s.fieldNames(name)
	case "HEADER.FIELDS.NOT":
		b.Specifier, b.HeaderFieldsNot = imap.PartSpecifierHeader, s.fieldNames(name)
	default:
		s.l.Fail("Unknown section")
	}
}

func (s *session) fieldNames(name *strings.Builder) (list []string) {
	s.l.SP()
	s.l.List(func() { list = append(list, s.l.AString()) })
	if len(list) == 0 {
		s.l.Fail("Expected names of header fields")
	}
	name.WriteString(" (")
	for i, field := range list {
		if i > 0 {
			name.WriteByte(' ')
		}
		if strings.ContainsFunc(field, func(r rune) bool { return !fieldRune(r) }) || field == "" {
			fmt.Fprintf(name, "{%d}\r\n%s", len(field), field)
			continue
		}
		name.WriteString(field)
	}
	name.WriteByte(')')
	return list
}

// fieldRune reports whether a character of a field's name may stand in an atom.
func fieldRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}

// partial reads <offset.size>. The answer names the offset only.
func (s *session) partial(name *strings.Builder) *imap.SectionPartial {
	if !s.l.Accept('<') {
		return nil
	}
	p := &imap.SectionPartial{Offset: s.l.Number64()}
	s.l.Expect('.')
	p.Size = s.l.Number64()
	s.l.Expect('>')
	if name != nil {
		fmt.Fprintf(name, "<%d>", p.Offset)
	}
	return p
}

func (s *session) binaryItem(word string) (b binaryItem) {
	b.peek = word != "BINARY"
	var name strings.Builder
	name.WriteString(strings.TrimSuffix(word, ".PEEK") + "[")
	s.l.Expect('[')
	b.part = s.part(&name)
	s.l.Expect(']')
	name.WriteByte(']')
	if word != "BINARY.SIZE" {
		b.partial = s.partial(nil)
	}
	b.name = name.String() // without the offset, RFC 3516 §7
	return b
}

func (s *session) fetchModifier(f *fetchList) {
	switch s.l.Word() {
	case "CHANGEDSINCE": // RFC 7162 §3.1.4.1
		s.l.SP()
		f.ChangedSince = uint64(s.l.Number64())
		f.ModSeq, s.on.condStore = true, true
	case "VANISHED": // §3.2.6
		f.vanished = true
	case "PARTIAL": // RFC 9394 §3.3
		s.l.SP()
		f.part = s.window()
	default:
		s.l.Fail("Unknown modifier of FETCH")
	}
}
