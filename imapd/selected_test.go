package imapd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"homemail/mail"
	"homemail/store"
)

func TestTwoSessionsSeeEachOther(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		h.deliver("INBOX", hello)
	}
	a, b := h.open("INBOX"), h.open("INBOX")
	a.exactly(a.ok(`STORE 2 +FLAGS (\Flagged $Work)`), `* 2 FETCH (UID 2 FLAGS (\Flagged $Work))`,
		`* FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work)`)
	b.exactly(b.ok("NOOP"), `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work)`, `* 2 FETCH (UID 2 FLAGS (\Flagged $Work))`)
	a.exactly(a.ok("NOOP")) // nothing of its own change

	h.deliver("INBOX", hello)
	b.exactly(b.ok("NOOP"), "* 4 EXISTS")
	a.exactly(a.ok(`STORE 1,3 +FLAGS.SILENT (\Deleted)`), "* 4 EXISTS")
	a.exactly(a.ok("EXPUNGE"), "* 3 EXPUNGE", "* 1 EXPUNGE")

	// No EXPUNGE while numbers are in use, RFC 9051 §7.5.1.
	b.exactly(b.ok("FETCH 2,4 UID"), "* 2 FETCH (UID 2)", "* 4 FETCH (UID 4)")
	b.exactly(b.ok("FETCH 1:4 RFC822.SIZE"), fmt.Sprintf("* 2 FETCH (RFC822.SIZE %d)", len(hello)), fmt.Sprintf("* 4 FETCH (RFC822.SIZE %d)", len(hello)))
	b.exactly(b.ok("NOOP"), "* 3 EXPUNGE", "* 1 EXPUNGE")
	b.exactly(b.ok("FETCH 1:* UID"), "* 1 FETCH (UID 2)", "* 2 FETCH (UID 4)")

	b.ok(`STORE 1 FLAGS.SILENT (\Seen)`)
	a.exactly(a.ok("UID FETCH 2 FLAGS"), `* 1 FETCH (UID 2 FLAGS (\Seen))`, `* 1 FETCH (UID 2 FLAGS (\Seen))`)
	b.ok("UID MOVE 4 Trash")
	a.exactly(a.ok("NOOP"), "* 2 EXPUNGE")
}

func TestSilentStoreTellsOfOthers(t *testing.T) {
	h := newHouse(t)
	uid := h.deliver("INBOX", hello)
	v := newView(store.Mailbox{}, []store.Entry{{UID: uid}})
	was := v.flags.states[v.state[0]]
	c := store.FlagChange{Mode: store.AddFlags, Flags: mail.Seen, Keywords: []string{"b"}}
	for _, tt := range []struct {
		e    store.Entry
		same bool
	}{
		{store.Entry{Flags: mail.Seen, Keywords: []string{"b"}}, true},
		{store.Entry{Flags: mail.Seen | mail.Flagged, Keywords: []string{"b"}}, false},
		{store.Entry{Flags: mail.Seen, Keywords: []string{"a", "b"}}, false},
		{store.Entry{Flags: mail.Seen}, false},
	} {
		if got := as(c, was, tt.e); got != tt.same {
			t.Errorf("%+v: %v", tt.e, got)
		}
	}
}

func TestIdle(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	h.deliver("INBOX", hello) // between SELECT and IDLE: must not wait for the next
	c.send("a IDLE\r\n")
	c.exactly([]string{c.line(), c.line()}, "+ idling", "* 1 EXISTS")
	h.deliver("INBOX", hello)
	c.exactly([]string{c.line()}, "* 2 EXISTS")
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	_, _, err = h.acct.StoreFlags(box.ID, []mail.UID{1}, store.FlagChange{Mode: store.AddFlags, Flags: mail.Seen})
	must(t, err)
	c.exactly([]string{c.line()}, `* 1 FETCH (UID 1 FLAGS (\Seen))`)
	_, err = h.acct.Expunge(box.ID, []mail.UID{1})
	must(t, err)
	c.exactly([]string{c.line()}, "* 1 EXPUNGE")
	c.send("DONE\r\n")
	c.exactly([]string{c.line()}, "a OK IDLE completed")

	c.ok("UNSELECT")
	c.send("b IDLE\r\n") // nothing selected
	c.line()
	c.send("DONE\r\n")
	c.exactly([]string{c.line()}, "b OK IDLE completed")

	c.ok("SELECT INBOX")
	c.send("c IDLE\r\n")
	c.line()
	c.c.Close() // without DONE
}

