package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"homemail/mail"
)

// BenchmarkDeliver measures messages made durable and visible, from one and
// from several connections.
func BenchmarkDeliver(b *testing.B) {
	for _, c := range []struct{ writers, size int }{{1, 4096}, {8, 4096}, {32, 4096}, {8, 50 << 10}, {4, 1 << 20}} {
		b.Run(fmt.Sprintf("%dx%dKiB", c.writers, c.size>>10), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			var boxes []Mailbox
			var accounts []*Account
			for i := range 8 {
				a := addAccount(b, s, mail.Path(fmt.Sprintf("u%d@example.test", i)))
				accounts, boxes = append(accounts, a), append(boxes, inbox(b, a))
			}
			var next atomic.Int64
			b.ResetTimer()
			before := s.Stats().Flushes
			var wg sync.WaitGroup
			for range c.writers {
				wg.Go(func() {
					for n := int(next.Add(1)); n <= b.N; n = int(next.Add(1)) {
						if _, err := deliver(accounts[n%8], boxes[n%8], text(n, c.size)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(s.Stats().Flushes-before)/float64(b.N), "flush/msg")
		})
	}
}

// BenchmarkEntries lists the flags of 100,000 messages.
func BenchmarkEntries(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	a := addAccount(b, s, "anna@example.test")
	m := inbox(b, a)
	var uids []mail.UID
	for i := range 1000 {
		uids = append(uids, put(b, a, m, text(i, 500)).UID)
	}
	for range 99 {
		if _, err := a.Copy(m.ID, uids, m.ID); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if list, err := a.Entries(m.ID); err != nil || len(list) != 100000 {
			b.Fatal(len(list), err)
		}
	}
}
