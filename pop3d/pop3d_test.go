package pop3d

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

const password = "01234-56789-abcde-fghjk-mnpqrs"

// A house is a store with anna and bert, and the doors that they come by.
type house struct {
	t             testing.TB
	store         *store.Store
	server        *Server
	check         *signin.Checker
	plain, secure string // addresses of the two doors
	stop          func() // and wait
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newHouse(t testing.TB, change ...func(*Options)) *house {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s := storetest.Open(t, t.TempDir(), quiet)
	must(t, s.AddDomain("example.test"))
	for _, address := range []mail.Path{"anna@example.test", "bert@example.test"} {
		a, err := s.AddAccount(store.Profile{Address: address, KeepDays: -1})
		must(t, err)
		must(t, a.Update(func(p *store.Profile) error {
			d, err := signin.NewDevice(*p, "phone", password)
			p.Devices = append(p.Devices, d)
			return err
		}))
	}
	check := signin.New(s, signin.Options{Log: quiet, FailDelay: -1})
	o := Options{Host: "mail.example.test", SignIn: check, TLS: &tls.Config{Certificates: []tls.Certificate{certificate(t)}}, Log: quiet}
	for _, f := range change {
		f(&o)
	}
	h := &house{t: t, store: s, server: New(o), check: check}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	go func() { ended <- check.Run(ctx) }()
	door := func(implicit bool) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		go func() { ended <- h.server.Serve(ctx, l, implicit) }()
		return l.Addr().String()
	}
	h.plain = door(false)
	doors := 2
	if o.TLS != nil {
		h.secure = door(true)
		doors++
	}
	stopped := false
	h.stop = func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		for range doors {
			must(t, <-ended)
		}
	}
	t.Cleanup(h.stop)
	return h
}

func certificate(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (h *house) account(address mail.Path) *store.Account {
	h.t.Helper()
	a, err := h.store.Account(address)
	must(h.t, err)
	return a
}

// deliver puts messages into anna's INBOX.
func (h *house) deliver(date time.Time, messages ...string) {
	h.t.Helper()
	a := h.account("anna@example.test")
	inbox, err := a.Mailbox("INBOX")
	must(h.t, err)
	for _, m := range messages {
		sp := h.store.NewSpool()
		_, err := io.WriteString(sp, m)
		must(h.t, err)
		_, err = h.store.Deliver(sp, []store.Delivery{{Account: a.ID, Mailbox: inbox.ID, Prefix: []byte("Return-Path: <>\r\n"), Date: date}})
		must(h.t, err)
		sp.Discard()
	}
}

func (h *house) entries() []store.Entry {
	h.t.Helper()
	a := h.account("anna@example.test")
	inbox, err := a.Mailbox("INBOX")
	must(h.t, err)
	list, err := a.Entries(inbox.ID)
	must(h.t, err)
	return list
}

// A client speaks POP3, and fails the test where the server does not.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func dial(t testing.TB, addr string, secure bool) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := &client{t: t, conn: conn}
	if secure {
		c.conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	c.r = bufio.NewReader(c.conn)
	return c
}

// connect is dial and reads the greeting.
func (h *house) connect(secure bool) *client {
	h.t.Helper()
	addr := h.plain
	if secure {
		addr = h.secure
	}
	c := dial(h.t, addr, secure)
	c.want("+OK mail.example.test POP3 ready")
	return c
}

// signIn is connect and signs in as anna.
func (h *house) signIn() *client {
	h.t.Helper()
	c := h.connect(true)
	c.ask("USER anna@example.test", "+OK")
	c.ask("PASS "+password, "+OK")
	return c
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.conn, format, args...)
	must(c.t, err)
}

func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", s, err)
	}
	if !strings.HasSuffix(s, "\r\n") {
		c.t.Fatalf("%q does not end in CRLF", s)
	}
	return strings.TrimSuffix(s, "\r\n")
}

// want reads a line that begins so, and returns it.
func (c *client) want(prefix string) string {
	c.t.Helper()
	s := c.line()
	if !strings.HasPrefix(s, prefix) {
		c.t.Fatalf("%q, want %q", s, prefix)
	}
	return s
}

func (c *client) ask(command, prefix string) string {
	c.t.Helper()
	c.send("%s\r\n", command)
	return c.want(prefix)
}

