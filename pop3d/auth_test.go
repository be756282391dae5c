package pop3d

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

func TestAuth(t *testing.T) {
	h := newHouse(t)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, talk := range map[string][]string{ // what is sent, what comes back
		"PLAIN at once":   {"AUTH PLAIN " + plain("anna", password), "+OK"},
		"plain later":     {"auth plain", "+ ", plain("anna", password), "+OK"},
		"LOGIN":           {"AUTH LOGIN", "+ " + b64("Username:"), b64("anna"), "+ " + b64("Password:"), b64(password), "+OK"},
		"LOGIN with name": {"AUTH LOGIN " + b64("anna"), "+ " + b64("Password:"), b64(password), "+OK"},
		"wrong":           {"AUTH PLAIN " + plain("anna", "x"), "-ERR [AUTH]", "AUTH PLAIN " + plain("anna", password), "+OK"},
		"cancel":          {"AUTH PLAIN", "+ ", "*", "-ERR", "USER anna", "+OK", "PASS " + password, "+OK"},
		"empty at once":   {"AUTH PLAIN =", "-ERR [AUTH]"},
		"no base64":       {"AUTH PLAIN ???", "-ERR", "AUTH PLAIN", "+ ", "???", "-ERR", "AUTH PLAIN", "+ ", "", "-ERR [AUTH]"},
		"unknown":         {"AUTH CRAM-MD5", "-ERR", "AUTH X", "-ERR"},
		"PASS first":      {"PASS " + password, "-ERR"},
		"USER again":      {"USER anna", "+OK", "PASS x", "-ERR [AUTH]", "PASS " + password, "-ERR USER", "USER anna", "+OK", "PASS " + password, "+OK"},
	} {
		t.Run(name, func(t *testing.T) {
			c := h.connect(true)
			c.t = t
			for i := 0; i < len(talk); i += 2 {
				c.ask(talk[i], talk[i+1])
			}
			c.ask("QUIT", "+OK")
			c.wantEnd()
		})
	}
	c := h.connect(true)
	if got := c.askText("AUTH"); got != "PLAIN\r\nLOGIN\r\nSCRAM-SHA-256\r\nSCRAM-SHA-256-PLUS\r\n" {
		t.Error(got)
	}
}

func TestScram(t *testing.T) {
	h := newHouse(t)
	x, err := scram.SHA256.NewClient("anna", password, "")
	must(t, err)
	conv := x.NewConversation()
	c := h.connect(true)
	m, err := conv.Step("")
	must(t, err)
	c.send("AUTH SCRAM-SHA-256 %s\r\n", base64.StdEncoding.EncodeToString([]byte(m)))
	for range 2 {
		challenge, err := base64.StdEncoding.DecodeString(c.want("+ ")[2:])
		must(t, err)
		m, err = conv.Step(string(challenge))
		must(t, err)
		c.send("%s\r\n", base64.StdEncoding.EncodeToString([]byte(m)))
	}
	c.want("+OK 0 messages")
	if !conv.Valid() {
		t.Error("the server did not prove itself")
	}
}

func TestTooManyFailures(t *testing.T) {
	h := newHouse(t)
	c := h.connect(true)
	for range 5 {
		c.ask("AUTH PLAIN "+plain("anna", "x"), "-ERR [AUTH]")
	}
	c.ask("AUTH PLAIN "+plain("anna", password), "-ERR [SYS/TEMP]")
}

func TestRevoked(t *testing.T) {
	h := newHouse(t)
	c := h.signIn()
	must(t, h.account("anna@example.test").Update(func(p *store.Profile) error { p.Devices = nil; return nil }))
	c.want("-ERR [SYS/PERM]")
	c.wantEnd()
}

