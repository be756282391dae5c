package events

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

// noon is a while ago, and not too old to be kept.
var noon = time.Now().Add(-24 * time.Hour).Truncate(time.Second).UTC()

// message is the n-th event of a busy house.
func message(n int) Event {
	return Event{
		At: noon.Add(time.Duration(n) * time.Second), Kind: Filed, ID: fmt.Sprintf("01kkx5mzs%06d", n), MessageID: fmt.Sprintf("<%d.abc@mail.shop.example>", n),
		Account: mail.AccountID(1 + n%5), From: mail.Path(fmt.Sprintf("bounce-%d@shop.example", n%1000)), To: []mail.Path{mail.Path(fmt.Sprintf("p%d@house.test", n%5))},
		Subject: fmt.Sprintf("Your order %d is on its way", n), Size: 20_000, Mailbox: "INBOX", Remote: "192.0.2.7",
	}
}

func open(t testing.TB, o Options) (*store.Store, *Log) {
	s := storetest.Open(t, t.TempDir(), nil)
	return s, New(s, o)
}

func all(t *testing.T, l *Log, q Query) (list []Event) {
	t.Helper()
	for before := uint64(0); ; {
		p, err := l.Find(q, 0, before)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p.Events...)
		if before = p.Next; before == 0 {
			return list
		}
	}
}

func seqs(list []Event) (n []uint64) {
	for _, e := range list {
		n = append(n, e.Seq)
	}
	return n
}

// TestKeeps adds events in batches of all sizes, over restarts, and finds each
// of them once and in order; rows are packed.
func TestKeeps(t *testing.T) {
	s, l := open(t, Options{})
	r := rand.New(rand.NewPCG(1, 2))
	n := 0
	for range 200 {
		for range 1 + r.IntN(12)*r.IntN(3) {
			l.Add(message(n))
			n++
		}
		if err := l.write(); err != nil {
			t.Fatal(err)
		}
		if r.IntN(10) == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = New(s, Options{})
		}
	}
	list := all(t, l, Query{})
	if len(list) != n {
		t.Fatalf("%d events of %d", len(list), n)
	}
	for i, e := range list {
		want := message(n - 1 - i)
		want.Seq = uint64(n - i)
		if !reflect.DeepEqual(e, want) {
			t.Fatalf("got %+v, want %+v", e, want)
		}
	}
	rows, size := 0, 0
	must(t, s.Events(1<<62, func(_ uint64, row []byte) bool { rows++; size += len(row); return true }))
	if st := l.Stats(); st.Events != int64(n) || st.Bytes != int64(size) && st.Bytes > int64(size)*2 || rows > n/3 {
		t.Errorf("%+v; %d events in %d rows of %d bytes", st, n, rows, size)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPrune keeps no more than it may: by number, by bytes, and by age unless
// the clock cannot be trusted.
func TestPrune(t *testing.T) {
	fill := func(l *Log, n int) {
		for i := range n {
			e := message(i)
			e.At = time.Now().Add(time.Duration(i-n) * time.Hour)
			l.Add(e)
		}
		must(t, l.write())
	}
	_, l := open(t, Options{Count: 100})
	for range 3 {
		fill(l, 150)
	}
	if n := len(all(t, l, Query{})); n < 100 || n > 110 {
		t.Errorf("%d events of 100 at most", n)
	}
	_, l = open(t, Options{Bytes: 5000})
	fill(l, 400)
	if st := l.Stats(); st.Bytes > 5000 || st.Bytes < 3000 {
		t.Errorf("%+v", st)
	}
	_, l = open(t, Options{Age: 48 * time.Hour})
	fill(l, 200)
	if n := len(all(t, l, Query{})); n < 47 || n > 58 {
		t.Errorf("%d events of the last 48 hours", n)
	}
	wrong := clock(false)
	s, l := open(t, Options{Age: 48 * time.Hour, Clock: &wrong})
	fill(l, 200)
	if n := len(all(t, l, Query{})); n != 200 {
		t.Errorf("%d events of 200 with a wrong clock", n)
	}
	right := clock(true)
	l = New(s, Options{Age: 48 * time.Hour, Clock: &right})
	l.Add(Event{Kind: Started})
	must(t, l.write())
	if n := len(all(t, l, Query{})); n != 201 {
		t.Errorf("%d events of 201 from before the clock was right", n)
	}
}

type clock bool

func (c *clock) Trusted() bool { return bool(*c) }

// TestRun writes within a second of an event, once for all of a second, and
// what is left when it ends.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := open(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		w := l.Watch()
		defer w.Close()
		start := time.Now()
		l.Add(message(1))
		if e := <-w.C; e.ID != message(1).ID || time.Since(start) != gather {
			t.Errorf("%+v after %v", e, time.Since(start))
		}
		for n := range 5 {
			time.Sleep(100 * time.Millisecond)
			l.Add(message(2 + n))
		}
		<-w.C
		if d := time.Since(start); d != writeEach && d != writeEach+gather {
			t.Errorf("the second after %v", d)
		}
		l.Add(message(9))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := all(t, New(s, Options{}), Query{}); len(got) != 7 {
			t.Errorf("%d events are kept", len(got))
		}
	})
}

