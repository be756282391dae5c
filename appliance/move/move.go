//go:build linux

// Package move moves the mail from the card to a USB disk: it copies while homemail
// runs, once more while it stands still, compares every byte, and only then says
// that the mail is over there. A power cut, or a disk that is pulled out, costs
// nothing but time: what was copied is not copied again, and until the end the mail
// is where it was.
package move

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"homemail/appliance/volume"
	"homemail/internal/disk"
)

const (
	movingFile = "moving-to" // on the old disk: where the mail is going
	movedFile  = "moved-to"  // on the old disk: where it is
	targetPart = 1
	patience   = 45 * time.Second // for a USB disk to be found after the start
	spareRoom  = 5                // a disk has to have a fifth more room than there is mail
)

// The errors of a disk that cannot be moved to.
var (
	ErrUnsuitable = errors.New("this disk cannot be used")
	ErrTooSmall   = errors.New("this disk is too small")
	ErrBusy       = errors.New("the mail is being moved already")
)

// A Stage is how far a move is.
type Stage string

// The stages of a move.
const (
	Idle      Stage = ""
	Preparing Stage = "preparing" // the disk
	Copying   Stage = "copying"   // while homemail runs
	Finishing Stage = "finishing" // homemail stands still
	Verifying Stage = "verifying"
	Done      Stage = "done"
	Failed    Stage = "failed"
)

// Progress is how far a move is, for people.
type Progress struct {
	Stage Stage
	Disk  string
	Done  int64 // octets
	Total int64
	Why   string // it failed
}

// Options are what a move needs of the box.
type Options struct {
	Host  volume.Host
	Tools volume.Tools
	From  string // where the data is mounted
	At    string // where the new disk is mounted meanwhile
	Log   *slog.Logger

	Pause  func(context.Context) error                   // stops homemail
	Resume func(context.Context) error                   // starts it again
	Switch func(ctx context.Context, id volume.ID) error // mounts the data from its new place

	// Attach makes, or finds, the file system on a disk and mounts it. Nil does
	// that; tests have no disks.
	Attach func(ctx context.Context, disk string, resume *volume.ID) (volume.ID, error)
}

// A Mover moves the mail, once at a time.
type Mover struct {
	o Options

	mu sync.Mutex
	p  Progress
}

// New returns a Mover that does nothing.
func New(o Options) *Mover {
	m := &Mover{o: o}
	if o.Attach == nil {
		m.o.Attach = m.attach
	}
	return m
}

// Moved reads from a data partition whether the mail has left it.
func Moved(dir string) (id volume.ID, moved bool, err error) {
	return readID(filepath.Join(dir, movedFile))
}

func readID(name string) (id volume.ID, ok bool, err error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err != nil {
		return id, false, err
	}
	n, err := hex.Decode(id[:], []byte(strings.ReplaceAll(strings.TrimSpace(string(b[:min(len(b), 36)])), "-", "")))
	if err == nil && n != len(id) {
		err = errors.New("too short")
	}
	if err != nil {
		return id, false, fmt.Errorf("%s: %w", name, err)
	}
	return id, true, nil
}