func TestExamineIsReadOnly(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", hello)
	h.deliver("INBOX", hello)
	c := h.open("INBOX")
	c.ok(`STORE 2 +FLAGS (\Deleted)`)
	got, status := c.cmd("EXAMINE INBOX")
	c.want(got, "* 2 EXISTS", "* OK [PERMANENTFLAGS ()] Permanent flags")
	if !strings.HasPrefix(status, "OK [READ-ONLY]") {
		t.Errorf("status %s", status)
	}
	for _, command := range []string{`STORE 1 +FLAGS (\Seen)`, "EXPUNGE", "UID EXPUNGE 2", "MOVE 1 Trash"} {
		c.fails(command, "NO")
	}
	c.ok("FETCH 1 BODY[]")
	c.exactly(c.ok("FETCH 1 FLAGS"), "* 1 FETCH (FLAGS ())")
	c.ok("COPY 1 Archive")
	c.ok("CLOSE")
	c.want(c.ok("SELECT INBOX"), "* 2 EXISTS")
	c.ok("CLOSE") // and now it expunges
	c.want(c.ok("SELECT INBOX"), "* 1 EXISTS")
}

func TestSelectTells(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		h.deliver("INBOX", hello)
	}
	c := h.open("INBOX")
	c.ok(`STORE 1 +FLAGS (\Seen $Work)`)
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	got := c.ok("SELECT inbox")
	c.want(got, "* OK [CLOSED] Previous mailbox is now closed", "* 3 EXISTS", "* 0 RECENT", "* OK [UNSEEN 2] First unseen message",
		fmt.Sprintf("* OK [UIDVALIDITY %d] UIDs valid", box.UIDValidity), "* OK [UIDNEXT 4] Predicted next UID",
		`* FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work)`,
		`* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work \*)] Permanent flags`)
	c.fails("SELECT nowhere", "NO [NONEXISTENT]")
	c.fails("FETCH 1 FLAGS", "BAD") // a failed SELECT leaves nothing selected
	c.ok("ENABLE IMAP4rev2")
	c.want(c.ok("SELECT INBOX"), `* LIST () "/" INBOX`)
}

func TestUIDExpungeAndCopy(t *testing.T) {
	h := newHouse(t)
	for range 4 {
		h.deliver("INBOX", hello)
	}
	c := h.open("INBOX")
	c.ok(`STORE 1:3 +FLAGS.SILENT (\Deleted)`)
	c.exactly(c.ok("UID EXPUNGE 2:9"), "* 3 EXPUNGE", "* 2 EXPUNGE")
	c.exactly(c.ok("UID EXPUNGE 4"))
	_, status := c.cmd("UID COPY 1,4 Archive")
	if !strings.Contains(status, "[COPYUID ") || !strings.Contains(status, " 1,4 1:2]") {
		t.Errorf("copy: %s", status)
	}
	for _, command := range []string{"UID COPY 77 Archive", "UID MOVE 77 Archive"} {
		if untagged, status := c.cmd(command); !strings.HasPrefix(status, "OK") || len(untagged) > 0 {
			t.Errorf("%s: %q %s", command, untagged, status)
		}
	}
	c.fails("COPY 1 nowhere", "NO [TRYCREATE]")
	c.fails("MOVE 1 nowhere", "NO [TRYCREATE]")
	c.exactly(c.ok("FETCH 1:* FLAGS"), `* 1 FETCH (FLAGS (\Deleted))`, "* 2 FETCH (FLAGS ())")
	got := c.ok("MOVE 1:2 Archive")
	if len(got) != 3 || !strings.HasPrefix(got[0], "* OK [COPYUID ") || got[1] != "* 2 EXPUNGE" || got[2] != "* 1 EXPUNGE" {
		t.Errorf("move: %q", got)
	}
	c.want(c.ok("STATUS Archive (MESSAGES DELETED)"), `* STATUS "Archive" (MESSAGES 4 DELETED 2)`)
}

