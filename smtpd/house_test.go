package smtpd

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"homemail/caps"
	"homemail/deliver"
	"homemail/internal/storetest"
	"homemail/lan"
	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

const annasPassword = "correct-horse-battery-staple"

type realDirectory struct{ *deliver.Agent }

func (d realDirectory) Begin(from mail.Path, by mail.AccountID) Transaction {
	return d.Agent.Begin(from, by)
}

// A house is the real thing behind a door: a store, deliver and signin.
type house struct {
	s     *store.Store
	agent *deliver.Agent
	anna  *store.Account
	lan   *lan.Devices
	caps  *caps.Caps
}

func newHouse(t *testing.T, o Options) (*house, *door) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := storetest.Open(t, t.TempDir(), log)
	must(t, s.AddDomain("example.test"))
	anna, err := s.AddAccount(store.Profile{Address: "anna@example.test"})
	must(t, err)
	_, err = s.AddAccount(store.Profile{Address: "otto@example.test"})
	must(t, err)
	must(t, anna.Update(func(p *store.Profile) error {
		d, err := signin.NewDevice(*p, "laptop", annasPassword)
		p.Devices = append(p.Devices, d)
		return err
	}))
	h := &house{s: s, anna: anna, lan: lan.New(s, lan.Options{Log: log, Routers: func() []netip.Addr { return nil }})}
	h.caps, err = caps.New(s, caps.Options{PerHour: 5, Log: log})
	must(t, err)
	h.agent = deliver.New(s, deliver.Options{Host: "mx.example.test", Log: log, Separator: "+", Outside: deliver.Outside{
		Open: func(from, to mail.Path) error { return nil }, Hold: h.caps.Hold,
	}})
	leaf, err := x509.ParseCertificate(serverTLS().Certificates[0].Certificate[0])
	must(t, err)
	c := signin.New(s, signin.Options{Log: log, FailDelay: -1, Certificate: func() *x509.Certificate { return leaf }})
	go c.Run(t.Context())

	d := newDoor(t, o)
	d.s.o.Directory, d.s.o.Users, d.s.o.Neighbours = realDirectory{h.agent}, SignIn(c), LAN(h.lan)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	d.addr = l.Addr().String()
	d.serve(l)
	return h, d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inbox returns the messages in an account's INBOX.
func (h *house) inbox(t *testing.T, address mail.Path) (list []string) {
	t.Helper()
	a, err := h.s.Account(address)
	must(t, err)
	m, err := a.MailboxFor(mail.Inbox)
	must(t, err)
	entries, err := a.Entries(m.ID)
	must(t, err)
	for _, e := range entries {
		msg, err := a.Message(m.ID, e.UID)
		must(t, err)
		b, err := io.ReadAll(a.Body(msg))
		must(t, err)
		list = append(list, string(b))
	}
	return list
}

func TestHouseMX(t *testing.T) {
	h, d := newHouse(t, Options{Kind: MX})
	c := d.ready()
	c.say("MAIL FROM:<>", "RCPT TO:<anna+x@example.test>", "RCPT TO:<otto@example.test>", "RCPT TO:<postmaster>", "RCPT TO:<nobody@example.test>", "DATA")
	c.want("250", "250", "250", "250", "550 5.1.1", "354")
	c.send(letter + ".\r\n")
	c.want("250 2.0.0")
	for a, to := range map[mail.Path]string{"anna@example.test": "anna+x@example.test", "otto@example.test": "otto@example.test"} {
		got := h.inbox(t, a)
		if len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <>\r\nDelivered-To: "+to+"\r\nReceived: from client.test ([127.0.0.1])\r\n") || !strings.HasSuffix(got[0], "\r\n"+letter) {
			t.Errorf("%s has %q", a, got)
		}
	}
	c.envelope()
	c.send("Delivered-To: anna@example.test\r\n" + letter + ".\r\n")
	c.want("550 5.4.6")
	c.envelope()
	c.send("From: x@y.test\r\n" + letter + ".\r\n")
	c.want("550 5.6.0")

	big := letter + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 3000) // several chunks in the store
	c.envelope()
	c.send(big + ".\r\n")
	c.want("250")
	if got := h.inbox(t, "anna@example.test"); !strings.HasSuffix(got[1], big) {
		t.Error("a large message is not what was sent")
	}
}

// TestHouseResend breaks the connection after the 250, as RFC 1047 fears.
func TestHouseResend(t *testing.T) {
	h, d := newHouse(t, Options{Kind: MX})
	send := func() string {
		c := d.ready()
		c.envelope()
		c.send(letter + ".\r\n")
		said := c.want("250")
		c.nc.Close()
		time.Sleep(50 * time.Millisecond) // until the server has seen it
		return said
	}
	if first, second := send(), send(); first != second || len(h.inbox(t, "anna@example.test")) != 1 {
		t.Errorf("%d copies, told %q and %q", len(h.inbox(t, "anna@example.test")), first, second)
	}
}

