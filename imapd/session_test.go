package imapd

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"homemail/mail"
	"homemail/store"
)

const hello = "From: Bert <bert@example.test>\r\nTo: anna@example.test\r\nSubject: hello\r\n" +
	"Date: Sat, 21 Nov 2026 10:00:00 +0900\r\nMessage-ID: <1@example.test>\r\n\r\nHi Anna\r\n"

func TestClientReadsFlagsAndMoves(t *testing.T) {
	h := newHouse(t)
	c, err := imapclient.DialTLS(h.tls, &imapclient.Options{TLSConfig: h.clientTLS()})
	must(t, err)
	defer c.Close()
	must(t, c.Authenticate(sasl.NewPlainClient("", anna, password)))
	a := c.Append("INBOX", int64(len(hello)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagFlagged}})
	_, err = a.Write([]byte(hello))
	must(t, err)
	must(t, a.Close())
	placed, err := a.Wait()
	must(t, err)
	sel, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	if sel.NumMessages != 1 || placed.UID != 1 || sel.UIDValidity != placed.UIDValidity || sel.UIDNext != 2 {
		t.Fatalf("selected %+v after %+v", sel, placed)
	}
	msgs, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		Envelope: true, Flags: true, UID: true, RFC822Size: true, InternalDate: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	must(t, err)
	m := msgs[0]
	if m.Envelope.Subject != "hello" || m.Envelope.From[0].Addr() != "bert@example.test" || m.Envelope.MessageID != "1@example.test" ||
		m.RFC822Size != int64(len(hello)) || string(m.BodySection[0].Bytes) != hello || m.BodyStructure.MediaType() != "text/plain" ||
		fmt.Sprint(m.Flags) != `[\Flagged]` || !m.Envelope.Date.Equal(time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)) {
		t.Errorf("fetched %+v", m)
	}
	moved, err := c.Move(imap.UIDSetNum(1), "Archive").Wait()
	must(t, err)
	if moved.SourceUIDs.String() != "1" || moved.DestUIDs.String() != "1" {
		t.Errorf("moved %+v", moved)
	}
	st, err := c.Status("Archive", &imap.StatusOptions{NumMessages: true, NumUnseen: true, Size: true, NumDeleted: true, UIDNext: true}).Wait()
	must(t, err)
	if *st.NumMessages != 1 || *st.NumUnseen != 1 || *st.Size != int64(len(hello)) || *st.NumDeleted != 0 || st.UIDNext != 2 {
		t.Errorf("status %+v", st)
	}
	must(t, c.Logout().Wait())
}

func TestCapabilities(t *testing.T) {
	h := newHouse(t)
	c := h.dial()
	before := strings.Join(c.ok("CAPABILITY"), "")
	for _, want := range []string{"IMAP4rev1", "IMAP4rev2", "SASL-IR", "AUTH=PLAIN", "AUTH=SCRAM-SHA-256", "AUTH=SCRAM-SHA-256-PLUS"} {
		if !strings.Contains(before+" ", " "+want+" ") {
			t.Errorf("no %s in %s", want, before)
		}
	}
	if strings.Contains(before, "LOGINDISABLED") || strings.Contains(before, "STARTTLS") {
		t.Errorf("under TLS: %s", before)
	}
	c.ok("LOGIN " + anna + " " + password)
	after := strings.Join(c.ok("CAPABILITY"), "")
	for _, want := range []string{"IDLE", "UIDPLUS", "MOVE", "LITERAL+", "SPECIAL-USE", "ESEARCH", "SEARCHRES", "LIST-STATUS",
		"UTF8=ACCEPT", "APPENDLIMIT=52428800", "NAMESPACE", "STATUS=SIZE", "BINARY", "CHILDREN", "CREATE-SPECIAL-USE"} {
		if !strings.Contains(after+" ", " "+want+" ") {
			t.Errorf("no %s in %s", want, after)
		}
	}
}

// scramClient is the client's side of SCRAM, RFC 5802, by another library.
type scramClient struct {
	conv *scram.ClientConversation
	mech string
}

func (c *scramClient) Start() (string, []byte, error) {
	first, err := c.conv.Step("")
	return c.mech, []byte(first), err
}

