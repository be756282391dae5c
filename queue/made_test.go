package queue

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"homemail/mail"
	"homemail/store"
)

// A made disk makes up what it is asked for, so that nothing but the queue
// itself takes memory.
type made struct {
	*memory
	n    int
	done []atomic.Bool
	when time.Time
	less bool // without the domains that are dead
}

// madeDead reports whether a domain is one of the tenth that are dead.
func madeDead(domain string) bool {
	var d int
	fmt.Sscanf(domain, "d%d.test", &d)
	return d%10 == 3
}

const madeDomains = 500

func (m *made) path(id mail.ItemID) mail.Path {
	return mail.Path(fmt.Sprintf("b@d%d.test", int(id)%madeDomains))
}

func (m *made) QueueHeads() (list []store.Head, err error) {
	for d := range madeDomains {
		if name := fmt.Sprintf("d%d.test", d); !m.less || !madeDead(name) {
			list = append(list, store.Head{Domain: name, Due: m.when})
		}
	}
	return list, nil
}

func (m *made) QueueDue(domain string, after store.Place, n int) (list []store.Place, err error) {
	var d int
	fmt.Sscanf(domain, "d%d.test", &d)
	first := d
	if after.Item > 0 {
		first = int(after.Item) + madeDomains
	}
	for id := first; id < m.n && len(list) < n; id += madeDomains {
		if id > 0 && !m.done[id].Load() {
			list = append(list, store.Place{Due: m.when, Item: mail.ItemID(id)})
		}
	}
	return list, nil
}

func (m *made) Item(id mail.ItemID) (*store.Item, []*store.QueueRecipient, error) {
	r := &store.QueueRecipient{Item: id, Recipient: mail.Recipient{Path: m.path(id)}, State: store.Queued, Due: m.when, Last: m.when}
	if m.done[id].Load() {
		r.State = store.Relayed
	}
	sum := sha256.Sum256(nil)
	it := fromAnna
	it.ID, it.Count, it.Hash = id, 1, sum[:]
	return &it, []*store.QueueRecipient{r}, nil
}

func (m *made) settle(list []*store.QueueRecipient, _ *notice) error {
	for _, r := range list {
		m.done[r.Item].Store(true)
	}
	return nil
}

func (m *made) open(*store.Item) io.Reader { return nil }

// TestMemory holds the queue's memory to its active window: it is the same for
// 10,000 and for 100,000 messages.
func TestMemory(t *testing.T) {
	measure := func(n int) uint64 {
		m := &made{memory: newMemory(), n: n, done: make([]atomic.Bool, n), when: time.Now()}
		var most uint64
		var mu sync.Mutex
		sent := 0
		over := make(chan struct{})
		f := &slow{delay: instant, sent: func() {
			mu.Lock()
			defer mu.Unlock()
			if sent++; sent%1000 == 0 && sent <= 5000 {
				most = max(most, heapSize())
			}
			if sent == n-1 { // there is no item 0
				close(over)
			}
		}}
		before := heapSize()
		q := newQueue(Options{Transport: f, Clock: trusted(true), Log: quiet}, m)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { q.Run(ctx) })
		<-over
		cancel()
		wg.Wait()
		return most - min(before, most)
	}
	few, many := measure(10_000), measure(100_000)
	t.Logf("%d kB for 10,000, %d kB for 100,000", few/1000, many/1000)
	if most := max(few, 300_000) * 13 / 10; many > most {
		t.Errorf("%d bytes for 100,000 messages, %d for 10,000", many, few)
	}
}

// TestDrainRate has the living drain at 90 % of their rate at least when one
// domain in ten is dead.
func TestDrainRate(t *testing.T) {
	const n = 10_000
	drain := func(less bool) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			m := &made{memory: newMemory(), n: n, done: make([]atomic.Bool, n), when: time.Now(), less: less}
			left := int64(n/10*9 - 1) // there is no item 0
			over := make(chan struct{})
			f := &slow{delay: func(hop string) time.Duration {
				if madeDead(hop) {
					return 30 * time.Second
				}
				return net(hop)
			}, dead: madeDead, sent: func() {
				if atomic.AddInt64(&left, -1) == 0 {
					close(over)
				}
			}}
			q := newQueue(Options{Transport: f, Clock: trusted(true), Log: quiet}, m)
			ctx, cancel := context.WithCancel(context.Background())
			began := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() { q.Run(ctx) })
			<-over
			took = time.Since(began)
			cancel()
			wg.Wait()
		})
		return took
	}
	without, with := drain(true), drain(false)
	t.Logf("%v without the dead, %v beside them", without, with)
	if without < with*9/10 {
		t.Errorf("%v without the dead, %v beside them", without, with)
	}
}
