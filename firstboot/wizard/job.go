package wizard

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// jobTime is how long something under way may take: the checks of the line are
// done in one minute, a slow DNS provider in two.
const jobTime = 3 * time.Minute

// patience is how long a page waits for what its button has begun. Most is done
// by then; the rest is shown as it goes on.
const patience = 3 * time.Second

// jobsMost bounds what is under way at once: each step once, and some looks.
const jobsMost = 32

// jobs are those under way. They go on when the reader has left.
type jobs struct {
	ctx  context.Context
	stop context.CancelFunc
	log  *slog.Logger

	mu      sync.Mutex
	running map[string]int
	all     int
	wg      sync.WaitGroup
}

func newJobs(log *slog.Logger) *jobs {
	ctx, stop := context.WithCancel(context.Background())
	return &jobs{ctx: ctx, stop: stop, log: log, running: map[string]int{}}
}

// start runs fn beside the requests, and returns a channel that is closed when it
// has ended. Where too much is under way it does not run: the page is as before.
func (js *jobs) start(name string, fn func(context.Context)) <-chan struct{} {
	done := make(chan struct{})
	js.mu.Lock()
	defer js.mu.Unlock()
	if js.ctx.Err() != nil || js.all >= jobsMost {
		close(done)
		return done
	}
	js.running[name]++
	js.all++
	ctx, cancel := context.WithTimeout(js.ctx, jobTime)
	js.wg.Go(func() {
		defer func() {
			if bug := recover(); bug != nil { // it may cost this page, never the house
				js.log.Error("a bug ended what a page had begun", "job", name, "err", bug, "stack", string(debug.Stack()))
			}
			cancel()
			js.mu.Lock()
			js.running[name]--
			js.all--
			js.mu.Unlock()
			close(done)
		}()
		fn(ctx)
	})
	return done
}

// once is start unless a job of that name is under way.
func (js *jobs) once(name string, fn func(context.Context)) {
	if !js.has(name) {
		js.start(name, fn)
	}
}

// has reports whether a job of that name is under way.
func (js *jobs) has(name string) bool {
	js.mu.Lock()
	defer js.mu.Unlock()
	return js.running[name] > 0
}

// wait waits for a job as long as a reader does.
func wait(ctx context.Context, done <-chan struct{}, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// close ends all jobs.
func (js *jobs) close() {
	js.mu.Lock()
	js.stop()
	js.mu.Unlock()
	js.wg.Wait()
}
