package imapd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/imapd/wire"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

const (
	anna     = "anna@example.test"
	password = "01234-56789-abcde-fghjk-mnpqrs"
)

// A house is a server with one account, on two ports of loopback.
type house struct {
	t           testing.TB
	store       *store.Store
	check       *signin.Checker
	acct        *store.Account
	plain, tls  string // addresses
	certificate *x509.Certificate
	stop, close func()
}

func newHouse(t testing.TB) *house { return newHouseWith(t, Options{}) }

func newHouseWith(t testing.TB, o Options) *house { return newHouseAt(t, t.TempDir(), o) }

func newHouseAt(t testing.TB, dir string, o Options) *house {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(dir, store.Options{Log: log, Reserve: 1 << 20})
	must(t, err)
	h := &house{t: t, store: s, check: signin.New(s, signin.Options{Log: log, FailDelay: -1})}
	if h.acct, err = s.Account(anna); err != nil {
		must(t, s.AddDomain("example.test"))
		h.acct, err = s.AddAccount(store.Profile{Address: anna, KeepDays: -1})
	}
	must(t, err)
	must(t, h.acct.Update(func(p *store.Profile) error {
		d, err := signin.NewDevice(*p, "phone", password)
		p.Devices = append(p.Devices, d)
		return err
	}))

	cert := certificate(t)
	h.certificate = cert.Leaf
	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	o.Store, o.SignIn, o.TLS, o.Log, o.Host = s, h.check, conf, log, "mail.example.test"
	server := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	plain, secure := listen(t), listen(t)
	h.plain, h.tls = plain.Addr().String(), secure.Addr().String()
	go func() { ended <- server.Serve(ctx, plain) }()
	go func() { ended <- server.Serve(ctx, tls.NewListener(secure, conf)) }()
	go func() { ended <- h.check.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Errorf("a server ended with %v", err)
			}
		}
	})
	h.close = sync.OnceFunc(func() {
		h.stop()
		storetest.Verify(t, s)
		must(t, s.Close())
	})
	t.Cleanup(h.close)
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func listen(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return l
}

func certificate(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"mail.example.test", "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (h *house) clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(h.certificate)
	return &tls.Config{RootCAs: roots, ServerName: "mail.example.test"}
}

// deliver puts a message into a mailbox behind the server's back.
func (h *house) deliver(mailbox, text string) mail.UID {
	h.t.Helper()
	box, err := h.acct.Mailbox(mailbox)
	must(h.t, err)
	sp := h.store.NewSpool()
	defer sp.Discard()
	_, err = io.WriteString(sp, text)
	must(h.t, err)
	placed, err := h.store.Deliver(sp, []store.Delivery{{Account: h.acct.ID, Mailbox: box.ID}})
	must(h.t, err)
	return placed[0].UID
}

// A client speaks raw IMAP.
type client struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
	n int
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(8 * time.Second))
	return &client{t: t, c: c, r: bufio.NewReader(c)}
}

// dial connects with TLS and reads the greeting.
func (h *house) dial() *client {
	h.t.Helper()
	conn, err := tls.Dial("tcp", h.tls, h.clientTLS())
	must(h.t, err)
	c := newClient(h.t, conn)
	if g := c.line(); !strings.HasPrefix(g, "* OK ") {
		h.t.Fatalf("greeting %q", g)
	}
	return c
}

// login connects and signs in.
func (h *house) login() *client {
	h.t.Helper()
	c := h.dial()
	c.ok("LOGIN " + anna + " " + password)
	return c
}

// open connects, signs in and selects a mailbox.
func (h *house) open(mailbox string) *client {
	h.t.Helper()
	c := h.login()
	c.ok("SELECT " + mailbox)
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.c, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// line reads a response with the literals in it, CRLF after their sizes.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v (so far %q)", err, s)
	}
	return s
}

func (c *client) read() (string, error) {
	var all strings.Builder
	for {
		s, err := c.r.ReadString('\n')
		all.WriteString(s)
		if err != nil {
			return all.String(), err
		}
		n, _, ok := wire.LiteralAt([]byte(s))
		if !ok {
			return strings.TrimSuffix(all.String(), "\r\n"), nil
		}
		if _, err := io.CopyN(&all, c.r, n); err != nil {
			return all.String(), err
		}
	}
}

// cmd runs a command and returns the untagged responses and the tagged one
// without its tag.
func (c *client) cmd(text string) (untagged []string, status string) {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	c.send(tag + " " + text + "\r\n")
	return c.until(tag)
}

func (c *client) until(tag string) (untagged []string, status string) {
	c.t.Helper()
	for {
		s := c.line()
		if rest, ok := strings.CutPrefix(s, tag+" "); ok {
			return untagged, rest
		}
		untagged = append(untagged, s)
	}
}

func (c *client) ok(text string) []string {
	c.t.Helper()
	untagged, status := c.cmd(text)
	if !strings.HasPrefix(status, "OK") {
		c.t.Fatalf("%s: %s", text, status)
	}
	return untagged
}

// fails runs a command that must be answered with the given status.
func (c *client) fails(text, status string) {
	c.t.Helper()
	if _, got := c.cmd(text); !strings.HasPrefix(got, status) {
		c.t.Errorf("%s: %q, want %q", text, got, status)
	}
}

// appendTo appends a message and returns the tagged response.
func (c *client) appendTo(mailbox, args, text string) string {
	c.t.Helper()
	if args != "" {
		args += " "
	}
	_, status := c.cmd(fmt.Sprintf("APPEND %s %s{%d+}\r\n%s", mailbox, args, len(text), text))
	return status
}

// want checks that some response is as given.
func (c *client) want(responses []string, want ...string) {
	c.t.Helper()
	for _, w := range want {
		found := false
		for _, r := range responses {
			found = found || r == w
		}
		if !found {
			c.t.Errorf("no %q in %q", w, responses)
		}
	}
}

// exactly checks all responses.
func (c *client) exactly(responses []string, want ...string) {
	c.t.Helper()
	if fmt.Sprintf("%q", responses) != fmt.Sprintf("%q", want) {
		c.t.Errorf("got  %q\nwant %q", responses, want)
	}
}

// body fetches one section and returns its bytes.
func (c *client) body(num int, section string) string {
	c.t.Helper()
	for _, r := range c.ok(fmt.Sprintf("FETCH %d (BODY.PEEK%s)", num, section)) {
		if i := strings.Index(r, "}\r\n"); i > 0 && strings.HasSuffix(r, ")") {
			return r[i+3 : len(r)-1]
		}
	}
	c.t.Fatalf("no section %s", section)
	return ""
}

// closed checks that the server ends the connection, and returns what it said.
func (c *client) closed() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Errorf("the connection is still open; got %.300q", rest)
	}
	return string(rest)
}
