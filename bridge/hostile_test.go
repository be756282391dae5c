package bridge

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A script is an IMAP server that lies. Answers are by command, with %s where
// the tag goes; what it has no answer to is OK.
type script struct {
	t        *testing.T
	starttls bool
	greeting string
	injected string // sent with the answer to STARTTLS
	answers  map[string]string
	endless  bool // goes on after an answer without a tag
}

const imapCaps = "* CAPABILITY IMAP4rev1 UIDPLUS\r\n%s OK\r\n"

func (s *script) serve(c net.Conn) {
	if !s.starttls {
		c = tls.Server(c, serverTLS())
	}
	r := bufio.NewReader(c)
	io.WriteString(c, s.greeting+"\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			return
		}
		if _, secure := c.(*tls.Conn); !secure && (f[1] == "LOGIN" || f[1] == "AUTHENTICATE") {
			s.t.Error("a password came before TLS")
		}
		if f[1] == "STARTTLS" {
			fmt.Fprintf(c, "%s OK\r\n%s", f[0], s.injected)
			c = tls.Server(c, serverTLS())
			r = bufio.NewReader(c)
			continue
		}
		if !s.answer(c, f[0], strings.TrimSpace(strings.Join(f[1:], " "))) {
			return
		}
	}
}

func (s *script) answer(c net.Conn, tag, command string) bool {
	best, answer := -1, "%s OK\r\n"
	for start, a := range s.answers {
		if strings.HasPrefix(command, start) && len(start) > best {
			best, answer = len(start), a
		}
	}
	if strings.HasPrefix(command, "CAPABILITY") && best < 0 {
		answer = imapCaps
	}
	_, err := io.WriteString(c, strings.ReplaceAll(answer, "%s", tag))
	if strings.Contains(answer, "%s") || err != nil {
		return err == nil
	}
	junk := []byte(strings.Repeat("x", 32<<10))
	for s.endless && err == nil {
		_, err = c.Write(junk)
	}
	if conn, ok := c.(*tls.Conn); ok {
		conn.Close() // with close_notify: an end that looks meant
	}
	return false
}

// honest are the answers of a mailbox with the message at UID 7.
func honest(change ...string) map[string]string {
	m := map[string]string{
		"SELECT":             "* 1 EXISTS\r\n* OK [UIDVALIDITY 5] x\r\n%s OK\r\n",
		"FETCH 1 (UID":       "* 1 FETCH (UID 7)\r\n%s OK\r\n",
		"UID FETCH 7 (UID ":  "* 1 FETCH (UID 7 FLAGS () RFC822.SIZE 10)\r\n%s OK\r\n",
		"UID FETCH 7 (UID B": "* 1 FETCH (UID 7 BODY[] {10}\r\nA: b\r\n\r\nx\n)\r\n%s OK\r\n",
	}
	for i := 0; i < len(change); i += 2 {
		m[change[i]] = change[i+1]
	}
	return m
}

func (s *script) house(t *testing.T) *house {
	s.t = t
	if s.greeting == "" {
		s.greeting = "* OK hello"
	}
	address := listen(t, s.serve)
	o := options(func() string { return address })
	o.Stall, o.MaxMessage = 500*time.Millisecond, 1<<20
	h := newHouse(t, o)
	a := Account{Kind: IMAP, KeepDays: 0}
	if s.starttls {
		a.TLS = StartTLS
	}
	h.add(a)
	return h
}

const honestBody = "A: b\r\n\r\nx\n"

func TestIMAPHonestScript(t *testing.T) {
	h := (&script{answers: honest()}).house(t)
	h.run(func() bool { return h.status().Removed == 1 })
	h.want(honestBody)
}

