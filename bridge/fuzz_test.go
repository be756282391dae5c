package bridge

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

// FuzzIMAP: whatever a server says, a visit ends, and what is filed are the
// octets of a literal or string that came whole, each UID at most once.
func FuzzIMAP(f *testing.F) {
	start := "* OK hi\r\n* CAPABILITY IMAP4rev1 UIDPLUS\r\nT1 OK\r\nT2 OK\r\n* CAPABILITY IMAP4rev1 UIDPLUS\r\nT3 OK\r\n* CAPABILITY IMAP4rev1 UIDPLUS\r\nT4 OK\r\n" +
		"* 1 EXISTS\r\n* OK [UIDVALIDITY 5] x\r\nT5 OK\r\nT6 OK\r\n* 1 FETCH (UID 7)\r\nT7 OK\r\n"
	f.Add(start + "* 1 FETCH (UID 7 FLAGS (\\Seen) RFC822.SIZE 10)\r\nT8 OK\r\n* 1 FETCH (UID 7 BODY[] {10}\r\nA: b\r\n\r\nx\n)\r\nT9 OK\r\nT10 OK\r\nT11 OK\r\n")
	f.Add(start + "* 1 FETCH (UID 7)\r\n* 1 FETCH (UID 7)\r\nT8 OK\r\n* 1 FETCH (UID 7 BODY[] \"abc\")\r\n* 1 FETCH (BODY[] {5}\r\n")
	f.Add(start + "* 1 FETCH (UID 7 BODY[] {10}\r\n((((()))))")
	f.Add("* PREAUTH hi\r\n")
	f.Add("* OK hi\r\n* CAPABILITY(UP") // the client's parser never ends
	s := storetest.Open(f, f.TempDir(), nil)
	if err := s.AddDomain("home.test"); err != nil {
		f.Fatal(err)
	}
	who, err := s.AddAccount(store.Profile{Address: "anna@home.test"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, says string) {
		inbox, err := who.MailboxFor(mail.Inbox)
		must(t, err)
		b := New(s, Options{Stall: 50 * time.Millisecond, Log: slog.New(slog.DiscardHandler), MaxMessage: 1000})
		v := &visitor{b: b, a: Account{ID: "x", Into: who.ID, Kind: IMAP}, log: b.o.Log, failed: map[string]failure{}}
		began := time.Now()
		fuzzVisit(b, v, says)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%q took %v", says, d)
		}
		entries, err := who.Entries(inbox.ID)
		must(t, err)
		if len(entries) > len(says)/len("* 1 FETCH (UID 1 BODY[] \"\")") {
			t.Errorf("%q has %d messages", says, len(entries))
		}
		for _, e := range entries {
			m, err := who.Message(inbox.ID, e.UID)
			must(t, err)
			body, err := io.ReadAll(who.Body(m))
			must(t, err)
			plain := strings.NewReplacer("\\\\", "\\", "\\\"", "\"").Replace(says) // of a quoted string
			if !strings.Contains(says, string(body)) && !strings.Contains(plain, string(body)) {
				t.Errorf("%q has no %q", says, body)
			}
		}
		_, err = who.Expunge(inbox.ID, uidsOf(entries))
		must(t, err)
		must(t, b.forget(notesAt))
	})
}

func uidsOf(entries []store.Entry) (list []mail.UID) {
	for _, e := range entries {
		list = append(list, e.UID)
	}
	return list
}

// answer is what a server says to one command: up to a line with a tag.
var answer = regexp.MustCompile(`\A(?:\* OK hi\r\n|(?:[^T].*\n)*T.*\n)`)

// fuzzVisit lets a visitor meet a server that has its answers ready.
func fuzzVisit(b *Bridge, v *visitor, says string) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		in := bufio.NewReader(server)
		for says != "" {
			part := answer.FindString(says)
			if part == "" {
				part = says
			}
			says = says[len(part):]
			io.WriteString(server, part)
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
		}
	}()
	w := &wire{Conn: client}
	w.expect(b.o.Stall)
	w.allow()
	i := newIMAPConn(w, "", func() { client.Close() }, b.o)
	defer i.close()
	if err := i.signIn(v.a, "secret"); err != nil {
		return
	}
	t := &transfer{v: v, f: v.a.folders()[0]}
	_, _ = i.round([]*transfer{t}) // what it filed is looked at
}
