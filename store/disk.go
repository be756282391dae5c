package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// valueThreshold is the size from which Badger keeps a value in its value log:
// bodies go there, rows stay in the tables that scans read.
const valueThreshold = 1 << 10

// A disk is the Badger database. It is written by the committer alone. Badger
// is opened without SyncWrites: the journal has flushed each change before it
// gets here, and keeps it until Badger has it in a table. See docs/store.md.
type disk struct {
	dir    string
	log    *slog.Logger
	broken func(error) // told of each error that Badger reports

	open sync.RWMutex // held by readers for a transaction, by reopen for the change
	snap sync.RWMutex // held while one batch takes several of Badger's transactions
	db   *badger.DB

	durable bool   // Badger flushes its own writes: while value-log GC deletes files
	opened  uint64 // how often Badger was opened: it numbers memtables anew each time
	synced  uint32 // value log files below this number are on disk
}

// badgerOptions are tuned for a board with 1 GB of memory.
func badgerOptions(dir string, log badger.Logger) badger.Options {
	o := badger.DefaultOptions(dir)
	o.MemTableSize = 8 << 20
	o.NumMemtables = 2
	o.NumLevelZeroTables = 2
	o.NumLevelZeroTablesStall = 4
	o.BlockCacheSize = 8 << 20
	o.IndexCacheSize = 8 << 20
	o.NumCompactors = 2
	o.ValueLogFileSize = 64 << 20
	o.NumGoroutines = 2
	o.MetricsEnabled = false
	o.ValueThreshold = valueThreshold
	o.Compression = options.None // mail is small, or compressed already
	o.ChecksumVerificationMode = options.NoVerification
	o.VerifyValueChecksum = false // every value has a sum of ours, over the key too
	o.DetectConflicts = false     // there is one writer
	o.CompactL0OnClose = false
	o.SyncWrites = false
	o.Logger = log
	return o
}

// openDisk opens the database.
func openDisk(dir string, log *slog.Logger, broken func(error)) (*disk, error) {
	d := &disk{dir: dir, log: log, broken: broken}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return d, d.start()
}

func (d *disk) start() error {
	if err := errors.Join(removeEmpty(d.dir), forgetKeys(d.dir), shieldValueLog(d.dir)); err != nil {
		return err
	}
	o := badgerOptions(d.dir, badgerLog{d})
	o.SyncWrites = d.durable
	o.CompactL0OnClose = d.durable
	db, err := badger.Open(o)
	if err != nil {
		return fmt.Errorf("opening the database in %s: %w", d.dir, err)
	}
	d.db = db
	d.opened++
	return nil
}

