package smtpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/mail"
	"homemail/mail/message"
	"homemail/signin"
)

// A directory is a Directory with the accounts anna, otto and postmaster in
// example.test, and some that are in a state.
type directory struct {
	mu       sync.Mutex
	messages []stored
	lost     []string // ids of unconfirmed messages
	open     int      // transactions neither committed nor discarded
	outside  bool     // who signed in may write to the outside
	room     error
	commit   error
	hold     chan struct{} // if not nil, Commit waits for it
}

type stored struct {
	env   mail.Envelope
	trace mail.Trace
	data  string
}

func (d *directory) Room(int64) error { return d.room }

func (d *directory) Owns(a mail.AccountID, p mail.Path) bool {
	base, _ := p.Key().Detail("+")
	return a == 1 && base == "anna@example.test" || a == 1 && p.Domain() == "all.example.test"
}

func (d *directory) Begin(_ mail.Path, by mail.AccountID) Transaction {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	return &fakeTransaction{d: d, by: by, parser: message.NewParser()}
}

// got returns the messages stored so far.
func (d *directory) got() []stored {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.messages)
}

type fakeTransaction struct {
	d         *directory
	by        mail.AccountID
	b         bytes.Buffer
	parser    *message.Parser
	structure *message.Structure
	id        string
	over      bool
}

func (t *fakeTransaction) Rcpt(p mail.Path, size int64) error {
	if strings.EqualFold(string(p), "postmaster") {
		return nil
	}
	if p.Domain() != "example.test" && t.by != 0 && t.d.outside {
		return nil
	}
	if p.Domain() != "example.test" {
		return fmt.Errorf("%s: %w", p, mail.ErrNotLocal)
	}
	base, _ := p.Key().Detail("+")
	switch base.Local() {
	case "anna", "otto", "postmaster", "jürgen":
		return nil
	case "full":
		return mail.ErrMailboxFull
	case "disabled":
		return mail.ErrDisabled
	case "broken":
		return errors.New("disk on fire")
	}
	return mail.ErrUnknownRecipient
}

func (t *fakeTransaction) Write(p []byte) (int, error) {
	t.parser.Write(p)
	return t.b.Write(p)
}

func (t *fakeTransaction) Structure() *message.Structure {
	if t.structure == nil {
		t.structure = t.parser.Structure()
	}
	return t.structure
}

func (t *fakeTransaction) Commit(e mail.Envelope, tr mail.Trace) (string, error) {
	if t.d.hold != nil {
		<-t.d.hold
	}
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if t.d.commit != nil {
		return "", t.d.commit
	}
	t.id = tr.ID
	t.d.messages = append(t.d.messages, stored{e, tr, t.b.String()})
	return t.id, nil
}

func (t *fakeTransaction) Unconfirmed() {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	t.d.lost = append(t.d.lost, t.id)
}

func (t *fakeTransaction) Discard() {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if !t.over {
		t.over = true
		t.d.open--
	}
}

// users lets anna in with the password "right".
type users struct {
	mu   sync.Mutex
	done chan struct{}
	open int
	err  error
}

func (u *users) Mechanisms(bool) []string { return []string{"PLAIN", "LOGIN"} }

func (u *users) SASL(_ context.Context, at signin.Attempt, mech string) (Exchange, error) {
	if at.TLS == nil || at.Protocol != "smtp" {
		return nil, errors.New("an attempt without TLS")
	}
	if u.err != nil {
		return nil, u.err
	}
	if mech != "PLAIN" && mech != "LOGIN" {
		return nil, signin.ErrMechanism
	}
	return &fakeExchange{u: u, login: mech == "LOGIN"}, nil
}

type fakeExchange struct {
	u     *users
	login bool
	said  []string
}

func (x *fakeExchange) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return nil, false, nil
	}
	x.said = append(x.said, string(response))
	if x.login && len(x.said) < 2 {
		return []byte("Password:"), false, nil
	}
	said := strings.Join(x.said, "\x00")
	if said != "\x00anna@example.test\x00right" && said != "anna@example.test\x00right" {
		return nil, false, signin.ErrDenied
	}
	return nil, true, nil
}

func (x *fakeExchange) Login() Login {
	x.u.mu.Lock()
	defer x.u.mu.Unlock()
	x.u.open++
	return Login{Account: 1, Address: "anna@example.test", Done: x.u.done, Close: func() {
		x.u.mu.Lock()
		defer x.u.mu.Unlock()
		x.u.open--
	}}
}

// A door is a running server.
type door struct {
	t    *testing.T
	s    *Server
	dir  *directory
	u    *users
	addr string
	stop func() // and wait
}

// open starts a door on loopback, stopped at the end of the test.
func open(t *testing.T, o Options) *door {
	t.Helper()
	d := newDoor(t, o)
	d.listen()
	return d
}

// listen serves on loopback.
func (d *door) listen() {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(d.t, err)
	d.addr = l.Addr().String()
	d.serve(l)
}

func newDoor(t *testing.T, o Options) *door {
	d := &door{t: t, dir: &directory{}, u: &users{done: make(chan struct{})}}
	o.Host, o.Directory, o.Users = "mx.example.test", d.dir, d.u
	o.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	if o.TLS == nil {
		o.TLS = serverTLS()
	}
	d.s = New(o)
	return d
}

func (d *door) serve(l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.s.Serve(ctx, l) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("Serve: %v", err)
		}
		if d.dir.open != 0 {
			d.t.Errorf("%d transactions were never discarded", d.dir.open)
		}
		if d.u.open != 0 {
			d.t.Errorf("%d logins were never closed", d.u.open)
		}
	})
	d.t.Cleanup(d.stop)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// A pipeListener is a net.Listener in memory, for tests in a bubble of time.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

func (l *pipeListener) dial() net.Conn {
	here, there := net.Pipe()
	l.conns <- there
	return here
}

// A script is a net.Conn whose client says all it has to say at once.
type script struct {
	in     *bytes.Reader
	out    bytes.Buffer
	remote net.IP // 192.0.2.1 if nil
}

func (s *script) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *script) Close() error                { return nil }
func (s *script) LocalAddr() net.Addr         { return &net.TCPAddr{} }

func (s *script) RemoteAddr() net.Addr {
	if s.remote == nil {
		return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}
	}
	return &net.TCPAddr{IP: s.remote, Port: 9}
}

func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// play has a server answer a script, and returns what it said.
func play(s *Server, in string) string {
	nc := &script{in: bytes.NewReader([]byte(in))}
	s.serve(context.Background(), newConn(s, nc))
	return nc.out.String()
}

// playFrom is play for a client at an address.
func playFrom(s *Server, remote, in string) string {
	nc := &script{in: bytes.NewReader([]byte(in)), remote: net.ParseIP(remote)}
	s.serve(context.Background(), newConn(s, nc))
	return nc.out.String()
}

// quiet returns a door for scripts.
func quiet(kind Kind) (*Server, *directory) {
	d := &directory{}
	return New(Options{Kind: kind, Host: "mx.example.test", Directory: d, UnknownPerHour: -1,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}), d
}
