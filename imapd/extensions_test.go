package imapd

import (
	"compress/flate"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"homemail/mail"
	"homemail/store"
)

func TestID(t *testing.T) {
	c := newHouse(t).dial()
	c.exactly(c.ok(`ID ("name" "x" "version" NIL)`), `* ID ("name" "homemail")`)
	c.exactly(c.ok("ID NIL"), `* ID ("name" "homemail")`)
}

// RFC 7162 §3.1, its examples in our words.
func TestCondStore(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		h.deliver("INBOX", hello)
	}
	a, b := h.login(), h.open("INBOX")
	a.want(a.ok("SELECT INBOX (CONDSTORE)"), "* OK [HIGHESTMODSEQ 4] Highest mod-sequence")
	a.exactly(a.ok("FETCH 1:* MODSEQ"), "* 1 FETCH (MODSEQ (2))", "* 2 FETCH (MODSEQ (3))", "* 3 FETCH (MODSEQ (4))")
	b.ok(`STORE 2 +FLAGS.SILENT (\Flagged)`)
	got, status := a.cmd(`STORE 1:3 (UNCHANGEDSINCE 4) +FLAGS (\Seen)`)
	a.exactly(got, `* 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (6))`, `* 3 FETCH (UID 3 FLAGS (\Seen) MODSEQ (7))`, `* 2 FETCH (UID 2 FLAGS (\Flagged) MODSEQ (5))`)
	if !strings.HasPrefix(status, "OK [MODIFIED 2]") {
		t.Error(status)
	}
	_, status = a.cmd(`UID STORE 2 (UNCHANGEDSINCE 0) +FLAGS (\Seen)`)
	if !strings.HasPrefix(status, "OK [MODIFIED 2]") {
		t.Error(status)
	}
	a.exactly(a.ok(`STORE 2 +FLAGS.SILENT (\Draft)`), "* 2 FETCH (UID 2 MODSEQ (8))")
	a.exactly(a.ok("FETCH 1:* (FLAGS) (CHANGEDSINCE 6)"), `* 2 FETCH (FLAGS (\Flagged \Draft) MODSEQ (8))`, `* 3 FETCH (FLAGS (\Seen) MODSEQ (7))`)
	a.exactly(a.ok("SEARCH MODSEQ 7"), "* SEARCH 2 3 (MODSEQ 8)")
	a.exactly(a.ok(`SEARCH MODSEQ "/flags/\\draft" all 7 SEEN`), "* SEARCH 3 (MODSEQ 7)")
	a.want(a.ok("STATUS INBOX (HIGHESTMODSEQ)"), "* STATUS INBOX (HIGHESTMODSEQ 8)")
	b.ok(`STORE 1 +FLAGS (\Deleted)`)
	a.exactly(a.ok("NOOP"), `* 1 FETCH (UID 1 FLAGS (\Seen \Deleted) MODSEQ (9))`)
}

// RFC 7162 §3.2.
func TestQResync(t *testing.T) {
	h := newHouse(t)
	for range 6 {
		h.deliver("INBOX", hello)
	}
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	a := h.login()
	a.fails(fmt.Sprintf("SELECT INBOX (QRESYNC (%d 7))", box.UIDValidity), "BAD") // not enabled
	a.exactly(a.ok("ENABLE QRESYNC"), "* ENABLED QRESYNC")
	must(t, func() error { _, err := h.acct.Expunge(box.ID, []mail.UID{2, 3}); return err }())
	_, _, err = h.acct.StoreFlags(box.ID, []mail.UID{5}, store.FlagChange{Mode: store.AddFlags, Flags: mail.Seen})
	must(t, err)
	got := a.ok(fmt.Sprintf("SELECT INBOX (QRESYNC (%d 7))", box.UIDValidity))
	a.want(got, "* VANISHED (EARLIER) 2:3", `* 3 FETCH (UID 5 FLAGS (\Seen) MODSEQ (10))`, "* OK [HIGHESTMODSEQ 10] Highest mod-sequence")
	got = a.ok(fmt.Sprintf("SELECT INBOX (QRESYNC (%d 7 1:2 (1:2 1,4)))", box.UIDValidity))
	a.want(got, "* VANISHED (EARLIER) 2")
	if strings.Contains(strings.Join(got, "\n"), "FETCH") {
		t.Errorf("5 was not asked for: %q", got)
	}
	for _, r := range a.ok(fmt.Sprintf("SELECT INBOX (QRESYNC (%d 7))", box.UIDValidity+1)) {
		if strings.Contains(r, "VANISHED") || strings.Contains(r, "FETCH") {
			t.Errorf("another UIDVALIDITY: %q", r)
		}
	}
	a.exactly(a.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 9 VANISHED)"), `* 3 FETCH (UID 5 FLAGS (\Seen) MODSEQ (10))`)
	a.want(a.ok("UID FETCH 1:2 (FLAGS) (CHANGEDSINCE 7 VANISHED)"), "* VANISHED (EARLIER) 2")
	a.fails("FETCH 1 (FLAGS) (VANISHED)", "BAD")
	must(t, func() error { _, err := h.acct.Expunge(box.ID, []mail.UID{1, 4}); return err }())
	a.exactly(a.ok("NOOP"), "* VANISHED 1,4")
	a.ok(`STORE 1 +FLAGS (\Deleted)`)
	got, status := a.cmd("EXPUNGE")
	a.exactly(got, "* VANISHED 5")
	if !strings.HasPrefix(status, "OK [HIGHESTMODSEQ 14]") {
		t.Error(status)
	}
}

