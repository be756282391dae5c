package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// space watches the disk's free bytes. Badger maps its files: a write to a
// full disk is not an error but a signal that ends the process, so writing
// stops long before that.
type space struct {
	dir     string
	reserve int64
	journal int64 // what it holds at most, unless it is held up

	mu      sync.Mutex
	free    int64
	looked  time.Time
	written int64 // since looked
}

const (
	reserveMin  = 512 << 20
	lookEach    = time.Second
	lookAfter   = 4 << 20 // bytes written
	ballastName = "ballast"
	replaySpare = 2 << 20 // for Badger's own new files
)

// newSpace finds out how much to keep free: the larger of 512 MiB and 5 % of
// the disk, unless reserve says otherwise.
func newSpace(dir string, reserve, journal int64) (*space, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return nil, fmt.Errorf("statfs %s: %w", dir, err)
	}
	if reserve == 0 {
		reserve = max(reserveMin, int64(fs.Blocks)*int64(fs.Bsize)/20)
	}
	return &space{dir: dir, reserve: reserve, journal: journal}, nil
}

// lookNow asks the file system again.
func (s *space) lookNow() int64 {
	s.mu.Lock()
	s.looked = time.Time{}
	s.mu.Unlock()
	return s.look()
}

// look returns the free bytes, no older than a second.
func (s *space) look() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	plenty := s.free > 4*s.reserve // elsewhere somebody else may use up the rest at once
	if plenty && time.Since(s.looked) < lookEach && s.written < lookAfter {
		return s.free - s.written
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err == nil {
		s.free = int64(fs.Bavail) * int64(fs.Bsize)
		s.looked, s.written = time.Now(), 0
	}
	return s.free
}

// wrote counts bytes between two looks.
func (s *space) wrote(n int64) {
	s.mu.Lock()
	s.written += n
	s.mu.Unlock()
}

// room returns ErrDiskFull if n more bytes would leave less than the reserve.
func (s *space) room(n int64) error {
	if free := s.look(); free-n < s.reserve {
		return fmt.Errorf("%w: %d MB are free, %d MB are kept in reserve", ErrDiskFull, free>>20, s.reserve>>20)
	}
	return nil
}

// allow returns ErrDiskFull if the free space is too small for a kind of change.
func (s *space) allow(n need) error {
	floor := s.reserve
	switch n {
	case toChange:
		floor = s.reserve * 3 / 16
	case toShrink:
		floor = s.reserve / 8
	}
	free := s.look()
	if free < floor && n == toShrink {
		s.dropBallast() // removing must go on: it is the way out
		free = s.lookNow()
	}
	if free < floor {
		return fmt.Errorf("%w: %d MB are free", ErrDiskFull, free>>20)
	}
	return nil
}

// ballast keeps a file that can be deleted on a full disk, since even opening
// the database needs space. It is deleted when that is so now, and made anew
// when there is plenty.
func (s *space) ballast() error {
	// The journal may be half as long again while somebody reads.
	size := max(s.reserve/4, replayNeeds(s.journal*3/2))
	free := s.look()
	if free < size {
		s.dropBallast()
		return nil
	}
	if free < 2*s.reserve {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(s.dir, ballastName), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() >= size {
		return err
	}
	err = allocate(f, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a file with holes would be no ballast
	}
	return err
}

// dropBallast gives its space back, if it is there.
func (s *space) dropBallast() { os.Remove(filepath.Join(s.dir, ballastName)) }

// replayNeeds is the space that bringing in a journal takes.
func replayNeeds(journal int64) int64 { return journal*3/2 + replaySpare }

// forReplay returns ErrDiskFull if bringing in the journal would fill the disk.
// It writes the bodies once and the rows twice.
func (s *space) forReplay(dir string) error {
	var journal int64
	paths, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			journal += info.Size()
		}
	}
	need := replayNeeds(journal)
	if free := s.lookNow(); free < need {
		return fmt.Errorf("%w: opening the store needs %d MB free and there are %d; remove something else from this disk",
			ErrDiskFull, need>>20, free>>20)
	}
	return nil
}

// Room returns nil if a message of some bytes may come in, or ErrDiskFull.
func (s *Store) Room(size int64) error { return s.space.room(size) }