// removeEmpty removes the log files that were just made when the process ended:
// Badger takes one for an error.
func removeEmpty(dir string) error {
	for _, pattern := range []string{"*.vlog", "*.mem"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil || info.Size() > 0 {
				continue
			}
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetKeys makes sure that Badger looks for no encryption, which we never
// use: damage to its list of keys, or to the number of a key at the start of a
// value log file, would otherwise keep the store closed.
func forgetKeys(dir string) error {
	if err := os.Remove(filepath.Join(dir, badger.KeyRegistryFileName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, n := range fileNumbers(dir, ".vlog") {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%06d.vlog", n)), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		var key, none [8]byte
		if _, err = readBlock(f, key[:], 0); err == nil && key != none {
			_, err = f.WriteAt(none[:], 0)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// shieldValueLog puts an empty value log file after the last one. Badger cuts
// its last file at the first damaged entry, and all good ones behind it would
// go too; entries are found by pointer, so nothing needs to be cut.
func shieldValueLog(dir string) error {
	last := uint32(0)
	for _, n := range fileNumbers(dir, ".vlog") {
		last = max(last, n)
	}
	if last == 0 {
		return nil
	}
	const header = 20 // of a value log file: key id 0 (not encrypted), IV
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%06d.vlog", last+1)), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, header))
	return errors.Join(err, f.Close())
}

// fileNumbers returns the numbers of Badger's files of a kind, ascending.
func fileNumbers(dir, suffix string) []uint32 {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var list []uint32
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if n, err := strconv.ParseUint(name, 10, 32); ok && err == nil {
			list = append(list, uint32(n))
		}
	}
	slices.Sort(list)
	return list
}

// memtables returns the oldest and newest memtable; changes newer than the
// oldest may not be in a table yet.
func (d *disk) memtables() (oldest, newest uint64) {
	list := fileNumbers(d.dir, ".mem")
	if len(list) == 0 {
		return 0, 0
	}
	return d.opened<<32 | uint64(list[0]), d.opened<<32 | uint64(list[len(list)-1])
}

// syncBodies makes the value log stable up to what was applied so far. Badger
// maps these files; a flush through another descriptor writes the same pages.
func (d *disk) syncBodies() error {
	list := fileNumbers(d.dir, ".vlog")
	for _, n := range list {
		if n < d.synced {
			continue
		}
		f, err := os.Open(filepath.Join(d.dir, fmt.Sprintf("%06d.vlog", n)))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted by GC meanwhile
		}
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return err
		}
	}
	if len(list) > 0 {
		d.synced = list[len(list)-1] // still written to
	}
	return syncDir(d.dir)
}

// beginSync lets the disk begin with what syncBodies, or Badger when it goes on
// to the next file, would have to wait for. It is only a hint.
func (d *disk) beginSync() {
	list := fileNumbers(d.dir, ".vlog")
	if len(list) == 0 {
		return
	}
	f, err := os.Open(filepath.Join(d.dir, fmt.Sprintf("%06d.vlog", list[len(list)-1])))
	if err != nil {
		return
	}
	defer f.Close()
	hasten(f, 0, 0)
}

// Limits well below those of one Badger transaction at our memtable size.
const (
	applyRows  = 4000
	applyBytes = 512 << 10
)

// apply writes a batch. Readers see all of it or nothing.
func (d *disk) apply(list []change) error {
	size := 0
	for _, c := range list {
		size += len(c.key) + min(len(c.value), valueThreshold)
	}
	if len(list) > applyRows || size > applyBytes {
		d.snap.Lock()
		defer d.snap.Unlock()
	}
	txn := d.db.NewTransaction(true)
	defer func() { txn.Discard() }()
	for _, c := range list {
		err := set(txn, c)
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err = txn.Commit(); err != nil {
				return err
			}
			txn = d.db.NewTransaction(true)
			err = set(txn, c)
		}
		if err != nil {
			return err
		}
	}
	return txn.Commit()
}

func set(txn *badger.Txn, c change) error {
	if c.value == nil {
		return txn.Delete(c.key)
	}
	return txn.Set(c.key, c.value)
}

// read runs fn in a snapshot. It must not be nested.
func (d *disk) read(fn func(*badger.Txn) error) (err error) {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.db == nil || d.db.IsClosed() {
		return ErrClosed
	}
	d.snap.RLock()
	txn := d.db.NewTransaction(false)
	d.snap.RUnlock()
	defer txn.Discard()
	defer d.damaged(&err)
	return fn(txn)
}

// damaged, deferred, makes an error of a panic: that is what Badger does with a
// damaged table.
func (d *disk) damaged(err *error) {
	if r := recover(); r != nil {
		d.log.Error("reading the database failed", "panic", r)
		*err = fmt.Errorf("%w: %v", ErrCorrupt, r)
	}
}

// reopen closes and opens the database, which puts all memtables into tables.
func (d *disk) reopen() error {
	d.open.Lock()
	defer d.open.Unlock()
	if err := d.db.Close(); err != nil {
		return err
	}
	return d.start()
}

// busy reports whether somebody reads just now.
func (d *disk) busy() bool {
	if !d.open.TryLock() {
		return true
	}
	d.open.Unlock()
	return false
}

func (d *disk) close() error {
	d.open.Lock()
	defer d.open.Unlock()
	return d.db.Close()
}

// badgerLog passes on what Badger says. An error there can be a flush that
// failed and was then forgotten, so it poisons the store.
type badgerLog struct{ d *disk }

func (l badgerLog) Errorf(format string, args ...any) {
	err := errors.New("database: " + shorten(strings.TrimSpace(fmt.Sprintf(format, args...))))
	l.d.log.Error("the database reports an error", "err", err)
	l.d.broken(err)
}

// Warningf is also how Badger says that a compaction could not write.
func (l badgerLog) Warningf(format string, args ...any) {
	if strings.HasPrefix(format, "While running") {
		l.Errorf(format, args...)
		return
	}
	l.d.log.Warn("database: " + shorten(strings.TrimSpace(fmt.Sprintf(format, args...))))
}

func (l badgerLog) Infof(string, ...any)  {}
func (l badgerLog) Debugf(string, ...any) {}

// shorten keeps a hexdump of somebody's mail out of the log.
func shorten(s string) string {
	if len(s) > 300 {
		return s[:300] + " …"
	}
	return s
}
