package update

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"homemail/appliance/slots"
)

const (
	checkpoint = 8 << 20 // after so many bytes they are flushed and that is written down
	chunk      = 256 << 10
	bootSpare  = 8 << 20 // stays free on the boot partition, for letters
)

// A writer puts the files of an update into a slot. They are written to their
// places at once: since the first byte of the root the slot is of no use to
// anybody, and a file that keeps its clusters changes little on a FAT disk.
type writer struct {
	options  Options
	manifest Manifest
	slot     slots.Slot
}

func (w *writer) path(f File) string {
	if f.Name == RootName {
		return w.options.Root
	}
	return filepath.Join(w.options.BootDir, w.slot.String(), filepath.FromSlash(f.Name))
}

func (w *writer) open(f File) (*os.File, error) {
	if f.Name == RootName {
		return os.OpenFile(w.options.Root, os.O_WRONLY, 0)
	}
	if err := os.MkdirAll(filepath.Dir(w.path(f)), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(w.path(f), os.O_WRONLY|os.O_CREATE, 0o644)
}

// room compares sizes before anything is written.
func (w *writer) room() error {
	var boot, there int64
	for _, f := range w.manifest.Files {
		if f.Name == RootName {
			if err := w.rootRoom(f.Size); err != nil {
				return err
			}
			continue
		}
		boot += f.Size
		if info, err := os.Stat(w.path(f)); err == nil {
			there += info.Size()
		}
	}
	var s unix.Statfs_t
	if err := unix.Statfs(w.options.BootDir, &s); err != nil {
		return err
	}
	if free := int64(s.Bavail) * s.Bsize; boot-there > free-bootSpare {
		return fmt.Errorf("%w: the boot partition has %d bytes free and needs %d", ErrRoom, free, boot-there+bootSpare)
	}
	return nil
}

func (w *writer) rootRoom(size int64) error {
	f, err := os.OpenFile(w.options.Root, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	has, err := f.Seek(0, io.SeekEnd) // a device's length, which stat does not know
	if err == nil && size > has {
		err = fmt.Errorf("%w: the root has %d bytes and the partition %d", ErrRoom, size, has)
	}
	return err
}

// payload writes what is missing after the first done bytes.
func (w *writer) payload(ctx context.Context, done int64, open Opener, save func(int64) error) error {
	if done == w.manifest.Size() {
		return nil
	}
	in, err := open(done)
	if err != nil {
		return err
	}
	defer in.Close()
	var before int64 // bytes of the files before
	for _, f := range w.manifest.Files {
		if from := done - before; from < f.Size {
			saved := func(n int64) error { return save(before + n) }
			if err := w.file(ctx, f, max(from, 0), in, saved); err != nil {
				return err
			}
		}
		before += f.Size
	}
	return nil
}

// file writes a file from an offset on, and saves how far it has come whenever
// that is on the disk.
func (w *writer) file(ctx context.Context, f File, from int64, in io.Reader, save func(int64) error) error {
	out, err := w.open(f)
	if err != nil {
		return err
	}
	defer out.Close()
	buf := make([]byte, chunk)
	for at := from; at < f.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(buf)), f.Size-at, checkpoint-at%checkpoint)
		if _, err := io.ReadFull(in, buf[:n]); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if _, err := out.WriteAt(buf[:n], at); err != nil {
			return err
		}
		if at += n; at%checkpoint != 0 && at < f.Size {
			continue
		}
		if err := w.flush(f, out, at); err != nil {
			return err
		}
		if err := save(at); err != nil {
			return err
		}
	}
	return out.Close()
}

// flush brings a file onto the disk, as far as at. One that is whole loses what
// a longer one before it had more.
func (w *writer) flush(f File, out *os.File, at int64) error {
	if f.Name != RootName && at == f.Size {
		if err := out.Truncate(f.Size); err != nil {
			return err
		}
	}
	return out.Sync()
}

// compare reads everything back from the disk.
func (w *writer) compare(ctx context.Context) error {
	for _, f := range w.manifest.Files {
		if err := w.compareFile(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) compareFile(ctx context.Context, f File) error {
	in, err := os.Open(w.path(f))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is not there", ErrDamaged, f.Name)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	forget(in)
	h := sha256.New()
	buf := make([]byte, chunk)
	for left := f.Size; left > 0 && ctx.Err() == nil; {
		n, err := in.Read(buf[:min(left, chunk)])
		h.Write(buf[:n])
		left -= int64(n)
		if err != nil { // a disk that cannot read it, or a file that is too short
			return fmt.Errorf("%w: %s: %w", ErrDamaged, f.Name, err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if Hash(h.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%w: %s has another SHA-256", ErrDamaged, f.Name)
	}
	return nil
}

// forget takes a file out of memory, so that reading it asks the disk. What is
// no block device refuses the first, which is not wanted there.
func forget(f *os.File) {
	_, _ = unix.IoctlRetInt(int(f.Fd()), unix.BLKFLSBUF)
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// finish sets the kernel's arguments and flushes the directories, the last
// before the slot may be tried.
func (w *writer) finish() error {
	if w.manifest.Args != "" {
		if err := setArgs(w.options.BootDir, w.slot, w.manifest.Args); err != nil {
			return err
		}
	}
	d, err := os.Open(w.options.BootDir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
