// Package volatiledisk is a disk that forgets: what is written stays in a
// volatile cache until a flush, as in the drives that people have. Cut is the
// power cut; of what was not flushed a random part survives. It is for tests.
package volatiledisk

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
)

// Sector is how much a drive writes at once: it is on the disk or it is not.
const Sector = 4096

// ErrCut is what writes get once the power is gone.
var ErrCut = errors.New("the power is cut")

// A Disk keeps flushed sectors in a file and the others in memory.
type Disk struct {
	mu     sync.Mutex
	stable *os.File
	size   int64
	cache  map[int64][]byte // by sector number
	cut    bool
	Stats  Stats
}

// Stats count what a disk did.
type Stats struct {
	Flushes, Written int // calls, and sectors made stable by them
	Pending, Dropped int // sectors not flushed at the cut, and those of them that were lost
}

// New makes a disk of the bytes in a file.
func New(f *os.File) (*Disk, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &Disk{stable: f, size: info.Size() / Sector * Sector, cache: make(map[int64][]byte)}, nil
}

// Size is the disk's size in bytes.
func (d *Disk) Size() int64 { return d.size }

// ReadAt reads what was written last, flushed or not.
func (d *Disk) ReadAt(p []byte, off int64) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n < len(p) && off < d.size {
		in := off % Sector
		part := p[n:min(len(p), n+int(Sector-in))]
		if s, ok := d.cache[off/Sector]; ok {
			copy(part, s[in:])
		} else if _, err := d.stable.ReadAt(part, off); err != nil {
			return n, err
		}
		n += len(part)
		off += int64(len(part))
	}
	return n, nil
}

// WriteAt writes to the cache.
func (d *Disk) WriteAt(p []byte, off int64) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return 0, ErrCut
	}
	for n < len(p) {
		if off >= d.size {
			return n, errors.New("beyond the end of the disk")
		}
		in := off % Sector
		part := p[n:min(len(p), n+int(Sector-in))]
		s, ok := d.cache[off/Sector]
		if !ok {
			s = make([]byte, Sector)
			if _, err := d.stable.ReadAt(s, off-in); len(part) < Sector && err != nil {
				return n, err
			}
			d.cache[off/Sector] = s
		}
		copy(s[in:], part)
		n += len(part)
		off += int64(len(part))
	}
	return n, nil
}

// Flush makes all that was written stable.
func (d *Disk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return ErrCut
	}
	d.Stats.Flushes++
	d.Stats.Written += len(d.cache)
	for n, s := range d.cache {
		if _, err := d.stable.WriteAt(s, n*Sector); err != nil {
			return err
		}
	}
	clear(d.cache)
	return nil
}

// Pending is how many sectors are in the cache now.
func (d *Disk) Pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.cache)
}

// Cut ends the disk's life: of the sectors in the cache each survives with the
// chance that keep says, as the seed decides. Later writes fail; reads still
// give what they would have, for those that are about to notice.
func (d *Disk) Cut(seed uint64, keep float64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil
	}
	d.cut = true
	r := rand.New(rand.NewPCG(seed, 0))
	d.Stats.Pending = len(d.cache)
	for _, n := range slices.Sorted(maps.Keys(d.cache)) {
		if r.Float64() >= keep {
			d.Stats.Dropped++
			continue
		}
		if _, err := d.stable.WriteAt(d.cache[n], n*Sector); err != nil {
			return err
		}
	}
	return nil
}
