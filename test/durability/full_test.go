package durability

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"homemail/internal/torture"
)

// fullMB is the size of the disk that is filled.
const fullMB = 96

// TestDiskFull fills a disk, uses it, empties it and fills it again; the
// process is killed in between, most often while the disk is full. What can be
// stored must not become less.
func TestDiskFull(t *testing.T) {
	needAll(t, "losetup", "mkfs.ext4")
	const rounds = 20
	b := &book{}
	m := mount(t, ext4(t, fullMB, 4))
	o := options(filepath.Join(m.dir, "data"))
	o.Fill, o.Reserve, o.Segment, o.JournalMax = true, 28<<20, 1<<20, 4<<20
	f := filling{r: rand.New(rand.NewPCG(4, 96)), dir: m.dir, free: 1 << 40}
	for len(f.stored) < rounds && len(b.wrong) == 0 {
		f.life(t, b, o)
		o.Seed++
	}
	if len(b.wrong) > 0 {
		t.Logf("in round %d; on the disk:\n%s", len(f.stored), contents(m.dir))
	}
	o.Fill = false
	b.inspect(t, o)
	for _, kind := range []string{torture.SetFlags, torture.AddFlags, torture.DelFlags, torture.Expunge, torture.Move, torture.Maintain,
		torture.Settle, torture.Hold, torture.Release, torture.Remove, torture.Sweep} {
		if n := b.ledger.Refused[kind]; n > 0 {
			t.Errorf("%d times %s was refused on the full disk", n, kind)
		}
	}
	if n := len(f.stored); n > 0 && f.stored[n-1] < f.stored[0]*6/10 {
		t.Errorf("MB that could be stored became less: %v\n%s", f.stored, contents(m.dir))
	}
	b.report(t, "%d rounds in %d lives, %d killed on the full disk, %d on the way to it, %d starts on the full disk; MB stored: %v; least free: %d MB",
		len(f.stored), f.lives, f.killedFull, f.killedElse, f.startedFull, f.stored, f.free>>20)
	if err := m.unmount(); err != nil {
		t.Error(err)
	}
}

// A filling is what happened so far.
type filling struct {
	r      *rand.Rand
	dir    string
	stored []int64 // MB when it was full, each time after it was emptied
	full   bool    // and not emptied since
	free   int64   // the least that was seen

	lives, killedFull, killedElse, startedFull int
}

// life is one life of the process, of one to four rounds.
func (f *filling) life(t *testing.T, b *book, o torture.Options) {
	f.lives++
	if f.full {
		f.startedFull++
	}
	rounds, fate := 1+f.r.IntN(3), f.r.IntN(4)
	l := b.live(t, o, func(l *life) {
		for l.untilReady(); rounds > 0 && f.next(l); {
			switch {
			case !f.full:
				rounds--
			case rounds == 1 && fate <= 1:
				f.killedFull++
				time.Sleep(time.Duration(f.r.IntN(300)) * time.Millisecond)
				l.kill()
				return
			}
		}
		if fate == 2 {
			f.killedElse++
			time.Sleep(time.Duration(f.r.IntN(1000)) * time.Millisecond)
			l.kill()
			return
		}
		l.close()
	})
	b.inOrder(l)
}

// next waits for the end of a phase; false if the process is at its end.
func (f *filling) next(l *life) bool {
	select {
	case <-l.over:
		return false
	case st := <-l.phase:
		if st.Phase == torture.Full && !f.full {
			f.stored = append(f.stored, st.Bytes>>20)
		}
		f.full = st.Phase != torture.Emptied
		var fs unix.Statfs_t
		if unix.Statfs(f.dir, &fs) == nil {
			f.free = min(f.free, int64(fs.Bavail)*int64(fs.Bsize))
		}
		return true
	}
}

func contents(dir string) string {
	out, err := exec.Command("ls", "-lsR", dir).CombinedOutput()
	return fmt.Sprint(string(out), slices.Compact([]any{err}))
}
