package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A journal holds what Badger may not yet have on disk. Every batch of changes
// is one frame, written and flushed before anyone is told that it is done; a
// frame has its number and a sum, so that damage is seen and skipped instead
// of ending the reading in silence. Frames go when Badger has what is in them
// in tables with sums of their own.
//
// Frames start at multiples of frameAlign: a torn write never touches a frame
// that was acknowledged.
type journal struct {
	dir    string
	salt   salt
	size   int64 // of a segment
	noSync bool  // for the control run of the power-cut test only
	active *segment
	sealed []*segment // oldest first
	spare  []string   // files to be used again: overwriting needs no new blocks and no second flush
	seq    uint64     // of the last frame written
	stable uint64     // of the last frame known to be on disk
	noted  uint64     // the highest stable that a frame tells of
	buf    []byte
	failed error
}

// A segment is a file of frames.
type segment struct {
	file  *os.File
	path  string
	first uint64 // frame
	last  uint64
	end   int64 // where the next frame goes
	cap   int64
	mem   uint64 // once sealed: the newest memtable that may hold its changes
}

const (
	frameAlign  = 4096
	frameHeader = 32
	frameMagic  = 0x684a4d31 // "hJM1"
	segmentHead = frameAlign // the first block says which frame is first
	filesMax    = 8          // segments and spare files in all that are kept
)

// damage is a gap in the frames that had been acknowledged.
type damage struct {
	path     string
	offset   int64
	from, to uint64
}

func (d damage) String() string {
	return fmt.Sprintf("journal %s at %d: frames %d to %d are damaged", filepath.Base(d.path), d.offset, d.from, d.to)
}

// openJournal reads every frame that is in dir, oldest first, and leaves the
// journal ready to append after the last. A torn tail that nobody was told of
// is dropped; gaps before it are returned.
func openJournal(dir string, size int64, after uint64, replay func(seq uint64, payload []byte) error) (*journal, []damage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	j := &journal{dir: dir, size: size, seq: after}
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(paths)
	if j.spare, err = filepath.Glob(filepath.Join(dir, "*.spare")); err != nil {
		return nil, nil, err
	}
	if j.salt, err = loadSalt(dir, paths); err != nil {
		return nil, nil, err
	}
	scan, err := scanSegments(paths, j.salt)
	if err != nil {
		return nil, nil, err
	}
	if err := scan.replay(replay); err != nil {
		return nil, nil, err
	}
	j.seq = max(j.seq, scan.last)
	j.stable, j.noted = j.seq, j.seq
	if err := j.forget(scan); err != nil {
		return nil, nil, err
	}
	return j, scan.damaged, nil
}

// forget erases what does not count. The numbers are given out again: were the
// old frames still there at the next start, the new ones would lie behind a
// gap, and a segment that holds nothing would be the file of the next one.
func (j *journal) forget(scan *journalScan) error {
	for _, fr := range scan.dropped {
		if err := eraseFrame(fr); err != nil {
			return err
		}
	}
	for _, s := range scan.segments {
		if s.first <= j.seq {
			j.sealed = append(j.sealed, s)
			continue
		}
		if err := os.Remove(s.path); err != nil {
			return err
		}
	}
	return nil
}

func eraseFrame(fr frameAt) error {
	f, err := os.OpenFile(fr.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, frameHeader), fr.offset)
	return errors.Join(err, f.Sync(), f.Close())
}

// append writes a frame. With flush it is on disk when append returns, and so
// is every frame before it. After the first error every call fails: what a
// failed flush left behind is unknown, and a second try would lie.
func (j *journal) append(payload []byte, flush bool) (uint64, error) {
	return j.put(append(j.begin(), payload...), flush)
}

// begin returns an empty frame, to which the payload is to be appended.
func (j *journal) begin() []byte { return append(j.buf[:0], make([]byte, frameHeader)...) }

// put writes a frame that began with begin.
func (j *journal) put(frame []byte, flush bool) (uint64, error) {
	if j.failed != nil {
		return 0, j.failed
	}
	seq, err := j.write(frame, flush)
	if err != nil {
		j.failed = fmt.Errorf("%w: journal: %w", ErrBroken, err)
		return 0, j.failed
	}
	return seq, nil
}

func (j *journal) write(frame []byte, flush bool) (uint64, error) {
	n := align(int64(len(frame)))
	if j.active == nil || j.active.end+n > j.active.cap {
		if err := j.rotate(n); err != nil {
			return 0, err
		}
	}
	seq := j.seq + 1
	if _, err := j.active.file.WriteAt(j.number(frame, seq, n), j.active.end); err != nil {
		return 0, err
	}
	j.seq, j.noted = seq, j.stable
	j.active.end += n
	j.active.last = seq
	if flush {
		return seq, j.flush()
	}
	hasten(j.active.file, j.active.end-n, n)
	return seq, nil
}

