package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"homemail/mail"
)

// Options say how a store is kept. The zero value is right for a home.
type Options struct {
	Log *slog.Logger // slog.Default() if nil

	// Reserve is the disk space in bytes that mail may not use; 0 is the
	// larger of 512 MiB and 5 % of the disk.
	Reserve int64
	// JournalMax is how much the journal holds at most before its contents are
	// moved into tables; 0 is 128 MiB, or half of a smaller reserve.
	JournalMax int64
	// JournalSegment is the size of a file of the journal; 0 is 16 MiB, or an
	// eighth of JournalMax.
	JournalSegment int64
	// NoSync leaves out every flush, so that a power cut loses mail. It is for
	// the control run of the power-cut test.
	NoSync bool
	// MaintenanceHour is the local hour of the night in which space is given
	// back.
	MaintenanceHour int
}

const (
	journalSegment = 16 << 20
	journalMax     = 128 << 20
	journalMin     = 8 << 20
)

// sizeJournal sets the sizes that were left to us. The journal lives from the
// reserve, and a crash writes its bodies a second time.
func (o *Options) sizeJournal(reserve int64) {
	if o.JournalMax == 0 {
		o.JournalMax = min(journalMax, max(reserve/2, journalMin))
	}
	if o.JournalSegment == 0 {
		o.JournalSegment = min(journalSegment, o.JournalMax/8)
	}
}

// A Store is a directory with everything that homemail keeps.
type Store struct {
	dir      string
	options  Options
	log      *slog.Logger
	lock     *os.File
	space    *space
	disk     *disk
	journal  *journal
	relieved int64  // commits when quiet last looked
	applied  uint64 // the last frame with changes; Badger has its number in a row

	gate      sync.RWMutex // held to send requests; taken to close
	closed    bool
	requests  chan *request
	committed chan struct{} // closed when the committer has ended
	broken    atomic.Pointer[error]
	brokenCh  chan struct{}

	nextBlob  atomic.Uint64
	receiving atomic.Int64 // spools that are being written to
	chunks    sync.Pool    // of *[]byte, for spools
	uses      lastUses
	watchers  watchers
	uids      uidCache
	quotas    map[mail.AccountID]knownQuota // the committer's
	unfilled  chan struct{}                 // messages were copied without what is shown of them
	queueNews queueNews
	stats     stats
	garbage   atomic.Int64 // bytes of bodies removed since the last maintenance
	damage    []string     // what was found to be damaged when the store was opened

	secrets   sync.Mutex
	secretKey []byte // once it was needed
}

// Open opens the store in a directory, or makes one. It brings in what a crash
// left in the journal. Damage that it meets is logged and kept for Damage.
func Open(dir string, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, options: o, log: o.Log, lock: lock,
		requests: make(chan *request, batchRequests), committed: make(chan struct{}),
		brokenCh: make(chan struct{}), quotas: make(map[mail.AccountID]knownQuota), unfilled: make(chan struct{}, 1),
	}
	if err := s.open(); err != nil {
		if s.disk != nil && s.disk.db != nil {
			s.disk.close()
		}
		lock.Close()
		return nil, err
	}
	go s.commitLoop() // belongs to the store; Close waits for it
	return s, nil
}

func (s *Store) open() error {
	var err error
	if s.space, err = newSpace(s.dir, s.options.Reserve, s.options.JournalMax); err != nil {
		return err
	}
	s.options.sizeJournal(s.space.reserve)
	if err := s.space.ballast(); err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	if err := s.space.forReplay(filepath.Join(s.dir, "journal")); err != nil {
		return err
	}
	if s.disk, err = openDisk(filepath.Join(s.dir, "db"), s.log, s.breakDown); err != nil {
		return err
	}
	applied, err := s.appliedFrame()
	if err != nil {
		return err
	}
	s.applied = applied
	if err := s.replay(applied); err != nil {
		return err
	}
	if err := s.findNextBlob(); err != nil {
		return err
	}
	if err := s.migrate(); err != nil {
		return err
	}
	if err := errors.Join(s.sweepStaged(), s.loadGarbage()); err != nil {
		return err
	}
	return s.Broken()
}

// appliedFrame returns the number of the last frame that Badger has seen.
func (s *Store) appliedFrame() (n uint64, err error) {
	err = s.view(func(r reader) error {
		v, err := r.get(settingKey("journal"))
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		d := decoder{rest: v}
		n = d.uint()
		return errors.Join(err, d.err)
	})
	if errors.Is(err, ErrCorrupt) {
		s.found("the row that counts the journal's frames is damaged")
		err = nil
	}
	return n, err
}

// replay brings in the frames of the journal. They are all changes since some
// moment, in order, so that it does no harm when Badger has some already.
func (s *Store) replay(applied uint64) error {
	frames := 0
	j, damaged, err := openJournal(filepath.Join(s.dir, "journal"), s.options.JournalSegment, applied,
		func(seq uint64, payload []byte) error {
			list, err := decodeChanges(payload)
			if err != nil {
				s.found(fmt.Sprintf("journal frame %d: %v", seq, err))
				return nil
			}
			if frames == 0 && seq > applied+1 {
				s.found(fmt.Sprintf("journal frames %d to %d are missing", applied+1, seq-1))
			}
			frames++
			if len(list) == 0 {
				return nil
			}
			s.applied = seq
			return s.disk.apply(list)
		})
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, d := range damaged {
		s.found(d.String())
	}
	j.noSync = s.options.NoSync
	s.journal = j
	if frames == 0 {
		return s.checkClean(applied)
	}
	s.log.Info("brought in the journal after an unclean stop", "frames", frames)
	// Each start writes the bodies of the journal once more. Without this a
	// server that keeps crashing would fill the disk.
	return s.checkpoint()
}