// text reads a multi-line reply after its first line.
func (c *client) text() string {
	c.t.Helper()
	var b strings.Builder
	for s := c.line(); s != "."; s = c.line() {
		b.WriteString(strings.TrimPrefix(s, ".") + "\r\n")
	}
	return b.String()
}

func (c *client) askText(command string) string {
	c.t.Helper()
	c.ask(command, "+OK")
	return c.text()
}

func (c *client) wantEnd() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("%q after the end", b)
	}
}

func (c *client) startTLS() {
	c.t.Helper()
	t := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	must(c.t, t.Handshake())
	c.conn, c.r = t, bufio.NewReader(t)
}

func TestSession(t *testing.T) {
	h := newHouse(t)
	h.deliver(time.Time{}, "Subject: one\r\n\r\nfirst\r\n.dot\r\n..\r\n", "Subject: two\r\n\r\n1\r\n2\r\n3\r\n", "no header at all", "")
	c := h.signIn()
	sizes := []int{17 + 33, 17 + 25, 17 + 16, 17}
	total := 0
	list := ""
	for i, n := range sizes {
		total += n
		list += fmt.Sprintf("%d %d\r\n", i+1, n)
	}
	c.ask("STAT", fmt.Sprintf("+OK 4 %d", total))
	if got := c.askText("LIST"); got != list {
		t.Errorf("LIST: %q, want %q", got, list)
	}
	c.ask("list 2", "+OK 2 42")
	uidl := strings.Split(c.askText("UIDL"), "\r\n")
	if got := c.ask("UIDL 3", "+OK 3 "); got != "+OK "+uidl[2] {
		t.Errorf("%q, %q", got, uidl)
	}
	if got, want := c.askText("RETR 1"), "Return-Path: <>\r\nSubject: one\r\n\r\nfirst\r\n.dot\r\n..\r\n"; got != want {
		t.Errorf("RETR: %q", got)
	}
	if got, want := c.askText("RETR 3"), "Return-Path: <>\r\nno header at all\r\n"; got != want {
		t.Errorf("RETR: %q", got)
	}
	if got, want := c.askText("TOP 2 2"), "Return-Path: <>\r\nSubject: two\r\n\r\n1\r\n2\r\n"; got != want {
		t.Errorf("TOP: %q", got)
	}
	if got, want := c.askText("TOP 2 0"), "Return-Path: <>\r\nSubject: two\r\n\r\n"; got != want {
		t.Errorf("TOP: %q", got)
	}
	c.ask("DELE 1", "+OK")
	for _, command := range []string{"DELE 1", "RETR 1", "LIST 1", "UIDL 1", "TOP 1 1", "RETR 5", "RETR 0", "RETR -1", "RETR x", "RETR 99999999999", "RETR", "TOP 2", "TOP 2 -1", "USER x", "AUTH PLAIN", "STLS", "APOP a b", "", "\x00"} {
		c.ask(command, "-ERR ")
	}
	c.ask("STAT", fmt.Sprintf("+OK 3 %d", total-sizes[0]))
	c.ask("RSET", "+OK")
	c.ask("STAT", "+OK 4")
	c.ask("NOOP", "+OK")
	c.ask("DELE 2", "+OK")
	if got := c.askText("UIDL"); strings.Contains(got, "2 ") && strings.Contains(got, uidl[1]) {
		t.Errorf("deleted, and listed: %q", got)
	}
	c.ask("QUIT", "+OK")
	c.wantEnd()

	c = h.signIn() // the ids stay
	if got := strings.Split(c.askText("UIDL"), "\r\n"); len(got) != 4 || got[0] != uidl[0] || got[1][1:] != uidl[2][1:] {
		t.Errorf("%q, before %q", got, uidl)
	}
	if s := h.server.Stats(); s.Deleted.Load() != 1 || s.Retrieved.Load() != 2 || s.Sessions.Load() != 2 {
		t.Errorf("%+v", s)
	}
}

