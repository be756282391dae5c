//go:build linux

package move

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// tree copies directories of files, and knows when a file was copied already. Only
// what a store has is copied: directories and files.
type tree struct {
	from, to string
	told     func(octets int64) // after every piece
}

const piece = 1 << 20

// ours are at the top of a data partition and belong to it, not to the mail.
func ours(rel string) bool {
	return rel == "lost+found" || rel == movingFile || rel == movedFile
}

// walk calls fn with each directory and file of a tree, by its path below.
func walk(root string, fn func(rel string, d fs.DirEntry) error) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // it went while we looked: homemail runs
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil || rel == "." {
			return err
		}
		if ours(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.IsDir() && !d.Type().IsRegular() { // a socket
			return nil
		}
		return fn(rel, d)
	})
}

// size is how much there is to copy.
func (t tree) size() (n int64, err error) {
	err = walk(t.from, func(_ string, d fs.DirEntry) error {
		if info, err := d.Info(); err == nil && !d.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n, err
}

// pass makes the copy like the original, as far as that holds still. What is the
// same by size and time is not read.
func (t tree) pass(ctx context.Context) error {
	err := walk(t.from, func(rel string, d fs.DirEntry) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := t.one(rel, d)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.prune()
}

func (t tree) one(rel string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	to := filepath.Join(t.to, rel)
	if d.IsDir() {
		if err := os.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return like(to, info)
	}
	if have, err := os.Lstat(to); err == nil && have.Size() == info.Size() && have.ModTime().Equal(info.ModTime()) {
		t.told(info.Size())
		return nil
	}
	if err := t.file(filepath.Join(t.from, rel), to); err != nil {
		return err
	}
	if err := like(to, info); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime()) // the last: it says that the file is whole
}

func like(name string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: the system does not say whose it is", name)
	}
	return errors.Join(os.Lchown(name, int(st.Uid), int(st.Gid)), os.Chmod(name, info.Mode().Perm()))
}

// file copies the parts of a file that have bytes; what was never written stays so.
// Badger's files are twice as long as they are large.
func (t tree) file(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	buf := make([]byte, piece)
	for at := int64(0); at < size; {
		data, err := in.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // none any more
			break
		}
		if err != nil {
			return err
		}
		hole, err := in.Seek(data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		t.told(data - at)
		if at, err = data, t.stretch(in, out, data, hole, buf); err != nil {
			return err
		}
		at = hole
	}
	return errors.Join(out.Truncate(size), out.Sync())
}

func (t tree) stretch(in, out *os.File, at, end int64, buf []byte) error {
	for at < end {
		n, err := in.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if n == 0 {
			return err // the file became shorter; the next pass sees that
		}
		if _, err := out.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
		t.told(int64(n))
	}
	return nil
}

// prune removes what the original does not have any more.
func (t tree) prune() error {
	var gone []string
	err := walk(t.to, func(rel string, d fs.DirEntry) error {
		if _, err := os.Lstat(filepath.Join(t.from, rel)); errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, rel)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
	for _, rel := range gone {
		err = errors.Join(err, os.RemoveAll(filepath.Join(t.to, rel)))
	}
	return err
}

// ErrDifferent says that a copy is not like the original.
var ErrDifferent = errors.New("the copy is not like the original")

// verify reads both from their disks and compares every byte, and what each has.
func (t tree) verify(ctx context.Context) error {
	err := walk(t.from, func(rel string, d fs.DirEntry) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if d.IsDir() {
			if info, err := os.Lstat(filepath.Join(t.to, rel)); err != nil || !info.IsDir() {
				return fmt.Errorf("%w: %s", ErrDifferent, rel)
			}
			return nil
		}
		a, err := t.sum(filepath.Join(t.from, rel))
		if err != nil {
			return err
		}
		b, err := t.sum(filepath.Join(t.to, rel))
		if err != nil || !bytes.Equal(a, b) {
			return errors.Join(fmt.Errorf("%w: %s", ErrDifferent, rel), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return walk(t.to, func(rel string, _ fs.DirEntry) error {
		if _, err := os.Lstat(filepath.Join(t.from, rel)); err != nil {
			return fmt.Errorf("%w: %s is new", ErrDifferent, rel)
		}
		return nil
	})
}

// sum hashes a file as the disk has it: what is in memory is dropped first.
func (t tree) sum(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	h := sha256.New()
	buf := make([]byte, piece)
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		t.told(int64(n) / 2) // both files are read
		if err == io.EOF {
			return h.Sum(nil), nil
		}
		if err != nil {
			return nil, err
		}
	}
}
