package queue

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A breaking disk panics at some of its reads.
type breaking struct {
	*memory
	reads   atomic.Int64
	breakAt func(read int64) bool
}

func (b *breaking) Item(id mail.ItemID) (*store.Item, []*store.QueueRecipient, error) {
	if b.breakAt(b.reads.Add(1)) {
		panic("a bug in reading")
	}
	return b.memory.Item(id)
}

// TestReadingBreaks has a bug in what reads messages. It costs time: whoever
// was claimed for the attempt is tried again.
func TestReadingBreaks(t *testing.T) {
	for name, breakAt := range map[string]func(int64) bool{
		"first":  func(n int64) bool { return n == 1 },
		"second": func(n int64) bool { return n == 2 }, // of the others of the message
		"many":   func(n int64) bool { return n < 10 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &breaking{memory: newMemory(), breakAt: breakAt}
				b.add(fromAnna, to("a@one.test", "b@one.test", "c@two.test")...)
				f := &fake{send: func(_ context.Context, _ string, h mail.Handover) []mail.Outcome {
					return all(h, mail.Outcome{Fate: mail.Relayed})
				}}
				q := newQueue(Options{Transport: f, Clock: trusted(true), Log: quiet}, b)
				ctx, stop := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				wg.Go(func() { q.Run(ctx) })
				time.Sleep(time.Hour)
				synctest.Wait()
				for n := range uint32(3) {
					if r := b.row(1, n); r.State != store.Relayed || r.Tries != 1 {
						t.Errorf("%s: %s after %d tries", r.Path, r.State, r.Tries)
					}
				}
				stop()
				wg.Wait()
				if len(q.plan.claimed) > 0 {
					t.Errorf("claimed: %v", q.plan.claimed)
				}
			})
		})
	}
}
