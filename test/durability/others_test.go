package durability

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"homemail/internal/torture"
)

// TestDiskFullOfOthers lets others take what the store keeps in reserve. With
// 2 MB left it has to go on, start anew, and let mail be read and removed. With
// less it may end, and start only when there is space again; it loses nothing.
func TestDiskFullOfOthers(t *testing.T) {
	needAll(t, "losetup", "mkfs.ext4")
	for i, left := range []int64{4 << 20, 2 << 20, 256 << 10, 0} {
		t.Run(fmt.Sprintf("%d KB left", left>>10), func(t *testing.T) {
			m := mount(t, ext4(t, fullMB, 4))
			o := options(filepath.Join(m.dir, "data"))
			o.Fill, o.Reserve, o.Segment, o.JournalMax = true, 28<<20, 1<<20, 4<<20
			o.Seed = uint64(i)
			others(t, o, m.dir, left)
			if err := m.unmount(); err != nil {
				t.Error(err)
			}
		})
	}
}

func others(t *testing.T, o torture.Options, dir string, left int64) {
	other := filepath.Join(dir, "other")
	b := &book{}
	f := filling{r: rand.New(rand.NewPCG(4, 97)), dir: dir, free: 1 << 40}
	first := b.live(t, o, func(l *life) {
		for l.untilReady() && f.next(l) && !f.full {
		}
		leave(t, dir, other, left)
		select {
		case <-l.over:
		case <-time.After(700 * time.Millisecond):
		}
		l.kill()
	})
	second := b.live(t, o, func(l *life) {
		for l.untilReady() && f.next(l) && f.full {
		}
		l.close()
	})
	if left >= 2<<20 {
		b.inOrder(first)
		b.inOrder(second)
		if n := b.ledger.Refused[torture.Expunge]; n > 0 || f.full {
			t.Errorf("%d times nothing could be removed; emptied: %v", n, !f.full)
		}
	} else {
		t.Logf("on the full disk: opened %v, closed %v, %d times nothing could be removed; %.400q",
			second.opened, second.closed, b.ledger.Refused[torture.Expunge], b.wrong)
		b.wrong = slices.DeleteFunc(b.wrong, func(w string) bool { return strings.HasPrefix(w, "the process ") })
	}
	if err := os.Remove(other); err != nil {
		t.Error(err)
	}
	o.Fill = false
	b.inspect(t, o)
	b.report(t, "others left %d KB", left>>10)
}

// leave makes a file that leaves some bytes of the disk free.
func leave(t *testing.T, dir, path string, left int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 5 { // the store takes space, too
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			t.Fatal(err)
		}
		more := int64(fs.Bavail)*int64(fs.Bsize) - left
		if more <= 0 {
			return
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if unix.Fallocate(int(f.Fd()), 0, info.Size(), more) == nil {
			return
		}
	}
}
