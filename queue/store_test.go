package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

// run runs a queue over a store until until says that it is over.
func run(t *testing.T, s *store.Store, f *fake, change func(*Options), until func(q *Queue) bool) {
	t.Helper()
	o := Options{Store: s, Transport: f, Clock: trusted(true), Log: quiet, Host: "mail.example.test"}
	if change != nil {
		change(&o)
	}
	q := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { q.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for end := time.Now().Add(10 * time.Second); !until(q); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to an end")
		}
	}
}

// tried says that each recipient has been tried.
func tried(s *store.Store) func(*Queue) bool {
	return func(*Queue) bool {
		over := true
		s.Items(false, func(_ *store.Item, to []*store.QueueRecipient) bool {
			for _, r := range to {
				over = over && (r.State != store.Queued || r.Tries > 0 || r.Hold != "")
			}
			return over
		})
		return over
	}
}

// inbox returns the messages of an account's INBOX.
func inbox(t *testing.T, a *store.Account) (list []string) {
	t.Helper()
	box, err := a.MailboxFor(mail.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := a.Entries(box.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		m, err := a.Message(box.ID, e.UID)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(a.Body(m))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(b))
	}
	return list
}

const letter = "Subject: =?UTF-8?B?44GT44KT44Gr44Gh44Gv?=\r\nMessage-ID: <1@example.test>\r\n\r\nhello\r\n"

// TestNotices checks who is told what, and where.
func TestNotices(t *testing.T) {
	submitted := store.Outgoing{Origin: store.Submitted, Trace: "t1", Envelope: mail.Envelope{From: "anna@example.test", EnvelopeID: "env1"}}
	bounce := submitted
	bounce.Envelope.From = ""
	forwarded := store.Outgoing{Origin: store.Forwarded, Trace: "t1", Prefix: []byte("Delivered-To: anna@example.test\r\n"), Envelope: mail.Envelope{From: "stranger@elsewhere.test"}}
	no := reply(550, "no such person")
	yes := mail.Outcome{Fate: mail.Relayed, Remote: "mx.test [192.0.2.1]:25"}
	told := yes
	told.DSN = true
	for _, tt := range []struct {
		name    string
		o       store.Outgoing
		notify  string
		outcome mail.Outcome
		want    string // in the one notice; "" if there is none
		master  string // in the postmaster's
	}{
		{"failure", submitted, "", no, "no such person", ""},
		{"failure, asked for", submitted, "FAILURE", no, "Final-Recipient: rfc822; b@one.test", ""},
		{"failure, envelope id", submitted, "FAILURE", no, "Original-Envelope-Id: env1", ""},
		{"failure, not asked for", submitted, "SUCCESS DELAY", no, "", ""},
		{"never", submitted, "NEVER", no, "", ""},
		{"success", submitted, "", yes, "", ""},
		{"success, asked for", submitted, "SUCCESS", yes, "Action: relayed", ""},
		{"success, the next hop tells", submitted, "SUCCESS", told, "", ""},
		{"success, never", submitted, "NEVER", yes, "", ""},
		{"bounce of a bounce", bounce, "", no, "", "no such person"},
		{"a reply that asks for none", bounce, "NEVER", no, "", ""},
		{"forwarded", forwarded, "", no, "To: <anna@example.test>", ""},
		{"forwarded, whatever the stranger wants", forwarded, "NEVER", no, "no such person", ""},
		{"forwarded, success is not the stranger's to know", forwarded, "SUCCESS", yes, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, a := house(t)
			master, err := s.AddAccount(store.Profile{Address: "owner@example.test"})
			if err != nil {
				t.Fatal(err)
			}
			o := tt.o
			o.Account = a.ID
			o.Envelope.To = []mail.Recipient{{Path: "b@one.test", Notify: strings.Fields(tt.notify)}}
			enqueue(t, s, o, letter)
			f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome { return all(h, tt.outcome) }}
			run(t, s, f, func(o *Options) {
				o.Postmaster = func() (mail.AccountID, bool) { return master.ID, true }
			}, tried(s))
			for account, want := range map[*store.Account]string{a: tt.want, master: tt.master} {
				list := inbox(t, account)
				if want == "" && len(list) != 0 || want != "" && (len(list) != 1 || !strings.Contains(list[0], want)) {
					t.Errorf("%d notices, want %q: %s", len(list), want, list)
				}
			}
		})
	}
}