func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	response, err := c.conv.Step(string(challenge))
	return []byte(response), err
}

func TestScram(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		password string
		plus, ok bool
	}{{password, false, true}, {password, true, true}, {"wrong", false, false}} {
		conn, err := tls.Dial("tcp", h.tls, h.clientTLS())
		must(t, err)
		cl, err := scram.SHA256.NewClient(anna, tt.password, "")
		must(t, err)
		sc := &scramClient{cl.NewConversation(), "SCRAM-SHA-256"}
		if tt.plus {
			state := conn.ConnectionState()
			b, err := scram.NewTLSExporterBinding(&state)
			must(t, err)
			sc = &scramClient{cl.NewConversationWithChannelBinding(b), "SCRAM-SHA-256-PLUS"}
		}
		c := imapclient.New(conn, nil)
		if err := c.Authenticate(sc); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
		if _, err := c.Select("INBOX", nil).Wait(); (err == nil) != tt.ok {
			t.Errorf("%+v: select: %v", tt, err)
		}
		c.Close()
	}

	c := h.dial() // without initial response
	c.send("a AUTHENTICATE SCRAM-SHA-256\r\n")
	if got := c.line(); got != "+ " {
		t.Errorf("challenge %q, want an empty one", got)
	}
	c.send("*\r\n")
	if got := c.line(); !strings.HasPrefix(got, "a BAD") {
		t.Errorf("cancelled: %q", got)
	}
	c.ok("AUTHENTICATE PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+anna+"\x00"+password)))
}

func TestWrongPasswords(t *testing.T) {
	h := newHouse(t)
	c := h.dial()
	for i := range loginTries {
		c.n++
		c.send(fmt.Sprintf("t%d LOGIN %s wrong\r\n", c.n, anna))
		got := c.line()
		if !strings.Contains(got, " NO [AUTHENTICATIONFAILED]") && !strings.Contains(got, " NO [LIMIT]") {
			t.Errorf("try %d: %q", i, got)
		}
	}
	if rest := c.closed(); !strings.HasPrefix(rest, "* BYE") {
		t.Errorf("after too many: %q", rest)
	}
}

func TestPlaintextTakesNoPassword(t *testing.T) {
	h := newHouse(t)
	conn, err := net.Dial("tcp", h.plain)
	must(t, err)
	c := newClient(t, conn)
	if g := c.line(); !strings.Contains(g, "LOGINDISABLED") || !strings.Contains(g, "STARTTLS") || strings.Contains(g, "AUTH=") {
		t.Errorf("greeting %q", g)
	}
	c.fails("LOGIN "+anna+" "+password, "NO [PRIVACYREQUIRED]")
	c.fails("AUTHENTICATE PLAIN", "NO [PRIVACYREQUIRED]")
	c.fails("SELECT INBOX", "BAD")
	c.ok("NOOP")
	c.ok("STARTTLS")
	tc := newClient(t, tls.Client(conn, h.clientTLS()))
	caps := strings.Join(tc.ok("CAPABILITY"), "") // and no second greeting
	if strings.Contains(caps, "STARTTLS") || !strings.Contains(caps, "AUTH=PLAIN") {
		t.Errorf("after STARTTLS: %s", caps)
	}
	tc.ok("LOGIN " + anna + " " + password)
	tc.ok("SELECT INBOX")
	tc.ok("LOGOUT")
}

func TestStartTLSInjection(t *testing.T) {
	h := newHouse(t)
	conn, err := net.Dial("tcp", h.plain)
	must(t, err)
	c := newClient(t, conn)
	c.line()
	c.send("a STARTTLS\r\nb LOGIN " + anna + " " + password + "\r\n")
	if rest := c.closed(); strings.Contains(rest, "OK") {
		t.Errorf("answered %q", rest)
	}
}

func TestPlaintextLiteralIsNotRead(t *testing.T) {
	h := newHouse(t)
	conn, err := net.Dial("tcp", h.plain)
	must(t, err)
	c := newClient(t, conn)
	c.line()
	c.send("a LOGIN {12+}\r\nb CAPABILITY\r\n")
	if rest := c.closed(); strings.Contains(rest, "b OK") {
		t.Errorf("the literal was run: %q", rest)
	}
}

