package imapd

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/japanese"

	"homemail/store"
)

func TestSearch(t *testing.T) {
	h := newHouse(t)
	jis, err := japanese.ISO2022JP.NewEncoder().String("こんにちは、世界")
	must(t, err)
	box, err := h.acct.Mailbox("INBOX")
	must(t, err)
	for i, m := range []string{
		hello,
		nested,
		"From: =?iso-2022-jp?B?" + base64.StdEncoding.EncodeToString([]byte(jis)) + "?= <jp@example.test>\r\n" +
			"Subject: =?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte("日本語の件名")) + "?=\r\n" +
			"Content-Type: text/plain; charset=iso-2022-jp\r\nDate: Mon, 1 Jan 2024 00:30:00 +0900\r\n\r\n" + jis + "\r\n",
		"Subject: coded\r\nX-Tag: Folded\r\n value\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
			base64.StdEncoding.EncodeToString([]byte(strings.Repeat("filler ", 9000)+"<b>NEEDLE Ärger</b>")),
		"Subject: quoted\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nsoft=\r\nware =C3=A4rger\r\n",
	} {
		sp := h.store.NewSpool()
		sp.Write([]byte(m))
		_, err := h.store.Deliver(sp, []store.Delivery{{
			Account: h.acct.ID, Mailbox: box.ID, Date: time.Date(2026, 1, 10+i, 23, 59, 0, 0, time.Local),
		}})
		sp.Discard()
		must(t, err)
	}
	c := h.open("INBOX")
	c.ok(`STORE 1 +FLAGS (\Seen $Work)`)
	c.ok(`STORE 2 +FLAGS (\Flagged)`)
	for query, want := range map[string]string{
		"ALL": "1 2 3 4 5", "SEEN": "1", "UNSEEN": "2 3 4 5", "KEYWORD $work": "1", "UNKEYWORD $Work": "2 3 4 5", "NEW": "", "OLD": "1 2 3 4 5",
		"RECENT": "", "NOT SEEN": "2 3 4 5", "OR SEEN FLAGGED": "1 2", "NOT (OR SEEN FLAGGED)": "3 4 5", "2:3": "2 3", "UID 4:*": "4 5", "NOT 1:4": "5",
		"SINCE 12-Jan-2026": "3 4 5", "BEFORE 12-Jan-2026": "1 2", "ON 12-Jan-2026": "3", "NOT ON 12-Jan-2026": "1 2 4 5",
		"SENTON 1-Jan-2024": "3", "SENTSINCE 1-Jan-2025": "1", "SENTBEFORE 1-Jan-2025": "3",
		"LARGER 5000": "4", "SMALLER 200": "1 5", "SMALLER 200 UNSEEN": "5",
		"FROM bert": "1", `FROM "Bert <bert"`: "1", "TO anna": "1", "SUBJECT HELLO": "1", "SUBJECT outer": "2", "HEADER Message-ID 1@": "1",
		"HEADER X-Tag value": "4", `HEADER X-Tag ""`: "4", "HEADER X-Tag nothing": "", `HEADER x-long "one two"`: "2",
		"BODY needle": "4", `BODY "ÄRGER"`: "4 5", "BODY software": "5", "TEXT anna": "1", "BODY anna": "1", "TEXT bert": "1", "BODY bert": "",
		"BODY inner": "2", "BODY <p>HTML": "", "BODY html": "2", "BODY hello": "", `BODY "こんにちは"`: "3", `FROM "世界"`: "3", `SUBJECT "件名"`: "3", `TEXT "件名"`: "3",
		"NOT BODY needle": "1 2 3 5", "OR BODY needle SUBJECT hello": "1 4", "UNDELETED UNANSWERED UNDRAFT NOT FLAGGED": "1 3 4 5",
	} {
		got := c.ok("SEARCH CHARSET UTF-8 " + query)
		if g := strings.TrimPrefix(strings.TrimPrefix(got[0], "* SEARCH"), " "); g != want {
			t.Errorf("%s: %q, want %q", query, g, want)
		}
	}
	c.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
	c.ok("EXPUNGE")
	c.exactly(c.ok("UID SEARCH UNFLAGGED"), "* SEARCH 3 4 5")
	c.exactly(c.ok("SEARCH UNFLAGGED"), "* SEARCH 2 3 4")
	c.n++
	c.exactly(c.ok("SEARCH RETURN (MIN MAX COUNT) UNFLAGGED"), fmt.Sprintf(`* ESEARCH (TAG "t%d") MIN 2 MAX 4 COUNT 3`, c.n))
	c.ok("SEARCH RETURN (SAVE) UNFLAGGED")
	c.exactly(c.ok("FETCH $ UID"), "* 2 FETCH (UID 3)", "* 3 FETCH (UID 4)", "* 4 FETCH (UID 5)")
	c.exactly(c.ok("UID SEARCH UID $ SMALLER 200"), "* SEARCH 5")
	c.ok("SEARCH RETURN (SAVE) SUBJECT nothing")
	c.exactly(c.ok("FETCH $ UID"))
	c.ok("SEARCH RETURN (SAVE MIN) ALL")
	c.exactly(c.ok("UID FETCH $ (UID)"), "* 1 FETCH (UID 2)")
}

// The watch over the connection during a search must not swallow what the
// client sends meanwhile.
func TestSearchKeepsPipelinedCommands(t *testing.T) {
	h := newHouse(t)
	for range 50 {
		h.deliver("INBOX", nested)
	}
	c := h.open("INBOX")
	var all strings.Builder
	for i := range 40 {
		fmt.Fprintf(&all, "p%d SEARCH TEXT nowhere\r\nq%d NOOP\r\n", i, i)
	}
	c.send(all.String())
	for i := range 40 {
		if _, st := c.until(fmt.Sprintf("q%d", i)); !strings.HasPrefix(st, "OK") {
			t.Fatal(st)
		}
	}
	c.ok("SEARCH BODY plain")
	c.ok("NOOP")
}

func TestSearchEndsWithTheClient(t *testing.T) {
	h := newHouse(t)
	for range 60 {
		h.deliver("INBOX", strings.Repeat("some text to be searched \r\n", 8000))
	}
	c := h.open("INBOX")
	c.send("a SEARCH" + strings.Repeat(" BODY nowhere OR BODY x1", 400) + " ALL\r\n")
	time.Sleep(20 * time.Millisecond)
	c.c.Close()
	for begun := time.Now(); h.check.Stats().Sessions.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Second {
			t.Fatal("the search goes on")
		}
	}
}
