package firstboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"homemail/store"
)

// A waitError says that a step goes on later. The zero time is by the schedule,
// and person says that somebody has to answer first.
type waitError struct {
	why    Word
	detail string
	person bool
}

func (e *waitError) Error() string { return e.why.Key + " " + e.detail }

// wait ends a turn for now.
func wait(key string, args ...string) error { return &waitError{why: Say(key, args...)} }

// A failError says that a step cannot go on before somebody changes an answer.
type failError struct {
	why Word
	err error
}

func (e *failError) Error() string { return fmt.Sprintf("%s: %v", e.why.Key, e.err) }
func (e *failError) Unwrap() error { return e.err }

// failUnless makes of an error one that somebody has to mend, unless all that is
// wrong is that the other end cannot be reached.
func failUnless(err error, key string, args ...string) error {
	if err == nil || unreachable(err) {
		return err
	}
	return &failError{Say(key, args...), err}
}

// unreachable reports whether an error may be gone once the line is better.
func unreachable(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// retries are the pauses before a waiting step is tried again; the last is
// repeated. The first are short, as somebody is looking at the page.
var retries = [...]time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, time.Minute, 2 * time.Minute, 5 * time.Minute}

// watchEvery is the pause while mail is waited for: that asks only our own store.
const watchEvery = 2 * time.Second

// Apply does a step, or as much of it as can be done now. It can be called
// again at any time: what is done stays done.
func (e *Engine) Apply(ctx context.Context, id ID) (View, error) {
	if _, err := e.find(id); err != nil {
		return View{}, err
	}
	e.locks[id].Lock()
	defer e.locks[id].Unlock()
	return e.apply(ctx, id)
}

func (e *Engine) apply(ctx context.Context, id ID) (View, error) {
	t, err := e.turn(id)
	if err != nil {
		return View{}, err
	}
	if id == Claiming || !t.isWanted() {
		return t.view(ctx), nil
	}
	if len(t.blocked(ctx)) > 0 {
		return t.view(ctx), ErrBlocked
	}
	if p := t.problems(); p != nil {
		v := t.view(ctx)
		v.Problems = p
		return v, nil
	}
	if t.row.Status != Waiting && t.row.Status != Doing { // else to write it each time would wear out the card
		t.row = t.row.become(Doing, Word{})
		if err := e.save(id, t.row); err != nil {
			return View{}, err
		}
	}
	err = e.caught(func() error { return t.run(ctx) })
	if err != nil && ctx.Err() != nil {
		return t.view(ctx), ctx.Err() // the row says that it is being done: Run goes on
	}
	if err := t.settle(err); err != nil {
		return View{}, err
	}
	e.nudge()
	return t.view(ctx), nil
}

// caught does fn and makes of a bug in it an error: one that is in the way of a
// step must cost that step, never the house.
func (e *Engine) caught(fn func() error) (err error) {
	defer func() {
		if bug := recover(); bug != nil {
			e.log.Error("a bug cut setting up short", "bug", bug, "stack", string(debug.Stack()))
			err = fmt.Errorf("a bug: %v", bug)
		}
	}()
	return fn()
}

