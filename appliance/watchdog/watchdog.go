//go:build linux

// Package watchdog keeps the hardware that restarts a machine which hangs from
// doing so, for as long as somebody vouches that the machine works.
package watchdog

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	timeout = 60              // seconds until the hardware acts; the kernel bridges what a Pi's cannot, 15
	period  = 5 * time.Second // of feeding
)

// A Dog is a watchdog that was let loose.
type Dog struct {
	f    *os.File
	feed func() error // for tests
}

// Open lets the watchdog loose. From now on the machine restarts within a minute
// unless it is fed. The error is os.ErrNotExist on a machine that has none.
func Open(name string) (*Dog, error) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	// One that cannot be set keeps its own time, which is more than two periods
	// on all that are known.
	unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, timeout)
	return &Dog{f: f, feed: func() error { return unix.IoctlWatchdogKeepalive(int(f.Fd())) }}, nil
}

// Run feeds the dog while alive says so, until ctx ends. It stays loose: whoever
// hangs on the way down is restarted, too.
func (d *Dog) Run(ctx context.Context, alive func() bool) error {
	for {
		if alive() {
			if err := d.feed(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return d.feed()
		case <-time.After(period):
		}
	}
}

// Tie ends the dog's watch, where the hardware allows it.
func (d *Dog) Tie() error {
	_, err := d.f.WriteString("V") // the kernel's "magic close"
	return errors.Join(err, d.f.Close())
}

// A Pulse says whether something was alive not long ago.
type Pulse struct {
	most time.Duration

	mu    sync.Mutex
	last  time.Time // zero before the first Beat
	since time.Time
	grace time.Duration
}

// NewPulse returns a Pulse that is alive for grace from now, and for most after
// each Beat.
func NewPulse(grace, most time.Duration) *Pulse {
	return &Pulse{most: most, since: time.Now(), grace: grace}
}

// Beat says that it is alive.
func (p *Pulse) Beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}

// Reset forgets all beats, and allows for grace from now: what vouched has been
// started again.
func (p *Pulse) Reset(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.since, p.grace = time.Time{}, time.Now(), grace
}

// Silence is how long nothing was heard beyond what is allowed, 0 if it is alive.
// It runs on the monotonic clock.
func (p *Pulse) Silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.IsZero() {
		return max(0, time.Since(p.since)-p.grace)
	}
	return max(0, time.Since(p.last)-p.most)
}

// Ever reports whether there was a Beat.
func (p *Pulse) Ever() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.last.IsZero()
}