func TestDropDeletesNothing(t *testing.T) {
	h := newHouse(t)
	h.deliver(time.Time{}, "a\r\n", "b\r\n")
	c := h.signIn()
	c.ask("DELE 1", "+OK")
	c.ask("DELE 2", "+OK")
	c.conn.Close()
	h.signIn().ask("STAT", "+OK 2 ") // and the lock is free again
	if n := len(h.entries()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// QUIT deletes all in one commit: one change of the mailbox is seen, not two.
func TestQuitIsOneCommit(t *testing.T) {
	h := newHouse(t)
	h.deliver(time.Time{}, "a\r\n", "b\r\n", "c\r\n")
	a := h.account("anna@example.test")
	inbox, err := a.Mailbox("INBOX")
	must(t, err)
	c := h.signIn()
	c.ask("DELE 1", "+OK")
	c.ask("DELE 3", "+OK")
	w := a.Watch(inbox.ID)
	defer w.Close()
	seen := make(chan int, 10)
	go func() {
		<-w.C
		list, _ := a.Entries(inbox.ID)
		seen <- len(list)
	}()
	c.ask("QUIT", "+OK")
	if n := <-seen; n != 1 {
		t.Errorf("%d messages after the first change", n)
	}
}

func TestQuitFails(t *testing.T) {
	h := newHouse(t)
	h.deliver(time.Time{}, "a\r\n")
	c := h.signIn()
	c.ask("DELE 1", "+OK")
	must(t, h.store.RemoveAccount("anna@example.test"))
	// Either the session was ended already or its deletions fail: never +OK.
	c.send("QUIT\r\n")
	c.want("-ERR [SYS/")
	c.wantEnd()
}

func TestLock(t *testing.T) {
	h := newHouse(t)
	first := h.signIn()
	second := h.connect(true)
	second.ask("USER anna", "+OK")
	second.ask("PASS "+password, "-ERR [IN-USE]")
	second.ask("USER bert", "+OK")
	second.ask("PASS "+password, "+OK")
	first.ask("QUIT", "+OK")
	first.wantEnd()
	h.signIn()
}

func TestLoginDelay(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.LoginDelay = time.Hour })
	c := h.signIn()
	if caps := c.askText("CAPA"); !strings.Contains(caps, "LOGIN-DELAY 3600\r\n") {
		t.Error(caps)
	}
	c.ask("QUIT", "+OK")
	c.wantEnd()
	c = h.connect(true)
	c.ask("USER anna", "+OK")
	c.ask("PASS "+password, "-ERR [LOGIN-DELAY]")
}

func TestNoPasswordWithoutTLS(t *testing.T) {
	h := newHouse(t)
	c := h.connect(false)
	caps := c.askText("CAPA")
	if strings.Contains(caps, "USER\r\nSASL") || strings.Contains(caps, "SASL") || !strings.Contains(caps, "STLS\r\n") {
		t.Errorf("%q", caps)
	}
	for _, command := range []string{"USER anna", "PASS " + password, "AUTH PLAIN " + plain("anna", password), "AUTH PLAIN", "AUTH LOGIN", "AUTH"} {
		c.ask(command, "-ERR [SYS/PERM]")
	}
	c.ask("STAT", "-ERR")
	if n := h.check.Stats().Succeeded.Load() + h.check.Stats().Failed.Load(); n != 0 {
		t.Error("a password was looked at")
	}
}

func TestSTLS(t *testing.T) {
	h := newHouse(t)
	c := h.connect(false)
	c.ask("STLS x", "-ERR")
	c.ask("STLS", "+OK")
	c.startTLS()
	caps := c.askText("CAPA")
	if strings.Contains(caps, "STLS") || !strings.Contains(caps, "SASL PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n") {
		t.Errorf("%q", caps)
	}
	c.ask("STLS", "-ERR")
	c.ask("USER anna", "+OK")
	c.ask("PASS "+password, "+OK")

	c = h.connect(false)
	c.ask("UTF8", "+OK")
	c.ask("STLS", "-ERR")

	h = newHouse(t, func(o *Options) { o.TLS = nil })
	c = h.connect(false)
	c.ask("STLS", "-ERR")
	if caps := c.askText("CAPA"); strings.Contains(caps, "STLS") {
		t.Error(caps)
	}
}

// What somebody in between puts after STLS in the clear is not answered
// inside TLS, CVE-2011-0411.
func TestSTLSInjection(t *testing.T) {
	h := newHouse(t)
	c := h.connect(false)
	c.send("STLS\r\nCAPA\r\nNOOP\r\nUSER mallory\r\n")
	c.want("+OK begin TLS")
	c.startTLS()
	c.ask("PASS x", "-ERR USER comes first") // and not a reply to what was injected
}

func plain(name, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password))
}
