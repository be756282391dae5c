package durability

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// diskMB is the size of the disk whose power is cut.
const diskMB = 3072

// TestPowerCut cuts the power of a disk with a volatile cache. What survives
// is the disk of the next cycle.
func TestPowerCut(t *testing.T) {
	needAll(t, "losetup", "mkfs.ext4")
	const cycles = 40
	b := &book{}
	image := ext4(t, diskMB, 16)
	sum := totals{}
	for i := range cycles {
		if b.cutOnce(t, image, i, false, &sum); len(b.wrong) > 0 {
			t.Logf("in cycle %d", i)
			break
		}
	}
	m := mount(t, image)
	o := options(filepath.Join(m.dir, "data"))
	b.inspect(t, o)
	if err := m.unmount(); err != nil {
		t.Error(err)
	}
	if sum.dropped == 0 {
		t.Error("no cut ever lost a sector: that was no test")
	}
	b.report(t, "%d power cuts, %v", cycles, sum)
}

// TestPowerCutControl does the same without a flush: a test that would not
// notice is worth nothing.
func TestPowerCutControl(t *testing.T) {
	needAll(t, "losetup", "mkfs.ext4")
	const cycles = 4
	sum := totals{}
	lossy, acks, lost := 0, 0, 0
	for i := range cycles {
		b := &book{}
		image := ext4(t, diskMB, 16)
		b.cutOnce(t, image, i, true, &sum)
		acks += b.ledger.Acks
		m := mount(t, image)
		o := options(filepath.Join(m.dir, "data"))
		o.Work, o.Accounts = false, nil
		l := b.live(t, o, func(l *life) {
			l.untilReady()
			l.close()
		})
		if len(b.wrong) > 0 || !l.opened {
			lossy++
			lost += len(b.wrong)
		}

		m.unmount()
	}
	t.Logf("%s: %d power cuts without a flush, %v; %d acknowledged, losses in %d cycles, %d differences",
		t.Name(), cycles, sum, acks, lossy, lost)
	if lossy < cycles/2 {
		t.Errorf("without a flush only %d of %d cycles lost something: this test cannot see a loss", lossy, cycles)
	}
}

// writeBack hands dirty pages to the disk now and then, without a flush, as the
// kernel would after some seconds: they may survive a cut, or not, in any order.
func writeBack(dir string) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(30 * time.Millisecond):
			}
			filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return nil
				}
				if f, err := os.Open(path); err == nil {
					unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
					f.Close()
				}
				return nil
			})
		}
	}()
	return func() { close(quit); <-done }
}

type totals struct{ flushes, pending, dropped int }

func (s totals) String() string {
	return fmt.Sprintf("%d flushes, %d of %d unflushed sectors dropped", s.flushes, s.dropped, s.pending)
}

// cutOnce starts the machine, verifies what the last cut left, works, and cuts
// the power at a random moment.
func (b *book) cutOnce(t *testing.T, image string, cycle int, noSync bool, sum *totals) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(cycle), 40))
	m := powerOn(t, image)
	defer m.off()
	o := options(filepath.Join(m.dir, "data"))
	o.Seed, o.NoSync, o.Maintain = uint64(1000+cycle), noSync, cycle%4 == 0
	if noSync { // nor other occasions for the disk to flush
		o.Segment, o.JournalMax, o.Maintain = 0, 0, false
	}
	stop := writeBack(filepath.Join(m.dir, "data"))
	l := b.live(t, o, func(l *life) {
		defer stop()
		if r.IntN(8) == 0 && b.ledger != nil { // while it opens the store
			time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		} else {
			l.untilReady()
			time.Sleep(time.Duration(200+r.IntN(1000)) * time.Millisecond)
		}
		keep := []float64{0, 0.2, 0.5, 0.8, 1}[r.IntN(5)]
		if noSync {
			keep = 0.3
		}
		if err := m.disk.Cut(uint64(cycle), keep); err != nil {
			t.Error(err)
		}
		l.kill()
	})
	for _, d := range l.damage {
		b.bad("damage that nobody did: %s", d)
	}
	if !l.opened && l.failed != "" {
		b.bad("the process gave up: %s", l.failed)
	}
	sum.flushes += m.disk.Stats.Flushes
	sum.pending += m.disk.Stats.Pending
	sum.dropped += m.disk.Stats.Dropped
}