// TestLost counts what does not fit and says so.
func TestLost(t *testing.T) {
	_, l := open(t, Options{})
	for i := range pendingMax + 7 {
		l.Add(message(i))
	}
	if st := l.Stats(); st.Lost != 7 {
		t.Errorf("%+v", st)
	}
	if got := all(t, l, Query{Kinds: []Kind{Lost}}); len(got) != 1 || got[0].Count != 7 {
		t.Errorf("%+v", got)
	}
	var none *Log
	none.Add(message(1))
	if p, err := none.Find(Query{}, 0, 0); err != nil || len(p.Events) > 0 || none.Close() != nil {
		t.Error("a log that is nil does something")
	}
}

// TestNoise floods the log with refusals: what matters stays.
func TestNoise(t *testing.T) {
	_, l := open(t, Options{})
	for i := range 2000 {
		l.Add(Event{Kind: Refused, From: "x@spam.example", To: []mail.Path{"a@house.test"}, Remote: "192.0.2.1", Reason: Unknown})
		if i%500 == 0 {
			l.Add(message(i))
			l.Add(Event{Kind: SignedIn, Account: 1, Device: "phone", Door: "imap", Remote: "192.0.2.9"})
		}
	}
	if n := len(all(t, l, Query{Kinds: []Kind{Refused}})); n != noiseBurst {
		t.Errorf("%d refusals", n)
	}
	if n := len(all(t, l, Query{Kinds: []Kind{Filed}})); n != 4 {
		t.Errorf("%d messages", n)
	}
	if n := len(all(t, l, Query{Kinds: []Kind{SignedIn}})); n != 1 {
		t.Errorf("%d sign-ins", n)
	}
	l.quiet.filled = time.Now().Add(-time.Hour)
	must(t, l.write())
	if got := all(t, l, Query{Kinds: []Kind{Omitted}}); len(got) != 1 || got[0].Count != 2000-noiseBurst || l.Stats().Omitted != 2000-noiseBurst {
		t.Errorf("%+v", got)
	}
}

