package listen

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, d Door) *Listener {
	t.Helper()
	d.Addr = "127.0.0.1:0"
	ls, err := Bind(context.Background(), []Door{d}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ls[0].Close() })
	return ls[0]
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

// accept hands over what the listener lets in.
func accept(l net.Listener) <-chan net.Conn {
	in := make(chan net.Conn)
	go func() {
		defer close(in)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in <- c
		}
	}()
	return in
}

func TestTurnedAwayWithALine(t *testing.T) {
	const line = "421 4.7.0 Too many connections from your address\r\n"
	gate := NewGate(Limits{PerIP: 1})
	l := open(t, Door{Name: "smtp", Refusal: line, Gate: gate})
	in := accept(l)

	dial(t, l)
	first := <-in
	second := dial(t, l)
	io.WriteString(second, "EHLO too early\r\n") // unread input must not eat the line
	if got, err := io.ReadAll(second); string(got) != line || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	first.Close()
	first.Close() // counted out once
	if c := gate.Counts(); c.Open != 0 || c.Accepted != 1 || c.Refused[TooManyFromIP] != 1 {
		t.Errorf("got %+v", c)
	}
	dial(t, l)
	<-in
}

// TestGoodbyesDoNotHoldUpAccept leaves more turned-away clients hanging than
// there are places for goodbyes.
func TestGoodbyesDoNotHoldUpAccept(t *testing.T) {
	gate := NewGate(Limits{PerIP: 1})
	l := open(t, Door{Refusal: "* BYE\r\n", Gate: gate})
	in := accept(l)
	dial(t, l)
	first := <-in
	start := time.Now()
	for range 2 * maxRefusals {
		dial(t, l) // and never closes nor reads
	}
	for gate.Counts().Refused[TooManyFromIP] < 2*maxRefusals {
		time.Sleep(time.Millisecond)
	}
	first.Close()
	dial(t, l)
	<-in
	if took := time.Since(start); took > refusalTime {
		t.Errorf("took %v; want less than one goodbye", took)
	}
}

func TestPrivateOnly(t *testing.T) {
	gate := NewGate(Limits{})
	inner := &fake{from: []string{"192.0.2.9:1", "[2001:db8::1]:1", "192.168.1.5:1"}}
	l := Wrap(inner, Door{Name: "imap", PrivateOnly: true, Refusal: "* BYE\r\n", Gate: gate}, nil)
	c, err := l.Accept()
	if err != nil || c.RemoteAddr().String() != "192.168.1.5:1" {
		t.Errorf("let in %v, %v", c, err)
	}
	if n := gate.Counts().Refused[NotPrivate]; n != 2 {
		t.Errorf("%d refused", n)
	}
}

// TestDoubt: behind one private address are strangers, and they stay outside; the
// house's own programs come in.
func TestDoubt(t *testing.T) {
	gate := NewGate(Limits{})
	for _, private := range []bool{true, false} {
		inner := &fake{from: []string{"192.168.1.1:1", "192.168.1.5:1"}}
		l := Wrap(inner, Door{Name: "imap", PrivateOnly: private, Gate: gate}, nil)
		l.Doubt(func(a netip.Addr) bool { return a == netip.MustParseAddr("192.168.1.1") })
		want := "192.168.1.1:1"
		if private {
			want = "192.168.1.5:1"
		}
		if c, err := l.Accept(); err != nil || c.RemoteAddr().String() != want {
			t.Errorf("private %v let in %v, %v", private, c, err)
		}
	}
}

func TestWaitsForDescriptors(t *testing.T) {
	inner := &fake{fail: []error{syscall.EMFILE, syscall.ECONNABORTED}, from: []string{"192.0.2.9:1"}}
	l := Wrap(inner, Door{}, nil)
	if c, err := l.Accept(); err != nil || c == nil {
		t.Errorf("got %v, %v", c, err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
}

// A fake listener first fails, then has connections from those addresses, then is closed.
type fake struct {
	net.Listener
	fail []error
	from []string
}

func (f *fake) Accept() (net.Conn, error) {
	if len(f.fail) > 0 {
		err := f.fail[0]
		f.fail = f.fail[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	if len(f.from) == 0 {
		return nil, net.ErrClosed
	}
	a, err := net.ResolveTCPAddr("tcp", f.from[0])
	f.from = f.from[1:]
	c, _ := net.Pipe()
	return fakeConn{c, a}, err
}

type fakeConn struct {
	net.Conn
	from net.Addr
}

func (c fakeConn) RemoteAddr() net.Addr { return c.from }

func TestBindAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	ls, err := Bind(context.Background(), []Door{
		{Name: "smtp", Addr: taken.Addr().String()},
		{Name: "imap", Addr: "192.0.2.1:0"}, // TEST-NET-1, RFC 5737: nobody's
		{Name: "pop3", Addr: free.Addr().String()},
	}, nil)
	if ls != nil || err == nil {
		t.Fatalf("got %v, %v", ls, err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "smtp: cannot listen on "+taken.Addr().String()+": address already in use; ") ||
		!strings.HasSuffix(lines[0], "; stop it, or set listen.smtp to another port") ||
		!strings.HasPrefix(lines[1], "imap: cannot listen on 192.0.2.1:0: cannot assign requested address; this computer has no such address") {
		t.Errorf("got\n%v", err)
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Error("the system's error is lost")
	}
	again, err := net.Listen("tcp", free.Addr().String())
	if err != nil {
		t.Fatalf("the door that could be opened was left open: %v", err)
	}
	again.Close()
}

func TestPermission(t *testing.T) {
	err := explain(Door{Name: "smtp", Addr: ":25"}, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)})
	for _, want := range []string{"smtp: cannot listen on :25: permission denied; ", "setcap cap_net_bind_service=+ep /", "AmbientCapabilities", "listen.smtp to a higher port"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestHolder(t *testing.T) {
	proc := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	write("net/tcp", head+
		"   0: 0100007F:0019 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n"+
		"   1: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1\n")
	write("net/tcp6", head+
		"   0: 00000000000000000000000000000000:03E1 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n")
	write("40/comm", "exim4\n")
	write("40/fd/x", "")
	write(strconv.Itoa(os.Getpid())+"/fd/x", "")
	for link, to := range map[string]string{"40/fd/1": "/dev/null", "40/fd/3": "socket:[222]", strconv.Itoa(os.Getpid()) + "/fd/4": "socket:[333]"} {
		if err := os.Symlink(to, filepath.Join(proc, link)); err != nil {
			t.Fatal(err)
		}
	}
	for port, want := range map[string]string{
		"25":   "exim4 (process 40) has the port",
		"993":  "another door of homemail has the port",
		"143":  `another program has the port ("sudo ss -ltnp sport = :143" shows which)`,
		"http": `another program has the port ("sudo ss -ltnp sport = :http" shows which)`,
	} {
		if got := holder(proc, port); got != want {
			t.Errorf("%s: %s", port, got)
		}
	}
}
