package caps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

var quiet = slog.New(slog.DiscardHandler)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// house is a store with the accounts anna and otto.
func house(t testing.TB) (s *store.Store, anna, otto mail.AccountID) {
	t.Helper()
	s = storetest.Open(t, t.TempDir(), nil)
	must(t, s.AddDomain("example.test"))
	var ids []mail.AccountID
	for _, p := range []mail.Path{"anna@example.test", "otto@example.test"} {
		a, err := s.AddAccount(store.Profile{Address: p, Language: "ja"})
		must(t, err)
		ids = append(ids, a.ID)
	}
	return s, ids[0], ids[1]
}

func open(t testing.TB, s *store.Store, o Options) *Caps {
	t.Helper()
	o.Log = quiet
	c, err := New(s, o)
	must(t, err)
	return c
}

// people are n recipients, from a number on.
func people(from, n int) (list []mail.Path) {
	for i := range n {
		list = append(list, mail.Path(fmt.Sprintf("p%d@outside.test", from+i)))
	}
	return list
}

// later moves an account's own time on, as if so much had passed.
func later(t testing.TB, c *Caps, id mail.AccountID, d time.Duration) {
	t.Helper()
	must(t, c.with(id, func(a *account) error { a.zero += d; return nil }))
}

func wantHold(t testing.TB, c *Caps, id mail.AccountID, to []mail.Path, words string) {
	t.Helper()
	got, err := c.Hold(id, to)
	if err != nil || (got == "") != (words == "") || !strings.Contains(got, words) {
		t.Fatalf("hold %q, %v; want %q", got, err, words)
	}
	if got != "" && !strings.HasPrefix(got, HoldPrefix) {
		t.Fatalf("%q does not say what it is", got)
	}
}

func wantUsage(t testing.TB, c *Caps, id mail.AccountID, hour, day, fresh int) {
	t.Helper()
	if h, d, f := c.Usage(id); h != hour || d != day || f != fresh {
		t.Fatalf("usage %d %d %d, want %d %d %d", h, d, f, hour, day, fresh)
	}
}

func TestCaps(t *testing.T) {
	for _, x := range []struct {
		name string
		o    Options
		fill func(c *Caps, id mail.AccountID)
		over []mail.Path
		want string
		cap  Cap
	}{
		{"hour", Options{PerHour: 10}, func(c *Caps, id mail.AccountID) { wantHold(t, c, id, people(0, 10), "") }, people(0, 1), "11 recipients within an hour", Hour},
		{"one message", Options{PerHour: 10}, func(*Caps, mail.AccountID) {}, people(0, 11), "11 recipients", Hour},
		{"day", Options{PerHour: 10, PerDay: 25}, func(c *Caps, id mail.AccountID) {
			for range 2 {
				wantHold(t, c, id, people(0, 10), "")
				later(t, c, id, 70*time.Minute)
			}
		}, people(0, 6), "26 recipients within a day, and 25", Day},
		{"new", Options{PerDay: 100, NewPerDay: 5}, func(c *Caps, id mail.AccountID) {
			wantHold(t, c, id, people(0, 5), "")
			later(t, c, id, 25*time.Hour)
			wantHold(t, c, id, people(0, 10), "")
			wantUsage(t, c, id, 10, 10, 5)
		}, people(9, 2), "6 recipients within a day that it never wrote to before", Fresh},
	} {
		t.Run(x.name, func(t *testing.T) {
			s, anna, otto := house(t)
			c := open(t, s, x.o)
			x.fill(c, anna)
			wantHold(t, c, anna, x.over, x.want)
			wantHold(t, c, anna, people(0, 1), x.want) // and everything after it, for the same reason
			wantHold(t, c, otto, people(0, 1), "")     // but nobody else
			later(t, c, anna, 100*time.Hour)           // no time ends it
			wantHold(t, c, anna, people(0, 1), x.want)

			c = open(t, s, x.o) // nor does a kill, although nothing was written lazily
			wantHold(t, c, anna, people(0, 1), x.want)
			list, err := c.Paused()
			if err != nil || len(list) != 1 || list[0].Account != anna || list[0].Cap != x.cap || list[0].Since.IsZero() {
				t.Fatalf("paused %+v, %v", list, err)
			}
			must(t, c.Resume(anna))
			wantUsage(t, c, anna, 0, 0, 0)
			wantHold(t, c, anna, people(0, 1), "")
			if list, err := c.Paused(); err != nil || len(list) != 0 {
				t.Errorf("still paused: %+v, %v", list, err)
			}
			c = open(t, s, x.o)
			wantHold(t, c, anna, people(0, 1), "")
		})
	}
}

// TestRepeated counts a recipient of one message once, however it is written.
func TestRepeated(t *testing.T) {
	s, anna, _ := house(t)
	c := open(t, s, Options{PerHour: 3})
	wantHold(t, c, anna, []mail.Path{"p@outside.test", "P@Outside.Test", `"p"@outside.test`}, "")
	wantUsage(t, c, anna, 1, 1, 1)
	wantHold(t, c, anna, []mail.Path{"p@outside.test"}, "")
	wantUsage(t, c, anna, 2, 2, 1)
}

