package clock

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, tt := range []struct {
			name             string
			built, saved     time.Time
			sync, known, rtc bool
			want             string // in Why; "" is trusted
		}{
			{"nothing is known", time.Time{}, time.Time{}, false, false, false, ""},
			{"synchronised", now.AddDate(-1, 0, 0), now.Add(-time.Minute), true, true, false, ""},
			{"RTC only", time.Time{}, time.Time{}, false, true, true, ""},
			{"not synchronised, no RTC", time.Time{}, time.Time{}, false, true, false, "no time server"},
			{"cannot be asked, no RTC", time.Time{}, time.Time{}, false, false, false, ""},
			{"before the build", now.Add(time.Second), time.Time{}, true, true, true, "was built on"},
			{"long after the build", now.AddDate(-25, 0, 0), time.Time{}, true, true, true, "was built on"},
			{"before what was saved", time.Time{}, now.Add(slackPast + time.Second), false, false, true, "it was"},
			{"before what was saved, not set", time.Time{}, now.Add(slackPast + time.Second), false, true, true, "it was"},
			{"before what was saved, but set", time.Time{}, now.AddDate(10, 0, 0), true, true, false, ""},
			{"corrected a little", time.Time{}, now.Add(slackPast), false, true, true, ""},
		} {
			c := New(Options{Built: tt.built, Saved: tt.saved,
				Synchronised: func() (bool, bool) { return tt.sync, tt.known }, HasRTC: func() bool { return tt.rtc }})
			why := c.Why()
			if (why == "") != (tt.want == "") || !strings.Contains(why, tt.want) || c.Trusted() != (tt.want == "") {
				t.Errorf("%s: %q", tt.name, why)
			}
			if at, ok := c.Save(); ok != (tt.want == "") || ok && !at.Equal(now) {
				t.Errorf("%s: save %v %v", tt.name, at, ok)
			}
		}
	})
}

// TestBecomesTrusted: a time server is heard from while we run.
func TestBecomesTrusted(t *testing.T) {
	ok := false
	c := New(Options{Synchronised: func() (bool, bool) { return ok, true }, HasRTC: func() bool { return false }})
	if c.Trusted() {
		t.Error("trusted before")
	}
	if ok = true; !c.Trusted() {
		t.Error("not trusted after:", c.Why())
	}
}

// TestJumps: while the program runs the clock goes ten years ahead, and back.
func TestJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := false
		c := New(Options{Synchronised: func() (bool, bool) { return set, true }, HasRTC: func() bool { return true }})
		here := time.Now()
		if !c.Trusted() {
			t.Fatal(c.Why())
		}
		c.newest = here.AddDate(10, 0, 0) // as it was seen then
		if c.Trusted() {
			t.Error("trusted though it went back")
		}
		set = true
		if !c.Trusted() {
			t.Error("a time server says so, but:", c.Why())
		}
		set = false // and then it is out of reach
		if !c.Trusted() {
			t.Error("the wrong time still haunts us:", c.Why())
		}
	})
}

// TestSystem: the system can be asked, whatever it says.
func TestSystem(t *testing.T) {
	c := New(Options{})
	if c.Trusted() != (c.Why() == "") {
		t.Error(c.Why())
	}
	if New(Options{Built: time.Now().AddDate(1, 0, 0)}).Trusted() {
		t.Error("trusted before it was built")
	}
}

func TestStep(t *testing.T) {
	last := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ passed, interval, want time.Duration }{
		{time.Minute, time.Minute, time.Minute},
		{0, time.Minute, 0},
		{2 * time.Minute, time.Minute, 2 * time.Minute},
		{time.Hour, time.Minute, 2 * time.Minute},
		{-time.Hour, time.Minute, 0},
		{time.Hour, 0, 0},
	} {
		if got := Step(last, last.Add(tt.passed), tt.interval); got != tt.want {
			t.Errorf("%v passed of %v: %v, want %v", tt.passed, tt.interval, got, tt.want)
		}
	}
	for _, years := range []int{-1900, -50, 50, 7000} { // beyond what a Duration holds
		if got := Step(last, last.AddDate(years, 0, 0), time.Hour); got != max(0, min(time.Duration(years), 1)*2*time.Hour) {
			t.Errorf("%d years: %v", years, got)
		}
	}
	if got := Step(last, last.Add(time.Hour), 1<<62); got != time.Hour {
		t.Errorf("twice an absurd interval: %v", got)
	}
}
