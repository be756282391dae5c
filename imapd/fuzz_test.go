package imapd

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"homemail/imapd/wire"
	"homemail/mail"
	"homemail/store"
)

// bare is a session that can read commands and has nothing to run them on.
func bare(in string) *session {
	s := &session{s: &Server{o: Options{AppendLimit: 1 << 20}}, log: slog.New(slog.DiscardHandler), w: wire.NewWriter(io.Discard)}
	s.l = wire.NewLexer(bufio.NewReader(strings.NewReader(in)), func() error { return nil })
	s.l.Known(true)
	s.l.Next()
	return s
}

// The arguments of each command: what is read is right or a BAD, the rest of the
// input is the next command, and reading it again gives the same.
func FuzzArguments(f *testing.F) {
	for _, s := range []string{
		"1:* (UID FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From To)]<0.100> BINARY.SIZE[1] PREVIEW (LAZY)) (CHANGEDSINCE 5 VANISHED)",
		"2,4:7 (UNCHANGEDSINCE 12) +FLAGS.SILENT (\\Seen $x)", "RETURN (MIN PARTIAL -1:-5) CHARSET UTF-8 OR (SEEN 1:5) NOT HEADER x {3+}\r\nabc",
		"INBOX (\\Seen) \"10-Nov-2026 12:00:00 +0000\" {10}", "(SUBSCRIBED RECURSIVEMATCH) \"\" (a %b) RETURN (STATUS (MESSAGES) METADATA (/private/x))",
		"INBOX (QRESYNC (1 2 1:5 (1 2)) CONDSTORE)", "(REVERSE DATE SUBJECT) UTF-8 ALL", "(DEPTH 1 MAXSIZE 5) \"\" (/private/a)", "x (USE (\\Sent))",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, args string) {
		if strings.ContainsAny(args, "\r\n") && !strings.Contains(args, "}\r\n") {
			return
		}
		for name, read := range map[string]func(*session) any{
			"FETCH": func(s *session) any { n := s.numbers(&call{}); return fmt.Sprintf("%v %+v", n, s.fetchArgs()) },
			"STORE": func(s *session) any { return fmt.Sprintf("%+v", s.storeArgs(&call{uid: true})) },
			"SEARCH": func(s *session) any {
				q, _ := s.searchArgs()
				if q == nil || q.root == nil {
					return nil
				}
				return printed(q.root)
			},
			"SORT": func(s *session) any { s.l.SP(); return s.sortKeys() },
			"SELECT": func(s *session) any {
				s.on.qresync = true
				s.l.SP()
				n := s.l.Mailbox()
				s.l.SP()
				return fmt.Sprint(n, s.selectParams())
			},
			"APPEND":  func(s *session) any { s.l.SP(); return fmt.Sprint(s.l.Mailbox(), s.uploadArgs()) },
			"STATUS":  func(s *session) any { s.l.SP(); return fmt.Sprint(s.l.Mailbox(), s.statusArgs()) },
			"PARTIAL": func(s *session) any { s.l.SP(); return fmt.Sprint(*s.window()) },
		} {
			one, two := bare(" "+args+"\r\nnext\r\n"), bare(" "+args+"\r\nnext\r\n")
			a, b := fmt.Sprint(read(one)), fmt.Sprint(read(two))
			if !strings.Contains(a, "0x") && a != b { // pointers differ
				t.Errorf("%s: %s, and then %s", name, a, b)
			}
			if one.l.Skip() != nil {
				continue
			}
			one.l.Next()
			if rest := one.l.Atom(); rest != "next" && !strings.ContainsAny(args, "\r\n{") {
				t.Errorf("%s %q: then %q", name, args, rest)
			}
		}
	})
}

// printed writes criteria as SEARCH has them.
func printed(c *criterion) string {
	var kids []string
	for _, kid := range c.kids {
		kids = append(kids, printed(kid))
	}
	return fmt.Sprintf("%d(%s %q %q %d %v %v)", c.op, strings.Join(kids, " "), c.name, c.text, c.num, c.date.Unix()/10, c.set)
}

// The keys that the view can answer: NOT is the contrary, and OR what either
// has.
func FuzzSearchKeys(f *testing.F) {
	for _, s := range []string{"SEEN", "1:3 NOT DELETED", "OR UID 2:* KEYWORD x", "MODSEQ 5", "(ALL (NOT (OR SEEN 2)))", "TEXT x", "*"} {
		f.Add(s, "ALL")
		f.Add(s, "UNSEEN")
	}
	list := make([]store.Entry, 20)
	for i := range list {
		list[i] = store.Entry{UID: mail.UID(i*i + 1), ModSeq: mail.ModSeq(i), Flags: mail.Flags(i % 32)}
		if i%3 == 0 {
			list[i].Keywords = []string{"x"}
		}
	}
	v := newView(store.Mailbox{}, list)
	f.Fuzz(func(t *testing.T, a, b string) {
		parse := func(keys string) *criterion {
			if strings.ContainsAny(keys, "\r\n") {
				return nil
			}
			q, err := bare(" " + keys + "\r\n").searchArgs()
			if err != nil || q.returns {
				return nil
			}
			return q.root.bind(v)
		}
		x, y := parse(a), parse(b)
		if x == nil || y == nil {
			return
		}
		not, or := parse("NOT ("+a+")"), parse("OR ("+a+") ("+b+")")
		if not == nil || or == nil {
			return // a charset, or too deep now
		}
		for i := range v.uids {
			if got, want := not.quick(v, i, nil), yes-x.quick(v, i, nil); got != want {
				t.Errorf("NOT (%s) of %d: %d, want %d", a, i, got, want)
			}
			if got, want := or.quick(v, i, nil), max(x.quick(v, i, nil), y.quick(v, i, nil)); got != want {
				t.Errorf("OR (%s) (%s) of %d: %d, want %d", a, b, i, got, want)
			}
		}
	})
}
