package bridge

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

const (
	serverName = "mail.provider.test"
	user       = "anna@provider.test"
	secret     = "correct horse \" battery"
)

// certificate is what servers in tests show, and who vouches for it.
var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})

func serverTLS() *tls.Config {
	c, _ := certificate()
	return &tls.Config{Certificates: []tls.Certificate{c}}
}

// house is a store with one person, and a bridge into it.
type house struct {
	t   *testing.T
	s   *store.Store
	b   *Bridge
	who *store.Account
	id  string // of the account elsewhere
}

// options are those of a bridge in tests; the server is reached at address.
func options(address func() string) Options {
	_, pool := certificate()
	return Options{
		Log: slog.New(slog.DiscardHandler), Roots: pool, Poll: 20 * time.Millisecond, Stall: 2 * time.Second,
		Waits: []time.Duration{10 * time.Millisecond},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address())
		},
	}
}

func newHouse(t *testing.T, o Options) *house {
	t.Helper()
	s := storetest.Open(t, t.TempDir(), nil)
	if err := s.AddDomain("home.test"); err != nil {
		t.Fatal(err)
	}
	who, err := s.AddAccount(store.Profile{Address: "anna@home.test"})
	if err != nil {
		t.Fatal(err)
	}
	return &house{t: t, s: s, b: New(s, o), who: who}
}

// add adds an account elsewhere.
func (h *house) add(a Account) {
	h.t.Helper()
	id, err := h.b.Add(h.fill(a), secret)
	if err != nil {
		h.t.Fatal(err)
	}
	h.id = id
}

func (h *house) fill(a Account) Account {
	a.Into, a.Host, a.User = h.who.ID, serverName, user
	if a.Address == "" {
		a.Address = user
	}
	if a.TLS == "" {
		a.TLS = Implicit
	}
	return a
}

// run runs the bridge until until says so.
func (h *house) run(until func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.b.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	}()
	for range 1000 {
		if until() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	st, _ := h.b.Statuses()
	h.t.Fatalf("it did not happen; %+v", st)
}

func (h *house) status() Status {
	h.t.Helper()
	list, err := h.b.Statuses()
	if err != nil || len(list) != 1 {
		h.t.Fatal(list, err)
	}
	return list[0]
}

// visited runs the bridge for one visit that did all it could.
func (h *house) visited() {
	h.t.Helper()
	before := h.status().LastVisit
	h.run(func() bool { return h.status().LastVisit.After(before) })
}

// got is a message as it was filed.
type got struct {
	body  string
	flags mail.Flags
	words string
	date  time.Time
}

func (h *house) mailbox(name string) (list []got) {
	h.t.Helper()
	m, err := h.who.Mailbox(name)
	if err != nil {
		h.t.Fatal(err)
	}
	entries, err := h.who.Entries(m.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		m, err := h.who.Message(m.ID, e.UID)
		if err != nil {
			h.t.Fatal(err)
		}
		b, err := io.ReadAll(h.who.Body(m))
		if err != nil {
			h.t.Fatal(err)
		}
		list = append(list, got{string(b), e.Flags, strings.Join(e.Keywords, " "), m.Date})
	}
	return list
}

// want fails the test unless the inbox has exactly these messages.
func (h *house) want(bodies ...string) {
	h.t.Helper()
	count := map[string]int{}
	for _, g := range h.mailbox("INBOX") {
		count[g.body]++
	}
	for _, b := range bodies {
		count[b]--
	}
	for b, n := range count {
		if n != 0 {
			h.t.Errorf("%+d of %.60q", n, b)
		}
	}
}

func sample(n int) string {
	return fmt.Sprintf("From: bert@example.test\r\nTo: %s\r\nSubject: number %d\r\nMessage-ID: <%d@example.test>\r\n\r\nHello, this is %d.\r\n.\r\n..two dots\r\n", user, n, n, n)
}

func samples(from, to int) (list []string) {
	for n := from; n < to; n++ {
		list = append(list, sample(n))
	}
	return list
}

