package imapd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"homemail/imapd/wire"
	"homemail/store"
)

// nested is a message with all that sections can name.
const nested = "From: a@example.test\r\nSubject: outer\r\nX-Long: one\r\n two\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=B\r\n\r\npreamble\r\n" +
	"--B\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nfirst part\r\n" +
	"--B\r\nContent-Type: message/rfc822\r\nContent-Description: a mail\r\n\r\n" +
	"From: b@example.test\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=C\r\n\r\n" +
	"--C\r\nContent-Type: text/plain\r\n\r\nplain\r\n--C\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--C--\r\n" +
	"\r\n--B\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n" +
	"Content-Disposition: attachment; filename=x.pdf\r\n\r\naGVsbG8g\r\nd29ybGQ=\r\n" +
	"--B\r\nContent-Type: message/rfc822\r\n\r\nSubject: flat\r\n\r\njust text\r\n--B--\r\n"

func TestSections(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", nested)
	h.deliver("INBOX", hello)
	c := h.open("INBOX")
	header, text, _ := strings.Cut(nested, "\r\n\r\n")
	inner := "From: b@example.test\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=C\r\n\r\n"
	for _, tt := range []struct {
		num           int
		section, want string
	}{
		{1, "[]", nested},
		{1, "[HEADER]", header + "\r\n\r\n"},
		{1, "[TEXT]", text},
		{1, "[1]", "first part"},
		{1, "[1.MIME]", "Content-Type: text/plain; charset=utf-8\r\n\r\n"},
		{1, "[2.MIME]", "Content-Type: message/rfc822\r\nContent-Description: a mail\r\n\r\n"},
		{1, "[2.HEADER]", inner},
		{1, "[2.1]", "plain"},
		{1, "[2.2]", "<p>html</p>"},
		{1, "[2.2.MIME]", "Content-Type: text/html\r\n\r\n"},
		{1, "[2.HEADER.FIELDS (SUBJECT)]", "Subject: inner\r\n\r\n"},
		{1, "[3]", "aGVsbG8g\r\nd29ybGQ="},
		{1, "[4.1]", "just text"},
		{1, "[4.TEXT]", "just text"},
		{1, "[4.1.MIME]", "Subject: flat\r\n\r\n"},
		{1, "[1]<6.4>", "part"},
		{1, "[1]<6.400>", "part"},
		{1, "[1]<60.4>", ""},
		{1, "[]<0.5>", "From:"},
		{1, "[HEADER.FIELDS (x-long subject)]", "Subject: outer\r\nX-Long: one\r\n two\r\n\r\n"},
		{1, "[HEADER.FIELDS (x-long)]<8.5>", "one\r\n"},
		{1, "[HEADER.FIELDS.NOT (From X-Long MIME-Version Content-Type)]", "Subject: outer\r\n\r\n"},
		{1, "[HEADER.FIELDS (None)]", "\r\n"},
		{1, "[5]", ""}, {1, "[1.1]", ""}, {1, "[2.3]", ""}, {1, "[1.HEADER]", ""}, {1, "[0]", ""}, {1, "[4294967295]", ""},
		{2, "[1]", "Hi Anna\r\n"},
		{2, "[TEXT]", "Hi Anna\r\n"},
		{2, "[1.1]", ""},
		{2, "[2]", ""},
	} {
		if got := c.body(tt.num, tt.section); got != tt.want {
			t.Errorf("%d%s = %q, want %q", tt.num, tt.section, got, tt.want)
		}
	}
	c.exactly(c.ok("FETCH 1 (BINARY.SIZE[3] BINARY.PEEK[3] BINARY.PEEK[3]<6.3>)"),
		"* 1 FETCH (BINARY[3] ~{11}\r\nhello world BINARY[3] ~{3}\r\nwor BINARY.SIZE[3] 11)")
	c.exactly(c.ok("FETCH 2 (RFC822.HEADER RFC822.TEXT)"), fmt.Sprintf(`* 2 FETCH (FLAGS (\Seen) RFC822.HEADER {%d}`+"\r\n%s RFC822.TEXT {9}\r\nHi Anna\r\n)",
		len(hello)-9, hello[:len(hello)-9]))
}

