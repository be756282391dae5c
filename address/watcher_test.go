package address

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	a4 = netip.MustParseAddr("203.0.113.1")
	b4 = netip.MustParseAddr("203.0.113.2")
	a6 = netip.MustParseAddr("2001:db8::1")
	b6 = netip.MustParseAddr("2001:db8::2")
)

var errNothing = errors.New("nothing")

type shelf struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (s *shelf) State(path string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.rows[path]; ok {
		return v, nil
	}
	return nil, errNothing
}

func (s *shelf) PutState(path string, v []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = map[string][]byte{}
	}
	s.rows[path] = v
	return nil
}

// line is a house's line: what a source finds.
type line struct {
	mu   sync.Mutex
	list []netip.Addr
	err  error
}

func (l *line) set(list ...netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.err = list, nil
}

func (l *line) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *line) find(context.Context) ([]netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list, l.err
}

// place is an Updater that notes when it was told what.
type place struct {
	version string
	name    string
	limits  Limits
	v4      bool
	mu      sync.Mutex
	err     error
	calls   []string
	start   time.Time
}

func (p *place) Name() string   { return p.name }
func (p *place) Limits() Limits { return p.limits }

func (p *place) Part(a Addrs) Addrs {
	if p.v4 {
		a.V6 = netip.Addr{}
	}
	return a
}

func (p *place) Update(_ context.Context, was []Addrs, now Addrs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, fmt.Sprintf("%s %v->%s", time.Since(p.start).Round(time.Second), was, now))
	return p.err
}

func (p *place) answer(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// told returns what was told since the last time it was asked.
func (p *place) told() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.calls
	p.calls = nil
	return out
}

// bench is a Watcher that runs in a bubble.
type bench struct {
	*Watcher
	log   *safeBuffer
	tests []string
	stop  func()
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) changes() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.b.String()) {
		if _, text, ok := strings.Cut(line, `msg="address changed `); ok {
			out = append(out, strings.TrimSuffix(strings.TrimSpace(text), `"`))
		}
	}
	return out
}

func (p *place) Version() string { return p.version }

func run(t *testing.T, st *shelf, sources []Source, places ...*place) *bench {
	t.Helper()
	b := &bench{log: &safeBuffer{}}
	o := Options{Sources: sources, Store: st, NotFound: errNothing, Log: slog.New(slog.NewTextHandler(b.log, nil))}
	for _, p := range places {
		p.start = time.Now()
		o.Updaters = append(o.Updaters, p)
	}
	o.Retest = func(_ context.Context, was, now Addrs) { b.tests = append(b.tests, was.String()+"->"+now.String()) }
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Watcher = w
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	return b
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p, st := &line{}, &place{name: "zone"}, &shelf{}
		l.set(a4, a6, netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("fd00::1"))
		w := run(t, st, []Source{{Name: "line", Find: l.find}}, p)
		after(time.Hour)
		equal(t, "first", p.told(), "30s []->203.0.113.1 and 2001:db8::1")
		l.set(b4, a6) // flaps
		w.Kick()
		after(10 * time.Second)
		l.set(a4, a6)
		after(time.Hour)
		equal(t, "flapped", p.told())
		l.fail(errors.New("no line")) // is away, and comes back with another
		after(time.Hour)
		l.set(b4, a6)
		after(6 * time.Minute)
		if got := p.told(); len(got) != 1 || !strings.HasSuffix(got[0], " [203.0.113.1 and 2001:db8::1]->203.0.113.2 and 2001:db8::1") {
			t.Errorf("changed: %v", got)
		}
		equal(t, "log", w.log.changes(), "none -> 203.0.113.1 and 2001:db8::1, DNS updated", "203.0.113.1 and 2001:db8::1 -> 203.0.113.2 and 2001:db8::1, DNS updated")
		equal(t, "tested again", w.tests, "none->203.0.113.1 and 2001:db8::1", "203.0.113.1 and 2001:db8::1->203.0.113.2 and 2001:db8::1")
		w.stop()
		again := run(t, st, []Source{{Name: "line", Find: l.find}}, p)
		after(time.Hour)
		equal(t, "after a restart", p.told())
		l.set(b6, a6, b4) // one more address, and ours is still there
		after(time.Hour)
		equal(t, "one more", p.told())
		again.stop()
	})
}

// An address that is not seen any more may come back; one family that is gone
// for long goes from the DNS, the last address never.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := &line{}, &place{name: "zone"}
		l.set(a4, a6)
		w := run(t, &shelf{}, []Source{{Name: "line", Find: l.find}}, p)
		defer w.stop()
		after(time.Hour)
		p.told()
		l.set(a4)
		after(20 * time.Minute)
		equal(t, "IPv6 is away", p.told())
		after(20 * time.Minute)
		if got := p.told(); len(got) != 1 || !strings.HasSuffix(got[0], "->203.0.113.1") {
			t.Errorf("IPv6 is gone: %v", got)
		}
		l.set()
		after(24 * time.Hour)
		equal(t, "all is gone", p.told())
	})
}

