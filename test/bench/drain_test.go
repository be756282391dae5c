// Package bench measures the real program beside other mail servers, on the
// same disk and in the same minutes: what counts is the ratio.
//
//	HOMEMAIL_TOOLS=1 go test -run '^$' -bench . -benchtime 3x -timeout 1h ./test/bench
package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	messages = 5000
	size     = 4 << 10
	fillers  = 16 // connections that fill a queue
)

// A system is a mail server whose queue can be held.
type system interface {
	name() string
	// hold has what comes from now on wait until it is released.
	hold(b *testing.B)
	sender(b *testing.B) session
	release(b *testing.B)
	// settled waits until the queue has nothing more to do.
	settled(b *testing.B)
	pid() int
}

// A session takes messages.
type session interface {
	send(to, text string) error
	quit()
}

// BenchmarkDrain lets full queues go, in turns, and counts how fast they arrive
// at a server that takes everything at once. The rate is that of the messages
// after the first has come; the whole is from the command to the last.
func BenchmarkDrain(b *testing.B) {
	sink := newSink(b, 0)
	binary := program(b)
	systems := []system{
		newPostfix(b, sink),
		newHomemail(b, "homemail", binary, sink, ""),
		newHomemail(b, "homemail-20", binary, sink, "per_hop = 20\n"), // as Postfix's default_destination_concurrency_limit
	}
	results := make([][]figures, len(systems))
	for round := 0; b.Loop(); round++ {
		for i := range systems {
			i = (i + round) % len(systems)
			f := drain(b, systems[i], sink)
			b.Logf("%s: %s", systems[i].name(), f)
			results[i] = append(results[i], f)
		}
	}
	for i, s := range systems {
		f := median(results[i])
		b.Logf("median of %d: %s: %s", len(results[i]), s.name(), f)
		b.ReportMetric(f.rate, s.name()+"-msg/s")
		if i == 0 {
			continue
		}
		var rate, whole []float64 // of each round: what else the machine does changes
		for round, f := range results[i] {
			rate = append(rate, f.rate/results[0][round].rate)
			whole = append(whole, results[0][round].whole.Seconds()/f.whole.Seconds())
		}
		b.ReportMetric(middle(rate), s.name()+"/postfix")
		b.ReportMetric(middle(whole), s.name()+"/postfix-whole")
	}
}

// figures are those of one drain.
type figures struct {
	rate    float64       // messages a second, between the first and the last
	whole   time.Duration // from the word to the last
	cpu     time.Duration // of the server for a message
	written float64       // bytes that went to the disk for a message
}

func (f figures) String() string {
	return fmt.Sprintf("%.0f msg/s, %v in all, %v CPU and %.0f bytes written a message", f.rate, f.whole.Round(time.Millisecond), f.cpu.Round(time.Microsecond), f.written)
}

func median(list []figures) (f figures) {
	of := func(get func(figures) float64) float64 {
		var values []float64
		for _, f := range list {
			values = append(values, get(f))
		}
		return middle(values)
	}
	f.rate = of(func(f figures) float64 { return f.rate })
	f.whole = time.Duration(of(func(f figures) float64 { return float64(f.whole) }))
	f.cpu = time.Duration(of(func(f figures) float64 { return float64(f.cpu) }))
	f.written = of(func(f figures) float64 { return f.written })
	return f
}

func drain(b *testing.B, s system, sink *sink) (f figures) {
	s.hold(b)
	fill(b, s)
	s.settled(b)
	before := usageOf(b, s.pid())
	done := sink.expect(messages)
	began := time.Now()
	s.release(b)
	select {
	case <-done:
	case <-time.After(10 * time.Minute):
		b.Fatalf("%s: %d of %d messages came", s.name(), sink.count(), messages)
	}
	first, last := sink.times()
	s.settled(b)
	after := usageOf(b, s.pid())
	if n := sink.count(); n != messages {
		b.Errorf("%s: %d messages came, %d were sent", s.name(), n, messages)
	}
	f.whole = last.Sub(began)
	f.rate = (messages - 1) / last.Sub(first).Seconds()
	f.cpu = (after.cpu - before.cpu) / messages
	f.written = float64(after.written-before.written) / messages
	return f
}

// fill queues messages that differ, each to one recipient.
func fill(b *testing.B, s system) {
	var wg sync.WaitGroup
	for w := range fillers {
		c := s.sender(b)
		wg.Go(func() {
			defer c.quit()
			for i := w; i < messages; i += fillers {
				if err := c.send(fmt.Sprintf("u%d@far.test", i), letter(size)); err != nil {
					b.Errorf("%s: %v", s.name(), err)
					return
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// letter is a message of some size that nobody has written before.
func letter(size int) string { return letterFrom(anna, size) }

func letterFrom(from string, size int) string {
	var t strings.Builder
	fmt.Fprintf(&t, "From: "+from+"\r\nTo: somebody@far.test\r\nSubject: %x\r\nDate: Tue, 03 Mar 2026 09:30:00 +0900\r\nMessage-ID: <%x@house.test>\r\n\r\n", rand.Uint64(), rand.Uint64())
	for t.Len() < size {
		fmt.Fprintf(&t, "%016x %016x %016x %016x\r\n", rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64())
	}
	return t.String()
}
