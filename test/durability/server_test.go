package durability

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"homemail/internal/torture"
	"homemail/store"
	"homemail/test/wire"
)

// The people of `homemail try`, one of whom always has the same password.
var accounts = []string{sender, "bert@example.test", "u00@bench.test"}

const (
	sender        = "anna@example.test"
	benchPassword = "bench-pass-1"
)

// A server is a life of the real program.
type server struct {
	cmd  *exec.Cmd
	out  io.Reader
	logs bytes.Buffer

	wire.Server
	Accounts []struct{ Address, Password string }
}

func newServer(cmd *exec.Cmd) *server {
	s := &server{cmd: cmd}
	s.Server = wire.Server{Sender: sender, Accounts: accounts, Password: s.password}
	return s
}

// start starts the program; it is ready after untilReady.
func start(binary, data string) (*server, error) {
	s := newServer(exec.Command(binary, "try", "-json", "-data", data, "-messages", "0", "-users", "1"))
	s.cmd.Stderr = &s.logs
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return s, s.cmd.Start()
}

func (s *server) untilReady() error {
	if err := json.NewDecoder(s.out).Decode(s); err != nil {
		s.kill()
		return fmt.Errorf("the server did not start: %w: %s", err, tail(s.logs.String(), 2000))
	}
	return nil
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *server) password(account string) string {
	for _, a := range s.Accounts {
		if a.Address == account {
			return a.Password
		}
	}
	return benchPassword
}

// TestKillServer kills the real program again and again while clients use it
// by every protocol. What they were told has to be there when they come back.
func TestKillServer(t *testing.T) {
	needAll(t)
	const cycles = 70
	binary := filepath.Join(t.TempDir(), "homemail")
	command(t, "go", "build", "-o", binary, "homemail/cmd/homemail")
	k := killing{binary: binary, data: filepath.Join(t.TempDir(), "data"), r: rand.New(rand.NewPCG(1, 25)), kinds: map[string]int{}}
	for i := range cycles {
		if err := k.cycle(uint64(i)); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		if len(k.wrong) > 0 {
			t.Logf("in cycle %d", i)
			break
		}
	}
	t.Logf("check store: %s", command(t, binary, "check", "store", "-bodies", "-data", k.data))
	s, err := store.Open(k.data, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st := torture.Read(s, true)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	k.verify(sameAsByIMAP(st))
	k.report(t, "%d cycles of the real program, %d of them killed while starting, %d while stopping; %v acknowledged by kind",
		cycles, k.starting, k.stopping, k.kinds)
}

// sameAsByIMAP leaves out what no client sees.
func sameAsByIMAP(st torture.State) torture.State {
	st.Profiles = nil
	var boxes []torture.BoxNow
	for _, b := range st.Boxes {
		if b.Account == "u01@bench.test" {
			continue
		}
		b.ModSeq = 0
		for i := range b.Messages {
			b.Messages[i].ModSeq = 0
		}
		boxes = append(boxes, b)
	}
	st.Boxes = boxes
	return st
}

// killing is what happened so far.
type killing struct {
	book
	binary, data       string
	r                  *rand.Rand
	starting, stopping int
	kinds              map[string]int
}

// cycle starts the server, verifies what it has, works with it and kills it.
func (k *killing) cycle(seed uint64) error {
	begun := time.Now()
	s, err := start(k.binary, k.data)
	if err != nil {
		return err
	}
	defer s.kill()
	fate := k.r.IntN(10)
	if fate == 0 {
		k.starting++
		time.Sleep(time.Duration(k.r.IntN(120)) * time.Millisecond)
		return nil
	}
	if err := s.untilReady(); err != nil {
		return err
	}
	k.opens++
	k.slow = max(k.slow, time.Since(begun))
	st, err := s.State()
	if err != nil {
		return fmt.Errorf("reading all by IMAP: %w", err)
	}
	k.verify(st)
	return k.use(s, st, seed, func(stopping func()) {
		time.Sleep(time.Duration(50+k.r.IntN(850)) * time.Millisecond)
		if fate == 1 {
			k.stopping++
			stopping()
			s.cmd.Process.Signal(syscall.SIGTERM)
			time.Sleep(time.Duration(k.r.IntN(50)) * time.Millisecond)
		}
	})
}

// use lets clients work until the server is killed, some time after wait.
func (k *killing) use(s *server, st torture.State, seed uint64, wait func(stopping func())) error {
	const workers = 6
	var ending atomic.Bool
	out, in := io.Pipe()
	heard := make(chan error, 1)
	kinds := map[int]string{}
	go func() {
		heard <- torture.ReadLines(out, func(line torture.Line) {
			if line.Unsure && !ending.Load() {
				k.bad("a client was left without an answer: %s", line.Err)
			}
			if line.T == "begin" {
				kinds[line.Op.Worker] = line.Op.Kind
			} else if line.Err == "" {
				k.kinds[kinds[line.Op.Worker]]++
			}
			k.ledger.Hear(line)
		})
	}()
	over := make(chan struct{})
	go func() {
		defer close(over)
		torture.Work{Driver: wire.NewDriver(&s.Server, workers), Out: &torture.Printer{W: in}, Seed: seed, Workers: workers, Messages: 15, Large: 512 << 10, Bare: true,
			Only: wire.Kinds,
		}.Run(context.Background(), st)
		in.Close()
	}()
	wait(func() { ending.Store(true) })
	ending.Store(true)
	s.kill()
	<-over
	err := <-heard
	k.ledger.Died()
	return err
}
