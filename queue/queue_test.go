package queue

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A fake is a Transport. Without send all is relayed at once.
type fake struct {
	hop  func(domain string, tries int) string // the domain, if nil
	send func(ctx context.Context, hop string, m mail.Handover) []mail.Outcome

	mu    sync.Mutex
	calls []call
	now   map[string]int // under way, by hop
	most  map[string]int
}

type call struct {
	at  time.Time
	hop string
	id  string
	to  []mail.Path
}

func (f *fake) Hop(_ mail.Path, domain string, tries int) string {
	if f.hop == nil {
		return "mx:" + domain
	}
	return f.hop(domain, tries)
}

func (f *fake) Send(ctx context.Context, hop string, m mail.Handover, settle func([]mail.Outcome) error) {
	c := call{at: time.Now(), hop: hop, id: m.ID}
	for _, r := range m.Envelope.To {
		c.to = append(c.to, r.Path)
	}
	f.enter(c, 1)
	defer f.enter(c, -1)
	if f.send == nil {
		settle(all(m, mail.Outcome{Fate: mail.Relayed}))
		return
	}
	if list := f.send(ctx, hop, m); list != nil {
		settle(list)
	}
}

func (f *fake) enter(c call, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil {
		f.now, f.most = map[string]int{}, map[string]int{}
	}
	if n > 0 {
		f.calls = append(f.calls, c)
	}
	for _, h := range []string{c.hop, ""} {
		f.now[h] += n
		f.most[h] = max(f.most[h], f.now[h])
	}
}

func (f *fake) called() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call{}, f.calls...)
}

func all(m mail.Handover, o mail.Outcome) []mail.Outcome {
	list := make([]mail.Outcome, len(m.Envelope.To))
	for i := range list {
		list[i] = o
	}
	return list
}

// reply is an outcome that a server's reply brought.
func reply(code int, text string) mail.Outcome {
	o := mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseReply, Remote: "mx.test [192.0.2.1]:25", Reply: mail.Reply{Code: code, Text: text}}
	if code >= 500 {
		o.Fate = mail.Permanent
	}
	return o
}

var noConnection = mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseConnect, Reply: mail.Reply{Text: "connection timed out"}}

type trusted bool

func (t trusted) Trusted() bool { return bool(t) }

var quiet = slog.New(slog.DiscardHandler)

// start runs a queue over memory until stop is called.
func start(m *memory, f *fake, change func(*Options)) (q *Queue, stop func()) {
	o := Options{Transport: f, Clock: trusted(true), Log: quiet, Host: "mail.example.test"}
	if change != nil {
		change(&o)
	}
	q = newQueue(o, m)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.Run(ctx)
	}()
	return q, func() {
		cancel()
		<-done
	}
}

var fromAnna = store.Item{Origin: store.Submitted, Account: 1, Trace: "t1", Envelope: mail.Envelope{From: "anna@example.test"}}

func to(list ...mail.Path) (r []mail.Recipient) {
	for _, p := range list {
		r = append(r, mail.Recipient{Path: p})
	}
	return r
}

func TestGivesUpAfterFiveDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // five days, 36 tries, 0.00 s
		m := newMemory()
		f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
			time.Sleep(time.Second)
			return all(h, reply(450, "come back later"))
		}}
		began := time.Now()
		m.add(fromAnna, to("b@one.test")...)
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if len(m.told()) != 1 || !strings.Contains(m.told()[0], "Action: delayed") || !strings.Contains(m.told()[0], "Will-Retry-Until: Thu, 06 Jan 2000 ") {
			t.Fatalf("after five hours: %q", m.told())
		}
		time.Sleep(10 * 24 * time.Hour)
		synctest.Wait()
		calls := f.called()
		if len(calls) != 36 {
			t.Errorf("%d tries", len(calls))
		}
		minutes := []int{0, 5, 20, 50, 110, 230, 470, 710}
		for i, want := range minutes {
			got := calls[i].at.Sub(began)
			if got < time.Duration(want)*time.Minute || got > time.Duration(want)*time.Minute+time.Minute {
				t.Errorf("try %d after %v, want %d min", i+1, got, want)
			}
		}
		r := m.row(1, 0)
		if r.State != store.Expired || r.Age < 5*24*time.Hour || r.Tries != 36 {
			t.Errorf("%s after %v, %d tries", r.State, r.Age, r.Tries)
		}
		if len(m.told()) != 2 || !strings.Contains(m.told()[1], "Action: failed") || !strings.Contains(m.told()[1], "come back later") {
			t.Errorf("notices %q", m.told()[1:])
		}
	})
}

func TestUntrustedClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome { return all(h, reply(450, "later")) }}
		m.add(fromAnna, to("b@one.test")...)
		_, stop := start(m, f, func(o *Options) { o.Clock = trusted(false) })
		time.Sleep(30 * 24 * time.Hour)
		stop()
		if r := m.row(1, 0); r.State != store.Queued || len(m.told()) != 0 || !m.sweptBefore().IsZero() {
			t.Errorf("%s, notices %q, swept %v", r.State, m.told(), m.swept)
		}
		if n := len(f.called()); n < 180 {
			t.Errorf("only %d tries", n)
		}
		_, stop = start(m, f, nil) // now it is known to be old
		defer stop()
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if r := m.row(1, 0); r.State != store.Expired || len(m.told()) != 1 {
			t.Errorf("%s, notices %q", r.State, m.told())
		}
	})
}

// TestClockSetBack has mail due in 2036, because it was 2036 when it was queued.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := newMemory(), &fake{}
		m.add(fromAnna, to("b@one.test", "c@two.test")...)
		for at, r := range m.rows {
			r.Due = r.Due.AddDate(36, 0, 0)
			r.Last = r.Due.Add(-time.Hour)
			m.rows[at] = r
		}
		m.news = nil
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(f.called()); n != 2 {
			t.Errorf("%d tries", n)
		}
	})
}

func TestJumped(t *testing.T) {
	for _, tt := range []struct {
		passed, shown time.Duration
		want          bool
	}{
		{time.Minute, time.Minute, false},
		{time.Minute, time.Minute + time.Second, false},
		{time.Minute, 0, false},
		{time.Minute, -time.Hour, true},
		{time.Minute, 20 * 365 * 24 * time.Hour, true},
		{8 * time.Hour, 8 * time.Hour, false}, // the machine slept
	} {
		if got := jumped(tt.passed, tt.shown); got != tt.want {
			t.Errorf("%v passed and %v shown: %v", tt.passed, tt.shown, got)
		}
	}
}

// TestDeadHop has a server that cannot be reached for hours: the messages for
// it are put off without each being tried, and sent soon after it is back.
func TestDeadHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		began := time.Now()
		const down = 6 * time.Hour
		f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
			if time.Since(began) < down {
				time.Sleep(30 * time.Second)
				return all(h, noConnection)
			}
			return all(h, mail.Outcome{Fate: mail.Relayed})
		}}
		for range 200 {
			m.add(fromAnna, to("b@one.test")...)
		}
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(down)
		synctest.Wait()
		if n := len(f.called()); n < 6 || n > 30 {
			t.Errorf("the dead hop was asked %d times", n)
		}
		if f.most["mx:one.test"] != 1 {
			t.Errorf("%d at once at a dead hop", f.most["mx:one.test"])
		}
		tried := map[mail.ItemID]bool{}
		untried := 0
		for at, r := range m.all() {
			for _, a := range r.Attempts {
				if a.Untried {
					untried++
				} else {
					tried[at.item] = true
				}
			}
			if r.Tries < 5 {
				t.Fatalf("recipient %v: only %d tries", at, r.Tries)
			}
		}
		if untried < 1000 || len(tried) < 2 {
			t.Errorf("%d not tried; %d messages took turns to try", untried, len(tried))
		}
		m.add(fromAnna, to("new@one.test")...) // gets through, and all the others with it
		time.Sleep(time.Second)
		synctest.Wait()
		for at, r := range m.all() {
			if r.State != store.Relayed {
				t.Fatalf("recipient %v is %s: due %v, now %v", at, r.State, r.Due, time.Now())
			}
		}
	})
}