// TestFind asks in all ways.
func TestFind(t *testing.T) {
	_, l := open(t, Options{})
	for i := range 500 {
		l.Add(message(i))
	}
	l.Add(Event{At: noon, Kind: Submitted, Account: 2, From: "Anna@House.Test", To: []mail.Path{"bob@Bücher.example"}, Subject: "=?utf-8?q?Gr=C3=BC=C3=9Fe?= aus =?UTF-8?B?S3nFjXRv?=", ID: "sub"})
	l.Add(Event{At: noon, Kind: Refused, Account: 2, From: "anna@house.test", To: []mail.Path{"x@y.test"}, Reason: TooBig})
	l.Add(Event{At: noon, Kind: Refused, From: "eve@spam.example", To: []mail.Path{"anna@house.test"}, Reason: Forged})
	for _, tt := range []struct {
		q    Query
		want int
	}{
		{Query{}, 503},
		{Query{Address: "anna@HOUSE.test"}, 3},
		{Query{To: "anna@house.test"}, 1},
		{Query{From: "anna"}, 2},
		{Query{From: "@spam.example"}, 1},
		{Query{To: "bob@bücher.example"}, 1},
		{Query{To: "@BÜCHER.example"}, 1},
		{Query{Subject: "grüße AUS"}, 1},
		{Query{Subject: "order 12"}, 11},
		{Query{Text: "KYŌTO"}, 1},
		{Query{ID: "sub"}, 1},
		{Query{ID: "su"}, 0},
		{Query{Kinds: []Kind{Refused}}, 2},
		{Query{Kinds: []Kind{Refused}, Direction: In}, 1},
		{Query{Direction: Out}, 2},
		{Query{Account: 2}, 102},
		{Query{Account: 2, Kinds: []Kind{Submitted, Refused}}, 2},
		{Query{Since: noon.Add(490 * time.Second)}, 10},
		{Query{After: 495}, 8},
		{Query{After: 503}, 0},
		{Query{Until: noon.Add(9 * time.Second)}, 13},
	} {
		if got := all(t, l, tt.q); len(got) != tt.want {
			t.Errorf("%+v: %d events, want %d", tt.q, len(got), tt.want)
		}
	}
	var got []uint64
	for before, n := uint64(0), 0; ; n++ {
		p, err := l.Find(Query{Account: 2}, 10, before)
		must(t, err)
		got = append(got, seqs(p.Events)...)
		if before = p.Next; before == 0 {
			break
		}
		if len(p.Events) > 10 || n > 20 {
			t.Fatalf("page %d has %d events", n, len(p.Events))
		}
	}
	if want := seqs(all(t, l, Query{Account: 2})); !slices.Equal(got, want) {
		t.Errorf("in pages %d, at once %d", got, want)
	}
}

// TestTrace follows a message out of the house and in again, and shows a person
// only what is theirs.
func TestTrace(t *testing.T) {
	_, l := open(t, Options{})
	at := noon
	add := func(e Event) {
		at = at.Add(time.Minute)
		e.At = at
		l.Add(e)
	}
	add(Event{Kind: Filed, ID: "other", MessageID: "<o@x>", Account: 1})
	add(Event{Kind: Refused, ID: "a1", From: "x@y.test", To: []mail.Path{"nobody@house.test"}, Reason: Unknown})
	add(Event{Kind: Submitted, ID: "a1", MessageID: "<m@x>", Account: 1, From: "anna@house.test", To: []mail.Path{"list@far.example"}})
	add(Event{Kind: Deferred, ID: "a1", Account: 1, To: []mail.Path{"list@far.example"}})
	add(Event{Kind: Filed, ID: "noise", MessageID: "<m@xx>", Account: 1})
	add(Event{Kind: Relayed, ID: "a1", Account: 1, To: []mail.Path{"list@far.example"}})
	add(Event{Kind: Received, ID: "b2", MessageID: "<m@x>", From: "list@far.example"})
	add(Event{Kind: Filed, ID: "b2", MessageID: "<m@x>", Account: 2})
	add(Event{Kind: Fetched, MessageID: "<m@x>", Account: 3})
	for _, tt := range []struct {
		id      string
		account mail.AccountID
		want    string
	}{
		{"a1", 0, "refused submitted deferred relayed received filed fetched"},
		{"b2", 0, "refused submitted deferred relayed received filed fetched"},
		{"a1", 1, "submitted deferred relayed"},
		{"b2", 2, "filed"},
		{"a1", 2, ""},
		{"other", 0, "filed"},
		{"none", 0, ""},
	} {
		way, err := l.Trace(tt.id, tt.account)
		must(t, err)
		var kinds []string
		for _, e := range way {
			kinds = append(kinds, string(e.Kind))
		}
		if got := strings.Join(kinds, " "); got != tt.want {
			t.Errorf("%s for %d: %s, want %s", tt.id, tt.account, got, tt.want)
		}
	}
}