// TestWindow slides: what is over an hour ago does not count, and never is a
// cap passed within any hour.
func TestWindow(t *testing.T) {
	s, anna, _ := house(t)
	c := open(t, s, Options{PerHour: 6})
	for range 50 {
		wantHold(t, c, anna, people(0, 1), "")
		later(t, c, anna, 12*time.Minute)
	}
	wantUsage(t, c, anna, 5, 50, 1)
	later(t, c, anna, 25*time.Hour)
	wantUsage(t, c, anna, 0, 0, 0)
	must(t, c.with(anna, func(a *account) error {
		if len(a.slots) > 0 {
			t.Errorf("%d slots are kept", len(a.slots))
		}
		return nil
	}))
}

// TestRestart has counts and the people that an account knows survive, with
// the time that has passed as far as the clock can be believed.
func TestRestart(t *testing.T) {
	s, anna, _ := house(t)
	c := open(t, s, Options{})
	wantHold(t, c, anna, people(0, 7), "")
	must(t, c.write())
	c = open(t, s, Options{NewPerDay: 7})
	wantUsage(t, c, anna, 7, 7, 7)
	wantHold(t, c, anna, people(0, 7), "")
	must(t, c.write())

	age := func(d time.Duration) { // the row was written so long ago
		must(t, s.UpdateState(countsPath(anna), func(b []byte) ([]byte, error) {
			var row counts
			must(t, json.Unmarshal(b, &row))
			row.Wall = row.Wall.Add(-d)
			return json.Marshal(row)
		}))
	}
	age(3 * time.Hour)
	wantUsage(t, open(t, s, Options{}), anna, 0, 14, 7)
	wantUsage(t, open(t, s, Options{Trusted: func() bool { return false }}), anna, 14, 14, 7)
	must(t, c.with(anna, func(a *account) error { a.dirty = true; return nil }))
	must(t, c.write())
	age(-1000 * time.Hour) // the clock was ahead: nothing has passed, and what passes from now on counts
	c = open(t, s, Options{})
	wantUsage(t, c, anna, 14, 14, 7)
	later(t, c, anna, 2*time.Hour)
	wantUsage(t, c, anna, 0, 14, 7)
}

// TestForgets keeps the recipients of an account bounded, in memory and on
// disk, and forgets those it wrote to longest ago.
func TestForgets(t *testing.T) {
	s, anna, _ := house(t)
	c := open(t, s, Options{})
	must(t, c.with(anna, func(a *account) error {
		a.sent(0, distinct(people(0, maxKnown-1)), 100)
		return nil
	}))
	wantHold(t, c, anna, people(7, 1), "") // today
	must(t, c.write())
	wantHold(t, c, anna, people(maxKnown, 500), "")
	must(t, c.write())
	rows := 0
	must(t, s.States(knowns, func(string, []byte) bool { rows++; return true }))
	if rows > maxKnown || rows < maxKnown-forgetting {
		t.Errorf("%d rows", rows)
	}
	c = open(t, s, Options{})
	before, _, _ := c.Usage(anna)
	must(t, c.with(anna, func(a *account) error {
		if len(a.known) != rows || a.strangers(distinct(people(7, 1))) != 0 || a.strangers(distinct(people(maxKnown, 500))) != 0 {
			t.Errorf("%d known; those of today are not among them", len(a.known))
		}
		return nil
	}))
	if before != maxKnown+500 {
		t.Errorf("usage %d", before)
	}
}

// TestFlood bounds what may be held: a thief must not fill the disk.
func TestFlood(t *testing.T) {
	s, anna, _ := house(t)
	c := open(t, s, Options{PerDay: 10})
	for i := range 10 {
		wantHold(t, c, anna, people(i*10, 10), map[bool]string{true: "within a day"}[i > 0])
	}
	wantHold(t, c, anna, people(0, 10), "within a day")
	if _, err := c.Hold(anna, people(0, 1)); !errors.Is(err, mail.ErrTooMany) {
		t.Errorf("the 101st: %v", err)
	}
	must(t, c.write())
	c = open(t, s, Options{PerDay: 10})
	if _, err := c.Hold(anna, people(0, 1)); !errors.Is(err, mail.ErrTooMany) {
		t.Errorf("after a restart: %v", err)
	}
	later(t, c, anna, 25*time.Hour)
	wantHold(t, c, anna, people(0, 1), "within a day")
}

func TestByHand(t *testing.T) {
	s, anna, _ := house(t)
	c := open(t, s, Options{})
	must(t, c.Pause(anna, "  on holiday "))
	must(t, c.Pause(anna, "another"))
	wantHold(t, c, anna, people(0, 1), HoldPrefix+"on holiday")
	if p, err := c.IsPaused(anna); !p || err != nil {
		t.Error(p, err)
	}
	if err := c.Pause(99, "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody is paused: %v", err)
	}
	must(t, c.Resume(anna))
	must(t, c.Resume(anna))
	if p, err := c.IsPaused(anna); p || err != nil {
		t.Error(p, err)
	}
}

