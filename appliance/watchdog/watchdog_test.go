//go:build linux

package watchdog

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPulse(10*time.Minute, 5*time.Minute)
		start := time.Now()
		var fed atomic.Int64 // since then
		d := &Dog{feed: func() error { fed.Store(int64(time.Since(start))); return nil }}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx, func() bool { return p.Silence() == 0 }) }()
		hungry := func() time.Duration { return time.Since(start) - time.Duration(fed.Load()) }

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

// TestReset: who was started again gets time, as if it had never been heard.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPulse(time.Minute, time.Second)
		p.Beat()
		time.Sleep(time.Hour)
		done := make(chan struct{})
		go func() { p.Reset(time.Minute); close(done) }() // by another part of the box
		p.Silence()
		<-done
		if p.Ever() || p.Silence() != 0 {
			t.Error("a beat from before the start:", p.Silence())
		}
		time.Sleep(61 * time.Second)
		if p.Silence() != time.Second {
			t.Error(p.Silence())
		}
	})
}
