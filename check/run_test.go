package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"homemail/check/probe"
	"homemail/internal/mailtest"
	"homemail/resolver"
)

// A hole takes everything and gives nothing back.
type hole struct{}

func (hole) MX(ctx context.Context, _ string) (a resolver.Answer[*net.MX], err error) {
	<-ctx.Done()
	return a, ctx.Err()
}

func (hole) IP(ctx context.Context, _ string) (a resolver.Answer[netip.Addr], err error) {
	<-ctx.Done()
	return a, ctx.Err()
}

func (hole) PTR(ctx context.Context, _ netip.Addr) (a resolver.Answer[string], err error) {
	<-ctx.Done()
	return a, ctx.Err()
}

func (hole) Validates(ctx context.Context) bool { <-ctx.Done(); return false }

func (hole) Echo(ctx context.Context, _ string) (e probe.Echo, err error) {
	<-ctx.Done()
	return e, ctx.Err()
}

func (hole) Reach(ctx context.Context, _ string, _ []uint16) (r probe.Report, err error) {
	<-ctx.Done()
	return r, ctx.Err()
}

// half answers questions for names, and nobody else does.
type half struct {
	hole
	mailtest.Zone
}

func (h half) MX(ctx context.Context, d string) (resolver.Answer[*net.MX], error) {
	return h.Zone.MX(ctx, d)
}
func (h half) IP(ctx context.Context, n string) (resolver.Answer[netip.Addr], error) {
	if strings.HasSuffix(n, "gmail.test") || strings.HasSuffix(n, "outlook.test") {
		return h.Zone.IP(ctx, n)
	}
	return h.hole.IP(ctx, n)
}
func (h half) PTR(ctx context.Context, a netip.Addr) (resolver.Answer[string], error) {
	return h.hole.PTR(ctx, a)
}
func (h half) Validates(ctx context.Context) bool { return h.hole.Validates(ctx) }

// TestSilence: with every remote silent all ends within a minute, nothing is
// called good that depends on one, and nothing of a stranger's is called bad.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		name string
		dns  DNS
	}{{"the DNS too", hole{}}, {"only the DNS answers, a little", half{Zone: newWorld().zone}}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.opt.DNS = tt.dns
			w.opt.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
			w.opt.Router = nil
			w.router, w.probe = nil, nil
			w.opt.Probe = hole{}
			w.opt.Router = func(ctx context.Context) (Router, error) { <-ctx.Done(); return Router{}, ctx.Err() }
			w.opt.Queue = func() (int, time.Duration, error) { time.Sleep(time.Hour); return 0, 0, nil } // and one that minds nothing
			w.opt.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })}
			c := w.checker()
			began := time.Now()
			list, err := c.Test(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			if took > time.Minute {
				t.Errorf("%s: took %v", tt.name, took)
			}
			t.Logf("%s: %v", tt.name, took)
			for _, r := range list {
				home := slices.Contains([]string{route, clock, disk, certificate, dns}, r.Name)
				out := strings.HasPrefix(r.Name, "out") || r.Name == address6
				if !home && !out && r.State != CouldNotTest {
					t.Errorf("%s: %s is %s (%s)", tt.name, r.Name, r.State, r.Code)
				}
				if r.Tested.IsZero() {
					t.Errorf("%s: %s was not tested", tt.name, r.Name)
				}
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := w.checker()
		if _, err := c.Test(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := c.Results()
		c.o.DNS, c.o.Probe = hole{}, hole{}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		began := time.Now()
		c.Test(ctx)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("took %v after it was stopped", took)
		}
		for i, r := range c.Results() {
			if r.Code != before[i].Code {
				t.Errorf("%s was %s, and is %s because nobody waited", r.Name, before[i].Code, r.Code)
			}
		}
		time.Sleep(time.Hour)
	})
}

// TestStuck: a check that minds no time-out is not begun twice.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var begun atomic.Int64
		w.opt.Queue = func() (int, time.Duration, error) {
			if begun.Add(1) == 1 {
				time.Sleep(time.Hour)
			}
			return 0, 0, nil
		}
		c := w.checker()
		for range 3 {
			if list, _ := c.Test(t.Context(), queue); list[0].Code != codeTimeout {
				t.Errorf("%+v", list)
			}
		}
		if n := begun.Load(); n != 1 {
			t.Errorf("begun %d times", n)
		}
		time.Sleep(time.Hour)
		if list, _ := c.Test(t.Context(), queue); list[0].Code != "flows" {
			t.Errorf("%+v", list)
		}
	})
}

func TestSome(t *testing.T) {
	c := newWorld().checker()
	list, err := c.Test(t.Context(), out25)
	if err != nil || !slices.Equal(names(list), []string{route, dns, out25}) {
		t.Errorf("%v %v", names(list), err)
	}
	if r := c.Results()[len(c.steps)-1]; r.Code != codeNever || r.State != CouldNotTest {
		t.Errorf("%+v", r)
	}
	if _, err := c.Test(t.Context(), "out26"); err == nil || !strings.Contains(err.Error(), "out25") {
		t.Errorf("a name that is none: %v", err)
	}
}

// A rows is a store.
type rows struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (r *rows) State(p string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok := r.m[p]; ok {
		return v, nil
	}
	return nil, errors.New("not found")
}

func (r *rows) PutState(p string, v []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[p] = v
	return nil
}