// listen serves connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer context.AfterFunc(ctx, func() { c.Close() })()
				defer c.Close()
				serve(c)
			})
		}
	})
	return l.Addr().String()
}

// A popServer is a POP3 server with a maildrop.
type popServer struct {
	mu       sync.Mutex
	messages []popMessage
	starttls bool
	noUIDL   bool
	noCapa   bool
	cut      func(command string) bool // close the connection instead of an answer
	answer   func(command string) string
	logins   int
}

type popMessage struct{ id, body string }

func (p *popServer) put(id, body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages = append(p.messages, popMessage{id, body})
}

func (p *popServer) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.messages)
}

func (p *popServer) serve(c net.Conn) {
	if !p.starttls {
		c = tls.Server(c, serverTLS())
	}
	p.mu.Lock()
	drop := append([]popMessage{}, p.messages...)
	p.mu.Unlock()
	deleted := map[int]bool{}
	r := bufio.NewReader(c)
	fmt.Fprint(c, "+OK hello\r\n")
	secure := !p.starttls
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		if p.cut != nil && p.cut(line) {
			return
		}
		if p.answer != nil {
			if s := p.answer(line); s != "" {
				io.WriteString(c, s)
				continue
			}
		}
		verb, arg, _ := strings.Cut(line, " ")
		if verb == "STLS" && p.starttls && !secure {
			fmt.Fprint(c, "+OK\r\n")
			c = tls.Server(c, serverTLS())
			r, secure = bufio.NewReader(c), true
			continue
		}
		if verb == "QUIT" {
			p.expunge(drop, deleted)
			fmt.Fprint(c, "+OK bye\r\n")
			return
		}
		io.WriteString(c, p.reply(verb, arg, drop, deleted, secure))
	}
}

func (p *popServer) reply(verb, arg string, drop []popMessage, deleted map[int]bool, secure bool) string {
	n, _ := strconv.Atoi(arg)
	var b strings.Builder
	switch {
	case verb == "CAPA" && !p.noCapa:
		return "+OK\r\nUSER\r\nUIDL\r\nSASL PLAIN LOGIN\r\n.\r\n"
	case verb == "AUTH":
		raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(arg, "PLAIN "))
		if !secure || string(raw) != "\x00"+user+"\x00"+secret {
			return "-ERR [AUTH] no\r\n"
		}
		p.mu.Lock()
		p.logins++
		p.mu.Unlock()
		return "+OK\r\n"
	case verb == "USER" && secure && p.noCapa && arg == user, verb == "PASS" && arg == secret:
		return "+OK\r\n"
	case verb == "UIDL" && !p.noUIDL:
		for i, m := range drop {
			fmt.Fprintf(&b, "%d %s\r\n", i+1, m.id)
		}
		return "+OK\r\n" + b.String() + ".\r\n"
	case verb == "LIST":
		for i, m := range drop {
			fmt.Fprintf(&b, "%d %d\r\n", i+1, len(m.body))
		}
		return "+OK\r\n" + b.String() + ".\r\n"
	case verb == "RETR" && n > 0 && n <= len(drop):
		return "+OK\r\n" + stuff(drop[n-1].body) + ".\r\n"
	case verb == "DELE" && n > 0 && n <= len(drop):
		deleted[n-1] = true
		return "+OK\r\n"
	}
	return "-ERR what\r\n"
}

func (p *popServer) expunge(drop []popMessage, deleted map[int]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range deleted {
		for j, m := range p.messages {
			if m == drop[i] {
				p.messages = append(p.messages[:j], p.messages[j+1:]...)
				break
			}
		}
	}
}

// stuff doubles dots at the start of lines, RFC 1939 §3.
func stuff(body string) string {
	lines := strings.SplitAfter(body, "\r\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") {
			lines[i] = "." + l
		}
	}
	s := strings.Join(lines, "")
	if !strings.HasSuffix(s, "\r\n") {
		s += "\r\n"
	}
	return s
}