func TestUIDOnly(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		h.deliver("INBOX", hello)
	}
	c := h.open("INBOX")
	c.exactly(c.ok("ENABLE UIDONLY"), "* ENABLED UIDONLY")
	for _, command := range []string{"FETCH 1 FLAGS", "STORE 1 FLAGS ()", "SEARCH ALL", "COPY 1 Archive", "UID SEARCH 1:2"} {
		c.fails(command, "BAD [UIDREQUIRED]")
	}
	c.exactly(c.ok("UID FETCH 2 (UID FLAGS)"), "* 2 UIDFETCH (FLAGS ())")
	c.exactly(c.ok(`UID STORE 2 +FLAGS (\Deleted)`), `* 2 UIDFETCH (FLAGS (\Deleted))`)
	c.exactly(c.ok("UID EXPUNGE 2"), "* VANISHED 2")
}

func TestPartial(t *testing.T) {
	h := newHouse(t)
	for range 6 {
		h.deliver("INBOX", hello)
	}
	c := h.open("INBOX")
	c.exactly(c.ok("UID FETCH 1:* (UID) (PARTIAL -1:-2)"), "* 5 FETCH (UID 5)", "* 6 FETCH (UID 6)")
	c.exactly(c.ok("FETCH 2:* (UID) (PARTIAL 2:3)"), "* 3 FETCH (UID 3)", "* 4 FETCH (UID 4)")
	for args, want := range map[string]string{
		"PARTIAL 2:4": "PARTIAL (2:4 2:4)", "PARTIAL -1:-2": "PARTIAL (-1:-2 5:6)", "PARTIAL 9:10 COUNT": "COUNT 6 PARTIAL (9:10 NIL)",
	} {
		got := c.ok("UID SEARCH RETURN (" + args + ") ALL")
		c.exactly(got, fmt.Sprintf(`* ESEARCH (TAG "t%d") UID %s`, c.n, want))
	}
	c.fails("UID SEARCH RETURN (PARTIAL -1:2) ALL", "BAD")
}

func TestObjectIDsDatesAndPreview(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", hello)
	c := h.open("INBOX")
	c.ok("COPY 1 INBOX")
	got := c.ok("FETCH 1:2 (EMAILID THREADID PREVIEW (LAZY) SAVEDATE)")
	one, two := got[0], got[1]
	if !strings.Contains(one, `PREVIEW "Hi Anna"`) || !strings.Contains(one, "EMAILID (M") || !strings.Contains(one, "THREADID (T") || !strings.Contains(one, `SAVEDATE "`) {
		t.Errorf("%q", one)
	}
	id := func(s string) string {
		_, rest, _ := strings.Cut(s, "EMAILID (")
		id, _, _ := strings.Cut(rest, ")")
		return id
	}
	if id(one) != id(two) {
		t.Errorf("a copy has another id: %q %q", one, two)
	}
	c.exactly(c.ok("SEARCH EMAILID "+id(one)), "* SEARCH 1 2")
	c.exactly(c.ok("SEARCH EMAILID Mnone"), "* SEARCH")
	c.exactly(c.ok("SEARCH SAVEDSINCE 1-Jan-2020 SAVEDATESUPPORTED"), "* SEARCH 1 2")
	c.exactly(c.ok("SEARCH SAVEDBEFORE 1-Jan-2020"), "* SEARCH")
	c.exactly(c.ok("SEARCH YOUNGER 3600"), "* SEARCH 1 2")
	c.exactly(c.ok("SEARCH OLDER 3600"), "* SEARCH")
	if got := c.ok("STATUS INBOX (MAILBOXID)"); !strings.HasPrefix(got[0], "* STATUS INBOX (MAILBOXID (F") {
		t.Errorf("%q", got)
	}
	if _, status := c.cmd("CREATE New"); !strings.HasPrefix(status, "OK [MAILBOXID (F") {
		t.Error(status)
	}
	with := c.ok("FETCH 1 (EMAILID THREADID BODY.PEEK[HEADER.FIELDS (Subject)])")
	if id(with[0]) != id(one) {
		t.Errorf("%q", with)
	}
}

