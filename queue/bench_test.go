package queue

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

// house is a store with an account.
func house(t testing.TB) (*store.Store, *store.Account) {
	t.Helper()
	s := storetest.Open(t, t.TempDir(), nil)
	return s, anna(t, s)
}

func anna(t testing.TB, s *store.Store) *store.Account {
	t.Helper()
	if err := s.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	a, err := s.AddAccount(store.Profile{Address: "anna@example.test", Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// enqueue queues a message as the door does.
func enqueue(t testing.TB, s *store.Store, o store.Outgoing, body string) mail.ItemID {
	sp := s.NewSpool()
	defer sp.Discard()
	io.WriteString(sp, body)
	c, err := s.Commit(sp, store.Batch{Queue: []store.Outgoing{o}})
	if err != nil {
		t.Error(err)
		return 0
	}
	return c.Items[0]
}

// fill queues n messages to 500 domains. One of ten of them is called dead, or
// gets nothing if there are to be none.
func fill(t testing.TB, s *store.Store, n int, withDead bool) (living int64) {
	var wg sync.WaitGroup
	var count atomic.Int64
	for w := range 32 {
		wg.Go(func() {
			for i := w; i < n; i += 32 {
				d := fmt.Sprintf("d%d.test", i%500)
				switch {
				case i%500%10 != 3:
					count.Add(1)
				case withDead:
					d = fmt.Sprintf("dead%d.test", i%500)
				default:
					continue
				}
				enqueue(t, s, store.Outgoing{Origin: store.Submitted, Account: 1, Trace: fmt.Sprintf("t%d", i),
					Envelope: mail.Envelope{From: "anna@example.test", To: to(mail.Path("b@" + d))}}, fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("hello ", 300)))
			}
		})
	}
	wg.Wait()
	return count.Load()
}

// drain runs a queue until n messages have left, and returns how long it took.
func drain(t testing.TB, s *store.Store, n int64, delay func(hop string) time.Duration) time.Duration {
	done := make(chan struct{})
	var sent atomic.Int64
	tr := &slow{delay: delay, dead: calledDead, sent: func() {
		if sent.Add(1) == n {
			close(done)
		}
	}}
	q := New(Options{Store: s, Transport: tr, Clock: trusted(true), Log: quiet, Host: "mail.example.test"})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	began := time.Now()
	wg.Go(func() { q.Run(ctx) })
	<-done
	took := time.Since(began)
	cancel()
	wg.Wait()
	return took
}

// A slow is a Transport to hops that take their time, dead ones too.
type slow struct {
	delay func(hop string) time.Duration
	dead  func(hop string) bool
	sent  func()
}

func (*slow) Hop(_ mail.Path, domain string, _ int) string { return domain }

func (tr *slow) Send(ctx context.Context, hop string, m mail.Handover, settle func([]mail.Outcome) error) {
	d := tr.delay(hop)
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	if tr.dead != nil && tr.dead(hop) {
		settle(all(m, noConnection))
		return
	}
	if err := settle(all(m, mail.Outcome{Fate: mail.Relayed})); err == nil {
		tr.sent()
	}
}

func calledDead(hop string) bool { return strings.HasPrefix(hop, "dead") }

func instant(string) time.Duration { return 0 }

// net is 10 to 30 ms, by hop.
func net(hop string) time.Duration {
	if calledDead(hop) {
		return 30 * time.Second
	}
	h := fnv.New32a()
	h.Write([]byte(hop))
	return 10*time.Millisecond + time.Duration(h.Sum32()%20)*time.Millisecond
}

// BenchmarkDrain sends messages to 450 domains: to hops that answer at once, to
// hops that take 10 to 30 ms, and the same beside 50 dead ones.
func BenchmarkDrain(b *testing.B) {
	for _, c := range []struct {
		name  string
		n     int
		dead  bool
		delay func(string) time.Duration
	}{
		{"instant", 10_000, false, instant},
		{"instant-100k", 100_000, false, instant},
		{"net", 10_000, false, net},
		{"net-dead", 10_000, true, net},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took time.Duration
			n := int64(0)
			for range b.N {
				b.StopTimer()
				s, _ := house(b)
				living := fill(b, s, c.n, c.dead)
				before := s.Stats().Flushes
				b.StartTimer()
				took += drain(b, s, living, c.delay)
				n += living
				b.ReportMetric(float64(s.Stats().Flushes-before)/float64(living), "flush/msg")
			}
			b.ReportMetric(float64(n)/took.Seconds(), "msg/s")
		})
	}
}

// BenchmarkMemory is what the heap holds while some thousands of many messages
// leave: the median of many looks. Most of it is Badger's, which takes 8 MB for
// each table that it happens to write; TestMemory has the queue's own part.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s := reopened(b, n)
				b.ReportMetric(float64(heapSize())/1e6, "MB-idle")
				b.StartTimer()
				var looks []uint64
				var mu sync.Mutex
				var calls atomic.Int64
				done := make(chan struct{})
				tr := &slow{delay: instant, sent: func() {
					mu.Lock()
					defer mu.Unlock()
					switch c := calls.Add(1); {
					case c == 1000:
						time.Sleep(5 * time.Second) // Badger puts its tables in order after a start
					case c > 1000 && c%250 == 0 && c <= 8000:
						looks = append(looks, heapSize())
					case c == 8001:
						close(done)
					}
				}}
				q := New(Options{Store: s, Transport: tr, Clock: trusted(true), Log: quiet, Host: "mail.example.test"})
				ctx, cancel := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				wg.Go(func() { q.Run(ctx) })
				<-done
				cancel()
				wg.Wait()
				slices.Sort(looks)
				b.ReportMetric(float64(looks[len(looks)/2])/1e6, "MB-draining")
			}
		})
	}
}

// reopened is a store with n messages in its queue, opened anew: Badger has put
// its tables in order.
func reopened(b *testing.B, n int) *store.Store {
	dir := b.TempDir()
	s, err := store.Open(dir, store.Options{Log: quiet, Reserve: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	anna(b, s)
	fill(b, s, n, false)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return storetest.Open(b, dir, nil)
}

func heapSize() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