func TestStop(t *testing.T) {
	h := newHouse(t)
	signedIn, waiting := h.signIn(), h.connect(false)
	h.stop()
	for _, c := range []*client{signedIn, waiting} {
		c.want("-ERR [SYS/TEMP]")
		c.wantEnd()
	}
	if n := h.server.Stats().Connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestErrorsEnd(t *testing.T) {
	h := newHouse(t)
	c := h.connect(false)
	for range maxErrors {
		c.ask("XYZZY", "-ERR unknown")
	}
	c.ask("XYZZY", "-ERR [SYS/PERM] too many errors")
	c.wantEnd()
}

func TestLineLengths(t *testing.T) {
	h := newHouse(t)
	c := h.connect(true)
	c.ask("USER "+strings.Repeat("a", maxLine-7), "+OK")
	c.ask("USER "+strings.Repeat("a", maxLine-6), "-ERR line too long")
	c.ask("AUTH PLAIN "+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{'a'}, 9000)), "-ERR [AUTH]")
	c.send("%s\r\n", strings.Repeat("a", 20000))
	c.want("-ERR [SYS/PERM] line too long")
}

// A client that says nothing goes after a minute; signed in, after ten. The
// store cannot live in the bubble, so only the first is tried here.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Host: "x", Log: slog.New(slog.DiscardHandler)})
		a, b := net.Pipe()
		start := time.Now()
		go s.serveConn(context.Background(), a, false)
		var got []byte
		for {
			p := make([]byte, 100)
			n, err := b.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				break
			}
		}
		if want := "+OK x POP3 ready\r\n-ERR [SYS/TEMP] too long without a command\r\n"; string(got) != want || time.Since(start) != signInTime {
			t.Errorf("%q after %v", got, time.Since(start))
		}
	})
}

// A client that does not read its message is given up.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Log: slog.New(slog.DiscardHandler)})
		a, b := net.Pipe()
		defer b.Close()
		c := newConn(s, t.Context(), func(error) {}, a)
		start := time.Now()
		_, err := c.w.Write(make([]byte, writeBuffer+1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != writeTime {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestKeepDays(t *testing.T) {
	h := newHouse(t)
	const days = 7
	setKeepDays := func(n int) {
		must(t, h.account("anna@example.test").Update(func(p *store.Profile) error { p.KeepDays = n; return nil }))
	}
	setKeepDays(days)
	old := time.Now().AddDate(0, 0, -days-1)
	h.deliver(old, "old, deleted\r\n", "old, fetched\r\n", "old, left alone\r\n")
	h.deliver(time.Now(), "new, deleted\r\n", "new, fetched\r\n", "new, left alone\r\n")

	c := h.signIn()
	if caps := c.askText("CAPA"); !strings.Contains(caps, "EXPIRE 7\r\n") {
		t.Error(caps)
	}
	for _, n := range []int{1, 4} {
		c.ask(fmt.Sprintf("DELE %d", n), "+OK")
	}
	for _, n := range []int{2, 5} {
		c.askText(fmt.Sprintf("RETR %d", n))
	}
	c.ask("QUIT", "+OK")
	c.wantEnd()
	if n := len(h.entries()); n != 6 {
		t.Errorf("%d messages: a deletion by POP3 counts only after the days", n)
	}

	c = h.signIn() // the deleted ones are hidden
	c.ask("STAT", "+OK 4 ")
	c.ask("QUIT", "+OK")
	c.wantEnd()
	if list := h.entries(); len(list) != 4 || list[0].UID != 3 || list[1].UID != 4 {
		t.Errorf("the old ones that were taken are to go, and no other: %+v", list)
	}

	setKeepDays(-1)
	c = h.signIn() // UIDs 3, 5, 6
	c.ask("STAT", "+OK 3 ")
	c.askText("RETR 1")
	c.ask("DELE 2", "+OK")
	c.ask("QUIT", "+OK")
	c.wantEnd()
	if list := h.entries(); len(list) != 3 {
		t.Errorf("%+v", list)
	}
	setKeepDays(0) // nobody set it: the same
	c = h.signIn()
	c.askText("RETR 1")
	c.ask("QUIT", "+OK")
	c.wantEnd()
	if list := h.entries(); len(list) != 3 {
		t.Errorf("%+v", list)
	}
}

// IMAP may expunge what POP3 has listed.
func TestMessageGoneMeanwhile(t *testing.T) {
	h := newHouse(t)
	h.deliver(time.Time{}, "a\r\n", "b\r\n", "c\r\n")
	c := h.signIn()
	a := h.account("anna@example.test")
	inbox, err := a.Mailbox("INBOX")
	must(t, err)
	_, err = a.Expunge(inbox.ID, []mail.UID{h.entries()[1].UID})
	must(t, err)
	c.askText("RETR 1")
	c.ask("RETR 2", "-ERR another program")
	c.askText("RETR 3")
	c.ask("DELE 2", "+OK")
	c.ask("DELE 3", "+OK")
	c.ask("QUIT", "+OK")
	c.wantEnd()
	if n := len(h.entries()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// All commands in one packet are all answered, in order.
func TestPipelining(t *testing.T) {
	h := newHouse(t)
	const n = 300
	for i := range n {
		h.deliver(time.Time{}, fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("line\r\n", i%7*300)))
	}
	c := h.signIn()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "RETR %d\r\nDELE %d\r\n", i+1, i+1)
	}
	go c.send("%sQUIT\r\n", b.String())
	for i := range n {
		c.want("+OK")
		if text := c.text(); !strings.Contains(text, fmt.Sprintf("Subject: %d\r\n", i)) || strings.Count(text, "line\r\n") != i%7*300 {
			t.Fatalf("message %d: %q", i+1, text)
		}
		c.want("+OK")
	}
	c.want("+OK")
	c.wantEnd()
	if left := len(h.entries()); left != 0 {
		t.Errorf("%d messages left", left)
	}
}

// FuzzCommandLine: whatever is said before and after signing in, nobody is
// signed in without the password, each line has one reply at most, and none of
// it is more than text.
func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{"CAPA\r\nQUIT\r\n", "USER anna\nPASS x\n", "AUTH PLAIN\r\n*\r\n", "\r\n\x00 \xff\r\n", "RETR 1\r\nTOP 1 99999999999\r\n", "utf8 \r\nSTLS\r\n", "LIST 1 2\r\nUIDL  1\r\n"} {
		f.Add([]byte(s))
	}
	quiet := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		s := New(Options{Host: "x", Log: quiet, SignIn: signin.New(nil, signin.Options{Log: quiet})})
		ctx, cancel := context.WithCancelCause(t.Context())
		c := newConn(s, ctx, cancel, &deaf{in: bytes.NewReader(in), out: &out})
		c.run(false)
		if c.drop != nil || c.session != nil {
			t.Errorf("%q signed in", in)
		}
		replies := 0
		text := false
		for line := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\r\n"), "\r\n") {
			switch {
			case text:
				text = line != "."
			case strings.HasPrefix(line, "+OK what this server can do"):
				text = true
				replies++
			case strings.HasPrefix(line, "+OK ") || strings.HasPrefix(line, "-ERR "):
				replies++
			default:
				t.Errorf("%q was answered %q", in, line)
			}
			if strings.ContainsAny(line, "\r\n\x00") {
				t.Errorf("%q was answered %q", in, line)
			}
		}
		if most := 2 + bytes.Count(in, []byte("\n")); replies > most {
			t.Errorf("%q: %d replies", in, replies)
		}
	})
}