// TestRun writes by itself, tells of each pause once, and tries again to tell.
func TestRun(t *testing.T) {
	s, anna, otto := house(t)
	var mu sync.Mutex
	var told []Notice
	fail := true
	o := Options{PerHour: 1, Tell: func(_ context.Context, n Notice) error {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			fail = false
			return errors.New("no room")
		}
		told = append(told, n)
		return nil
	}}
	run := func(c *Caps) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		return func() { cancel(); must(t, <-done) }
	}
	c := open(t, s, o)
	stop := run(c)
	wantHold(t, c, anna, people(0, 2), "within an hour")
	wantHold(t, c, otto, people(0, 1), "")
	must(t, c.Pause(otto, "by hand"))
	until(t, func() bool { mu.Lock(); defer mu.Unlock(); return !fail })
	c.wake() // patience is long
	until(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(told) > 0 })
	stop()

	must(t, s.RemoveAccount("otto@example.test"))
	c = open(t, s, o)
	wantUsage(t, c, anna, 0, 0, 0)
	stop = run(c)
	until(t, func() bool { list, err := c.Paused(); return err == nil && len(list) == 1 && list[0].Told })
	stop()
	if len(told) != 1 || told[0].Account != anna || told[0].Address != "anna@example.test" || told[0].Cap != Hour || told[0].Language != "ja" {
		t.Errorf("told %+v", told)
	}
	must(t, s.States("caps/", func(path string, _ []byte) bool {
		if strings.Contains(path, fmt.Sprintf("%08x", otto)) {
			t.Errorf("%s is left of an account that is gone", path)
		}
		return true
	}))
}

func until(t testing.TB, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it never came")
}

// TestDamage: a pause that cannot be read is one, and damaged counts are none.
func TestDamage(t *testing.T) {
	s, anna, otto := house(t)
	must(t, s.PutState(pausePath(anna), []byte("{")))
	must(t, s.PutState(countsPath(otto), []byte("{")))
	must(t, s.PutState(knownPath(otto, 1), []byte("xyz")))
	must(t, s.PutState(knowns+"zz", []byte("xyz")))
	must(t, s.PutState(pauses+"zz", []byte("xyz")))
	c := open(t, s, Options{})
	wantHold(t, c, anna, people(0, 1), "cannot be read")
	wantHold(t, c, otto, people(0, 1), "")
	must(t, c.Resume(anna))
	wantHold(t, open(t, s, Options{}), anna, people(0, 1), "")
	must(t, c.sweep())
	if list, err := c.Paused(); err != nil || len(list) > 0 {
		t.Error(list, err)
	}
}

// TestTogether has many send at once: no cap is passed.
func TestTogether(t *testing.T) {
	s, anna, _ := house(t)
	c := open(t, s, Options{PerHour: 100})
	var left sync.Map
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if reason, err := c.Hold(anna, people(i, 1)); err == nil && reason == "" {
				left.Store(i, true)
			}
			if i%50 == 0 {
				must(t, c.write())
			}
		})
	}
	wg.Wait()
	n := 0
	left.Range(func(any, any) bool { n++; return true })
	if n != 100 {
		t.Errorf("%d left", n)
	}
	wantUsage(t, c, anna, 100, 100, 100)
}

func TestWords(t *testing.T) {
	for _, lang := range []string{"en", "", "de", "ja", "ja_JP", "JA-JP"} {
		for _, cap := range []Cap{Hour, Day, Fresh, ByHand, "future"} {
			n := Notice{Pause: Pause{Cap: cap, Count: 4711, Limit: 815, Since: time.Now()}, Address: "anna@example.test"}
			subject, body := n.Words(lang)
			for _, want := range []string{"homemail sending resume anna@example.test\n", "homemail device revoke anna@example.test DEVICE\n", "homemail queue list\n"} {
				if !strings.Contains(body, want) {
					t.Errorf("%s %s: no %q", lang, cap, want)
				}
			}
			if strings.ContainsAny(subject+body, "{}\r") || !strings.Contains(subject, "anna@example.test") {
				t.Errorf("%s %s: %q %q", lang, cap, subject, body)
			}
			numbers := strings.Contains(body, "4711") && strings.Contains(body, "815")
			if numbers != (cap == Hour || cap == Day || cap == Fresh) {
				t.Errorf("%s %s: %q", lang, cap, body)
			}
			if strings.Contains(body, "一時停止") != strings.HasPrefix(strings.ToLower(lang), "ja") {
				t.Errorf("%s: %q", lang, body)
			}
		}
	}
}

// BenchmarkHold is what a submission pays.
func BenchmarkHold(b *testing.B) {
	s, anna, _ := house(b)
	c := open(b, s, Options{PerHour: 1 << 30, PerDay: 1 << 30, NewPerDay: 1 << 30})
	to := people(0, 1)
	for b.Loop() {
		if _, err := c.Hold(anna, to); err != nil {
			b.Fatal(err)
		}
	}
}