// A literal that is refused must not be run as commands.
func TestRefusedLiteralHangsUp(t *testing.T) {
	h := newHouseWith(t, Options{AppendLimit: 10000})
	must(t, func() error { _, err := h.acct.Create("Victim", mail.NoUse); return err }())
	evil := "x DELETE Victim\r\n" + strings.Repeat("y NOOP\r\n", 2000)
	for _, command := range []string{
		"APPEND INBOX {%d+}", `APPEND INBOX "no date" {%d+}`, "APPEND &&& {%d+}", "SEARCH TEXT {%d+}", "CREATE {%d+}",
		"NOOP {%d+}", "FETCH 1 {%d+}", "APPEND INBOX (\\) {%d+} ",
	} {
		c := h.login()
		fmt.Fprintf(c.c, "a "+command+"\r\n%s", len(evil), evil) // may be cut off
		rest := c.closed()
		if strings.Contains(rest, "x OK") || strings.Contains(rest, "y OK") {
			t.Errorf("%s: %.300q", command, rest)
		}
		if _, err := h.acct.Mailbox("Victim"); err != nil {
			t.Fatalf("%s: the mailbox: %v; %.300q", command, err, rest)
		}
	}
	c := h.dial()
	c.send(fmt.Sprintf("a LOGIN {%d+}\r\nx LOGIN %s %s\r\n", 8000, anna, password))
	if rest := c.closed(); strings.Contains(rest, "x OK") {
		t.Errorf("LOGIN: %q", rest)
	}
	if _, err := h.acct.Mailbox("Victim"); err != nil {
		t.Errorf("the mailbox: %v", err)
	}
	c = h.login() // a synchronising literal is refused in good order
	c.fails("APPEND INBOX {20000}", "NO [TOOBIG]")
	c.ok("NOOP")
	if st := c.appendTo("INBOX", "", hello); !strings.HasPrefix(st, "OK [APPENDUID ") {
		t.Errorf("append: %s", st)
	}
}

// TestLongCommandHangsUp sends little more than a command may have, so that the
// server has read it all when it ends: a reset would take the BYE with it.
func TestLongCommandHangsUp(t *testing.T) {
	h := newHouse(t)
	c := h.login()
	c.send("a SEARCH SUBJECT \"" + strings.Repeat("x", maxCommand) + " b NOOP\r\nc NOOP\r\n")
	if rest := c.closed(); strings.Contains(rest, "c OK") || !strings.Contains(rest, "* BYE") {
		t.Errorf("%q", rest)
	}
}

// TestStrangerMaySendLittle waits for each answer, for the same reason.
func TestStrangerMaySendLittle(t *testing.T) {
	h := newHouse(t)
	c := h.dial()
	command := strings.Repeat("a", 1000) + " NOOP\r\n"
	for sent := 0; sent <= 2*loginBudget; sent += len(command) {
		c.send(command)
		if s := c.line(); strings.HasPrefix(s, "* BYE Too much") {
			return
		}
	}
	t.Error("a stranger may send without an end")
}

func TestRevokedDeviceHearsBye(t *testing.T) {
	h := newHouse(t)
	c := h.open("INBOX")
	c.send("a IDLE\r\n")
	c.line()
	begun := time.Now()
	must(t, h.acct.Update(func(p *store.Profile) error { p.Disabled = true; return nil }))
	if rest := c.closed(); !strings.HasPrefix(rest, "* BYE") || time.Since(begun) > 5*time.Second {
		t.Errorf("%q after %v", rest, time.Since(begun))
	}
}

func TestStopSaysBye(t *testing.T) {
	h := newHouse(t)
	idle, quiet := h.open("INBOX"), h.login()
	idle.send("a IDLE\r\n")
	idle.line()
	begun := time.Now()
	h.stop()
	for _, c := range []*client{idle, quiet} {
		if rest := c.closed(); !strings.HasPrefix(rest, "* BYE Server is shutting down") {
			t.Errorf("%q", rest)
		}
	}
	if d := time.Since(begun); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
}