// TestSince: since when it is so outlives a restart and a state that is the
// same, and not one that is another.
func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		store := &rows{m: make(map[string][]byte)}
		w.opt.Memory = store
		first := w.one(t, disk)
		time.Sleep(time.Hour)
		second := w.one(t, disk) // another Checker
		if !second.Since.Equal(first.Since) || !second.Tested.After(first.Tested) {
			t.Errorf("since %v, then %v", first, second)
		}
		kept := w.checker().Results()
		i := slices.IndexFunc(kept, func(r Result) bool { return r.Name == disk })
		if k := kept[i]; k.Code != "room" || k.Means != second.Means || !k.Since.Equal(first.Since) {
			t.Errorf("kept %+v", k)
		}
		w.opt.Disk = func() (int64, int64, error) { return 1, 2, nil }
		third := w.one(t, disk)
		if !third.Since.Equal(third.Tested) || third.State != Bad {
			t.Errorf("then %+v", third)
		}
		for _, broken := range []string{"", "{", `[{"name":"disk","code":"nonsense"}]`, `[{"name":"nobody"}]`, strings.Repeat(" ", maxKept+1)} {
			store.m[statePath] = []byte(broken)
			w.one(t, disk)
		}
	})
}

// TestAtRest: in a day at rest the DNS is asked fewer than 200 questions in any
// hour, without a cache before it; every result is as young as the tree wants.
func TestAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		zone := mailtest.NewCounted(w.zone)
		w.opt.DNS = zone
		c := w.checker()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		most, last := 0, 0
		for hour := range 24 {
			time.Sleep(time.Hour)
			n := len(zone.Asked())
			most, last = max(most, n-last), n
			for i, r := range c.Results() {
				if age := time.Since(r.Tested); age > c.steps[i].every+2*time.Minute {
					t.Errorf("hour %d: %s is %v old", hour, r.Name, age)
				}
			}
		}
		if most >= 200 || most == 0 {
			t.Errorf("%d questions in an hour", most)
		}
		t.Logf("at most %d questions in an hour, %d in a day", most, last)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestNobody: as long as nobody has a domain here nobody outside is asked by
// itself, and soon after the first one all is tested.
func TestNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		zone := mailtest.NewCounted(w.zone)
		w.opt.DNS = zone
		var outside atomic.Int64
		inner := w.dial
		w.opt.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			outside.Add(1)
			return inner(ctx, network, addr)
		}
		var has atomic.Pointer[[]string]
		has.Store(new([]string))
		w.opt.Domains = func() []string { return *has.Load() }
		c := w.checker()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(48 * time.Hour)
		if n := len(zone.Asked()); n != 0 || outside.Load() != 0 || w.probe.asked.Load() != 0 {
			t.Errorf("%d names, %d connections, %d probes", n, outside.Load(), w.probe.asked.Load())
		}
		for i, r := range c.Results() {
			if r.Tested.IsZero() == c.steps[i].home() {
				t.Errorf("%s was tested at %v", r.Name, r.Tested)
			}
		}
		has.Store(&[]string{"example.com"})
		time.Sleep(2 * time.Minute)
		for _, r := range c.Results() {
			if r.Tested.IsZero() || r.Code == codeNever {
				t.Errorf("%s was not tested", r.Name)
			}
		}
		cancel()
		<-done
	})
}

// TestChanged: a change of state is told once, with both, and whether it is
// needed now; the first finding is none, and neither is another reason for the
// same.
func TestChanged(t *testing.T) {
	w := newWorld()
	free, mode := int64(10), Direct
	w.opt.Disk = func() (int64, int64, error) { return free, 4, nil }
	w.opt.Mode = func() Mode { return mode }
	var told []string
	w.opt.Changed = func(old, now Result) {
		told = append(told, fmt.Sprintf("%s %s→%s %v", now.Name, old.Code, now.Code, now.Needed))
	}
	w.opt.Memory = &rows{m: make(map[string][]byte)}
	c := w.checker()
	run := func(want ...string) {
		t.Helper()
		told = nil
		if _, err := c.Test(t.Context(), disk, out25); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	}
	run()
	run()
	free = 5
	run("disk room→low true")
	free = 1
	run() // worse, and still bad
	c = w.checker()
	free = 10
	run("disk full→room true") // over a restart
	mode = Smarthost
	for _, at := range []string{gmailIP + ":25", mxIP + ":25"} {
		w.ports[at] = "refuse"
	}
	run("out25 open→blocked false")
}

// TestLast: what is known is told without asking anybody.
func TestLast(t *testing.T) {
	w := newWorld()
	zone := mailtest.NewCounted(w.zone)
	w.opt.DNS = zone
	c := w.checker()
	list, err := c.Last(ptr, disk)
	if err != nil || len(zone.Asked()) != 0 || !slices.Contains(names(list), address4) || slices.Contains(names(list), queue) {
		t.Errorf("%v %v, asked %v", names(list), err, zone.Asked())
	}
	if r := list[len(list)-1]; r.Name != disk || r.Code != codeNever || !r.Tested.IsZero() {
		t.Errorf("%+v", r)
	}
	if all, err := c.Last(); err != nil || len(all) != len(c.steps) {
		t.Errorf("%v %v", names(all), err)
	}
	if _, err := c.Last("nothing"); err == nil {
		t.Error("a name that is none")
	}
}

// TestClockJumps: a result from a day to come is tested again at once.
func TestClockJumps(t *testing.T) {
	c := newWorld().checker()
	if _, err := c.Test(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if c.due(now)[disk] || !c.due(now.Add(-time.Hour))[disk] || !c.due(now.AddDate(40, 0, 0))[disk] {
		t.Error("due", c.due(now))
	}
}
