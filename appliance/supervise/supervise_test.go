package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// TestMain is also the program that is supervised.
func TestMain(m *testing.M) {
	switch os.Getenv("ROLE") {
	case "":
		os.Exit(m.Run())
	case "talks":
		fmt.Println("one\ntwo\nthree")
		select {}
	case "fails":
		os.Exit(7)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fallthrough
	case "runs":
		fmt.Println("up")
		select {}
	}
}

func program(t *testing.T, role string) func(context.Context) (*exec.Cmd, error) {
	return func(ctx context.Context) (*exec.Cmd, error) {
		c := exec.CommandContext(ctx, os.Args[0])
		c.Env = []string{"ROLE=" + role}
		return c, nil
	}
}

func TestRestarts(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var seen []int
	s := &Service{Name: "x", Start: program(t, "fails"), Stop: time.Second, Log: quiet, Ended: func(err error, early int) {
		var e *exec.ExitError
		if !errors.As(err, &e) || e.ExitCode() != 7 {
			t.Error(err)
		}
		if seen = append(seen, early); len(seen) == 2 {
			stop()
		}
	}}
	if err := s.Run(ctx); err != nil || !slices.Equal(seen, []int{1, 2}) {
		t.Error(err, seen)
	}
}

// up starts a program, waits until it says so, and returns what ends the service.
func up(t *testing.T, s *Service, role string) (stop func()) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	start := program(t, role)
	s.Start = func(ctx context.Context) (*exec.Cmd, error) {
		c, err := start(ctx)
		c.Stdout = w
		return c, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if _, err := r.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.Close()
		w.Close()
	}
}

func TestStops(t *testing.T) {
	for _, role := range []string{"runs", "stubborn"} {
		s := &Service{Name: role, Stop: 100 * time.Millisecond, Log: quiet}
		stop := up(t, s, role)
		pid := s.PID()
		if pid == 0 {
			t.Fatal(role, "does not run")
		}
		stop()
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) || s.PID() != 0 {
			t.Error(role, "still runs:", err)
		}
	}
}

func TestKill(t *testing.T) {
	ended := make(chan error, 1)
	s := &Service{Name: "x", Stop: time.Second, Log: quiet, Ended: func(err error, _ int) { ended <- err }}
	s.Kill() // none runs
	stop := up(t, s, "runs")
	defer stop()
	s.Kill()
	s.Kill()
	if err := <-ended; err == nil {
		t.Error("ended well")
	}
}

// TestTold: lines arrive, and a program that says what it should not is ended.
func TestTold(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var got []string
	bad := errors.New("no such word")
	s := &Service{Name: "x", Start: program(t, "talks"), Stop: time.Second, Log: quiet, Told: func(l string) error {
		got = append(got, l)
		if l == "two" {
			return bad
		}
		return nil
	}, Ended: func(err error, _ int) {
		if !errors.Is(err, bad) {
			t.Error(err)
		}
		stop()
	}}
	if err := s.Run(ctx); err != nil || !slices.Equal(got, []string{"one", "two"}) {
		t.Error(err, got)
	}
}

func TestPause(t *testing.T) {
	last := time.Duration(-1)
	for n := range 20 {
		if p := pause(n); p < last || p > time.Minute {
			t.Error(n, p)
		} else {
			last = p
		}
	}
	if pause(1000) != time.Minute {
		t.Error(pause(1000))
	}
}