func TestReplace(t *testing.T) {
	h := newHouse(t)
	h.deliver("Drafts", hello)
	h.deliver("Drafts", hello)
	c := h.open("Drafts")
	text := strings.Replace(hello, "hello", "second", 1)
	got, status := c.cmd(fmt.Sprintf("REPLACE 1 Drafts (\\Draft) {%d+}\r\n%s", len(text), text))
	if !strings.HasPrefix(status, "OK") || len(got) != 3 || !strings.Contains(got[0], "[APPENDUID ") || got[1] != "* 1 EXPUNGE" || got[2] != "* 2 EXISTS" {
		t.Errorf("%q %s", got, status)
	}
	c.exactly(c.ok("FETCH 1:* (UID FLAGS)"), "* 1 FETCH (UID 2 FLAGS ())", `* 2 FETCH (UID 3 FLAGS (\Draft))`)
	_, status = c.cmd(fmt.Sprintf("UID REPLACE 77 Drafts {%d+}\r\n%s", len(text), text))
	if !strings.HasPrefix(status, "NO [NONEXISTENT]") {
		t.Error(status)
	}
	_, status = c.cmd(fmt.Sprintf("UID REPLACE 3 nowhere {%d+}\r\n%s", len(text), text))
	if !strings.HasPrefix(status, "NO [TRYCREATE]") {
		t.Error(status)
	}
	c.want(c.ok("STATUS Drafts (MESSAGES)"), `* STATUS "Drafts" (MESSAGES 2)`)
}

func TestSort(t *testing.T) {
	h := newHouse(t)
	for i, subject := range []string{"b", "Re: a", "c", "a"} {
		h.deliver("INBOX", fmt.Sprintf("From: %c@example.test\r\nSubject: %s\r\nDate: Sat, %d Nov 2026 10:00:00 +0000\r\n\r\n%s\r\n",
			'z'-i, subject, 20-i, strings.Repeat("x", 10*i)))
	}
	c := h.open("INBOX")
	for args, want := range map[string]string{
		"(SUBJECT)": "4 2 1 3", "(REVERSE SUBJECT)": "3 1 2 4", "(DATE)": "4 3 2 1", "(FROM)": "4 3 2 1", "(SIZE)": "1 2 3 4", "(REVERSE SIZE)": "4 3 2 1",
		"(ARRIVAL)": "1 2 3 4", "(DISPLAYFROM)": "4 3 2 1", "(CC SUBJECT REVERSE DATE)": "2 4 1 3",
	} {
		if args == "(SUBJECT)" { // of one subject: by number
			want = "2 4 1 3"
		}
		if args == "(REVERSE SUBJECT)" {
			want = "3 1 2 4"
		}
		c.exactly(c.ok("SORT "+args+" UTF-8 ALL"), "* SORT "+want)
	}
	c.exactly(c.ok("UID SORT (SIZE) UTF-8 SMALLER 10"), "* SORT")
	got := c.ok("UID SORT RETURN (MIN MAX COUNT PARTIAL 1:2) (REVERSE SIZE) UTF-8 ALL")
	c.exactly(got, fmt.Sprintf(`* ESEARCH (TAG "t%d") UID MIN 4 MAX 1 COUNT 4 PARTIAL (1:2 4,3)`, c.n))
	c.fails("SORT () UTF-8 ALL", "BAD")
	c.fails("SORT (SHOESIZE) UTF-8 ALL", "BAD")
}

