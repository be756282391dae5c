package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

var errPort = acme.Problem{Type: acme.ProblemTypeConnection, Status: 400, Detail: "Timeout during connect"}

// TestTwoYears lets a certificate be renewed for two years: with the same key,
// in time, and without ever showing an expired one.
func TestTwoYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, state := newCA(t), newMemory()
		s, stop := start(t, t.TempDir(), ca, state, ACME{})
		synctest.Wait()
		for day := range 730 {
			time.Sleep(24 * time.Hour)
			if st := s.Status()[0]; st.Shown != Valid || time.Until(st.NotAfter) < 29*24*time.Hour {
				t.Fatalf("day %d: %+v", day, st)
			}
		}
		n, keys := ca.seen()
		if n < 11 || n > 13 || keys != 1 {
			t.Errorf("%d orders with %d keys", n, keys)
		}
		last := s.Leaf()
		stop()
		s, stop = start(t, t.TempDir(), ca, state, ACME{})
		if !s.Leaf().Equal(last) {
			t.Error("after a restart another certificate is shown")
		}
		time.Sleep(24 * time.Hour)
		stop()
		if again, _ := ca.seen(); again != n {
			t.Error("an order after a restart")
		}
		for path, v := range state.rows {
			if bytes.Contains(v, []byte(privateKey)) {
				t.Errorf("%s has a key in the clear", path)
			}
		}
	})
}

// TestNothingBefore: until the owner agrees, the clock is right and the name
// leads here, there is no order; then there is one soon.
func TestNothingBefore(t *testing.T) {
	no := errors.New("not yet")
	for name, tt := range map[string]struct {
		block func(o *ACME, blocked *shared[bool], since time.Time)
		soon  time.Duration
	}{
		"claim": {func(o *ACME, blocked *shared[bool], _ time.Time) {
			o.Allowed = func() error {
				if blocked.get() {
					return no
				}
				return nil
			}
		}, 15 * time.Second},
		"name": {func(o *ACME, blocked *shared[bool], _ time.Time) {
			o.PointsHere = func(context.Context, string) error {
				if blocked.get() {
					return no
				}
				return nil
			}
		}, 15 * time.Second},
		"reach": {func(o *ACME, blocked *shared[bool], _ time.Time) {
			o.Reachable = func() Reach {
				if blocked.get() {
					return Reach{Closed, Closed}
				}
				return Reach{}
			}
		}, 15 * time.Second},
		"clock": {func(o *ACME, _ *shared[bool], since time.Time) { o.Built = since.Add(time.Minute) }, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca, o, blocked := newCA(t), ACME{}, shared[bool]{v: true}
				tt.block(&o, &blocked, time.Now())
				s, stop := start(t, t.TempDir(), ca, newMemory(), o)
				defer stop()
				time.Sleep(time.Minute - time.Second)
				synctest.Wait()
				if n, _ := ca.seen(); n > 0 || s.Status()[0].Doing != Waiting || s.Status()[0].Trouble.Empty() || s.Status()[0].Shown != SelfSigned {
					t.Errorf("%d orders, %+v", n, s.Status())
				}
				blocked.set(false)
				time.Sleep(tt.soon)
				synctest.Wait()
				if n, _ := ca.seen(); n != 1 || s.Status()[0].Shown != Valid || !s.Status()[0].Trouble.Empty() {
					t.Errorf("%d orders, %+v", n, s.Status())
				}
			})
		})
	}
}

// TestOwnerAtWork: who needs half an hour to find the form for the records does
// not wait longer at its end than who was quick.
func TestOwnerAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, blocked := newCA(t), shared[bool]{v: true}
		s, stop := start(t, t.TempDir(), ca, newMemory(), ACME{PointsHere: func(context.Context, string) error {
			if blocked.get() {
				return errors.New("not yet")
			}
			return nil
		}})
		defer stop()
		time.Sleep(6 * time.Hour)
		s.Wake() // by what the owner does
		time.Sleep(29 * time.Minute)
		blocked.set(false)
		time.Sleep(lookAtWork)
		synctest.Wait()
		if st := s.Status()[0]; st.Shown != Valid {
			t.Errorf("%+v", st)
		}
	})
}

// TestLimits: whatever fails, and however often the owner presses the button or
// the power goes while no clock can be trusted, orders stay within the limits.
func TestLimits(t *testing.T) {
	for name, restart := range map[string]bool{"pressed every minute": false, "restarted every seven minutes": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca, state, dir := newCA(t), newMemory(), t.TempDir()
				ca.fail.set(errPort)
				o := ACME{ClockDoubt: func() string { return "no time server" }}
				s, stop := start(t, dir, ca, state, o)
				step := time.Minute
				if restart {
					step = 7 * time.Minute
				}
				for range 16 * 24 * time.Hour / step {
					time.Sleep(step)
					if s.Wake(); restart {
						stop()
						s, stop = start(t, dir, ca, state, o)
					}
				}
				stop()
				ca.lawful(t)
				if n := len(ca.orders); n < 11 || n > 15 {
					t.Errorf("%d orders in 16 days", n)
				}
			})
		})
	}
}

