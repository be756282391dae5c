// Package supervise keeps a program running: one that ends is started again, later
// each time that it did not last. It never looks at what the program does.
package supervise

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"homemail/appliance/wire"
)

// A Service is a program that is to run for as long as the box does.
type Service struct {
	Name  string
	Start func(ctx context.Context) (*exec.Cmd, error) // makes the command; it is started here
	Stop  time.Duration                                // what it gets to end by itself
	Log   *slog.Logger
	// Told is told each line that the program writes to its standard output; one
	// that it refuses ends the program. Nil leaves the output where Start put it.
	Told func(line string) error
	// Ended is told of each end, and how often in a row it came too early. Nil
	// tells nobody.
	Ended func(err error, early int)

	mu      sync.Mutex
	process *exec.Cmd
	killed  bool
}

// steady is how long a program has to run to count as well.
const steady = time.Minute

// pauses are before a program is started again that ended early, by how often it
// did in a row; the last is repeated. A box whose disk is full stays reachable and
// does not burn its processor.
var pauses = [...]time.Duration{0, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute}

// pause is the pause after n early ends in a row.
func pause(n int) time.Duration { return pauses[min(n, len(pauses)-1)] }

// Run starts the program, again and again, until ctx ends. Then the program is
// asked to end, and killed if it does not.
func (s *Service) Run(ctx context.Context) error {
	for early := 0; ; {
		start := time.Now()
		err := s.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(start) >= steady {
			early = 0
		}
		early++
		s.Log.Error("a program ended and is started again", "program", s.Name, "after", time.Since(start).Round(time.Millisecond), "err", err, "pause", pause(early))
		if s.Ended != nil {
			s.Ended(err, early)
		}
		select {
		case <-time.After(pause(early)):
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Service) once(ctx context.Context) error {
	c, err := s.Start(context.WithoutCancel(ctx)) // it is stopped here, in order
	if err != nil {
		return err
	}
	heard, err := s.launch(c)
	if err != nil {
		return err
	}
	s.set(c)
	defer s.set(nil)
	ended := make(chan error, 1)
	go func() {
		err := c.Wait()
		ended <- errors.Join(<-heard, err)
	}()
	select {
	case err := <-ended:
		if err == nil {
			err = errors.New("it ended by itself")
		}
		return err
	case <-ctx.Done():
	}
	c.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		return err
	case <-time.After(s.Stop):
	}
	c.Process.Kill()
	return <-ended
}

// launch starts the command; heard gets what was wrong with its lines, once it
// writes no more.
func (s *Service) launch(c *exec.Cmd) (heard chan error, err error) {
	heard = make(chan error, 1)
	if s.Told == nil {
		heard <- nil
		return heard, c.Start()
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Stdout = w
	if err := errors.Join(c.Start(), w.Close()); err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		defer r.Close() // who goes on to write gets SIGPIPE
		err := wire.Each(r, s.Told)
		if err != nil {
			c.Process.Kill()
		}
		heard <- err
	}()
	return heard, nil
}

func (s *Service) set(c *exec.Cmd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.killed = c, false
}

// PID is that of the program, 0 while none runs.
func (s *Service) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Process.Pid
}

// Kill ends a program that hangs: with a trace of all that it does the first time,
// at once after that. It is started again as after any end.
func (s *Service) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	if s.killed {
		s.process.Process.Kill()
		return
	}
	s.killed = true
	s.process.Process.Signal(syscall.SIGQUIT) // Go writes all stacks, and ends
}

// Again has the program end in order and be started again, where something that it
// was given at its start has changed.
func (s *Service) Again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Process.Signal(syscall.SIGTERM)
	}
}