// What fails is tried again as the table says, seldom in the end.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p, ok := &line{}, &place{name: "zone", err: errors.New("away")}, &place{name: "other", v4: true}
		l.set(a4)
		w := run(t, &shelf{}, []Source{{Name: "line", Find: l.find}}, p, ok)
		defer w.stop()
		after(4*time.Hour + 20*time.Minute)
		var at []string
		for _, c := range p.told() {
			at = append(at, strings.Fields(c)[0])
		}
		equal(t, "tries", at, "30s", "1m30s", "3m30s", "8m30s", "18m30s", "48m30s", "1h48m30s", "2h48m30s", "3h48m30s")
		equal(t, "the other", ok.told(), "30s []->203.0.113.1")
		equal(t, "log", w.log.changes())
		if s := w.Status(); s[0].Error != "away" || s[1].Error != "" || s[1].Done.V4 != a4 {
			t.Errorf("status: %+v", s)
		}
		l.set(b4) // what may stand there in part is said
		p.answer(nil)
		after(2 * time.Hour)
		if got := p.told(); len(got) != 1 || !strings.HasSuffix(got[0], " [203.0.113.1 none]->203.0.113.2") {
			t.Errorf("at last: %v", got)
		}
		equal(t, "log", w.log.changes(), "none -> 203.0.113.2, DNS updated")
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{}
		slow := &place{name: "slow", limits: Limits{Least: 10 * time.Minute, Refresh: 5 * 24 * time.Hour}, v4: true}
		l.set(a4, a6)
		st := &shelf{}
		w := run(t, st, []Source{{Name: "line", Find: l.find}}, slow)
		after(time.Minute)
		equal(t, "first", slow.told(), "30s []->203.0.113.1")
		l.set(b4, a6)
		w.Kick()
		after(time.Minute)
		w.stop()
		equal(t, "too early", slow.told())
		w = run(t, st, []Source{{Name: "line", Find: l.find}}, slow) // nor after a restart
		after(5 * time.Minute)
		equal(t, "too early", slow.told())
		after(5 * time.Minute)
		if got := slow.told(); len(got) != 1 {
			t.Errorf("in time: %v", got)
		}
		l.set(b4, b6) // is nothing to it
		after(4 * 24 * time.Hour)
		equal(t, "IPv6 alone", slow.told())
		after(3 * 24 * time.Hour)
		if got := slow.told(); len(got) != 1 || !strings.HasSuffix(got[0], " [203.0.113.2]->203.0.113.2") {
			t.Errorf("refreshed: %v", got)
		}
		slow.answer(&Later{errors.New("911"), 30 * time.Minute})
		l.set(a4, b6)
		after(50 * time.Minute)
		if got := slow.told(); len(got) != 2 {
			t.Errorf("later: %v", got)
		}
		slow.answer(&Stopped{errors.New("the password is wrong")})
		after(30 * 24 * time.Hour)
		if got := slow.told(); len(got) != 1 || w.Status()[0].Stopped != "the password is wrong" {
			t.Errorf("stopped: %v %+v", got, w.Status())
		}
		slow.answer(nil)
		if err := w.Resume("slow"); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		if got := slow.told(); len(got) != 1 || w.Status()[0].Stopped != "" {
			t.Errorf("resumed: %v %+v", got, w.Status())
		}
		w.stop()
	})
}

// A place that was stopped is tried again with other settings, and then is told
// even an address that may be there already.
func TestVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{}
		l.set(a4)
		st := &shelf{}
		p := &place{name: "p"}
		p.answer(&Stopped{errors.New("the password is wrong")})
		for _, tt := range []struct{ version, want string }{{"1", "30s []->203.0.113.1"}, {"1", ""}, {"2", "0s [203.0.113.1 none]->203.0.113.1"}} {
			p.version = tt.version
			w := run(t, st, []Source{{Name: "line", Find: l.find}}, p)
			after(time.Hour)
			if got := strings.Join(p.told(), ","); !strings.HasSuffix(got, strings.TrimPrefix(tt.want, "0s")) || (got == "") != (tt.want == "") {
				t.Errorf("version %s: %s, want %s", tt.version, got, tt.want)
			}
			w.stop()
		}
	})
}

// The surest source that has a family says it; one that fails proves nothing.
func TestSources(t *testing.T) {
	gives := func(list ...netip.Addr) Source {
		return Source{Name: "gives", Find: func(context.Context) ([]netip.Addr, error) { return list, nil }}
	}
	fails := Source{Name: "fails", Find: func(context.Context) ([]netip.Addr, error) { return nil, errors.New("away") }}
	router := fails
	router.V4Only = true
	for _, tt := range []struct {
		sources []Source
		now     Addrs
		want    string
	}{
		{[]Source{gives(a6), gives(a4, b6)}, Addrs{}, "203.0.113.1 and 2001:db8::1"},
		{[]Source{gives(a6), fails}, Addrs{V4: b4}, "203.0.113.2 and 2001:db8::1"},
		{[]Source{gives(a6), gives()}, Addrs{V4: b4}, "2001:db8::1"},
		{[]Source{gives(), router}, Addrs{b4, b6}, "203.0.113.2"},
		{[]Source{fails}, Addrs{b4, b6}, "203.0.113.2 and 2001:db8::2"},
		{[]Source{gives(netip.MustParseAddr("::ffff:203.0.113.1"))}, Addrs{}, "203.0.113.1"},
	} {
		v4, v6 := find(t.Context(), tt.sources)
		if got := (Addrs{v4.next(tt.now.V4), v6.next(tt.now.V6)}).String(); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.now, got, tt.want)
		}
	}
}