// TestTimeOff counts if the clock is right before and after, else not.
func TestTimeOff(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			doubt := func() string {
				if trusted {
					return ""
				}
				return "no time server"
			}
			state := newMemory()
			l := newLimiter(state, "ca", doubt)
			if err := l.take("a"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			if err := l.keep(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(40 * time.Minute)
			l = newLimiter(state, "ca", doubt)
			time.Sleep(5 * time.Minute)
			want := 50 * time.Minute
			if trusted {
				want = 5 * time.Minute
			}
			if got, err := l.wait("a"); err != nil || got != want {
				t.Errorf("trusted %v: %v to wait, %v; want %v", trusted, got, err, want)
			}
			if err := l.take("a"); !errors.Is(err, errLimited) {
				t.Error(err)
			}
			if got, _ := l.wait("b"); got != 0 {
				t.Error("another name waits too")
			}
			time.Sleep(2 * week)
			if n := l.count("a"); n != 0 {
				t.Errorf("%d orders in the last week", n)
			}
		})
	}
}

// TestDamagedCount: a row that cannot be read stands for an order just now.
func TestDamagedCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := newMemory()
		state.PutState("acme-orders/ca/a", []byte("{"))
		if got, err := newLimiter(state, "ca", func() string { return "" }).wait("a"); got != ordersApart || err != nil {
			t.Error(got, err)
		}
	})
}

// TestAwayCostsNothing: a CA that does not answer is asked again soon, without
// an order that counts.
func TestAwayCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t)
		ca.fail.set(errAway)
		s, stop := start(t, t.TempDir(), ca, newMemory(), ACME{})
		defer stop()
		time.Sleep(3 * 24 * time.Hour)
		st := s.Status()[0]
		if st.Doing != Failed || st.Orders != 0 || !strings.Contains(st.Trouble.EN, "we try again") || time.Until(st.Next) > lookLeast {
			t.Errorf("%+v", st)
		}
		ca.fail.set(nil)
		time.Sleep(lookLeast)
		if st = s.Status()[0]; st.Shown != Valid {
			t.Errorf("%+v", st)
		}
	})
}

// TestRestAsksLittle: sixteen names that never come here cost few questions.
func TestRestAsksLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan int, 1)
		asked <- 0
		names := []string{}
		for c := range 16 {
			names = append(names, string(rune('a'+c))+".example.test")
		}
		_, stop := start(t, t.TempDir(), newCA(t), newMemory(), ACME{
			Names:      func() []string { return names },
			PointsHere: func(context.Context, string) error { asked <- <-asked + 1; return errors.New("elsewhere") },
		})
		defer stop()
		time.Sleep(24 * time.Hour)
		before := <-asked
		asked <- before
		time.Sleep(10 * time.Hour)
		after := <-asked
		if n := (after - before) / 10; n > 16 {
			t.Errorf("%d looks an hour", n)
		}
		asked <- after
	})
}

// TestUntrustedClock: an expired certificate goes on being shown and is not
// renewed on the word of a clock that is not trusted; nor does one that is not
// used any more stay.
func TestUntrustedClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, state, dir := newCA(t), newMemory(), t.TempDir()
		s, stop := start(t, dir, ca, state, ACME{})
		time.Sleep(time.Minute)
		first := s.Leaf()
		stop()
		time.Sleep(100 * 24 * time.Hour)
		doubt, names := shared[string]{v: "no time server"}, shared[[]string]{v: []string{testHost}}
		s, stop = start(t, dir, ca, state, ACME{ClockDoubt: doubt.get, Names: names.get})
		defer stop()
		time.Sleep(24 * time.Hour)
		st := s.Status()[0]
		if n, _ := ca.seen(); n != 1 || !s.Leaf().Equal(first) || st.Shown != Expired || st.Doing != Waiting {
			t.Errorf("%d orders, %+v", n, st)
		}
		doubt.set("")
		time.Sleep(2 * time.Minute)
		if n, _ := ca.seen(); n != 2 || s.Status()[0].Shown != Valid {
			t.Errorf("%d orders, %+v", n, s.Status())
		}
		names.set(nil)
		time.Sleep(2 * time.Minute)
		if s.shelf.Load().best(time.Now()) != s.shelf.Load().self {
			t.Error("the certificate of a name that is gone is still shown")
		}
	})
}

// TestOtherCA: a certificate of another CA is shown until the new one has given
// its own, which has the same key.
func TestOtherCA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, state, dir := newCA(t), newMemory(), t.TempDir()
		s, stop := start(t, dir, ca, state, ACME{Directory: "https://127.0.0.1:1/first"})
		time.Sleep(time.Minute)
		first := s.Leaf()
		stop()
		ca.fail.set(errAway)
		s, stop = start(t, dir, ca, state, ACME{Directory: "https://127.0.0.1:1/second"})
		defer stop()
		time.Sleep(time.Minute)
		if !s.Leaf().Equal(first) {
			t.Error("the old one is not shown")
		}
		ca.fail.set(nil)
		s.Wake()
		time.Sleep(time.Minute)
		if _, keys := ca.seen(); s.Leaf().Equal(first) || keys != 1 {
			t.Errorf("%d keys", keys)
		}
	})
}