func TestThread(t *testing.T) {
	h := newHouse(t)
	for _, m := range []string{
		"Subject: x\r\nMessage-ID: <1@x>\r\n", "Subject: y\r\nMessage-ID: <2@x>\r\n", "Subject: Re: x\r\nMessage-ID: <3@x>\r\nReferences: <1@x>\r\n",
		"Subject: Re: x\r\nMessage-ID: <4@x>\r\nIn-Reply-To: <1@x>\r\n",
	} {
		h.deliver("INBOX", m+"\r\nbody\r\n")
	}
	c := h.open("INBOX")
	c.exactly(c.ok("THREAD REFERENCES UTF-8 ALL"), "* THREAD (1 (3)(4))(2)")
	c.exactly(c.ok("UID THREAD ORDEREDSUBJECT UTF-8 ALL"), "* THREAD (1 (3)(4))(2)")
	c.exactly(c.ok("THREAD REFERENCES UTF-8 SUBJECT nothing"), "* THREAD")
}

func TestMetadata(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.ok(`SETMETADATA INBOX (/private/comment "mine" /shared/comment {3+}` + "\r\nall)")
	c.exactly(c.ok("GETMETADATA INBOX /PRIVATE/comment"), `* METADATA INBOX (/private/comment "mine")`)
	c.exactly(c.ok("GETMETADATA (DEPTH infinity) INBOX (/private /shared)"), `* METADATA INBOX (/private/comment "mine" /shared/comment "all")`)
	_, status := c.cmd("GETMETADATA (MAXSIZE 3) INBOX (/private/comment /shared/comment)")
	if !strings.HasPrefix(status, "OK [METADATA LONGENTRIES 4]") {
		t.Error(status)
	}
	c.exactly(c.ok(`LIST "" INBOX RETURN (METADATA (/shared/comment))`), `* LIST (\HasNoChildren) "/" INBOX`, `* METADATA INBOX (/shared/comment "all")`)
	c.ok("SETMETADATA INBOX (/private/comment NIL)")
	c.exactly(c.ok("GETMETADATA INBOX /private/comment"), `* METADATA INBOX (/private/comment NIL)`)
	c.ok(`SETMETADATA "" (/private/vendor/x "server")`)
	c.exactly(c.ok(`GETMETADATA "" /private/vendor/x`), `* METADATA "" (/private/vendor/x "server")`)
	c.fails("GETMETADATA nowhere /private/x", "NO [NONEXISTENT]")
	c.fails("GETMETADATA INBOX x", "BAD")
}

func TestQuotaIsTold(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.exactly(c.ok("GETQUOTAROOT inbox"), `* QUOTAROOT INBOX ""`, `* QUOTA "" ()`)
	must(t, h.acct.Update(func(p *store.Profile) error { p.Quota = 100 << 10; return nil }))
	h.deliver("INBOX", hello)
	c.exactly(c.ok(`GETQUOTA ""`), `* QUOTA "" (STORAGE 1 100)`)
	c.fails("GETQUOTA x", "NO")
}

// deflated is a connection under COMPRESS.
type deflated struct {
	net.Conn
	r io.Reader
	w *flate.Writer
}

func (d *deflated) Read(p []byte) (int, error) { return d.r.Read(p) }

func (d *deflated) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err == nil {
		err = d.w.Flush()
	}
	return n, err
}

func TestCompress(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.ok("COMPRESS DEFLATE")
	w, err := flate.NewWriter(c.c, flate.DefaultCompression)
	must(t, err)
	z := newClient(t, &deflated{c.c, flate.NewReader(c.r), w})
	z.fails("COMPRESS DEFLATE", "NO [COMPRESSIONACTIVE]")
	text := strings.Repeat("a line of text\r\n", 20000)
	if st := z.appendTo("INBOX", "", "Subject: x\r\n\r\n"+text); !strings.HasPrefix(st, "OK") {
		t.Fatal(st)
	}
	z.ok("SELECT INBOX")
	for range 3 {
		if got := z.body(1, "[TEXT]"); got != text {
			t.Errorf("%d bytes", len(got))
		}
	}
	z.ok("SEARCH TEXT line")
	z.send("i IDLE\r\n")
	z.line()
	h.deliver("INBOX", hello)
	z.exactly([]string{z.line()}, "* 2 EXISTS")
	z.send("DONE\r\n")
	z.until("i")
	h.stop()
	if rest := z.closed(); !strings.HasPrefix(rest, "* BYE") {
		t.Errorf("%q", rest)
	}
}

