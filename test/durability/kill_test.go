package durability

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestKill kills the process again and again, while it works, while it starts
// and while it stops.
func TestKill(t *testing.T) {
	needAll(t)
	const cycles = 130 // with those of TestKillServer 200
	b := &book{}
	o := options(t.TempDir())
	r := rand.New(rand.NewPCG(1, 2))
	starting, stopping := 0, 0
	for i := range cycles {
		o.Seed, o.Maintain = uint64(i), i%4 == 0
		delay := time.Duration(50+r.IntN(850)) * time.Millisecond
		l := b.live(t, o, func(l *life) {
			switch r.IntN(10) {
			case 0: // while it opens the store
				starting++
				time.Sleep(time.Duration(r.IntN(120)) * time.Millisecond)
			case 1: // while it closes it
				stopping++
				l.untilReady()
				time.Sleep(delay / 4)
				l.close()
				time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
			default:
				l.untilReady()
				time.Sleep(delay)
			}
			l.kill()
		})
		b.inOrder(l)
		if t.Failed() || len(b.wrong) > 0 {
			t.Logf("in cycle %d", i)
			break
		}
	}
	b.inspect(t, o)
	b.report(t, "%d cycles, %d of them killed while starting, %d while stopping", cycles, starting, stopping)
}