// TestDamaged: whatever of the stored rows is lost or cannot be opened any more,
// as after a restore without the key of secrets, there is a certificate again.
func TestDamaged(t *testing.T) {
	for _, ext := range []string{".key", ".crt", ".json"} {
		for name, spoil := range map[string]func(m *memory, path string){
			"lost":    func(m *memory, path string) { delete(m.rows, path) },
			"garbled": func(m *memory, path string) { m.rows[path] = append(m.rows[path][:rowHeader], "garbled"...) },
		} {
			t.Run(name+ext, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ca, state, dir := newCA(t), newMemory(), t.TempDir()
					_, stop := start(t, dir, ca, state, ACME{})
					time.Sleep(time.Minute)
					stop()
					n := 0
					for path := range state.rows {
						if strings.HasSuffix(path, testHost+ext) {
							spoil(state, path)
							n++
						}
					}
					s, stop := start(t, dir, ca, state, ACME{})
					defer stop()
					time.Sleep(70 * 24 * time.Hour)
					if st := s.Status()[0]; n != 1 || st.Shown != Valid || !st.Trouble.Empty() {
						t.Errorf("%d spoilt, %+v", n, st)
					}
					ca.lawful(t)
				})
			})
		}
	}
}

// TestOwnFiles: what the owner's files are good for is not ordered.
func TestOwnFiles(t *testing.T) {
	dir := t.TempDir()
	files := writePair(t, dir, false)
	synctest.Test(t, func(t *testing.T) {
		// The files are of a later time than a bubble's.
		time.Sleep(time.Until(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)))
		ca := newCA(t)
		s := open(t, Options{Cert: files.Cert, Key: files.Key, Host: testHost, State: newMemory(), ACME: &ACME{
			Directory: "https://127.0.0.1:1/dir", Allowed: func() error { return nil },
			Names: func() []string { return []string{testHost, "mta-sts.example.test", "box.local"} },
		}})
		s.keeper.issue = fakeIssue(ca)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		st := s.Status()
		if !st[0].Own || st[0].Shown != Valid || st[1].Own || st[1].Shown != Valid {
			t.Errorf("%+v", st)
		}
		if n, _ := ca.seen(); n != 1 {
			t.Errorf("%d orders", n)
		}
		if st[2].Shown != None || !strings.Contains(st[2].Trouble.EN, "inside your home") || Worst(st) != None {
			t.Errorf("%+v", st[2])
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRenewAt(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	leaf := &x509.Certificate{NotBefore: begin, NotAfter: begin.Add(90 * 24 * time.Hour)}
	for _, tt := range []struct{ selected, want int }{{0, 60}, {30, 30}, {70, 70}, {95, 81}} {
		e := &entry{cert: certOf(leaf)}
		if tt.selected > 0 {
			e.ari.SuggestedWindow.Start, e.ari.SuggestedWindow.End = begin, begin.Add(time.Hour)
			e.ari.SelectedTime = begin.AddDate(0, 0, tt.selected)
		}
		if got := e.renewAt(); !got.Equal(begin.AddDate(0, 0, tt.want)) {
			t.Errorf("CA says day %d: %v", tt.selected, got)
		}
	}
}

func TestWay(t *testing.T) {
	const h, a, d = acme.ChallengeTypeHTTP01, acme.ChallengeTypeTLSALPN01, acme.ChallengeTypeDNS01
	for _, tt := range []struct {
		reach  Reach
		dns    bool
		failed map[string]int
		want   string
	}{
		{Reach{}, false, nil, a},
		{Reach{}, true, nil, d},
		{Reach{HTTP: Reachable}, false, nil, h},
		{Reach{HTTP: Reachable, TLS: Reachable}, true, nil, a},
		{Reach{HTTP: Reachable, TLS: Closed}, true, nil, h},
		{Reach{Closed, Closed}, true, nil, d},
		{Reach{Closed, Closed}, false, nil, ""},
		{Reach{}, false, map[string]int{a: 1}, h},
		{Reach{}, true, map[string]int{d: 1, a: 1, h: 1}, d},
	} {
		k := &keeper{o: ACME{Reachable: func() Reach { return tt.reach }}}
		if tt.dns {
			k.o.DNS = anyProvider
		}
		if got, err := k.way("a.test", tt.failed); got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}

// TestRest: a house that starts again looks seldom for names that lead nowhere,
// unless it never had a certificate: then its owner may be at work.
func TestRest(t *testing.T) {
	now := time.Now()
	for _, had := range []bool{true, false} {
		missing, host := &entry{since: now}, &entry{since: now}
		if had {
			host.cert = new(tls.Certificate)
		}
		k := &keeper{entries: map[string]*entry{"mail.a.test": host, "mta-sts.a.test": missing}}
		k.rest()
		if got := missing.watch(now); (got == lookLeast/6) != had || (got == lookOften) == had {
			t.Errorf("had one: %v, looks again after %v", had, got)
		}
	}
}