// TestIMAPHostile: nothing is filed, nothing is deleted, nothing is held in
// memory, and the owner is told.
func TestIMAPHostile(t *testing.T) {
	huge := func(n int) string { return strings.Repeat("x", n) }
	for name, s := range map[string]*script{
		"PREAUTH":                  {greeting: "* PREAUTH welcome"},
		"PREAUTH in the clear":     {greeting: "* PREAUTH welcome", starttls: true},
		"BYE":                      {greeting: "* BYE go away"},
		"no greeting":              {greeting: "HTTP/1.1 200 OK"},
		"injection after STARTTLS": {starttls: true, injected: "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nT1 OK\r\n"},
		"endless before TLS":       {starttls: true, greeting: "* OK " + huge(1<<16)},
		"LOGINDISABLED":            {answers: map[string]string{"CAPABILITY": "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n%s OK\r\n"}},
		"wrong password":           {answers: map[string]string{"LOGIN": "%s NO [AUTHENTICATIONFAILED] no\r\n"}},
		"endless capability":       {answers: map[string]string{"CAPABILITY": "* CAPABILITY "}, endless: true},
		"endless text":             {answers: map[string]string{"SELECT": "* OK "}, endless: true},
		"endless quoted string":    {answers: honest("FETCH 1 (UID", `* 1 FETCH (BODY[] "`), endless: true},
		"endless literal in LIST":  {answers: honest("SELECT", "* LIST () \"/\" {2000000000}\r\n"), endless: true},
		"unasked body of 2 GB":     {answers: honest("FETCH 1 (UID", "* 1 FETCH (BODY[] {2000000000}\r\n"), endless: true},
		"nested":                   {answers: honest("FETCH 1 (UID", "* 1 FETCH (BODYSTRUCTURE "+strings.Repeat("(", 100_000)+"\r\n")},
		"no UIDVALIDITY":           {answers: honest("SELECT", "* 1 EXISTS\r\n%s OK\r\n")},
		"four billion messages":    {answers: honest("SELECT", "* 4294967295 EXISTS\r\n* OK [UIDVALIDITY 5] x\r\n%s OK\r\n")},
		"a body cut short":         {answers: honest("UID FETCH 7 (UID B", "* 1 FETCH (UID 7 BODY[] {10}\r\nA: b\r\n")},
		"says nothing":             {answers: honest("SELECT", "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := s.house(t)
			h.run(func() bool { return h.status().State == Failing })
			h.want()
			if st := h.status(); st.Problem == "" || st.Removed != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestIMAPLyingSize is about a message that is larger than was said.
func TestIMAPLyingSize(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := &script{answers: honest("UID FETCH 7 (UID B", "* 1 FETCH (UID 7 BODY[] {2147483648}\r\n"), endless: true}
	h := s.house(t)
	h.run(func() bool { return h.status().TooLarge == 1 })
	h.visited() // and is not asked for again
	h.want()
	if runtime.ReadMemStats(&after); after.Sys > before.Sys+64<<20 {
		t.Errorf("%d MiB of memory", (after.Sys-before.Sys)>>20)
	}
}

// TestIMAPTwice is about a server that names and sends a message twice.
func TestIMAPTwice(t *testing.T) {
	body := "* 1 FETCH (UID 7 BODY[] {10}\r\nA: b\r\n\r\nx\n)\r\n"
	s := &script{answers: honest(
		"SELECT", "* 2 EXISTS\r\n* OK [UIDVALIDITY 5] x\r\n%s OK\r\n",
		"FETCH 1:2 (UID", "* 1 FETCH (UID 7)\r\n* 2 FETCH (UID 7)\r\n%s OK\r\n",
		"UID FETCH 7 (UID B", body+body+"%s OK\r\n",
	)}
	h := s.house(t)
	h.visited()
	h.visited()
	h.want(honestBody)
}

// TestIMAPNever is about a message that is listed and never given, as some
// servers do when its file is damaged. The next one comes nevertheless.
func TestIMAPNever(t *testing.T) {
	for name, answer := range map[string]string{
		"NO": "%s NO [SERVERBUG] no such file\r\n", "nothing": "%s OK\r\n",
		"NIL": "* 1 FETCH (UID 7 BODY[] NIL)\r\n%s OK\r\n", "empty": "* 1 FETCH (UID 7 BODY[] {0}\r\n)\r\n%s OK\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			h := (&script{answers: honest("UID FETCH 7 (UID B", answer)}).house(t)
			h.run(func() bool { return h.status().Stuck == 1 })
			h.want()
			if st := h.status(); st.Removed != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestNotes is about what notes say as days go by.
func TestNotes(t *testing.T) {
	h := newHouse(t, Options{})
	p := policy{keepDays: 30, maxMessage: 1000, today: 20_000}
	put := func(scope, key string, n note) {
		t.Helper()
		must(t, h.s.PutState(notesAt+"x/INBOX/"+scope+"/"+key, n.encode()))
	}
	put("s", "new", note{day: 19_990, hash: [32]byte{1}})
	put("s", "old", note{day: 19_970, hash: [32]byte{2}})
	put("s", "undated", note{hash: [32]byte{3}})
	put("s", "back", note{day: 19_990, gone: 19_999, hash: [32]byte{4}})
	put("s", "gone", note{day: 19_990, hash: [32]byte{5}})
	put("s", "long gone", note{day: 19_990, gone: 19_993, hash: [32]byte{6}})
	put("other", "new", note{day: 19_990, hash: [32]byte{7}})
	put("s", "large", note{day: 19_000, size: 1001, skipped: true})
	must(t, h.s.PutState(notesAt+"x/INBOX/s/damaged", []byte("x")))
	put("s", "not large any more", note{day: 19_000, size: 1000, skipped: true})
	listed := map[string]bool{"new": true, "old": true, "undated": true, "back": true, "large": true, "damaged": true, "not large any more": true, "fresh": true}
	n, err := readNotes(h.s, "x", "INBOX", "s", listed, p)
	must(t, err)
	for _, k := range []string{"new", "old", "undated", "back", "large", "damaged"} {
		if !n.known[k] {
			t.Errorf("%s is not known", k)
		}
	}
	if len(n.known) != 6 || len(n.due) != 1 || n.due[0] != "old" {
		t.Errorf("known %v, due %v", n.known, n.due)
	}
	if n.orphan([32]byte{5}) == "" || n.orphan([32]byte{7}) == "" || n.orphan([32]byte{1}) != "" || n.orphan([32]byte{5}) != "" {
		t.Error("orphans are wrong")
	}
	read := func(key string) (note, error) {
		v, err := h.s.State(n.path(key))
		if err != nil {
			return note{}, err
		}
		return decodeNote(v)
	}
	for key, want := range map[string]note{"undated": {day: 20_000, hash: [32]byte{3}}, "back": {day: 19_990, hash: [32]byte{4}}, "gone": {day: 19_990, gone: 20_000, hash: [32]byte{5}}} {
		if got, err := read(key); err != nil || got != want {
			t.Errorf("%s: %+v, %v", key, got, err)
		}
	}
	if _, err := read("long gone"); err == nil {
		t.Error("a note is kept for ever")
	}
	p.today = 0 // the clock is not right: nothing ages
	if n, err = readNotes(h.s, "x", "INBOX", "s", listed, p); err != nil || len(n.due) != 0 {
		t.Errorf("%v, %v", n.due, err)
	}
}

// FuzzNote: what is written is read.
func FuzzNote(f *testing.F) {
	f.Add([]byte{}, int64(5), uint32(1), uint32(2), true)
	f.Fuzz(func(t *testing.T, raw []byte, size int64, day, gone uint32, skipped bool) {
		n := note{size: size, day: int(day), gone: int(gone), skipped: skipped}
		copy(n.hash[:], raw)
		got, err := decodeNote(n.encode())
		if err != nil || got != n {
			t.Errorf("%+v became %+v, %v", n, got, err)
		}
		if again, err := decodeNote(raw); err == nil && string(again.encode()[:noteSize-1]) != string(raw[:noteSize-1]) {
			t.Errorf("%x became %x", raw, again.encode())
		}
	})
}

func TestRemove(t *testing.T) {
	p := &popServer{}
	fillPop(p, 0, 3)
	h := pop(t, p, Account{KeepDays: Forever, SendVia: "provider"})
	h.visited()
	if via, err := h.b.SendVia("Anna@Provider.test"); via != "provider" || err != nil {
		t.Errorf("sends via %q, %v", via, err)
	}
	must(t, h.b.Pause(h.id, true))
	if err := h.b.FetchNow(h.id); err == nil {
		t.Error("a paused account fetches")
	}
	must(t, h.b.Remove(h.id))
	for _, at := range []string{accountsAt, secretsAt, notesAt} {
		must(t, h.s.States(at, func(path string, _ []byte) bool { t.Errorf("%s is left", path); return true }))
	}
	if err := h.b.FetchNow(h.id); err == nil {
		t.Error("an account that is gone fetches")
	}
}
