package check

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// runTime is how long a run of all checks may take, with every remote silent.
// The time-outs of the longest way through the tree add up to less.
const runTime = 58 * time.Second

// A step is a check as the tree has it.
type step struct {
	name  string
	needs []string      // must be good, or the check could not test
	after []string      // whose results it uses, whatever they are
	limit time.Duration // how long it may take
	every time.Duration // how old its result may become at rest
	run   func(c *Checker, ctx context.Context, r results) found
}

// results are what the checks before a check found, and those before them.
type results map[string]Result

func (r results) good(name string) bool        { return r[name].State == Good }
func (r results) data(name, key string) string { return r[name].Data[key] }

// home reports whether a check asks nobody outside.
func (s step) home() bool { return s.every == often }

// before are the names of all checks that a check waits for.
func (s step) before() []string { return slices.Concat(s.needs, s.after) }

func (c *Checker) step(name string) *step {
	for i := range c.steps {
		if c.steps[i].name == name {
			return &c.steps[i]
		}
	}
	return nil
}

// Test runs the named checks now, with those that they depend on; without names
// all of them. It returns their results in the order of the tree, within a
// minute, and earlier if the context ends: then what was not tested in time is
// as it was. It returns an error for a name that is none.
func (c *Checker) Test(ctx context.Context, names ...string) ([]Result, error) {
	want, err := c.wanted(names)
	if err != nil {
		return nil, err
	}
	if err := c.do(ctx, want); err != nil {
		return nil, err
	}
	return c.those(want), nil
}

// Last returns what Test would, as it is known now. It asks nobody.
func (c *Checker) Last(names ...string) ([]Result, error) {
	want, err := c.wanted(names)
	if err != nil {
		return nil, err
	}
	return c.those(want), nil
}

func (c *Checker) those(want map[string]bool) []Result {
	return slices.DeleteFunc(c.Results(), func(r Result) bool { return !want[r.Name] })
}

// wanted are the named checks and all that they depend on.
func (c *Checker) wanted(names []string) (map[string]bool, error) {
	want := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		s := c.step(name)
		if s == nil {
			return fmt.Errorf("there is no check %q; these are there: %s", name, strings.Join(c.Names(), ", "))
		}
		want[name] = true
		for _, n := range s.before() {
			if err := add(n); err != nil {
				return err
			}
		}
		return nil
	}
	if len(names) == 0 {
		names = c.Names()
	}
	for _, n := range names {
		if err := add(n); err != nil {
			return nil, err
		}
	}
	return want, nil
}

// Names returns the names of all checks in the order of the tree.
func (c *Checker) Names() (list []string) {
	for _, s := range c.steps {
		list = append(list, s.name)
	}
	return list
}

const (
	restLook  = time.Minute      // how often to see what is due at rest
	restStart = 30 * time.Second // before that the house has better to do than to look at itself
)

// Run repeats each check when its result has become old, until the context
// ends. With the times of the tree that is fewer than 200 questions to the DNS
// an hour. As long as there is no domain nobody is asked outside: a house that
// nobody has set up yet tells no stranger that it is there.
func (c *Checker) Run(ctx context.Context) error {
	timer := time.NewTimer(restStart)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if due := c.due(time.Now()); len(due) > 0 {
			if err := c.do(ctx, due); err != nil && ctx.Err() == nil {
				c.o.Log.Warn("checks could not be run", "err", err)
			}
		}
		timer.Reset(restLook)
	}
}

// due are the checks whose results are too old, or from a day to come.
func (c *Checker) due(now time.Time) map[string]bool {
	quiet := len(c.o.Domains()) == 0
	c.mu.Lock()
	defer c.mu.Unlock()
	due := make(map[string]bool)
	for _, s := range c.steps {
		age := now.Sub(c.last[s.name].Tested)
		due[s.name] = (age >= s.every || age < 0) && (s.home() || !quiet)
	}
	for name := range due {
		if !due[name] {
			delete(due, name)
		}
	}
	return due
}

