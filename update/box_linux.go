package update

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"aead.dev/minisign"

	"homemail/appliance/slots"
)

// Options are what a Box needs.
type Options struct {
	Boot    *slots.Boot
	BootDir string // where the boot partition is mounted for writing
	Root    string // the device of the root that does not run
	State   string // a directory on the data partition that only root can write to
	Running Running
	Keys    []minisign.PublicKey // of those that may sign
	Log     *slog.Logger
	// Restart begins an orderly restart, with an argument for slots.Restart,
	// and returns at once.
	Restart func(argument string)
}

// A Box is the half of updates that has privilege. It is PID 1's.
type Box struct {
	o    Options
	book book
	mu   sync.Mutex // held while the other slot is written
}

// New returns a Box. It reads and writes nothing yet.
func New(o Options) *Box {
	return &Box{o: o, book: book{filepath.Join(o.State, "updates.json")}}
}

// Status tells what runs and what became of updates.
func (b *Box) Status() (Status, error) {
	s := Status{Version: b.o.Running.Version, Target: b.o.Running.Target}
	var err error
	if s.Slots, err = b.o.Boot.State(); err != nil {
		return s, err
	}
	list, err := b.book.read()
	if err != nil {
		b.o.Log.Warn("the history of updates cannot be read", "err", err) // and is no reason to take none
	}
	if len(list) > 0 {
		s.Last, s.Before = &list[0], list[1:]
	}
	return s, nil
}

// Install writes an update to the slot that does not run, reads it back, and
// asks for a restart that tries it. open gives the bytes of the payload from an
// offset on: those before were written earlier. Until the last byte has been
// compared nothing leads to the slot, so that a power cut at any moment leaves
// the running version.
func (b *Box) Install(ctx context.Context, manifest, signature []byte, open Opener) error {
	if !b.mu.TryLock() {
		return ErrBusy
	}
	defer b.mu.Unlock()
	s, err := b.o.Boot.State()
	if err != nil {
		return err
	}
	if s.Trial {
		return ErrTrial
	}
	m, err := Verify(b.o.Keys, manifest, signature)
	if err != nil {
		return err
	}
	if err := m.Fits(b.o.Running); err != nil {
		return err
	}
	w := writer{options: b.o, manifest: m, slot: s.Running.Other()}
	if err := w.room(); err != nil {
		return err
	}
	rec, err := b.record(m, manifest, w.slot)
	if err != nil {
		return err
	}
	if err := b.write(ctx, &w, &rec, open); err != nil {
		return fmt.Errorf("%s: %w", m.Version, err)
	}
	return b.try(rec)
}

// record is that of this update: the one that was interrupted, or a new one.
func (b *Box) record(m Manifest, manifest []byte, s slots.Slot) (Record, error) {
	hash := Hash(sha256.Sum256(manifest))
	if r := b.book.last(); r != nil && r.Manifest == hash && r.Slot == s && r.Written <= m.Size() && r.Stage != Good {
		r.Stage, r.Reason, r.Detail = Writing, "", ""
		return *r, nil
	}
	r := Record{From: b.o.Running.Version, To: m.Version, Notes: m.Notes, Manifest: hash, Slot: s, Stage: Writing, Size: m.Size(), At: time.Now()}
	return r, b.book.begin(r)
}

func (b *Box) write(ctx context.Context, w *writer, rec *Record, open Opener) error {
	save := func(written int64) error {
		rec.Written, rec.At = written, time.Now()
		return b.book.change(*rec)
	}
	err := w.payload(ctx, rec.Written, open, save)
	if err == nil {
		err = w.compare(ctx)
	}
	if errors.Is(err, ErrDamaged) { // nothing of it can be relied on
		err = errors.Join(err, save(0))
	}
	if err == nil {
		err = w.finish()
	}
	return err
}

// try asks for the restart. A cut before the record's change leads to a trial
// that Run recognizes all the same.
func (b *Box) try(rec Record) error {
	argument, err := b.o.Boot.Try()
	if err != nil {
		return err
	}
	rec.Stage, rec.At = Trying, time.Now()
	rec.Tries++
	if err := b.book.change(rec); err != nil {
		b.o.Log.Warn("the update is tried without a record", "err", err)
	}
	b.o.Log.Info("restarting to try an update", "from", rec.From, "to", rec.To, "slot", rec.Slot)
	b.o.Restart(argument)
	return nil
}