// A deaf connection says what is in it and keeps what it is told.
type deaf struct {
	net.Conn
	in  *bytes.Reader
	out *bytes.Buffer
}

func (d *deaf) Read(p []byte) (int, error)       { return d.in.Read(p) }
func (d *deaf) Write(p []byte) (int, error)      { return d.out.Write(p) }
func (d *deaf) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (d *deaf) SetReadDeadline(time.Time) error  { return nil }
func (d *deaf) SetWriteDeadline(time.Time) error { return nil }

// 500 messages of 4 KiB fetched and deleted by one client that waits for each
// reply, as most do.
func BenchmarkFetchAndDelete(b *testing.B) {
	h := newHouse(b)
	const n = 500
	body := "Subject: x\r\n\r\n" + strings.Repeat("0123456789012345678901234567890123456789012345678901234567890\r\n", 65)
	messages := make([]string, n)
	for i := range messages {
		messages[i] = fmt.Sprint("X-N: ", i, "\r\n", body)
	}
	for b.Loop() {
		b.StopTimer()
		h.deliver(time.Time{}, messages...)
		b.StartTimer()
		c := h.signIn()
		for i := range n {
			c.send("RETR %d\r\n", i+1)
			c.want("+OK")
			for c.line() != "." {
			}
			c.ask(fmt.Sprintf("DELE %d", i+1), "+OK")
		}
		c.ask("QUIT", "+OK")
		c.wantEnd()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "messages/s")
}