// TestDeadHopsDoNotHoldUp drains living domains beside black holes and tarpits.
func TestDeadHopsDoNotHoldUp(t *testing.T) {
	drain := func(dead int, kind string) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			left := 100 * 5
			var mu sync.Mutex
			done := make(chan struct{})
			f := &fake{send: func(_ context.Context, hop string, h mail.Handover) []mail.Outcome {
				if strings.Contains(hop, "dead") {
					time.Sleep(30 * time.Second)
					return all(h, noConnection)
				}
				if strings.Contains(hop, "tarpit") {
					time.Sleep(30 * time.Second)
					return all(h, mail.Outcome{Fate: mail.Relayed})
				}
				time.Sleep(100 * time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				if left--; left == 0 {
					close(done)
				}
				return all(h, mail.Outcome{Fate: mail.Relayed})
			}}
			for range 5 {
				for d := range 100 {
					m.add(fromAnna, to(mail.Path("b@d"+string(rune('a'+d/10))+string(rune('a'+d%10))+".test"))...)
				}
				for d := range dead {
					m.add(fromAnna, to(mail.Path("b@"+kind+string(rune('a'+d))+".test"))...)
				}
			}
			began := time.Now()
			_, stop := start(m, f, nil)
			<-done
			took = time.Since(began)
			stop()
			if f.most[""] > 20+100 {
				t.Errorf("%d at once", f.most[""])
			}
		})
		return took
	}
	without := drain(0, "")
	for _, kind := range []string{"dead", "tarpit"} {
		if with := drain(11, kind); with > without*11/10 {
			t.Errorf("%v beside %s hops, %v without", with, kind, without)
		}
	}
}

func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := &fake{hop: func(domain string, tries int) string {
			if domain == "direct.test" && tries == 0 {
				return "mx:direct.test"
			}
			return "smarthost"
		}, send: func(_ context.Context, hop string, h mail.Handover) []mail.Outcome {
			if hop == "mx:direct.test" {
				return all(h, reply(451, "go away"))
			}
			list := all(h, mail.Outcome{Fate: mail.Relayed})
			list[0] = reply(550, "no such user")
			return list
		}}
		m.add(fromAnna, to("a@one.test", "b@two.test", "c@direct.test", "d@one.test")...)
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(f.called()); n != 2 {
			t.Errorf("%d transactions: %v", n, f.called())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if c := f.called(); len(c) != 3 || c[2].hop != "smarthost" {
			t.Errorf("%+v", c)
		}
		if len(m.told()) != 2 || m.row(1, 3).State != store.Relayed {
			t.Errorf("%d notices; %+v", len(m.told()), m.all())
		}
	})
}

// TestShares: also where many messages wait and a hop takes several at once, no
// two jobs share the recipients of one.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
			time.Sleep(time.Millisecond)
			return all(h, mail.Outcome{Fate: mail.Relayed})
		}}
		const messages = 100
		for range messages {
			m.add(fromAnna, to("a@one.test", "b@one.test", "c@one.test")...)
		}
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(f.called()); n != messages {
			t.Errorf("%d messages to three people took %d transactions", messages, n)
		}
	})
}

func TestFind(t *testing.T) {
	local := mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseNeedsUTF8}
	lost := mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseLost, Remote: "mx.test [192.0.2.1]:25"}
	for _, tt := range []struct {
		list []mail.Outcome
		want finding
		by   mail.Cause
	}{
		{[]mail.Outcome{local, noConnection}, unreachable, mail.CauseConnect},
		{[]mail.Outcome{local, lost}, doubtful, mail.CauseLost},
		{[]mail.Outcome{local}, nothing, ""},
		{[]mail.Outcome{lost, noConnection, reply(450, "later")}, answered, mail.CauseReply},
		{[]mail.Outcome{reply(421, "closing")}, doubtful, mail.CauseReply},
		{[]mail.Outcome{reply(550, "no")}, answered, mail.CauseReply},
		{[]mail.Outcome{{Fate: mail.Temporary, Cause: mail.CauseTimeout}}, unreachable, mail.CauseTimeout},
	} {
		if found, by := find(tt.list); found != tt.want || by.Cause != tt.by {
			t.Errorf("%v: %v by %q", tt.list, found, by.Cause)
		}
	}
}

func TestFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
			time.Sleep(100 * time.Millisecond)
			return all(h, mail.Outcome{Fate: mail.Relayed})
		}, hop: func(string, int) string { return "smarthost" }}
		for range 500 {
			m.add(fromAnna, to("b@many.test")...)
		}
		m.add(fromAnna, to("b@few.test")...)
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r := m.row(501, 0); r.State != store.Relayed {
			t.Error("one domain starves another")
		}
		if f.most["smarthost"] > 5 {
			t.Errorf("%d at once at one hop", f.most["smarthost"])
		}
	})
}

// TestTransportFaults has a Transport that breaks its promises.
func TestTransportFaults(t *testing.T) {
	for name, send := range map[string]func(context.Context, string, mail.Handover) []mail.Outcome{
		"panic":     func(context.Context, string, mail.Handover) []mail.Outcome { panic("ouch") },
		"no result": func(context.Context, string, mail.Handover) []mail.Outcome { return nil },
		"too few":   func(context.Context, string, mail.Handover) []mail.Outcome { return []mail.Outcome{} },
		"odd fate": func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
			return all(h, mail.Outcome{Fate: "eaten"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, f := newMemory(), &fake{send: send}
				m.add(fromAnna, to("b@one.test")...)
				_, stop := start(m, f, nil)
				defer stop()
				time.Sleep(time.Minute)
				synctest.Wait()
				r := m.row(1, 0)
				if r.State != store.Queued || r.Tries != 1 || len(f.called()) != 1 {
					t.Errorf("%+v, %d calls", r, len(f.called()))
				}
			})
		})
	}
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := &fake{send: func(ctx context.Context, hop string, h mail.Handover) []mail.Outcome {
			<-ctx.Done()
			if hop == "mx:done.test" { // after the final dot
				time.Sleep(time.Second)
				return all(h, mail.Outcome{Fate: mail.Relayed})
			}
			return all(h, mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseLost})
		}}
		m.add(fromAnna, to("b@done.test")...)
		m.add(fromAnna, to("b@cut.test")...)
		_, stop := start(m, f, nil)
		time.Sleep(time.Second)
		stop()
		if r := m.row(1, 0); r.State != store.Relayed {
			t.Errorf("%+v", r)
		}
		if r := m.row(2, 0); r.State != store.Queued || r.Tries != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// TestSetAside has what is back from the dead and what cannot be read in the
// schedule: neither is sent, and nothing is held up by them.
func TestSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := newMemory(), &fake{}
		m.add(fromAnna, to("done@one.test")...)
		m.add(fromAnna, to("damaged@one.test")...)
		m.add(fromAnna, to("good@one.test")...)
		r := m.rows[ref{1, 0}]
		m.ghosts = []store.Place{{Due: r.Due, Item: 1}}
		r.State = store.Relayed
		m.rows[ref{1, 0}] = r
		m.damaged = map[mail.ItemID]bool{2: true}
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if c := f.called(); len(c) != 1 || c[0].to[0] != "good@one.test" {
			t.Errorf("sent: %+v", c)
		}
		if len(m.aside) != 2 {
			t.Errorf("set aside: %v", m.aside)
		}
	})
}