// flush makes every frame written so far stable.
func (j *journal) flush() error {
	if j.active == nil || j.stable == j.seq {
		return nil
	}
	if !j.noSync {
		if err := flushData(j.active.file); err != nil {
			return err
		}
	}
	j.stable = j.seq
	return nil
}

// note writes an empty frame that tells how far the journal was stable, so
// that damage to the last frame of a quiet journal is seen too.
func (j *journal) note() error {
	if j.failed != nil || j.active == nil || j.noted >= j.stable || j.stable != j.seq {
		return j.failed
	}
	_, err := j.append(nil, false)
	return err
}

// number fills in a frame's header and zeros up to its size.
func (j *journal) number(b []byte, seq uint64, size int64) []byte {
	payload := b[frameHeader:]
	binary.BigEndian.PutUint32(b[0:], frameMagic)
	binary.BigEndian.PutUint32(b[8:], uint32(len(payload)))
	binary.BigEndian.PutUint32(b[12:], 0)
	binary.BigEndian.PutUint64(b[16:], seq)
	binary.BigEndian.PutUint64(b[24:], j.stable)
	binary.BigEndian.PutUint32(b[4:], j.salt.sum(b[8:frameHeader], payload))
	b = append(b, make([]byte, size-int64(len(b)))...)
	if j.buf = b; cap(b) > 1<<20 { // one large batch must not keep its memory for ever
		j.buf = nil
	}
	return b
}

// rotate seals the active segment and starts another with room for n bytes.
func (j *journal) rotate(n int64) error {
	if err := j.flush(); err != nil {
		return err
	}
	if j.active != nil {
		j.sealed = append(j.sealed, j.active)
		j.active = nil
	}
	first := j.seq + 1
	path := filepath.Join(j.dir, fmt.Sprintf("%016x.log", first))
	size := max(j.size, segmentHead+n)
	f, err := j.segmentFile(path, size)
	if err != nil {
		return err
	}
	j.active = &segment{file: f, path: path, first: first, end: segmentHead, cap: size, last: j.seq}
	head := make([]byte, segmentHead)
	copy(head, "homemail journal 1\n")
	binary.BigEndian.PutUint64(head[32:], first)
	for _, at := range saltCopies {
		j.salt.put(head[at:])
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	if j.noSync {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(j.dir)
}

// segmentFile gives a file with its blocks allocated, so that a full disk is
// met here and not in the middle of a frame.
func (j *journal) segmentFile(path string, size int64) (*os.File, error) {
	if n := len(j.spare); n > 0 && size == j.size {
		from := j.spare[n-1]
		j.spare = j.spare[:n-1]
		if err := os.Rename(from, path); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = allocate(f, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = f.Truncate(size)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return f, nil
}

// seal ends the active segment, if it has a frame; its changes are in Badger,
// in memtables no newer than mem.
func (j *journal) seal(mem uint64) {
	for _, s := range j.sealed {
		if s.mem == 0 {
			s.mem = mem
		}
	}
}

// release forgets the sealed segments for which done says that Badger has
// everything, oldest first.
func (j *journal) release(done func(*segment) bool) error {
	for len(j.sealed) > 0 && done(j.sealed[0]) {
		s := j.sealed[0]
		j.sealed = j.sealed[1:]
		if err := j.retire(s); err != nil {
			return err
		}
	}
	return nil
}

func (j *journal) retire(s *segment) error {
	if s.file != nil {
		s.file.Close()
	}
	if s.cap != j.size || len(j.sealed)+len(j.spare) >= filesMax {
		return os.Remove(s.path)
	}
	spare := strings.TrimSuffix(s.path, ".log") + ".spare"
	if err := os.Rename(s.path, spare); err != nil {
		return err
	}
	j.spare = append(j.spare, spare)
	return nil
}

// bytes is what the frames take that are not released yet.
func (j *journal) bytes() int64 {
	var n int64
	for _, s := range j.sealed {
		n += s.end
	}
	if j.active != nil {
		n += j.active.end
	}
	return n
}

// close ends the journal. If Badger has everything, clean drops all segments.
func (j *journal) close(clean bool) error {
	var errs []error
	if j.failed == nil {
		errs = append(errs, j.flush())
	}
	if j.active != nil {
		j.sealed = append(j.sealed, j.active)
		j.active = nil
	}
	for _, s := range j.sealed {
		if s.file != nil {
			errs = append(errs, s.file.Close())
		}
		if clean && j.failed == nil {
			errs = append(errs, os.Remove(s.path))
		}
	}
	j.sealed = nil
	return errors.Join(errs...)
}

func align(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func retryEINTR(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// readBlock reads up to len(b) bytes; a short file is no error.
func readBlock(f *os.File, b []byte, at int64) (int, error) {
	n, err := f.ReadAt(b, at)
	if err == io.EOF {
		err = nil
	}
	return n, err
}
