package dash

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// jobTime is how long something under way may take: all checks of the line are
// done in one minute, a slow DNS provider in two.
const jobTime = 3 * time.Minute

// A job is something that takes longer than a page may: it goes on when the
// reader has left, and who comes back finds what it has come to.
type job struct {
	started time.Time
	done    chan struct{} // closed when it has ended
	ended   time.Time     // these are set before
	answer  any
	err     error
}

// running reports whether a job has not ended yet.
func (j *job) running() bool {
	if j == nil {
		return false
	}
	select {
	case <-j.done:
		return false
	default:
		return true
	}
}

// of returns what a job has come to; ok is false before, and without a job.
func of[A any](j *job) (a A, err error, ok bool) {
	if j == nil || j.running() {
		return a, nil, false
	}
	a, _ = j.answer.(A)
	return a, j.err, true
}

// jobs are those under way and the last one of each name.
type jobs struct {
	ctx  context.Context
	stop context.CancelFunc
	log  *slog.Logger

	mu   sync.Mutex
	list map[string]*job
	wg   sync.WaitGroup
}

const jobsMost = 200 // names that are remembered: a few for each domain

func newJobs(log *slog.Logger) *jobs {
	ctx, stop := context.WithCancel(context.Background())
	return &jobs{ctx: ctx, stop: stop, log: log, list: map[string]*job{}}
}

var errBusy = errors.New("too much is under way at once")

// last is the newest job of a name, nil if there was none.
func (js *jobs) last(name string) *job {
	js.mu.Lock()
	defer js.mu.Unlock()
	return js.list[name]
}

// start starts a job, unless one of its name is under way or ended within an
// age. Values of a context, as who asks, go along; its end does not.
func (js *jobs) start(ctx context.Context, name string, age time.Duration, run func(context.Context) (any, error)) *job {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j := js.list[name]; j.running() || j != nil && time.Since(j.ended) < age {
		return j
	}
	j := &job{started: time.Now(), done: make(chan struct{})}
	if js.ctx.Err() != nil || !js.room() {
		j.err, j.ended = errBusy, j.started
		close(j.done)
		return j
	}
	js.list[name] = j
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobTime)
	stop := context.AfterFunc(js.ctx, cancel)
	js.wg.Go(func() {
		defer cancel()
		defer stop()
		defer close(j.done)
		defer func() {
			if p := recover(); p != nil { // a bug of a page's must not take the mail with it
				j.answer, j.err = nil, fmt.Errorf("a bug: %v", p)
				js.log.Error("a bug ended what a page had begun", "job", name, "panic", p, "stack", string(debug.Stack()))
			}
			j.ended = time.Now()
		}()
		j.answer, j.err = run(ctx)
	})
	return j
}

// room forgets the oldest job that has ended where there are many.
func (js *jobs) room() bool {
	if len(js.list) < jobsMost {
		return true
	}
	oldest := ""
	for name, j := range js.list {
		if !j.running() && (oldest == "" || j.ended.Before(js.list[oldest].ended)) {
			oldest = name
		}
	}
	delete(js.list, oldest)
	return oldest != ""
}

// close ends all jobs.
func (js *jobs) close() {
	js.mu.Lock()
	js.stop()
	js.mu.Unlock()
	js.wg.Wait()
}

// forget takes the last job of a name away, so that the next one starts anew.
func (js *jobs) forget(name string) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j := js.list[name]; j != nil && !j.running() {
		delete(js.list, name)
	}
}
