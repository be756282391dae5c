package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"homemail/mail"
)

const (
	// gcGarbage is how many bytes of removed bodies are worth a night's work, on
	// a disk that is large enough not to miss them.
	gcGarbage = 16 << 20
	// tombstonesMax is how many expunged messages a mailbox remembers, for
	// mail programs that come back after a long time.
	tombstonesMax = 20000
	saveEach      = time.Minute
)

// Run does what has to be done now and then: it writes down last uses, and
// once a night gives back the space of removed mail. It returns nil when ctx
// ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(saveEach)
	defer tick.Stop()
	night := nextHour(time.Now(), s.options.MaintenanceHour)
	var older sync.WaitGroup
	defer older.Wait()
	older.Go(func() { s.runFill(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := s.saveLastUse(); err != nil && s.Broken() == nil {
				s.log.Warn("last uses were not saved", "err", err)
			}
			if now.Before(night) {
				continue
			}
			night = nextHour(now, s.options.MaintenanceHour)
			if err := s.Maintain(ctx); err != nil {
				s.log.Warn("maintenance did not end well", "err", err)
			}
		}
	}
}

// noteGarbage counts bytes of removed bodies in the batch that removes them,
// so that the night after a restart knows of them too.
func (s *Store) noteGarbage(batch *changes, freed int64) {
	e := encoder{}
	e.int(s.garbage.Add(freed))
	batch.set(settingKey("garbage"), seal(settingKey("garbage"), e))
}

// forgetGarbage begins to count anew.
func (s *Store) forgetGarbage(counted int64) error {
	return s.update(toShrink, func(t *tx) error {
		t.freed -= counted
		return nil
	})
}

func (s *Store) loadGarbage() error {
	return s.view(func(r reader) error {
		v, err := r.get(settingKey("garbage"))
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		d := decoder{rest: v}
		s.garbage.Store(d.int())
		return errors.Join(err, d.err)
	})
}

// nextHour returns the next moment at which the local clock shows an hour.
func nextHour(now time.Time, hour int) time.Time {
	t := time.Date(now.Year(), now.Month(), now.Day(), hour, 0, 0, 0, now.Location())
	if !t.After(now) {
		t = t.AddDate(0, 0, 1)
	}
	return t
}

// Maintain cuts old history and gives back the space of removed bodies.
// Connections stay; changes wait for some 100 ms, three times.
func (s *Store) Maintain(ctx context.Context) error {
	if err := errors.Join(s.cutHistories(), s.sweepThreads(ctx)); err != nil {
		return err
	}
	garbage := s.garbage.Load()
	if garbage < min(gcGarbage, s.space.reserve/16) {
		return nil
	}
	// Badger reads a value log file up to the first damaged entry and then
	// deletes it: what is damaged must be known before.
	if n, err := s.scrub(ctx); err != nil || n > 0 {
		return errors.Join(err, fmt.Errorf("%w: %d chunks; no space is given back before that is mended", ErrCorrupt, n))
	}
	before := s.space.lookNow()
	start := time.Now()
	rewritten, err := s.collectGarbage(ctx)
	if err == nil {
		err = s.forgetGarbage(garbage)
	}
	s.log.Info("gave back the space of removed mail", "files", rewritten,
		"mb", (s.space.lookNow()-before)>>20, "ms", time.Since(start).Milliseconds())
	return err
}

// collectGarbage lets Badger rewrite its value log files. While it does so
// Badger flushes its own writes, since it deletes files whose contents the
// journal no longer has. The second opening compacts what the first found,
// which is how Badger learns what is garbage.
func (s *Store) collectGarbage(ctx context.Context) (files int, err error) {
	reopen := func(durable bool) error {
		return s.exclusive(func() error {
			s.disk.durable = durable
			if err := s.checkpoint(); err != nil {
				s.breakDown(err)
				return err
			}
			return nil
		})
	}
	if err := errors.Join(reopen(true), reopen(true)); err != nil {
		return 0, err
	}
	for err == nil && ctx.Err() == nil {
		if err = s.disk.collect(); err == nil {
			files++
		}
	}
	if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
		err = nil
	}
	return files, errors.Join(err, reopen(false))
}

// collect rewrites one value log file of which at least half is garbage.
func (d *disk) collect() (err error) {
	d.open.RLock()
	defer d.open.RUnlock()
	defer d.damaged(&err)
	return d.db.RunValueLogGC(0.5)
}

// scrub reads every chunk and counts the damaged ones.
func (s *Store) scrub(ctx context.Context) (bad int, err error) {
	from := []byte{tChunk}
	for from != nil && ctx.Err() == nil {
		err := s.view(func(r reader) error {
			n := 0
			start := from
			from = nil
			return r.keys([]byte{tChunk}, start, func(key []byte) (bool, error) {
				if n++; n > recordBatch {
					from = slices.Clone(key)
					return false, nil
				}
				if _, err := r.get(key); err != nil {
					bad++
					s.log.Error("a chunk of a message is damaged", "blob", mail.BlobID(parse(key).u64()), "err", err)
				}
				return true, nil
			})
		})
		if err != nil {
			return bad, err
		}
	}
	return bad, ctx.Err()
}

// cutHistories forgets the oldest expunged messages of mailboxes that remember
// too many.
func (s *Store) cutHistories() error {
	return s.eachMailbox(func(a *Account, m Mailbox) error { return a.cutHistory(m.ID) })
}

func (a *Account) cutHistory(mbox mail.MailboxID) error {
	var gone []mail.ModSeq
	prefix := inMailbox(tChange, a.ID, mbox)
	err := a.s.view(func(r reader) error {
		return r.scan(prefix, nil, func(key, v []byte) (bool, error) {
			d := decoder{rest: v}
			if d.uint(); d.bool() {
				p := parse(key[len(prefix)-1:])
				gone = append(gone, mail.ModSeq(p.u64()))
			}
			return true, d.err
		})
	})
	if err != nil || len(gone) <= tombstonesMax {
		return err
	}
	cut := gone[:len(gone)-tombstonesMax/2]
	return a.s.update(toShrink, func(t *tx) error {
		box, err := getMailbox(t, a.ID, mbox)
		if err != nil {
			return err
		}
		for _, at := range cut {
			t.del(inMailbox(tChange, a.ID, mbox).mod(at))
		}
		box.since = cut[len(cut)-1]
		t.putMailbox(a.ID, &box)
		return nil
	})
}

// trim gives the pages of Badger's value log back: they are the page cache's,
// but count as this process's memory for as long as they are mapped. It runs
// in the committer, so that no file is unmapped meanwhile.
func (d *disk) trim() {
	if d.durable {
		return
	}
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if !strings.HasSuffix(line, ".vlog") || !strings.Contains(line, dir+"/") {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return
		}
		// MADV_DONTNEED of a shared file mapping drops no data: dirty pages
		// stay in the page cache.
		unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
	}
}