// What zlib makes with Z_PARTIAL_FLUSH, as mbsync does: it is read at once.
func TestCompressPartialFlush(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.ok("COMPRESS DEFLATE")
	r := newClient(t, &deflated{c.c, flate.NewReader(c.r), nil})
	for i, packed := range []string{
		"\xaa\x32\x54\xf0\xf3\xf7\x0f\xe0\xe5\x02\x08",                                         // z1 NOOP
		"\xa0\x2a\x23\x05\x1f\xcf\xe0\x10\x05\x25\x25\x05\x4f\x3f\x27\xff\x08\x5e\x2e\x80\x00", // z2 LIST "" INBOX
		"\xaa\x32\x86\x4a\x01\x04",                                                             // z3 NOOP
	} {
		c.send(packed)
		if _, status := r.until(fmt.Sprintf("z%d", i+1)); !strings.HasPrefix(status, "OK") {
			t.Error(status)
		}
	}
}

func TestCompressionBomb(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.ok("COMPRESS DEFLATE")
	w, err := flate.NewWriter(c.c, flate.BestCompression)
	must(t, err)
	fmt.Fprintf(w, "a APPEND INBOX {%d+}\r\n", 40<<20)
	zeros := make([]byte, 1<<20)
	for range 40 {
		if _, err := w.Write(zeros); err != nil {
			break
		}
	}
	w.Flush()
	if rest, _ := io.ReadAll(flate.NewReader(c.r)); !strings.Contains(string(rest), "* BYE Compressed too far") {
		t.Errorf("%.300q", rest)
	}
}

func TestUnauthenticate(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	c.ok("ENABLE UTF8=ACCEPT UIDONLY")
	c.ok("UNAUTHENTICATE")
	c.fails("SELECT INBOX", "BAD")
	c.ok("LOGIN " + anna + " " + password)
	c.ok("SELECT INBOX")
	c.ok("FETCH 1:* FLAGS") // numbers are in use again
}

func TestUTF8Append(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	c.ok("ENABLE UTF8=ACCEPT")
	text := "Subject: é\r\n\r\nbody\r\n"
	_, status := c.cmd(fmt.Sprintf("APPEND INBOX UTF8 (~{%d+}\r\n%s)", len(text), text))
	if !strings.HasPrefix(status, "OK") {
		t.Fatal(status)
	}
	if got := c.body(1, "[]"); got != text {
		t.Errorf("%q", got)
	}
}

// go-imap's client knows CONDSTORE, SORT, THREAD, METADATA, QUOTA and ID.
func TestClientKnowsExtensions(t *testing.T) {
	h := newHouse(t)
	h.deliver("INBOX", hello)
	c, err := imapclient.DialTLS(h.tls, &imapclient.Options{TLSConfig: h.clientTLS()})
	must(t, err)
	defer c.Close()
	must(t, c.Login(anna, password).Wait())
	_, err = c.ID(&imap.IDData{Name: "test"}).Wait()
	must(t, err)
	sel, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	must(t, err)
	if sel.HighestModSeq == 0 {
		t.Errorf("%+v", sel)
	}
	nums, err := c.Sort(&imapclient.SortOptions{
		SearchCriteria: &imap.SearchCriteria{}, SortCriteria: []imapclient.SortCriterion{{Key: imapclient.SortKeyDate}},
	}).Wait()
	must(t, err)
	threads, err := c.Thread(&imapclient.ThreadOptions{Algorithm: imap.ThreadReferences, SearchCriteria: &imap.SearchCriteria{}}).Wait()
	must(t, err)
	if len(nums) != 1 || len(threads) != 1 {
		t.Errorf("%v %v", nums, threads)
	}
	comment := []byte("x")
	must(t, c.SetMetadata("INBOX", map[string]*[]byte{"/private/comment": &comment}).Wait())
	meta, err := c.GetMetadata("INBOX", []string{"/private/comment"}, nil).Wait()
	must(t, err)
	if v := meta.Entries["/private/comment"]; v == nil || string(*v) != "x" {
		t.Errorf("%+v", meta)
	}
	_, err = c.GetQuotaRoot("INBOX").Wait()
	must(t, err)
	must(t, c.Logout().Wait())
}