// TestForwardedIsNotLost has the far end refuse what an account forwarded and
// kept no copy of, or what an alias led to: it is filed here, whole.
func TestForwardedIsNotLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		only bool
		via  string
		want int // messages
	}{
		{"a copy is here", false, "anna@example.test", 1},
		{"no copy was kept", true, "anna@example.test", 2},
		{"an alias", false, "away@example.test", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, a := house(t)
			if err := a.Update(func(p *store.Profile) error { p.ForwardOnly, p.Quota = tt.only, 1; return nil }); err != nil {
				t.Fatal(err)
			}
			body := letter + strings.Repeat("a long letter\r\n", 20_000) // longer than what a report returns
			enqueue(t, s, store.Outgoing{Origin: store.Forwarded, Account: a.ID, Trace: "t1", Prefix: []byte("Delivered-To: " + tt.via + "\r\n"),
				Envelope: mail.Envelope{From: "stranger@elsewhere.test", To: to("b@one.test")}}, body)
			f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome { return all(h, reply(550, "spam")) }}
			run(t, s, f, nil, tried(s))
			whole, list := 0, inbox(t, a)
			for _, m := range list {
				if m == "Delivered-To: "+tt.via+"\r\n"+body {
					whole++
				}
			}
			if len(list) != tt.want || whole != tt.want-1 {
				t.Errorf("%d messages, %d of them whole", len(list), whole)
			}
		})
	}
}

func TestNoticeIsShared(t *testing.T) {
	s, a := house(t)
	p, _ := a.Profile()
	a.Update(func(p *store.Profile) error { p.Language = "ja"; return nil })
	enqueue(t, s, store.Outgoing{Origin: store.Submitted, Account: p.ID, Trace: "t1",
		Envelope: mail.Envelope{From: "anna@example.test", To: to("b@one.test", "c@one.test", "d@one.test")}}, letter)
	f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
		list := all(h, reply(550, "no such person"))
		list[1] = mail.Outcome{Fate: mail.Relayed}
		return list
	}}
	run(t, s, f, nil, tried(s))
	list := inbox(t, a)
	if len(list) != 1 || strings.Count(list[0], "Final-Recipient:") != 2 || !strings.Contains(list[0], "Content-Language: ja") {
		t.Errorf("notices: %s", list)
	}
	if len(f.called()) != 1 {
		t.Errorf("%d transactions", len(f.called()))
	}
}

func TestAccountGone(t *testing.T) {
	s, a := house(t)
	id := enqueue(t, s, store.Outgoing{Origin: store.Submitted, Account: a.ID, Envelope: mail.Envelope{From: "anna@example.test", To: to("b@one.test")}}, letter)
	if err := s.RemoveAccount("anna@example.test"); err != nil {
		t.Fatal(err)
	}
	f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome { return all(h, reply(550, "no")) }}
	run(t, s, f, nil, tried(s))
	if _, to, err := s.Item(id); err != nil || to[0].State != store.Failed {
		t.Errorf("%+v, %v", to, err)
	}
}

func TestHandover(t *testing.T) {
	s, a := house(t)
	enqueue(t, s, store.Outgoing{Origin: store.Submitted, Account: a.ID, Trace: "t9", Prefix: []byte("X: y\r\n"),
		Envelope: mail.Envelope{From: "anna@example.test", UTF8: true, RequireTLS: true, To: to("b@one.test")}}, "Subject: x\r\n\r\nh\u00e9\r\n")
	var got mail.Handover
	var body string
	f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
		got = h
		for range 2 { // a second host is tried
			r, err := h.Open()
			if err != nil {
				t.Error(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Error(err)
			}
			body = string(b)
		}
		return all(h, mail.Outcome{Fate: mail.Relayed})
	}}
	run(t, s, f, nil, tried(s))
	if body != "X: y\r\nSubject: x\r\n\r\nh\u00e9\r\n" || got.Size != int64(len(body)) || !got.EightBit || got.ID != "t9" ||
		!got.Envelope.UTF8 || !got.Envelope.RequireTLS || got.Envelope.To[0].Path != "b@one.test" {
		t.Errorf("%+v: %q", got, body)
	}
}

// A crashing is a Transport to a server that takes mail or refuses it for now,
// until the house crashes: then what was taken is not told any more.
type crashing struct {
	mu      sync.Mutex
	taken   map[string]int // by recipient
	inDoubt map[string]int // taken, and we did not get to know
	left    int            // sends until the crash
	crash   context.CancelFunc
	random  *rand.Rand
}