func TestHouseSubmission(t *testing.T) {
	h, d := newHouse(t, Options{Kind: Submission, ImplicitTLS: true})
	signIn := func(mech, name, password string) (*client, string) {
		t.Helper()
		c := d.dial()
		c.say("EHLO client.test")
		c.want("250")
		return c, c.signIn(mech, name, password)
	}
	for _, mech := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"} {
		c, said := signIn(mech, "anna@example.test", annasPassword)
		if !strings.HasPrefix(said, "235") {
			t.Fatalf("%s: %q", mech, said)
		}
		c.say("MAIL FROM:<anna@example.test>", "RCPT TO:<otto@example.test>", "DATA")
		c.want("250", "250", "354")
		c.send("From: anna@example.test\r\nBcc: otto@example.test\r\n\r\nx\r\n.\r\n")
		c.want("250")
		c.say("MAIL FROM:<otto@example.test>")
		c.want("553 5.7.1")
	}
	if _, said := signIn("SCRAM-SHA-256", "anna@example.test", "wrong"); !strings.HasPrefix(said, "535 5.7.8") {
		t.Errorf("a wrong password: %q", said)
	}
	got := h.inbox(t, "otto@example.test")
	if len(got) != 4 || strings.Contains(got[0], "Bcc") || !strings.Contains(got[0], "\r\nMessage-ID: <") || !strings.Contains(got[0], " with ESMTPSA id ") {
		t.Errorf("otto has %q", got)
	}

	c, _ := signIn("PLAIN", "anna@example.test", annasPassword)
	must(t, h.anna.Update(func(p *store.Profile) error { p.Disabled = true; return nil }))
	c.want("421 4.7.0")
	c.wantEnd()
}

// signIn says AUTH with all that follows, and returns the last reply.
func (c *client) signIn(mech, name, password string) string {
	c.t.Helper()
	answer := func(text string) string { c.say(b64(text)); return c.reply() }
	switch mech {
	case "PLAIN":
		c.say("AUTH PLAIN " + b64("\x00"+name+"\x00"+password))
		return c.reply()
	case "LOGIN":
		c.say("AUTH LOGIN")
		c.want("334")
		answer(name)
		return answer(password)
	}
	cl, err := scram.SHA256.NewClient(name, password, "")
	must(c.t, err)
	conv := cl.NewConversation()
	if strings.HasSuffix(mech, "-PLUS") {
		state := c.nc.(*tls.Conn).ConnectionState()
		binding, err := scram.NewTLSExporterBinding(&state)
		must(c.t, err)
		conv = cl.NewConversationWithChannelBinding(binding)
	}
	first, err := conv.Step("")
	must(c.t, err)
	c.say("AUTH " + mech + " " + b64(first))
	for {
		said := c.reply()
		challenge, ok := strings.CutPrefix(said, "334 ")
		if !ok {
			return said
		}
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
		must(c.t, err)
		response, err := conv.Step(string(b))
		must(c.t, err)
		c.say(b64(response))
	}
}

// device is a machine of anna's.
func (h *house) device(t *testing.T, name, address, from string) lan.Device {
	t.Helper()
	p, zone, err := lan.ParseAddress(address)
	must(t, err)
	return lan.Device{Name: name, Address: p, Zone: zone, Account: h.anna.ID, From: from}
}

// TestTold is told why mail was refused, in a word, and what was stored by whom.
func TestTold(t *testing.T) {
	var told []Refusal
	var mu sync.Mutex
	_, d := newHouse(t, Options{Kind: MX, Told: func(r Refusal) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, r)
	}})
	c := d.ready()
	c.say("MAIL FROM:<x@far.test>", "RCPT TO:<nobody@example.test>", "RCPT TO:<x@elsewhere.test>", "RCPT TO:<anna@example.test>", "DATA")
	c.want("250", "550", "550", "250", "354")
	c.send("Delivered-To: anna@example.test\r\n" + letter + ".\r\n")
	c.want("550 5.4.6")
	mu.Lock()
	defer mu.Unlock()
	var got []string
	for _, r := range told {
		got = append(got, fmt.Sprint(r.Reason, " ", r.From, " ", r.To, " ", r.Reply.Enhanced, " ", r.ID != "", " ", r.Remote))
	}
	want := "unknown x@far.test [nobody@example.test] 5.1.1 true 127.0.0.1; " +
		"not-ours x@far.test [x@elsewhere.test] 5.7.1 true 127.0.0.1; loop x@far.test [anna@example.test] 5.4.6 true 127.0.0.1"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("told %s", s)
	}
}
