package imapd

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"homemail/mail"
)

// The bugs of go-imap v2.0.0-beta.8's server, one test each, by their numbers in
// the list that led us to write our own.

// 1: a literal that was refused was run as commands.
func TestBug01RefusedLiteralIsNoCommand(t *testing.T) {
	h := newHouseWith(t, Options{AppendLimit: 10000})
	c := h.login()
	for _, command := range []string{"NOOP {%d+}", "SEARCH TEXT {%d+}", "CREATE \\ {%d+}", "APPEND nowhere {%d+}", "ID {%d+}"} {
		inject := "x CREATE Injected\r\n"
		c.n++
		tag := fmt.Sprintf("t%d", c.n)
		c.send(fmt.Sprintf(tag+" "+command+"\r\n%s\r\n", len(inject), inject)) // small: it is dropped
		if _, status := c.until(tag); strings.HasPrefix(status, "OK") {
			t.Errorf("%s: %s", command, status)
		}
		c.ok("NOOP")
	}
	if _, err := h.acct.Mailbox("Injected"); err == nil {
		t.Error("the literal was run")
	}
}

// 2: what happened between the last poll and IDLE waited for the next event.
// TestIdle and TestIdleMissesNothing have more of it.
func TestBug02IdleMissesNothing(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	for i := range 20 {
		h.deliver("INBOX", hello)
		c.send(fmt.Sprintf("i%d IDLE\r\n", i))
		if got := []string{c.line(), c.line()}; got[1] != fmt.Sprintf("* %d EXISTS", i+1) {
			t.Fatalf("%q", got)
		}
		c.send("DONE\r\n")
		c.until(fmt.Sprintf("i%d", i))
	}
}

// 3: BODYSTRUCTURE of a multipart without parts killed the connection.
func TestBug03MultipartWithoutParts(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", "Content-Type: multipart/mixed; boundary=none\r\n\r\n")
	c := h.open("INBOX")
	got := c.ok("FETCH 1 (BODYSTRUCTURE BODY)")
	if len(got) != 1 || !balanced(got[0]) || !strings.Contains(got[0], `"text" "plain"`) {
		t.Errorf("%q", got)
	}
	c.ok("NOOP")
}

// 4: a header line without a colon emptied BODY[], and LF became CRLF.
func TestBug04BytesAsTheyAre(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	for i, m := range []string{"Subject: x\r\nno colon\r\n\r\nbody", "Subject: x\nFrom: a@b\n\nbody\n"} {
		c.appendTo("INBOX", "", m)
		if got := c.body(i+1, "[]"); got != m {
			t.Errorf("%q came back as %q", m, got)
		}
	}
}

// 5: 200 KB of nested parts took 5.5 s.
func TestBug05NestedPartsAreBounded(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", strings.Repeat("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", 4000))
	c := h.open("INBOX")
	if got := c.ok("FETCH 1 (BODYSTRUCTURE BODY BODY.PEEK[1.1.1.1.1.1.1.MIME])"); !balanced(got[0]) {
		t.Errorf("%.300q", got)
	}
	c.fails("FETCH 1 BODY[1"+strings.Repeat(".1", 200)+"]", "BAD")
}

// 6: a pattern of LIST took exponential time.
func TestBug06PatternIsLinear(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.ok("CREATE " + strings.Repeat("a", 200))
	c.exactly(c.ok(`LIST "" "` + strings.Repeat("*a", 25) + `b"`))
}

// 7: COPY and MOVE of nothing wrote a broken line.
func TestBug07CopyOfNothing(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	for _, command := range []string{"COPY 1 Archive", "UID COPY 1:* Archive", "MOVE 1:* Archive", "UID MOVE 9 Archive"} {
		untagged, status := c.cmd(command)
		if !strings.HasSuffix(status, "COPY completed") && !strings.HasSuffix(status, "MOVE completed") || len(untagged) > 0 {
			t.Errorf("%s: %q %s", command, untagged, status)
		}
	}
}