func (c *crashing) Hop(_ mail.Path, domain string, _ int) string { return domain }

func (c *crashing) Send(_ context.Context, _ string, h mail.Handover, settle func([]mail.Outcome) error) {
	c.mu.Lock()
	var list []mail.Outcome
	for range h.Envelope.To {
		switch c.random.IntN(4) {
		case 0:
			list = append(list, reply(450, "later"))
		default:
			list = append(list, mail.Outcome{Fate: mail.Relayed})
		}
	}
	c.left--
	crashed := c.left <= 0
	for i, o := range list {
		if o.Fate == mail.Relayed {
			name := h.ID + " " + string(h.Envelope.To[i].Path)
			c.taken[name]++
			if crashed {
				c.inDoubt[name]++
			}
		}
	}
	if crashed {
		c.crash()
	}
	c.mu.Unlock()
	if !crashed {
		settle(list)
	}
}

// TestCrashes crashes again and again between Send and settle, and opens the
// store anew. No message is lost, and only what was in doubt is sent twice.
func TestCrashes(t *testing.T) {
	dir := t.TempDir()
	open := func() *store.Store {
		s, err := store.Open(dir, store.Options{Log: quiet, Reserve: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	a := anna(t, s)
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]bool{}
	for i := range 100 {
		o := store.Outgoing{Origin: store.Submitted, Account: a.ID, Trace: fmt.Sprint("t", i), Envelope: mail.Envelope{From: "anna@example.test"}}
		for r := range 1 + random.IntN(4) {
			p := mail.Path(fmt.Sprintf("b%d@d%d.test", r, random.IntN(7)))
			o.Envelope.To = append(o.Envelope.To, to(p)...)
			want[o.Trace+" "+string(p)] = true
		}
		enqueue(t, s, o, letter)
	}
	c := &crashing{taken: map[string]int{}, inDoubt: map[string]int{}, random: random}
	for round := 0; ; round++ {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		c.left, c.crash = 1+random.IntN(40), cancel
		q := New(Options{Store: s, Transport: c, Clock: trusted(true), Log: quiet, Host: "mail.example.test", Steps: []time.Duration{time.Millisecond}})
		if err := q.Run(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		size, err := s.QueueSize(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if size.Queued == 0 {
			t.Logf("%d rounds, %d in doubt", round, len(c.inDoubt))
			break
		}
		if round > 200 {
			t.Fatalf("%d recipients are still queued", size.Queued)
		}
		s = open()
	}
	for name := range want {
		if n := c.taken[name]; n < 1 || n > 1+c.inDoubt[name] {
			t.Errorf("%s arrived %d times, %d in doubt", name, n, c.inDoubt[name])
		}
	}
	storetest.Open(t, dir, nil) // verifies it
}

// TestMany settles from many attempts at once, with failures, holds and
// retries of the owner in between.
func TestMany(t *testing.T) {
	s, a := house(t)
	const n = 300
	for i := range n {
		enqueue(t, s, store.Outgoing{Origin: store.Submitted, Account: a.ID, Trace: fmt.Sprint("t", i),
			Envelope: mail.Envelope{From: "anna@example.test", To: to(mail.Path(fmt.Sprintf("b@d%d.test", i%9)), mail.Path(fmt.Sprintf("c@d%d.test", i%9)))}}, letter)
	}
	var mu sync.Mutex
	arrived := map[string]int{}
	random := rand.New(rand.NewPCG(3, 4))
	f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
		mu.Lock()
		defer mu.Unlock()
		list := all(h, mail.Outcome{Fate: mail.Relayed})
		for i := range list {
			switch random.IntN(8) {
			case 0:
				list[i] = reply(451, "later")
			case 1:
				list[i] = noConnection
			case 2:
				list[i] = mail.Outcome{Fate: mail.Temporary, Cause: mail.CauseLost, Remote: "x"}
			default:
				arrived[h.ID+string(h.Envelope.To[i].Path)]++
			}
		}
		return list
	}}
	i := 0
	run(t, s, f, func(o *Options) { o.Steps = []time.Duration{time.Millisecond} }, func(q *Queue) bool {
		i++
		id := fmt.Sprint("t", i%n)
		switch i % 3 {
		case 0:
			q.Hold(id, "wait")
		case 1:
			q.Retry(id)
		case 2:
			q.RetryDomain("")
		}
		if i%50 == 0 {
			q.ReleaseAccount(a.ID, "")
		}
		size, err := s.QueueSize(time.Now())
		return err != nil || size.Queued == 0
	})
	for i := range n {
		for _, r := range []string{"b", "c"} {
			if name := fmt.Sprintf("t%d%s@d%d.test", i, r, i%9); arrived[name] != 1 {
				t.Errorf("%s arrived %d times", name, arrived[name])
			}
		}
	}
}

func TestOwner(t *testing.T) {
	s, a := house(t)
	o := store.Outgoing{Origin: store.Submitted, Account: a.ID, Trace: "01abcdefghjkmnp", Envelope: mail.Envelope{From: "anna@example.test", To: to("b@one.test", "c@two.test")}}
	first := enqueue(t, s, o, letter)
	o.Trace, o.Hold = "02abcdefghjkmnp", "too many"
	enqueue(t, s, o, letter)
	answer := reply(450, "4.2.2 mailbox full")
	f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome { return all(h, answer) }}
	run(t, s, f, nil, func(q *Queue) bool {
		if !tried(s)(q) {
			return false
		}
		ask(t, q, a, first)
		return true
	})
}

// ask does what the owner can do, one after the other.
func ask(t *testing.T, q *Queue, a *store.Account, first mail.ItemID) {
	list, err := q.List(Filter{}, "en")
	if err != nil || len(list) != 2 || list[0].Number != first || list[0].Waiting != 2 || list[0].Why == "" || list[0].Next.IsZero() || list[1].Hold != "too many" {
		t.Errorf("list %+v, %v", list, err)
	}
	if list, err = q.List(Filter{Held: true, Domain: "two.test", Account: a.ID, Limit: 1}, "en"); err != nil || len(list) != 1 || list[0].ID != "02abcdefghjkmnp" {
		t.Errorf("held %+v, %v", list, err)
	}
	for _, id := range []string{"01abcdefghjkmnp", fmt.Sprint(first)} {
		detail, err := q.Show(id, "en")
		if err != nil || len(detail) != 1 || len(detail[0].Recipients) != 2 {
			t.Fatalf("show %s: %+v, %v", id, detail, err)
		}
		try := detail[0].Recipients[0].Tries[0]
		if try.Reply.Text != "4.2.2 mailbox full" || try.What == "" || try.Why == "" || try.Todo == "" {
			t.Errorf("try %+v", try)
		}
	}
	for _, id := range []string{"99", "nobody"} {
		if _, err := q.Show(id, "en"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("show %s: %v", id, err)
		}
	}
	want := func(what string, n int) func(int, error) {
		return func(got int, err error) {
			t.Helper()
			if got != n || err != nil {
				t.Errorf("%s: %d, %v; want %d", what, got, err, n)
			}
		}
	}
	want("hold", 2)(q.Hold("01abcdefghjkmnp", "wait"))
	want("hold again", 0)(q.Hold("01abcdefghjkmnp", "wait"))
	want("retry what is held", 0)(q.Retry("01abcdefghjkmnp"))
	want("release account", 2)(q.ReleaseAccount(a.ID, "too many"))
	want("release", 2)(q.Release(fmt.Sprint(first)))
	want("hold account", 4)(q.HoldAccount(a.ID, "too many"))
	n, err := q.Remove("01abcdefghjkmnp", false)
	for errors.Is(err, ErrBusy) { // it was just released
		time.Sleep(time.Millisecond)
		more := 0
		more, err = q.Remove("01abcdefghjkmnp", false)
		n += more
	}
	want("remove", 2)(n, err)
	want("remove and tell", 2)(q.Remove("02abcdefghjkmnp", true))
	want("remove again", 0)(q.Remove("02abcdefghjkmnp", true))
	if list := inbox(t, a); len(list) != 1 || strings.Count(list[0], "Action: failed") != 2 {
		t.Errorf("notices: %s", list)
	}
	if list, err := q.List(Filter{Done: true}, "en"); err != nil || len(list) != 2 || list[0].Done != 2 || len(list[0].To) != 2 {
		t.Errorf("done %+v, %v", list, err)
	}
	if s := q.Stats(); s.Queued != 0 || s.Deferred < 2 {
		t.Errorf("stats %+v", s)
	}
}
