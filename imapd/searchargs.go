package imapd

import (
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"homemail/mail"
)

// An operator is what a criterion asks.
type operator int

const (
	opAll    operator = iota
	opAnd             // of kids
	opOr              // of kids
	opNot             // of the one kid
	opSet             // messages by number or UID
	opFlag            // has the flag
	opModSeq          // changed since, RFC 7162 §3.1.5
	opLarger          // this and the next up to opThread: by the summary
	opSmaller
	opSince      // internal date, from the day on
	opBefore     // internal date, before the day
	opOlder      // RFC 5032: internal date, at least so long ago
	opSavedSince // RFC 8514
	opSavedBefore
	opEmail // RFC 8474
	opThread
	opSentSince  // Date field
	opSentBefore // Date field
	opHeader     // a field, with a text in it
	opBody
	opText
)

// A criterion is a key of SEARCH, RFC 9051 §6.4.4, with those it is made of.
type criterion struct {
	op    operator
	kids  []*criterion
	set   imap.NumSet
	spans []span // of set, in the view
	name  string // of a flag or a field
	text  string
	num   int64
	date  time.Time

	looked bool       // hits is known
	hits   []mail.UID // of a key that asks for text, among those that were asked about
}

// A searching is what a SEARCH asks for.
type searching struct {
	returns                    bool // RETURN was given, RFC 4731
	min, max, all, count, save bool
	part                       *window   // RFC 9394
	sorted                     []sortKey // of SORT
	noNumbers                  bool      // keys may not name messages by number
	root                       *criterion
	modSeq                     bool // a key asked for mod-sequences
}

// charsets are those in which keys may come: all of them are UTF-8, or part of it.
func knownCharset(name string) bool {
	return strings.EqualFold(name, "UTF-8") || strings.EqualFold(name, "US-ASCII")
}

var errCharsetArg = no("BADCHARSET (UTF-8 US-ASCII)", "Send UTF-8")

// searchArgs reads what follows SEARCH.
func (s *session) searchArgs() (*searching, error) {
	q := &searching{}
	s.l.SP()
	word := s.key()
	if word == "RETURN" {
		s.resultOptions(q)
		word = s.key()
	}
	charset := ""
	if word == "CHARSET" {
		s.l.SP()
		charset = s.l.AString()
		s.l.SP()
		word = s.key()
	}
	return q, s.restOfKeys(q, word, charset)
}

// restOfKeys reads keys to the end of the command.
func (s *session) restOfKeys(q *searching, word, charset string) error {
	q.root = s.keys(q, word)
	if err := s.end(); err != nil {
		return err
	}
	if charset != "" && !knownCharset(charset) {
		return errCharsetArg
	}
	return nil
}

// resultOptions reads (...) behind RETURN, RFC 4731 §3.1.
func (s *session) resultOptions(q *searching) {
	q.returns = true
	s.l.SP()
	s.l.List(func() { s.returnOption(q) })
	s.l.SP()
}

// returnOption reads a result option, RFC 4731 §3.1 and RFC 5182 §2.
func (s *session) returnOption(q *searching) {
	switch s.l.Word() {
	case "MIN":
		q.min = true
	case "MAX":
		q.max = true
	case "ALL":
		q.all = true
	case "COUNT":
		q.count = true
	case "SAVE":
		q.save = true
	case "PARTIAL": // RFC 9394 §3.1
		s.l.SP()
		q.part = s.window()
	default:
		s.l.Fail("Unknown result option")
	}
}

// key reads the name of a key. Sets and parentheses have none.
func (s *session) key() string {
	switch c := s.l.Peek(); {
	case c == '(' || c == '*' || c == '$' || '0' <= c && c <= '9':
		return ""
	}
	return s.l.Word()
}

// keys reads keys to the end of the line: all of them have to fit. The name of
// the first was read already.
func (s *session) keys(q *searching, word string) *criterion {
	and := &criterion{op: opAnd, kids: []*criterion{s.criterion(q, word)}}
	for s.l.Err() == nil && s.l.Accept(' ') {
		if s.l.AtEnd() {
			break
		}
		and.kids = append(and.kids, s.criterion(q, s.key()))
	}
	return and
}

// criterion reads one key.
func (s *session) criterion(q *searching, word string) *criterion {
	if !s.l.Deeper() {
		return &criterion{}
	}
	defer s.l.Shallower()
	if word == "" {
		if s.l.Peek() != '(' {
			set := s.l.SeqSet()
			if (s.on.uidOnly || q.noNumbers) && !imap.IsSearchRes(set) {
				s.l.Fail("[UIDREQUIRED] Message numbers are not in use")
			}
			return &criterion{op: opSet, set: set}
		}
		and := &criterion{op: opAnd}
		s.l.List(func() { and.kids = append(and.kids, s.criterion(q, s.key())) })
		if len(and.kids) == 0 {
			s.l.Fail("Empty parentheses")
		}
		return and
	}
	if flag, not, ok := flagKey(word); ok {
		return negate(&criterion{op: opFlag, name: flag}, not)
	}
	if op, not, ok := dateKey(word); ok {
		s.l.SP()
		return negate(&criterion{op: op, date: s.l.Date()}, not)
	}
	return s.otherKey(q, word)
}