func TestStructureComesFromTheRecord(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", nested)
	h.deliver("INBOX", hello)
	c := h.open("INBOX")
	c.exactly(c.ok("FETCH 2 (ENVELOPE BODY)"), `* 2 FETCH (ENVELOPE ("Sat, 21 Nov 2026 10:00:00 +0900" "hello" `+
		`(("Bert" NIL "bert" "example.test")) (("Bert" NIL "bert" "example.test")) (("Bert" NIL "bert" "example.test")) `+
		`((NIL NIL "anna" "example.test")) NIL NIL NIL "<1@example.test>") BODY ("text" "plain" NIL NIL NIL "7bit" 9 1))`)
	got := c.ok("FETCH 1 BODYSTRUCTURE")[0]
	for _, want := range []string{
		`("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 10 0 NIL NIL NIL NIL)`,
		`("message" "rfc822" NIL NIL "a mail" "7bit" `, `NIL "inner" ((NIL NIL "b" "example.test"))`,
		`("text" "html" NIL NIL NIL "7bit" 11 0 NIL NIL NIL NIL) "alternative" ("boundary" "C")`,
		`("application" "pdf" ("name" "x.pdf") NIL NIL "base64" 18 NIL ("attachment" ("filename" "x.pdf")) NIL NIL)`,
		`"mixed" ("boundary" "B") NIL NIL NIL)`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// Whatever comes in by APPEND comes out byte for byte, and no message breaks a
// client that lists the mailbox.
func TestHostileMail(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	deep := strings.Repeat("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", 2000)
	messages := []string{
		"Subject: lf only\nFrom: a@b\n\nbody\nmore\n",
		"Subject: no colon next\r\nthis line has none\r\nFrom: a@b\r\n\r\nbody\r\n",
		"Subject: no body at all\r\n",
		"Subject: no line end",
		"\r\nonly a body",
		"\n",
		"x",
		"Content-Type: multipart/mixed; boundary=none\r\n\r\n",
		"Content-Type: multipart/mixed; boundary=none\r\n\r\n--none--\r\n",
		"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
		"Content-Type: message/rfc822\r\n\r\n",
		"Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=none\r\n\r\n",
		"Subject: 8 bit \xe9\xe8 and \x00 and \x07\r\nFrom: \xff <a@b>\r\n\r\n\x00\x01\xff",
		"Subject: cr\ronly\r\rbody\r",
		"To: " + strings.Repeat("a@b, ", 5000) + "c@d\r\n\r\nx",
		deep,
		"X: " + strings.Repeat("y", 300<<10) + "\r\nSubject: far\r\n\r\nbody",
		strings.Repeat("0123456789abcdef\r\n", 60000), // more than one chunk
		nested,
	}
	begun := time.Now()
	for i, m := range messages {
		if st := c.appendTo("INBOX", "", m); !strings.HasPrefix(st, "OK [APPENDUID ") {
			t.Fatalf("message %d: %s", i+1, st)
		}
	}
	for i, m := range messages {
		if got := c.body(i+1, "[]"); got != m {
			t.Errorf("message %d: got %d bytes %.60q, want %d bytes %.60q", i+1, len(got), got, len(m), m)
		}
		c.want(c.ok(fmt.Sprintf("FETCH %d RFC822.SIZE", i+1)), fmt.Sprintf("* %d FETCH (RFC822.SIZE %d)", i+1, len(m)))
		if got := c.body(i+1, "[HEADER]") + c.body(i+1, "[TEXT]"); got != m {
			t.Errorf("message %d: header and text are not the whole: %.200q", i+1, got)
		}
	}
	all := c.ok("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[HEADER.FIELDS (Subject From)] BODY.PEEK[1]<0.100>)")
	if len(all) != len(messages) {
		t.Errorf("%d responses", len(all))
	}
	for i, r := range all {
		if !balanced(r) {
			t.Errorf("message %d: %.300q", i+1, r)
		}
	}
	c.ok(`SEARCH OR TEXT "inner" FROM "b@example.test"`)
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// balanced reports whether the parentheses of a response come out even.
func balanced(s string) bool {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '\n':
			line := s[:i+1]
			if n, _, ok := wire.LiteralAt([]byte(line)); ok {
				i += int(n)
			}
		}
	}
	return depth == 0
}

func TestSeenIsImplicit(t *testing.T) {
	h := newHouse(t)
	for range 40 {
		h.deliver("INBOX", hello)
	}
	a, b := h.open("INBOX"), h.open("INBOX")
	a.exactly(a.ok("FETCH 1 (BODY.PEEK[TEXT] FLAGS)"), "* 1 FETCH (FLAGS () BODY[TEXT] {9}\r\nHi Anna\r\n)")
	a.exactly(a.ok("FETCH 1 BODY[TEXT]"), "* 1 FETCH (FLAGS (\\Seen) BODY[TEXT] {9}\r\nHi Anna\r\n)")
	a.exactly(a.ok("FETCH 1 BODY[TEXT]"), "* 1 FETCH (BODY[TEXT] {9}\r\nHi Anna\r\n)")
	b.exactly(b.ok("NOOP"), `* 1 FETCH (UID 1 FLAGS (\Seen))`)
	a.ok("UID FETCH 1:* RFC822")
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	if box.Unseen != 0 {
		t.Errorf("%d unseen", box.Unseen)
	}
}

func TestAppend(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	st := c.appendTo("INBOX", `(\Seen \Recent $Work) " 3-Feb-2001 04:05:06 +0100"`, hello)
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	if want := fmt.Sprintf("OK [APPENDUID %d 1] APPEND completed", box.UIDValidity); st != want {
		t.Errorf("%s, want %s", st, want)
	}
	m, err := h.acct.Message(box.ID, 1)
	must(t, err)
	if !m.Date.Equal(time.Date(2001, 2, 3, 3, 5, 6, 0, time.UTC)) {
		t.Errorf("date %v", m.Date)
	}
	c.exactly(c.ok("FETCH 1 FLAGS"), `* 1 FETCH (FLAGS (\Seen $Work))`)
	if st := c.appendTo("nowhere", "", hello); !strings.HasPrefix(st, "NO [TRYCREATE]") {
		t.Error(st)
	}
	if st := c.appendTo("INBOX", "", ""); !strings.HasPrefix(st, "NO") {
		t.Error(st)
	}
	c.send("s APPEND INBOX {5}\r\n")
	if got := c.line(); !strings.HasPrefix(got, "+ ") {
		t.Error(got)
	}
	c.send("x: y\n\r\n")
	if _, st := c.until("s"); !strings.HasPrefix(st, "OK") {
		t.Error(st)
	}
	c.ok("UNSELECT")
	if st := c.appendTo("&ZeVnLIqe-", "", hello); !strings.HasPrefix(st, "NO [TRYCREATE]") {
		t.Error(st)
	}
}

func TestQuota(t *testing.T) {
	h := newHouse(t)
	must(t, h.acct.Update(func(p *store.Profile) error { p.Quota = int64(len(hello)) + 10; return nil }))
	c := h.login()
	c.appendTo("INBOX", "", hello)
	if st := c.appendTo("INBOX", "", hello); !strings.HasPrefix(st, "NO [OVERQUOTA]") {
		t.Error(st)
	}
	c.ok("SELECT INBOX")
	c.fails("COPY 1 Archive", "NO [OVERQUOTA]")
	c.ok("MOVE 1 Archive")
}
