package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"homemail/internal/mailtest"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/queue"
	"homemail/relay"
	"homemail/relay/mtasts"
	"homemail/resolver"
	"homemail/store"
)

// The queue of BenchmarkDead.
const (
	domains = 500
	queued  = 10_000
	deadIP  = "127.0.0.66" // nothing ever answers there
)

func isDead(domain int) bool { return domain%10 == 3 }

// BenchmarkDead sends 10,000 messages to 500 domains with the real store, queue,
// relay and resolver, and the same without those to the tenth that is dead:
// connections to them hang. The ratio is that of the rates of the living.
func BenchmarkDead(b *testing.B) {
	for _, c := range []struct {
		name    string
		delay   time.Duration // of a reply
		timeout time.Duration // of connections to the dead
	}{
		{"near", 0, 30 * time.Second},
		{"far", 5 * time.Millisecond, 30 * time.Second},
		{"far-given-up", 5 * time.Millisecond, time.Second}, // soon enough to see what putting off costs
	} {
		b.Run(c.name, func(b *testing.B) {
			var rates [2][]float64 // without and with the dead
			var ratios []float64   // of each round: what else the machine does changes
			for round := 0; b.Loop(); round++ {
				var r [2]float64
				for i := range r {
					i = (i + round) % 2
					r[i] = drainLiving(b, c.delay, c.timeout, i == 1)
					rates[i] = append(rates[i], r[i])
				}
				ratios = append(ratios, r[1]/r[0])
			}
			b.Logf("without the dead %.0f messages a second, beside them %.0f: %.2f", rates[0], rates[1], ratios)
			b.ReportMetric(middle(rates[0]), "msg/s-without")
			b.ReportMetric(middle(rates[1]), "msg/s-beside")
			b.ReportMetric(middle(ratios), "ratio")
		})
	}
}

func middle(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// zone is the DNS of all domains.
func zone() mailtest.Zone {
	z := mailtest.Zone{}
	for d := range domains {
		ip := "127.0.0.1"
		if isDead(d) {
			ip = deadIP
		}
		z[fmt.Sprintf("MX d%d.test", d)] = []string{fmt.Sprintf("10 mx.d%d.test", d)}
		z[fmt.Sprintf("A mx.d%d.test", d)] = []string{ip}
	}
	return z
}

// drainLiving tells how many messages a second went to the living.
func drainLiving(b *testing.B, delay, timeout time.Duration, dead bool) float64 {
	s := storetest.Open(b, b.TempDir(), nil)
	must(b, s.AddDomain("house.test"))
	a, err := s.AddAccount(store.Profile{Address: anna, Language: "en"})
	must(b, err)
	living := enqueue(b, s, a.ID, queued, dead)
	sink := newSink(b, delay)
	done := sink.expect(living)
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	names := resolver.New(resolver.Options{Server: mailtest.ServeDNS(b, zone())})
	r := relay.New(relay.Options{
		Host: "mail.house.test", Resolver: names, Port: sink.port, Dial: dial, PerHop: 5, ConnectTimeout: timeout,
		Policy: mtasts.New(mtasts.Options{LookupTXT: names.LookupTXT}),
		Allow:  []netip.Prefix{loopback},
		Routes: func() relay.Routes { return relay.Routes{Default: relay.Route{Way: relay.Direct}} },
	})
	q := queue.New(queue.Options{Store: s, Transport: r, Clock: rightClock{}, Log: slog.New(slog.DiscardHandler), Host: "mail.house.test"})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	began := time.Now()
	wg.Go(func() { r.Run(ctx) })
	wg.Go(func() { q.Run(ctx) })
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		b.Fatalf("%d of %d messages came", sink.count(), living)
	}
	_, last := sink.times()
	cancel()
	wg.Wait()
	return float64(living) / last.Sub(began).Seconds()
}

// dial connects, but not to the dead.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if strings.HasPrefix(addr, deadIP+":") {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// A rightClock is always right.
type rightClock struct{}

func (rightClock) Trusted() bool { return true }

// enqueue queues n messages to the domains, if need be without the dead ones,
// and tells how many the living get.
func enqueue(b *testing.B, s *store.Store, by mail.AccountID, n int, dead bool) (living int) {
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			for i := w; i < n; i += 32 {
				if dead || !isDead(i%domains) {
					enqueueOne(b, s, by, i)
				}
			}
		})
	}
	wg.Wait()
	for i := range n {
		if !isDead(i % domains) {
			living++
		}
	}
	return living
}

func enqueueOne(b *testing.B, s *store.Store, by mail.AccountID, i int) {
	sp := s.NewSpool()
	defer sp.Discard()
	io.WriteString(sp, letter(2<<10))
	_, err := s.Commit(sp, store.Batch{Queue: []store.Outgoing{{
		Origin: store.Submitted, Account: by, Trace: fmt.Sprintf("t%d", i),
		Envelope: mail.Envelope{From: anna, To: []mail.Recipient{{Path: mail.Path(fmt.Sprintf("b@d%d.test", i%domains))}}},
	}}})
	if err != nil {
		b.Error(err)
	}
}

// BenchmarkMemory is the memory that is the program's own while it drains a
// queue of 10,000 and one of 100,000 messages: the median of many looks, and the
// ratio. What the kernel keeps of mapped files is not counted.
func BenchmarkMemory(b *testing.B) {
	binary := program(b)
	sizes := []int{10_000, 100_000}
	usual := make([][]float64, len(sizes))
	for b.Loop() {
		for i, n := range sizes {
			mb := memoryOfDrain(b, binary, n)
			b.Logf("%d queued: %.1f MB", n, mb)
			usual[i] = append(usual[i], mb)
		}
	}
	few, many := middle(usual[0]), middle(usual[1])
	b.ReportMetric(few, "MB-10k")
	b.ReportMetric(many, "MB-100k")
	b.ReportMetric(many/few, "ratio")
}

// memoryOfDrain starts the program on a full queue, and looks while 9,000
// messages leave.
func memoryOfDrain(b *testing.B, binary string, n int) float64 {
	const leave = 9000
	sink := newSink(b, 0)
	h := newHomemail(b, "homemail", binary, sink, "")
	h.stop()
	s, err := store.Open(filepath.Join(filepath.Dir(h.config), "data"), store.Options{Log: slog.New(slog.DiscardHandler), Reserve: 1 << 20})
	must(b, err)
	enqueue(b, s, 1, n, true)
	must(b, s.Close())
	done := sink.expect(leave)
	h.start(b)
	var looks []float64
	for {
		select {
		case <-done:
			h.stop()
			return middle(looks)
		case <-time.After(20 * time.Millisecond):
			looks = append(looks, float64(ownMemory(b, h.pid()))/1e6)
		}
	}
}