// TestDamage loses a row, and nothing else.
func TestDamage(t *testing.T) {
	s, l := open(t, Options{})
	for i := range 100 {
		l.Add(message(i))
	}
	must(t, l.write())
	var firsts []uint64
	must(t, s.EventsFrom(0, func(first uint64, _ []byte) bool { firsts = append(firsts, first); return true }))
	must(t, s.PutEvents([]store.EventRow{{First: firsts[1], Bytes: []byte{9, 9, 9}}, {First: firsts[len(firsts)-1], Bytes: []byte{rowVersion, 0, 5, 200}}}, true))
	l = New(s, Options{})
	l.Add(message(100))
	got := all(t, l, Query{})
	if len(got) < 100-2*int(firsts[1]) || got[0].ID != message(100).ID || got[len(got)-1].Seq != 1 {
		t.Errorf("%d events, from %d", len(got), got[0].Seq)
	}
}

// TestTriesAgain keeps what the store does not take, and writes it once it does.
func TestTriesAgain(t *testing.T) {
	_, l := open(t, Options{})
	in := Event{At: noon, Kind: SignedIn, Account: 1, Device: "phone", Door: "imap"}
	l.Add(in)
	right := l.s
	broken, err := store.Open(t.TempDir(), store.Options{Reserve: 1 << 20})
	must(t, err)
	must(t, broken.Close())
	must(t, l.load())
	l.s = broken
	for range 3 {
		if err := l.write(); err == nil {
			t.Fatal("a closed store took an event")
		}
		l.Add(message(1))
	}
	l.s = right
	if got := all(t, l, Query{}); len(got) != 4 || got[3].Kind != SignedIn {
		t.Errorf("%d events", len(got))
	}
	if st := l.Stats(); st.Events != 4 || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}

// oddClock has a bug for a while.
type oddClock struct{ odd atomic.Bool }

func (c *oddClock) Trusted() bool {
	if c.odd.Load() {
		panic("odd")
	}
	return true
}

// TestWriterPanics: a bug while events are written costs those, and neither the
// server nor what happens later.
func TestWriterPanics(t *testing.T) {
	c := new(oddClock)
	_, l := open(t, Options{Clock: c, Log: slog.New(slog.DiscardHandler)})
	l.Add(message(1))
	c.odd.Store(true)
	if err := l.safely(); err == nil {
		t.Error("no error")
	}
	c.odd.Store(false)
	l.Add(message(2))
	if err := l.safely(); err != nil {
		t.Error(err)
	}
	if got := all(t, l, Query{ID: message(2).ID}); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestFindSince: events of before are not looked at, and none of after is missed,
// whatever the clock said in between.
func TestFindSince(t *testing.T) {
	_, l := open(t, Options{})
	for n := range 3000 {
		e := message(n)
		if n >= 1000 && n < 1100 {
			e.At, e.Unsure = time.Unix(0, 0), true // a board without a clock has started
		}
		if n == 2500 {
			e.At = e.At.Add(-10 * time.Minute) // it was noted late
		}
		l.Add(e)
		if n%100 == 99 {
			must(t, l.write())
		}
	}
	since := noon.Add(800 * time.Second)
	if got := len(all(t, l, Query{Since: since})); got != 3000-800-100 {
		t.Errorf("%d events", got)
	}
	p, err := l.Find(Query{Since: noon.Add(30 * time.Hour)}, 0, 0)
	if must(t, err); len(p.Events) > 0 || p.Next != 0 {
		t.Errorf("%+v", p)
	}
}