func TestMultiSearch(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.ok("CREATE Work/2026")
	h.deliver("INBOX", hello)
	h.deliver("Work", hello)
	h.deliver("Work/2026", hello)
	h.deliver("Work/2026", nested)
	valid := func(name string) uint32 {
		box, err := h.acct.Mailbox(name)
		must(t, err)
		return box.UIDValidity
	}
	got := c.ok(`ESEARCH IN (subtree Work) RETURN (ALL) SUBJECT hello`)
	c.exactly(got, fmt.Sprintf(`* ESEARCH (TAG "t%d" MAILBOX "Work" UIDVALIDITY %d) UID ALL 1`, c.n, valid("Work")),
		fmt.Sprintf(`* ESEARCH (TAG "t%d" MAILBOX "Work/2026" UIDVALIDITY %d) UID ALL 1`, c.n, valid("Work/2026")))
	got = c.ok(`ESEARCH IN (mailboxes (inbox "Work") inboxes) RETURN (COUNT) UNSEEN`)
	c.exactly(got, fmt.Sprintf(`* ESEARCH (TAG "t%d" MAILBOX INBOX UIDVALIDITY %d) UID COUNT 1`, c.n, valid("INBOX")),
		fmt.Sprintf(`* ESEARCH (TAG "t%d" MAILBOX "Work" UIDVALIDITY %d) UID COUNT 1`, c.n, valid("Work")))
	c.exactly(c.ok("ESEARCH IN (personal) SUBJECT nothing"))
	c.fails("ESEARCH ALL", "BAD") // nothing is selected
	c.fails("ESEARCH IN (personal) 1:2", "BAD")
	c.ok("SELECT Work")
	c.exactly(c.ok("ESEARCH ALL"), fmt.Sprintf(`* ESEARCH (TAG "t%d" MAILBOX "Work" UIDVALIDITY %d) UID ALL 1`, c.n, valid("Work")))
	c.ok("FETCH 1 UID")
}

func TestWithout(t *testing.T) {
	h := newHouse(t)
	must(t, SetWithout(h.store, h.acct.ID, []string{"QRESYNC", "COMPRESS=DEFLATE"}))
	if err := SetWithout(h.store, h.acct.ID, []string{"IMAP4rev1"}); err == nil {
		t.Error("IMAP4rev1 was left out")
	}
	c := h.login()
	caps := c.ok("CAPABILITY")[0] + " "
	for name, there := range map[string]bool{"QRESYNC": false, "COMPRESS=DEFLATE": false, "CONDSTORE": true} {
		if strings.Contains(caps, " "+name+" ") != there {
			t.Errorf("%s: %s", name, caps)
		}
	}
	c.exactly(c.ok("ENABLE QRESYNC CONDSTORE"), "* ENABLED CONDSTORE")
	must(t, SetWithout(h.store, h.acct.ID, nil))
	c.ok("LOGOUT")
	c = h.login()
	c.exactly(c.ok("ENABLE QRESYNC"), "* ENABLED QRESYNC")
}

func TestSessionsOfAnAccount(t *testing.T) {
	s := &Server{open: make(map[mail.AccountID]int)}
	for range sessionsMax {
		if !s.admit(1) {
			t.Fatal("refused too early")
		}
	}
	if s.admit(1) || !s.admit(2) {
		t.Error("the bound is not each account's own")
	}
	s.left(1)
	if !s.admit(1) {
		t.Error("who has left still counts")
	}
}

// A mailbox that is renamed under a session is the same; one that is made anew is
// another.
func TestRenamedUnderSession(t *testing.T) {
	h := newHouse(t)
	a, b := h.login(), h.login()
	a.ok("CREATE Work")
	h.deliver("Work", hello)
	b.ok("SELECT Work")
	before, err := h.acct.Mailbox("Work")
	must(t, err)
	a.ok("RENAME Work Play")
	a.ok("CREATE Work")
	h.deliver("Play", hello)
	b.exactly(b.ok("NOOP"), "* 2 EXISTS")
	b.exactly(b.ok("FETCH 1:2 UID"), "* 1 FETCH (UID 1)", "* 2 FETCH (UID 2)")
	after, err := h.acct.Mailbox("Work")
	must(t, err)
	if after.UIDValidity == before.UIDValidity || after.ObjectID() == before.ObjectID() {
		t.Errorf("the new mailbox passes for the old one: %+v", after)
	}
	a.ok("DELETE Work")
	a.ok("DELETE Play")
	b.send("x NOOP\r\n")
	if rest := b.closed(); !strings.Contains(rest, "* BYE The selected mailbox was deleted") {
		t.Errorf("%q", rest)
	}
}
