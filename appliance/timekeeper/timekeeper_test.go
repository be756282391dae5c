//go:build linux

package timekeeper

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMajority(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		in   []time.Duration
		want time.Duration
		n    int // 0: nothing is believed
	}{
		{nil, 0, 0},
		{[]time.Duration{s}, 0, 0},
		{[]time.Duration{s, s + s/2}, s + s/2, 2},
		{[]time.Duration{s, 9 * s}, 0, 0},
		{[]time.Duration{9 * s, s, s}, s, 2},
		{[]time.Duration{9 * s, s, s, 9 * s}, 0, 0},
		{[]time.Duration{-400 * 24 * time.Hour, 5 * s, 5 * s, 5*s + 1}, 5 * s, 3},
	} {
		r, ok := majority(tt.in)
		if ok != (tt.n > 0) || r != (Reading{tt.want, tt.n}) {
			t.Errorf("%v: %v %v", tt.in, r, ok)
		}
	}
}

// TestAsk: a line an hour while the servers answer, and patience while they do not.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool // queries run side by side
		var asked atomic.Int32
		query := func(string) (time.Duration, error) {
			if asked.Add(1); up.Load() {
				return time.Second, nil
			}
			return 0, errors.New("no network")
		}
		ctx, stop := context.WithCancel(t.Context())
		var out bytes.Buffer
		done := make(chan error, 1)
		go func() { done <- Ask(ctx, func() []string { return []string{"a", "b"} }, query, &out) }()
		time.Sleep(time.Hour)
		if n := asked.Load(); n < 20 || n > 60 || out.Len() > 0 {
			t.Errorf("asked %d times: %s", n, out.String())
		}
		up.Store(true)
		time.Sleep(65 * time.Minute)
		stop()
		if err := <-done; err != nil || out.String() != "time 1000000000 2\ntime 1000000000 2\n" {
			t.Error(err, out.String())
		}
	})
}

func FuzzParseReading(f *testing.F) {
	f.Add("time 1000000000 2")
	f.Add("time -1 3")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := ParseReading(line)
		if err != nil {
			return
		}
		if again, err := ParseReading(r.String()); err != nil || again != r || r.Servers < agree {
			t.Errorf("%q: %v, %v, %v", line, r, again, err)
		}
	})
}

func TestParseReading(t *testing.T) {
	for _, bad := range []string{"", "time", "time 1", "time 1 1", "time 1 9", "time x 2", "time 1 2 3", "time 99999999999999999999 2"} {
		if r, err := ParseReading(bad); err == nil {
			t.Error(bad, r)
		}
	}
}

func TestBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Round(0)
		for _, tt := range []struct {
			name  string
			built time.Time
			saved string
			want  string
		}{
			{"all is well", now.AddDate(-1, 0, 0), now.Add(-time.Hour).UTC().Format(time.RFC3339), "kernel"},
			{"1970", now.AddDate(1, 0, 0), "", "built"},
			{"1970, but it ran before", now.AddDate(1, 0, 0), now.AddDate(1, 1, 0).UTC().Format(time.RFC3339), "saved"},
			{"saved in another age", now.AddDate(-1, 0, 0), now.AddDate(80, 0, 0).UTC().Format(time.RFC3339), "kernel"},
			{"saved rubbish", now.AddDate(-1, 0, 0), "\x00\x00", "kernel"},
		} {
			file := filepath.Join(t.TempDir(), "clock")
			if err := os.WriteFile(file, []byte(tt.saved), 0o644); err != nil {
				t.Fatal(err)
			}
			var set time.Time
			k := &Keeper{Saved: file, Built: tt.built, step: func(to time.Time) error { set = to; return nil }}
			from, err := k.Begin()
			if err != nil || from != tt.want || set.IsZero() != (tt.want == "kernel") || !set.IsZero() && set.Before(tt.built) {
				t.Errorf("%s: %s %v %v", tt.name, from, set, err)
			}
		}
	})
}

func TestSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &Keeper{Saved: filepath.Join(t.TempDir(), "clock"), Built: time.Now().AddDate(-1, 0, 0)}
		if err := k.Save(); err != nil {
			t.Fatal(err)
		}
		if got, ok := k.load(); !ok || time.Since(got).Abs() > time.Second {
			t.Error(got, ok)
		}
		k.Built = time.Now().AddDate(1, 0, 0) // the clock is wrong: that is not saved over what is right
		os.Remove(k.Saved)
		if err := k.Save(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(k.Saved); !errors.Is(err, os.ErrNotExist) {
			t.Error("a wrong time was saved")
		}
	})
}

func TestCorrect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Round(0)
		var stepped time.Time
		var led time.Duration
		marked := 0
		k := &Keeper{Built: now.AddDate(-1, 0, 0), step: func(to time.Time) error { stepped = to; return nil },
			slew: func(d time.Duration) error { led = d; return nil }, stamp: func() error { marked++; return nil }}
		if err := k.Correct(Reading{50 * time.Millisecond, 2}); err != nil || led != 50*time.Millisecond || !stepped.IsZero() || marked != 1 {
			t.Error(err, led, stepped, marked)
		}
		if err := k.Correct(Reading{time.Hour, 2}); err != nil || !stepped.Equal(now.Add(time.Hour)) || marked != 2 {
			t.Error(err, stepped, marked)
		}
		for _, bad := range []time.Duration{-2 * 366 * 24 * time.Hour, 30 * 366 * 24 * time.Hour} {
			if err := k.Correct(Reading{bad, 5}); err == nil || marked != 2 {
				t.Error(bad, err)
			}
		}
	})
}
