package search

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/mail/text"
	"homemail/store"
)

// cpu is the processor time of this process: on a busy machine the clock says
// little.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchMessages is how many messages the benchmarks search; SEARCH_MESSAGES may
// ask for another number.
func benchMessages() int {
	if n, err := strconv.Atoi(os.Getenv("SEARCH_MESSAGES")); err == nil {
		return n
	}
	return 2000
}

// fill delivers messages of the corpus.
func (h *house) fill(b *testing.B, n int) (textSize int64) {
	for i := range n {
		msg := storetest.Corpus{NoAttachments: n > 20_000}.Message(i)
		h.deliver(msg)
		st := parse(msg)
		text.Body(st, readerAt(msg), 0, func(t []byte) error { textSize += int64(len(t)); return nil })
		textSize += st.Root.BodyAt
	}
	return textSize
}

func newBenchHouse(b *testing.B) *house {
	s, err := store.Open(b.TempDir(), store.Options{Reserve: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	s.AddDomain("example.test")
	a, err := s.AddAccount(store.Profile{Address: "anna@example.test"})
	if err != nil {
		b.Fatal(err)
	}
	m, _ := a.Mailbox("INBOX")
	return &house{b, s, a, New(s, slog.New(slog.DiscardHandler)), m.ID}
}

// BenchmarkSearch makes an index and searches: words that are rare, absent and
// common, in each place.
func BenchmarkSearch(b *testing.B) {
	h := newBenchHouse(b)
	n := benchMessages()
	size := h.fill(b, n)
	start, used := time.Now(), cpu()
	h.update()
	took := cpu() - used
	p, err := h.x.Progress(h.a)
	if err != nil || p.Indexed != n {
		b.Fatal(p, err)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	b.Logf("%d MiB of memory", mem.Sys>>20)
	b.Logf("%d messages with %d KiB of text indexed in %v, %v of processor time, %v each; the index has %d KiB, %.1f %%", n, size>>10,
		time.Since(start).Round(time.Millisecond), took.Round(time.Millisecond), took/time.Duration(n), p.Bytes>>10, 100*float64(p.Bytes)/float64(size))
	for _, k := range []Key{{InBody, "", storetest.RareWord}, {InBody, "", "xylotomous"}, {InBody, "", "the"}, {InBody, "", "invoice"}, {InBody, "", "e"}, {InText, "", storetest.RareWord}, {InText, "", "the"},
		{InBody, "", "会議"}, {InHeader, "from", "org7.example"}, {InHeader, "subject", "meeting"}, {InHeader, "list-id", "list7"}, {InBody, "", "thank you very much"}, {InBody, "", "insurance receipt"}} {
		b.Run(fmt.Sprintf("%d%s/%s", k.Where, k.Field, k.Value), func(b *testing.B) {
			used := cpu()
			var hits []mail.UID
			for b.Loop() {
				hits, err = h.x.Match(context.Background(), h.a, h.inbox, k, nil)
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N)/1000, "cpu-ms/op")
			b.ReportMetric(float64(len(hits)), "hits")
			b.ReportMetric(float64(h.open(k)), "read")
		})
	}
}

// BenchmarkDeliver delivers mail while Run makes the index, and without it.
func BenchmarkDeliver(b *testing.B) {
	for _, indexed := range []bool{false, true} {
		b.Run(fmt.Sprintf("indexed=%v", indexed), func(b *testing.B) {
			h := newBenchHouse(b)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() {
				if indexed {
					done <- h.x.Run(ctx)
				}
				close(done)
			}()
			msgs := make([][]byte, 200)
			for i := range msgs {
				msgs[i] = storetest.Corpus{}.Message(i)
			}
			used, i := cpu(), 0
			b.ResetTimer()
			for ; i < b.N; i++ {
				h.deliver(append([]byte(fmt.Sprintf("X-Number: %d\r\n", i)), msgs[i%len(msgs)]...))
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N), "cpu-us/msg")
			cancel()
			<-done
		})
	}
}