// checkClean compares Badger with what the last orderly stop left.
func (s *Store) checkClean(applied uint64) error {
	b, err := os.ReadFile(filepath.Join(s.dir, cleanName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(b) == 8 && binary.BigEndian.Uint64(b) > applied {
		s.found(fmt.Sprintf("changes %d to %d are missing from the database", applied+1, binary.BigEndian.Uint64(b)))
		s.journal.seq = max(s.journal.seq, binary.BigEndian.Uint64(b))
		s.applied = s.journal.seq
	}
	return nil
}

// cleanName is the file that an orderly stop leaves: the last frame's number.
const cleanName = "last-stop"

// found notes damage, which the owner is to be told of.
func (s *Store) found(what string) {
	s.log.Error("stored data is damaged", "what", what)
	s.damage = append(s.damage, what)
}

// Damage returns what was found to be damaged when the store was opened.
func (s *Store) Damage() []string { return s.damage }

// Close waits for what is being committed and closes the store. What it says
// has failed was nevertheless safe in the journal.
func (s *Store) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return nil
	}
	s.gate.Unlock()
	if err := s.saveLastUse(); err != nil && s.Broken() == nil {
		s.log.Warn("last uses were not saved", "err", err)
	}
	s.gate.Lock()
	if s.closed { // by another call, meanwhile
		s.gate.Unlock()
		return nil
	}
	s.closed = true
	close(s.requests)
	s.gate.Unlock()
	<-s.committed
	return errors.Join(s.closeFiles(), s.lock.Close())
}

func (s *Store) closeFiles() error {
	if s.Broken() != nil {
		// Nothing more goes to a disk that failed, and Badger would write its
		// memtables. The journal has them.
		return s.journal.close(false)
	}
	err := s.disk.close()
	if err == nil && !s.options.NoSync {
		err = s.disk.syncBodies()
	}
	clean := err == nil && s.Broken() == nil
	if clean {
		err = writeFile(filepath.Join(s.dir, cleanName), binary.BigEndian.AppendUint64(nil, s.applied))
		clean = err == nil
	}
	return errors.Join(err, s.journal.close(clean))
}

// writeFile replaces a file so that a crash leaves the old or the new one.
func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// lockDir makes sure that one process has the store.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// findNextBlob makes sure that no blob's number is used twice. A blob without
// bytes has no chunk, and one whose chunk is lost must not get another's.
func (s *Store) findNextBlob() error {
	return s.view(func(r reader) error {
		for _, table := range []byte{tChunk, tReference, tStaged} {
			if last := r.(snapshot).lastKey([]byte{table}); last != nil {
				s.nextBlob.Store(max(s.nextBlob.Load(), parse(last).u64()))
			}
		}
		return nil
	})
}

func (s *Store) newBlob() mail.BlobID { return mail.BlobID(s.nextBlob.Add(1)) }

// The layouts of a store, docs/updates.md. A box may have to go back to the
// release before, which then must be able to read what this one has written. So
// a new layout takes two releases: the first can read it and the second writes
// it.
const (
	SchemaReads  = 1 // the newest layout that this program can read
	SchemaWrites = 1 // the layout that it brings a store to
)

// migrations bring a store from the version of their index to the next, up to
// SchemaWrites.
var migrations = [...]func(*Store) error{
	0: func(*Store) error { return nil }, // a new store
}

// migrate brings an older store up to date and refuses a newer one.
func (s *Store) migrate() error {
	version := uint64(0)
	err := s.view(func(r reader) error {
		v, err := r.get([]byte{tSchema})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		d := decoder{rest: v}
		version = d.uint()
		return errors.Join(err, d.err)
	})
	if err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	if version > SchemaReads {
		return fmt.Errorf("the store has schema %d, and this homemail knows up to %d: use the newer homemail that wrote it", version, SchemaReads)
	}
	if version >= SchemaWrites { // more, if the release after this one was here
		return nil
	}
	for _, step := range migrations[version:] {
		if err := step(s); err != nil {
			return fmt.Errorf("migrating the store: %w", err)
		}
	}
	e := encoder{}
	e.uint(SchemaWrites)
	b := &changes{}
	b.set([]byte{tSchema}, seal([]byte{tSchema}, e))
	return s.write(b, true)
}

type stats struct {
	commits, flushes, messages, bytes, journal atomic.Int64
}

// Stats are counts since the store was opened.
type Stats struct {
	Commits, Flushes, Messages, Bytes int64
	Journal                           int64 // bytes that a crash now would make the next start bring in
	Free, Reserve                     int64 // bytes of disk
}

// Stats returns counts for the metrics.
func (s *Store) Stats() Stats {
	return Stats{
		Commits: s.stats.commits.Load(), Flushes: s.stats.flushes.Load(),
		Messages: s.stats.messages.Load(), Bytes: s.stats.bytes.Load(),
		Journal: s.stats.journal.Load(),
		Free:    s.space.look(), Reserve: s.space.reserve,
	}
}