// 8: EXAMINE let STORE through.
func TestBug08ExamineIsReadOnly(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", hello)
	c := h.login()
	c.ok("EXAMINE INBOX")
	for _, command := range []string{`STORE 1 +FLAGS (\Seen)`, "EXPUNGE", "MOVE 1 Trash", "UID REPLACE 1 INBOX {3+}\r\nabc"} {
		c.fails(command, "NO")
	}
	c.ok("FETCH 1 BODY[]")
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	if box.Unseen != 1 || box.Messages != 1 {
		t.Errorf("%+v", box)
	}
}

// 9: RETURN (SAVE) told all, too, and NOT could be nested without bound.
func TestBug09SaveIsSilentAndNestingBounded(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", hello)
	c := h.open("INBOX")
	c.exactly(c.ok("SEARCH RETURN (SAVE) ALL"))
	c.fails("SEARCH "+strings.Repeat("NOT ", 5000)+"ALL", "BAD")
	c.fails("SEARCH "+strings.Repeat("(", 5000)+"ALL"+strings.Repeat(")", 5000), "BAD")
	c.ok("SEARCH " + strings.Repeat("NOT ", 50) + "ALL")
}

// 10: EXISTS that jumped by more than one made wrong numbers.
func TestBug10ExistsJumps(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", hello)
	c := h.open("INBOX")
	for range 5 {
		h.deliver("INBOX", hello)
	}
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	must(t, func() error { _, err := h.acct.Expunge(box.ID, []mail.UID{2, 4}); return err }())
	c.exactly(c.ok("NOOP"), "* 4 EXISTS")
	c.exactly(c.ok("FETCH 1:* UID"), "* 1 FETCH (UID 1)", "* 2 FETCH (UID 3)", "* 3 FETCH (UID 5)", "* 4 FETCH (UID 6)")
}

// 11: a command that takes long kept those of others waiting; and one behind it
// on the same connection is answered in its turn, in one piece.
func TestBug11PipelinedInOrder(t *testing.T) {
	h := newHouse(t)
	h.fill("INBOX", 50)
	c := h.open("INBOX")
	var all strings.Builder
	for i := range 100 {
		fmt.Fprintf(&all, "p%d FETCH %d (UID)\r\n", i, 1+i%50)
	}
	c.send(all.String())
	for i := range 100 {
		if untagged, status := c.until(fmt.Sprintf("p%d", i)); len(untagged) != 1 || !strings.HasPrefix(status, "OK") {
			t.Fatalf("%d: %q %s", i, untagged, status)
		}
	}
}

// An unknown search key was a bug of the server's, an empty line the end.
func TestBadInputIsBad(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	c.send("\r\n")
	for _, command := range []string{
		"SEARCH NOSUCHKEY", "SEARCH", "FETCH", "FETCH 1", "FETCH 1 NOSUCHITEM", "STORE 1 +FLAGS", "STORE 1 FLAGS (\\Seen", "UID", "UID NOOP",
		"COPY 1", "APPEND INBOX", "LIST", `LIST "" "x`, "SELECT", "STATUS INBOX", "STATUS INBOX (NOSUCH)", "SEARCH SINCE yesterday", "FETCH 0 UID",
		"FETCH 1 BODY[MIME]", "FETCH 1 BODY[1.NOSUCH]", "ENABLE",
	} {
		c.fails(command, "BAD")
		c.ok("NOOP") // in between: many in a row end the connection
	}
	c.fails("SEARCH CHARSET KOI8-R TEXT x", "NO [BADCHARSET (")
	for range errorTries {
		c.send("x NOSUCH\r\n")
	}
	if rest := c.closed(); !strings.HasSuffix(rest, "* BYE Too many bad commands\r\n") {
		t.Errorf("%q", rest)
	}
}

// 200 MB of anything that never ends, before sign-in: the memory stays small
// because the connection ends.
func TestStrangersTokens(t *testing.T) {
	h := newHouse(t)
	for _, begin := range []string{`a LOGIN "`, "a ", "", "a NOOP (", "a LOGIN {9223372036854775807+}\r\n", "a AUTHENTICATE PLAIN "} {
		c := h.dial()
		c.send(begin)
		for range 4 * loginBudget / 4096 {
			if _, err := io.WriteString(c.c, strings.Repeat("(", 4096)); err != nil {
				break
			}
		}
		c.closed()
		c.c.Close()
	}
}