func TestMailboxDeletedUnderSession(t *testing.T) {
	h := newHouse(t)
	a, b := h.login(), h.login()
	a.ok("CREATE Work/2026")
	h.deliver("Work/2026", hello)
	a.ok("SELECT Work/2026")
	b.ok("SELECT Work/2026")
	idle := h.open("Work/2026")
	idle.send("a IDLE\r\n")
	idle.line()
	a.exactly(a.ok("DELETE Work/2026"), "* 1 EXPUNGE")
	a.exactly(a.ok("FETCH 1:* FLAGS"))
	a.ok("NOOP")
	a.ok("SELECT INBOX")
	if rest := idle.closed(); !strings.HasPrefix(rest, "* BYE The selected mailbox was deleted") {
		t.Errorf("idle: %q", rest)
	}
	b.send("a FETCH 1 BODY[]\r\n")
	if rest := b.closed(); !strings.Contains(rest, "* BYE The selected mailbox was deleted") {
		t.Errorf("b: %q", rest)
	}
}

func TestExpungedUnderFetch(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", hello)
	h.deliver("INBOX", hello)
	c := h.open("INBOX")
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	_, err = h.acct.Expunge(box.ID, []mail.UID{1})
	must(t, err)
	got := c.ok("FETCH 1:2 (UID ENVELOPE)")
	if len(got) != 1 || !strings.HasPrefix(got[0], "* 2 FETCH (UID 2 ENVELOPE") {
		t.Errorf("%q", got)
	}
	c.ok(`STORE 1 +FLAGS (\Seen)`)
	c.exactly(c.ok("COPY 1 Archive"), "* 1 EXPUNGE")
}

func TestNumberSets(t *testing.T) {
	h := newHouse(t)
	for range 5 {
		h.deliver("INBOX", hello)
	}
	c := h.open("INBOX")
	c.ok(`STORE 2 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE") // UIDs 1 3 4 5
	for set, want := range map[string]string{
		"*": "4", "1:*": "1 2 3 4", "*:2": "2 3 4", "9:*": "4", "2,4,1": "1 2 4", "3:1,2": "1 2 3", "7": "", "3,9": "3", "2:3,*": "2 3 4",
	} {
		if got := numbers(c.ok("FETCH " + set + " UID")); got != want {
			t.Errorf("%s: %q, want %q", set, got, want)
		}
	}
	for set, want := range map[string]string{
		"*": "4", "1:*": "1 2 3 4", "2:4": "2 3", "9:*": "4", "5,1": "1 4", "2": "", "4:3": "2 3", "5:9,*": "4", "1:4294967295": "1 2 3 4",
	} {
		if got := numbers(c.ok("UID FETCH " + set + " FLAGS")); got != want {
			t.Errorf("UID %s: %q, want %q", set, got, want)
		}
	}
}

func numbers(responses []string) string {
	var out []string
	for _, r := range responses {
		if f := strings.Fields(r); len(f) > 2 && f[2] == "FETCH" {
			out = append(out, f[1])
		}
	}
	return strings.Join(out, " ")
}

// Many sessions change one mailbox; in the end all know the same.
func TestSessionsAgreeInTheEnd(t *testing.T) {
	h := newHouse(t)
	for range 20 {
		h.deliver("INBOX", hello)
	}
	const n = 4
	done := make(chan string, n)
	for i := range n {
		c := h.open("INBOX")
		go func() {
			for j := range 15 {
				c.cmd(fmt.Sprintf(`STORE %d:%d +FLAGS (k%d)`, 1+(i*j)%10, 3+(i+j)%10, i))
				switch j % 4 {
				case 0:
					c.appendTo("INBOX", "", hello)
				case 1:
					c.cmd(fmt.Sprintf(`STORE %d +FLAGS (\Deleted)`, 1+(i+j)%5))
				case 2:
					c.cmd("EXPUNGE")
				case 3:
					c.cmd(fmt.Sprintf("FETCH %d BODY[]", 1+j%7))
				}
			}
			done <- ""
		}()
		defer func() {
			a, b := h.open("INBOX"), c
			b.ok("NOOP")
			x, y := fmt.Sprint(a.ok("FETCH 1:* (UID FLAGS)")), fmt.Sprint(b.ok("FETCH 1:* (UID FLAGS)"))
			if x != y {
				t.Errorf("one sees\n%s\nthe other\n%s", x, y)
			}
		}()
	}
	for range n {
		select {
		case <-done:
		case <-time.After(15 * time.Second):
			t.Fatal("stuck")
		}
	}
}
