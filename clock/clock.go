// Package clock says whether the wall clock may be trusted to expire things. A
// board without a battery starts in 1970, or at the time its image was built,
// until it has heard from a time server; mail must not be given up for that.
// The package sets no clock, and stops nobody from reading it.
package clock

import (
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	// slackPast is how far behind the newest time that was seen a clock may be: a
	// time server corrects one that runs fast.
	slackPast = 10 * time.Minute

	// lifetime is how long after it was built nobody runs this program any more.
	lifetime = 20 * 365 * 24 * time.Hour
)

// Options say what the clock is held against.
type Options struct {
	Built time.Time // when the program was built; zero if that is not known
	Saved time.Time // the newest time that the caller ever saved, as it should every few minutes

	// What the system says of its clock. Nil means to ask it, which only Linux
	// can answer.
	Synchronised func() (ok, known bool) // has a time server set it?
	HasRTC       func() bool             // is there a clock that runs while the power is off?
}

// A Clock judges the system's clock. Its methods may be called at the same time.
type Clock struct {
	o Options

	mu     sync.Mutex
	newest time.Time // ever seen while trusted, or saved
}

// New returns a Clock.
func New(o Options) *Clock {
	if o.Synchronised == nil {
		o.Synchronised = synchronised
	}
	if o.HasRTC == nil {
		o.HasRTC = hasRTC
	}
	return &Clock{o: o, newest: o.Saved}
}

// Trusted reports whether it is now as late as the clock says, as far as anyone
// can tell.
func (c *Clock) Trusted() bool { return c.Why() == "" }

// Why says in words why the clock is not trusted, "" if it is. A time that was
// saved counts for less than a time server: it may itself be from a day when the
// clock was years ahead, and must not haunt us until then.
func (c *Clock) Why() string {
	now := time.Now().Round(0) // the wall clock alone: it is what may jump
	if built := c.o.Built; now.Before(built) || !built.IsZero() && now.After(built.Add(lifetime)) {
		return fmt.Sprintf("the clock says %s, but this program was built on %s", day(now), day(built))
	}
	ok, known := c.o.Synchronised()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch set := known && ok; {
	case set:
		c.newest = now
	case now.Add(slackPast).Before(c.newest):
		return fmt.Sprintf("the clock says %s, but it was %s before", minute(now), minute(c.newest))
	case known && !c.o.HasRTC():
		return "no time server has set the clock, and this machine has none that runs while it is off"
	case now.After(c.newest):
		c.newest = now
	}
	return ""
}

// Save returns the time to save now for Options.Saved of the next start, and
// false if the clock is not trusted: a wrong time that is saved would make every
// right one after it look wrong.
func (c *Clock) Save() (time.Time, bool) {
	if !c.Trusted() {
		return time.Time{}, false
	}
	return time.Now().Round(0), true
}

// Step is how much age one step of waiting may add, whatever the clock says: the
// time from last to now, but nothing if that is negative, and at most twice what
// we meant to wait. A jump of the clock then costs one step, and no mail.
func Step(last, now time.Time, interval time.Duration) time.Duration {
	most := 2 * min(max(interval, 0), math.MaxInt64/2)
	return max(0, min(now.Sub(last), most))
}

func day(t time.Time) string    { return t.UTC().Format(time.DateOnly) }
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
