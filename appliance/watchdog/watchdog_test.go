package watchdog

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPulse(10*time.Minute, 5*time.Minute)
		fed := time.Now()
		d := &Dog{feed: func() error { fed = time.Now(); return nil }}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx, func() bool { return p.Silence() == 0 }) }()
		hungry := func() time.Duration { return time.Since(fed) }

		time.Sleep(9 * time.Minute) // the start takes its time
		if hungry() > 2*period || p.Ever() {
			t.Error("at the start:", hungry())
		}
		for range 30 {
			p.Beat()
			time.Sleep(time.Minute)
			if hungry() > 2*period {
				t.Fatal("alive:", hungry())
			}
		}
		time.Sleep(10 * time.Minute) // it hangs
		if hungry() < timeout*time.Second {
			t.Error("a machine that hangs is not restarted:", hungry())
		}
		p.Beat()
		time.Sleep(2 * period)
		if hungry() > period {
			t.Error("alive again:", hungry())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestNever: a machine that never came up is restarted after the time of grace.
func TestNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPulse(time.Minute, time.Second)
		time.Sleep(59 * time.Second)
		if p.Silence() != 0 {
			t.Error("too early")
		}
		time.Sleep(2 * time.Second)
		if p.Silence() != time.Second {
			t.Error(p.Silence())
		}
	})
}