// TestNoticeBreaks has a bug in what makes notices: what has left is not sent
// again, and what failed is neither lost nor tried all the time.
func TestNoticeBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.broken = true
		f := &fake{send: func(_ context.Context, hop string, h mail.Handover) []mail.Outcome {
			if hop == "mx:bad.test" {
				return all(h, reply(550, "no"))
			}
			return all(h, mail.Outcome{Fate: mail.Relayed})
		}}
		m.add(fromAnna, mail.Recipient{Path: "b@good.test", Notify: []string{"SUCCESS"}})
		m.add(fromAnna, to("b@bad.test")...)
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(30 * 24 * time.Hour)
		synctest.Wait()
		if r := m.row(1, 0); r.State != store.Relayed || r.Tries != 1 {
			t.Errorf("%+v", r)
		}
		if r := m.row(2, 0); r.State != store.Failed || r.Age < 10*24*time.Hour || r.Tries > 100 {
			t.Errorf("%s after %v and %d tries", r.State, r.Age, r.Tries)
		}
	})
}

// TestTimeout has an attempt that does not end by itself: it counts as a try.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := &fake{send: func(ctx context.Context, _ string, h mail.Handover) []mail.Outcome {
			<-ctx.Done()
			return all(h, mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseTimeout, Remote: "x"})
		}}
		m.add(fromAnna, to("b@one.test")...)
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(attemptMax + time.Minute)
		synctest.Wait()
		if r := m.row(1, 0); r.Tries != 1 || len(f.called()) != 1 {
			t.Errorf("%+v after %d calls", r, len(f.called()))
		}
	})
}

// TestDiskFull cannot file a DSN, then not even the result.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
			if h.Envelope.To[0].Path == "b@bad.test" {
				return all(h, reply(550, "no such user"))
			}
			return all(h, mail.Outcome{Fate: mail.Relayed})
		}}
		m.fail = errors.New("disk full")
		m.add(fromAnna, to("b@bad.test")...)
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if r := m.row(1, 0); r.State != store.Queued || r.Tries != 1 {
			t.Errorf("%+v", r)
		}
		m.mu.Lock()
		m.fail = nil
		m.mu.Unlock()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if r := m.row(1, 0); r.State != store.Failed || len(m.told()) != 1 {
			t.Errorf("%+v, %d notices", r, len(m.told()))
		}

		m.mu.Lock()
		m.failAll = errors.New("disk full")
		m.mu.Unlock()
		m.add(fromAnna, to("b@good.test")...)
		time.Sleep(time.Minute)
		m.add(fromAnna, to("b@more.test")...)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(f.called()); n != 3 {
			t.Errorf("%d calls while nothing can be noted", n)
		}
		m.mu.Lock()
		m.failAll = nil
		m.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(f.called()); n != 4 || m.row(2, 0).State != store.Relayed || m.row(3, 0).State != store.Relayed {
			t.Errorf("%d calls: %+v", n, m.all())
		}
	})
}

func TestRetryPardonsHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var up atomic.Bool
		f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
			if up.Load() {
				return all(h, mail.Outcome{Fate: mail.Relayed})
			}
			return all(h, noConnection)
		}}
		for range 40 {
			m.add(fromAnna, to("b@one.test")...)
		}
		q, stop := start(m, f, nil)
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		up.Store(true)
		if n, err := q.RetryDomain("one.test"); n != 1 || err != nil {
			t.Errorf("%d domains, %v", n, err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for at, r := range m.all() {
			if r.State != store.Relayed {
				t.Fatalf("%v is %s", at, r.State)
			}
		}
	})
}

// TestMissingName sees that a domain is only believed not to exist when that is
// said twice.
func TestMissingName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var n atomic.Int32
		f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
			if n.Add(1) == 1 || h.Envelope.To[0].Path == "b@none.test" {
				return all(h, mail.Outcome{Fate: mail.Permanent, Cause: mail.CauseNoDomain})
			}
			return all(h, mail.Outcome{Fate: mail.Relayed})
		}}
		m.add(fromAnna, to("b@there.test")...)
		_, stop := start(m, f, nil)
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if r := m.row(1, 0); r.State != store.Queued {
			t.Errorf("after one answer it is %s", r.State)
		}
		m.add(fromAnna, to("b@none.test")...)
		time.Sleep(time.Hour)
		synctest.Wait()
		if a, b := m.row(1, 0).State, m.row(2, 0).State; a != store.Relayed || b != store.Failed {
			t.Errorf("there.test is %s, none.test %s", a, b)
		}
	})
}