// run does the actions that are not done.
func (t *turn) run(ctx context.Context) error {
	if t.step.actions == nil {
		return nil
	}
	for _, a := range t.step.actions(t) {
		if a.done != nil {
			done, err := a.done(ctx)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if err := a.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle keeps how a turn has ended.
func (t *turn) settle(err error) error {
	was := t.row
	var w *waitError
	var f *failError
	switch {
	case err == nil:
		t.row = t.row.become(Done, Word{})
		t.row.Tries = 0
		if !t.step.keeps {
			t.row.Secrets = nil
		}
	case errors.Is(err, ErrNextStart): // before what would have somebody change an answer
		t.later(Say(startKey), "", false)
	case errors.As(err, &w):
		t.later(w.why, w.detail, w.person)
	case errors.As(err, &f):
		t.row = t.row.become(Failed, f.why)
		t.row.Detail = f.err.Error()
	case unreachable(err):
		t.later(Say("firstboot.wait.internet"), err.Error(), false)
	case errors.Is(err, store.ErrInvalid), errors.Is(err, store.ErrExists), errors.Is(err, store.ErrNotFound):
		t.row = t.row.become(Failed, Say("firstboot.failed.refused"))
		t.row.Detail = err.Error()
	default: // a bug must cost time, not the set-up
		t.later(Say("firstboot.wait.trouble"), err.Error(), false)
	}
	if t.row.Status != was.Status || t.row.Reason.Key != was.Reason.Key {
		t.log.Info("setting up", "step", t.step.ID, "status", t.row.Status, "reason", t.row.Reason.Key)
	}
	return t.save(t.step.ID, t.row)
}

// later has a step tried again.
func (t *turn) later(why Word, detail string, person bool) {
	tries := t.row.Tries
	t.row = t.row.become(Waiting, why)
	t.row.Detail = detail
	switch {
	case person:
	case t.step.ID == FirstMail:
		t.row.Next = time.Now().Add(watchEvery)
	default:
		t.row.Tries = tries + 1
		t.row.Next = time.Now().Add(retries[min(tries, len(retries)-1)])
	}
}

// Run goes on with the steps that wait or were cut short, until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		e.watchPlug(ctx)
	}()
	defer func() { <-watched }()
	return e.advance(ctx)
}

// watchPlug keeps the claim by the plug honest until ctx ends.
func (e *Engine) watchPlug(ctx context.Context) {
	for e.o.Claim != nil {
		err := e.caught(func() error { return e.o.Claim.watch(ctx) })
		if err != nil {
			e.log.Warn("the claim by the plug could not be looked after", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retries[0]):
		}
	}
}

// advance goes on with the steps.
func (e *Engine) advance(ctx context.Context) error {
	for {
		var next time.Time
		err := e.caught(func() (err error) {
			next, err = e.pass(ctx)
			return err
		})
		if err != nil && ctx.Err() == nil {
			e.log.Warn("setting up does not go on for now", "err", err)
			next = time.Now().Add(retries[len(retries)-1])
		}
		var due <-chan time.Time
		timer := (*time.Timer)(nil)
		if !next.IsZero() {
			timer = time.NewTimer(time.Until(next))
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// pass tries what is due, and says when something is next.
func (e *Engine) pass(ctx context.Context) (next time.Time, err error) {
	e.mu.Lock()
	hurry := e.hurry
	e.hurry = false
	e.mu.Unlock()
	for _, s := range e.steps {
		r, err := e.load(s.ID)
		if err != nil {
			return next, err
		}
		if r.Status == Doing || r.Status == Waiting && !r.Next.IsZero() && (hurry || !time.Now().Before(r.Next)) {
			if r, err = e.again(ctx, s.ID); err != nil {
				return next, err
			}
		}
		if r.Status == Waiting && !r.Next.IsZero() && (next.IsZero() || r.Next.Before(next)) {
			next = r.Next
		}
	}
	return next, nil
}

// again applies a step unless somebody else is at it.
func (e *Engine) again(ctx context.Context, id ID) (row, error) {
	if !e.locks[id].TryLock() {
		return row{}, nil // it will nudge
	}
	defer e.locks[id].Unlock()
	v, err := e.apply(ctx, id)
	if err == nil && v.Problems != nil || errors.Is(err, ErrBlocked) { // an earlier step was changed: it wants its owner
		r, err := e.load(id)
		if err == nil {
			r = r.become(Todo, Word{})
			err = e.save(id, r)
		}
		return r, err
	}
	if err != nil {
		return row{}, err
	}
	return e.load(id)
}

// Settled reports whether nothing goes on by itself: every step is done,
// skipped, or wants an answer, or waits for a server to be started.
func (o Overview) Settled() bool {
	for _, v := range o.Steps {
		if v.Status == Doing || v.Status == Waiting && !v.Next.IsZero() && v.Reason.Key != startKey {
			return false
		}
	}
	return true
}
