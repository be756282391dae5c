package listen

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// give returns a Given with sockets at these addresses, as another program opened
// them, and what the system calls them.
func give(t *testing.T, addrs ...string) (g *Given, at []string) {
	t.Helper()
	g = &Given{}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // as whoever gives sockets does; such a socket could not be made deaf
	for _, a := range addrs {
		l, err := lc.Listen(t.Context(), "tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		t.Cleanup(func() { f.Close() })
		ap := netip.MustParseAddrPort(l.Addr().String())
		g.sockets = append(g.sockets, givenSocket{f, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())})
		at = append(at, l.Addr().String())
	}
	return g, at
}

func talk(t *testing.T, l net.Listener) {
	t.Helper()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("hello"))
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 5)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Fatal(n, err)
	}
}

func TestGiven(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	g, at := give(t, "127.0.0.1:0", "127.0.0.1:0")
	one, two := Door{Name: "one", Addr: at[0]}, Door{Name: "two", Addr: at[1]}
	other := Door{Name: "other", Addr: "127.0.0.1:0"}
	for round, doors := range [][]Door{{one, other}, {one, two}, {two}, {one, two}} { // settings change
		ls, err := g.Bind(t.Context(), doors, quiet)
		if err != nil || len(ls) != len(doors) {
			t.Fatal(round, ls, err)
		}
		for _, l := range ls {
			talk(t, l)
		}
		for i, d := range []Door{one, two} {
			wanted := false
			for _, l := range ls {
				wanted = wanted || l.Door().Name == d.Name
			}
			c, err := net.DialTimeout("tcp", at[i], 200*time.Millisecond)
			if (err == nil) != wanted {
				t.Errorf("round %d: door %s: %v", round, d.Name, err)
			}
			if err == nil {
				c.Close()
			}
		}
		for _, l := range ls {
			l.Close()
		}
	}
}

// TestGivenBusy: what was not given, and is somebody else's, is an error, and
// leaves what was given for the next try.
func TestGivenBusy(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	g, at := give(t, "127.0.0.1:0")
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	doors := []Door{{Name: "one", Addr: at[0]}, {Name: "two", Addr: busy.Addr().String()}}
	if ls, err := g.Bind(t.Context(), doors, quiet); err == nil || !strings.Contains(err.Error(), "two") {
		t.Error(ls, err)
	}
	busy.Close()
	ls, err := g.Bind(t.Context(), doors, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		talk(t, l)
		l.Close()
	}
}

func TestFind(t *testing.T) {
	g := &Given{sockets: []givenSocket{{addr: netip.MustParseAddrPort("[::]:25")}, {addr: netip.MustParseAddrPort("127.0.0.1:8025")}}}
	for addr, want := range map[string]int{":25": 0, "[::]:25": 0, "0.0.0.0:25": -1, ":26": -1, "127.0.0.1:8025": 1, "localhost:8025": -1, ":0": -1, "x": -1, ":smtp": -1} {
		if got := g.find(addr, make([]bool, 2)); got != want {
			t.Errorf("%s: %d, want %d", addr, got, want)
		}
	}
	if g.find(":25", []bool{true, false}) != -1 {
		t.Error("one socket for two doors")
	}
}

// TestTakeGiven has another process be given a socket.
func TestTakeGiven(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		g, err := TakeGiven(func(name string) string {
			if name == "LISTEN_PID" {
				return strconv.Itoa(os.Getpid())
			}
			return os.Getenv(name)
		})
		if err != nil {
			t.Fatal(err)
		}
		ls, err := g.Bind(context.Background(), []Door{{Name: "x", Addr: os.Getenv("AT")}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		talk(t, ls[0])
		return
	}
	g, at := give(t, "127.0.0.1:0")
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTakeGiven$")
	c.ExtraFiles, c.Env = []*os.File{g.sockets[0].file}, append(os.Environ(), "LISTEN_FDS=1", "AT="+at[0])
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, env := range []map[string]string{{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}} {
		if g, err := TakeGiven(func(n string) string { return env[n] }); g != nil || err != nil {
			t.Error(env, g, err)
		}
	}
	if _, err := TakeGiven(func(n string) string {
		return map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": "x"}[n]
	}); err == nil {
		t.Error("x sockets")
	}
}