// writeID leaves the old file or the new one, on the disk.
func writeID(name string, id volume.ID) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, id)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Await waits for a disk that may take its time after the start.
func Await(ctx context.Context, h volume.Host, id volume.ID) (disk, part string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if disk, part, err = h.FindExt4(id); err == nil {
			return disk, part, nil
		}
		select {
		case <-ctx.Done():
			return "", "", err
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// Candidates are the disks that the mail could move to.
func Candidates(h volume.Host, using string) (list []volume.Disk, err error) {
	all, err := h.Disks()
	for _, d := range all {
		if suitable(d, using) {
			list = append(list, d)
		}
	}
	return list, err
}

func suitable(d volume.Disk, using string) bool { return d.USB && !d.ReadOnly && d.Name != using }

// Progress is how far it is now.
func (m *Mover) Progress() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.p
}

// Unfinished reports whether a move was cut off.
func (m *Mover) Unfinished() bool {
	_, ok, err := readID(filepath.Join(m.o.From, movingFile))
	return ok && err == nil
}

// Run moves the mail to a disk, which loses all that is on it, or goes on with a
// move that was cut off, if disk is "". It returns when the mail is there.
func (m *Mover) Run(ctx context.Context, disk string) error {
	m.mu.Lock()
	if s := m.p.Stage; s != Idle && s != Failed {
		m.mu.Unlock()
		return ErrBusy
	}
	m.p = Progress{Stage: Preparing, Disk: disk}
	m.mu.Unlock()
	err := m.move(ctx, disk)
	if err != nil {
		m.change(func(p *Progress) { p.Stage, p.Why = Failed, err.Error() })
		m.o.Log.Error("the mail could not be moved", "disk", disk, "err", err)
		return err
	}
	m.change(func(p *Progress) { p.Stage, p.Done = Done, p.Total })
	m.o.Log.Info("the mail was moved", "disk", disk)
	return nil
}

func (m *Mover) change(fn func(*Progress)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn(&m.p)
}

func (m *Mover) move(ctx context.Context, disk string) error {
	mark := filepath.Join(m.o.From, movingFile)
	var resume *volume.ID
	if id, ok, err := readID(mark); err != nil {
		return err
	} else if ok && disk == "" {
		resume = &id
	}
	id, err := m.o.Attach(ctx, disk, resume)
	if err != nil {
		return err
	}
	if err := writeID(mark, id); err != nil {
		return errors.Join(err, m.release())
	}
	t := tree{m.o.From, m.o.At, func(n int64) { m.change(func(p *Progress) { p.Done = min(p.Done+n, p.Total) }) }}
	if err := m.stage(Copying, t, t.pass, ctx); err != nil {
		return errors.Join(err, m.release())
	}
	if err := m.o.Pause(ctx); err != nil {
		return errors.Join(err, m.release())
	}
	err = m.finish(ctx, t, id)
	return errors.Join(err, m.o.Resume(ctx))
}

// finish is what happens while homemail stands still. Its last act on the old disk
// is the one that counts.
func (m *Mover) finish(ctx context.Context, t tree, id volume.ID) error {
	err := m.stage(Finishing, t, t.pass, ctx)
	if err == nil {
		err = flush(m.o.At)
	}
	if err == nil {
		err = m.stage(Verifying, t, t.verify, ctx)
	}
	if err = errors.Join(err, m.release()); err != nil {
		return err
	}
	if err := writeID(filepath.Join(m.o.From, movedFile), id); err != nil {
		return err
	}
	return m.o.Switch(ctx, id)
}

func (m *Mover) stage(s Stage, t tree, fn func(context.Context) error, ctx context.Context) error {
	total, err := t.size()
	if err != nil {
		return err
	}
	m.change(func(p *Progress) { p.Stage, p.Done, p.Total = s, 0, total })
	return fn(ctx)
}

func flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

func (m *Mover) release() error { return volume.Unmount(m.o.At) }

// attach makes a file system on a whole disk, or finds the one of a move that was
// cut off, and mounts it.
func (m *Mover) attach(ctx context.Context, name string, resume *volume.ID) (id volume.ID, err error) {
	var part string
	if resume != nil {
		if name, part, err = Await(ctx, m.o.Host, *resume); err != nil {
			return id, fmt.Errorf("the disk of the move that was cut off is not there: %w", err)
		}
		if _, err := m.o.Host.Check(ctx, part, m.o.Tools); err != nil {
			return id, err
		}
	} else if part, err = m.prepare(ctx, name); err != nil {
		return id, err
	}
	m.change(func(p *Progress) { p.Disk = name })
	if err := errors.Join(os.MkdirAll(m.o.At, 0o700), m.o.Host.Tune(name)); err != nil {
		return id, err
	}
	s := m.o.Host.Mount(ctx, name, part, m.o.At, m.o.Tools)
	if s.Mode != volume.Normal {
		return id, errors.Join(fmt.Errorf("%w: %s", ErrUnsuitable, s.Detail), m.release())
	}
	id, _, ok := volume.Ext4(m.o.Host.Node(part))
	if !ok {
		return id, errors.Join(ErrUnsuitable, m.release())
	}
	return id, nil
}

// prepare clears a disk and makes one partition of it.
func (m *Mover) prepare(ctx context.Context, name string) (part string, err error) {
	d, err := m.o.Host.Disk(name)
	if err != nil {
		return "", err
	}
	using, _, err := m.o.Host.Of(m.o.From)
	if err != nil {
		return "", err
	}
	if root, _, err := m.o.Host.Of("/"); !suitable(d, using) || err == nil && root == name {
		return "", ErrUnsuitable
	}
	need, err := tree{from: m.o.From}.size()
	if err != nil {
		return "", err
	}
	if need+need/spareRoom > d.Size {
		return "", ErrTooSmall
	}
	f, err := os.OpenFile(m.o.Host.Node(name), os.O_RDWR|unix.O_EXCL, 0) // nobody has it mounted
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnsuitable, err)
	}
	err = disk.New(disk.GPT, d.Size).Write(f)
	if err == nil {
		err = unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	part, _, err = m.o.Host.EnsureData(ctx, name, targetPart, m.o.Tools)
	return part, err
}