func negate(c *criterion, not bool) *criterion {
	if not {
		return &criterion{op: opNot, kids: []*criterion{c}}
	}
	return c
}

// flagKey reads the keys that ask for a system flag.
func flagKey(word string) (flag string, not, ok bool) {
	name, not := strings.CutPrefix(word, "UN")
	switch name {
	case "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN":
		return `\` + name, not, true
	}
	return "", false, false
}

// dateKey reads the keys that ask for a date. ON is not among them.
func dateKey(word string) (op operator, not, ok bool) {
	switch word {
	case "SINCE":
		return opSince, false, true
	case "BEFORE":
		return opBefore, false, true
	case "SENTSINCE":
		return opSentSince, false, true
	case "SENTBEFORE":
		return opSentBefore, false, true
	case "SAVEDSINCE": // RFC 8514 §4.3
		return opSavedSince, false, true
	case "SAVEDBEFORE":
		return opSavedBefore, false, true
	}
	return 0, false, false
}

// onDay is the keys that ask for one day.
func onDay(since, before operator, day time.Time) *criterion {
	return &criterion{op: opAnd, kids: []*criterion{{op: since, date: day}, {op: before, date: day.AddDate(0, 0, 1)}}}
}

func (s *session) otherKey(q *searching, word string) *criterion {
	switch word {
	case "ALL", "OLD", "SAVEDATESUPPORTED": // RFC 3501: no message is recent here; RFC 8514 §4.3: each has its date
		return &criterion{op: opAll}
	case "RECENT", "NEW":
		return negate(&criterion{op: opAll}, true)
	}
	s.l.SP()
	switch word {
	case "NOT":
		return negate(s.criterion(q, s.key()), true)
	case "OR":
		one := s.criterion(q, s.key())
		s.l.SP()
		return &criterion{op: opOr, kids: []*criterion{one, s.criterion(q, s.key())}}
	case "UID":
		return &criterion{op: opSet, set: s.l.UIDSet()}
	case "KEYWORD", "UNKEYWORD":
		return negate(&criterion{op: opFlag, name: s.l.Flag()}, word == "UNKEYWORD")
	case "LARGER":
		return &criterion{op: opLarger, num: s.l.Number64()}
	case "SMALLER":
		return &criterion{op: opSmaller, num: s.l.Number64()}
	case "ON":
		return onDay(opSince, opBefore, s.l.Date())
	case "SENTON":
		return onDay(opSentSince, opSentBefore, s.l.Date())
	case "SAVEDON":
		return onDay(opSavedSince, opSavedBefore, s.l.Date())
	case "OLDER", "YOUNGER": // RFC 5032 §3
		ago := time.Duration(max(s.l.Number(), 1)) * time.Second
		return negate(&criterion{op: opOlder, date: time.Now().Add(-ago)}, word == "YOUNGER")
	case "EMAILID": // RFC 8474 §5.4
		return &criterion{op: opEmail, text: s.l.Atom()}
	case "THREADID":
		return &criterion{op: opThread, text: s.l.Atom()}
	case "BODY":
		return &criterion{op: opBody, text: s.l.AString()}
	case "TEXT":
		return &criterion{op: opText, text: s.l.AString()}
	case "FROM", "TO", "CC", "BCC", "SUBJECT":
		return &criterion{op: opHeader, name: word, text: s.l.AString()}
	case "HEADER":
		name := s.l.AString()
		s.l.SP()
		return &criterion{op: opHeader, name: name, text: s.l.AString()}
	case "MODSEQ":
		return s.modSeqKey(q)
	}
	s.l.Fail("Unknown search key")
	return &criterion{}
}

// modSeqKey is MODSEQ, RFC 7162 §3.1.5. All metadata of a message has one
// mod-sequence here, so which of it is meant does not matter.
func (s *session) modSeqKey(q *searching) *criterion {
	if s.l.Peek() == '"' {
		s.l.Text()
		s.l.SP()
		switch s.l.Word() {
		case "PRIV", "SHARED", "ALL":
		default:
			s.l.Fail("Expected priv, shared or all")
		}
		s.l.SP()
	}
	q.modSeq, s.on.condStore = true, true
	return &criterion{op: opModSeq, num: s.l.Number64()}
}

// bind makes criteria ready for a view.
func (c *criterion) bind(v *view) *criterion {
	for _, kid := range c.kids {
		kid.bind(v)
	}
	c.looked = false
	if c.op == opSet {
		c.spans = v.resolve(c.set)
	}
	return c
}