// do runs checks, each as soon as those before it have ended. Of those before
// it that are not wanted, the last result is taken.
func (c *Checker) do(ctx context.Context, want map[string]bool) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	ended := make(map[string]chan struct{})
	for name := range want {
		ended[name] = make(chan struct{})
	}
	var wg sync.WaitGroup
	for _, s := range c.steps {
		if !want[s.name] {
			continue
		}
		wg.Go(func() {
			defer close(ended[s.name])
			for _, n := range s.before() {
				if want[n] {
					<-ended[n] // always comes: every check has a time-out
				}
			}
			c.one(ctx, s)
		})
	}
	wg.Wait()
	c.save()
	c.tell()
	return nil
}

// tell tells what has changed in a run.
func (c *Checker) tell() {
	c.mu.Lock()
	changes := c.changes
	c.changes = make(map[string][2]Result)
	c.mu.Unlock()
	mode := c.o.Mode()
	for _, s := range c.steps {
		x, ok := changes[s.name]
		if !ok {
			continue
		}
		c.mu.Lock()
		x[1].Muted = c.mute(x[1])
		c.mu.Unlock()
		c.o.Log.Info("a check changed", "check", s.name, "state", x[1].State, "code", x[1].Code, "was", x[0].State)
		if c.o.Changed != nil {
			x[0].Needed, x[1].Needed = mode.matters(x[0]) || mode.matters(x[1]), mode.matters(x[0]) || mode.matters(x[1])
			c.o.Changed(x[0], x[1])
		}
	}
}

// one runs a check if what it needs is good, and notes the result.
func (c *Checker) one(ctx context.Context, s step) {
	before := c.snapshot(c.above(s))
	for _, n := range s.needs {
		if !before.good(n) {
			c.note(c.result(s, c.because(n)))
			return
		}
	}
	if !c.begin(s.name) {
		c.note(c.result(s, found{code: codeTimeout, detail: "an earlier try has not ended yet"}))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	out := make(chan found, 1)
	go func() {
		f := found{}
		defer func() { out <- f }()
		defer c.end(s.name)
		defer func() {
			if p := recover(); p != nil { // a bug in one check must not stop the mail
				f = found{code: codeCrash, detail: fmt.Sprintf("%v\n%s", p, debug.Stack())}
			}
		}()
		f = s.run(c, ctx, before)
	}()
	var f found
	select {
	case f = <-out:
	case <-ctx.Done(): // whether or not the check minds
		select {
		case f = <-out: // it did
		case <-time.After(grace):
			f = found{code: codeTimeout, detail: fmt.Sprintf("no answer within %v", s.limit)}
		}
	}
	if context.Cause(ctx) == context.Canceled {
		return // nobody wants to know any more: what it found is how it was stopped
	}
	c.note(c.result(s, f))
}

// begin notes that a check runs. One that minds no time-out is not begun again
// before it has ended: else they would pile up.
func (c *Checker) begin(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[name] {
		return false
	}
	c.running[name] = true
	return true
}

func (c *Checker) end(name string) {
	c.mu.Lock()
	delete(c.running, name)
	c.mu.Unlock()
}

// grace is for a check that sees its context end to say what it has found.
const grace = 500 * time.Millisecond

// because is the finding that another check is in the way.
func (c *Checker) because(other string) found {
	title := c.step(other).title()
	return found{code: codeBecause, data: map[string]string{"because": other, "because_en": title.EN, "because_ja": title.JA}}
}

// above are the names of all checks that come before one, however far.
func (c *Checker) above(s step) (list []string) {
	for _, n := range s.before() {
		list = append(append(list, n), c.above(*c.step(n))...)
	}
	return list
}

func (c *Checker) snapshot(names []string) results {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := make(results)
	for _, n := range names {
		r[n] = c.last[n]
	}
	return r
}

// note keeps a result. It is so since the first of the equal ones in a row.
func (c *Checker) note(r Result) {
	c.mu.Lock()
	old, ok := c.last[r.Name]
	r.Tested = time.Now().UTC().Round(0)
	r.Since = r.Tested
	if same := ok && old.State == r.State && old.Code == r.Code; same && !old.Since.After(r.Tested) {
		r.Since = old.Since
	}
	c.last[r.Name] = r
	c.forgetMute(r)
	if ok && old.State != r.State {
		c.changes[r.Name] = [2]Result{old, r}
	}
	c.mu.Unlock()
}
