//go:build linux

package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"homemail/internal/disk"
)

// Tools are the programs that make and check file systems.
type Tools struct {
	Make  string // "/sbin/mke2fs"
	Check string // "/sbin/e2fsck"
}

// linuxType is the type of a partition that has a Linux file system.
func linuxType() disk.GUID {
	g, _ := disk.ParseGUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4") // a constant
	return g
}

// How a partition says that its file system is not finished: by its name in a GPT,
// by a type that no system mounts in an MBR. A power cut leaves the mark, and only
// what has it may ever be made anew.
const (
	newName, doneName = "homemail-new", "homemail-data"
	newCode, doneCode = 0xda, 0x83
)

// Label is the name of the file system with the data.
const Label = "homemail-data"

// EnsureData makes partition n of a disk, to its end, with a file system, unless it
// is there. Cut off by a power cut it begins again where it was. The returned name
// is the partition's.
func (h Host) EnsureData(ctx context.Context, name string, n int, t Tools) (part string, made bool, err error) {
	part = Part(name, n)
	f, table, err := h.table(name)
	if err != nil {
		return part, false, err
	}
	defer f.Close()
	p, there := table.Part(n)
	if there && !unfinished(p) {
		return part, false, nil
	}
	if !there {
		if p, err = table.AppendPartition(disk.Partition{Number: n, Type: linuxType(), Name: newName, Code: newCode}); err != nil {
			return part, false, fmt.Errorf("disk %s: %w", name, err)
		}
		if err := table.Write(f); err != nil {
			return part, false, fmt.Errorf("disk %s: %w", name, err)
		}
	}
	if !h.HasPart(name, n) {
		if err := addPart(f, p); err != nil {
			return part, false, fmt.Errorf("tell the kernel of %s: %w", part, err)
		}
	}
	if err := h.waitFor(ctx, part); err != nil {
		return part, false, err
	}
	if err := h.Format(ctx, part, t); err != nil {
		return part, false, err
	}
	return part, true, h.finish(f, table, n)
}

func unfinished(p disk.Partition) bool { return p.Name == newName || p.Code == newCode }

// finish takes the mark away: from now on this is somebody's mail.
func (h Host) finish(f *os.File, table *disk.Table, n int) error {
	for i := range table.Parts {
		if p := &table.Parts[i]; p.Number == n && table.Scheme == disk.GPT {
			p.Name = doneName
		} else if p.Number == n {
			p.Code = doneCode
		}
	}
	return table.Write(f)
}

// table opens a disk and reads its partitions.
func (h Host) table(name string) (*os.File, *disk.Table, error) {
	f, err := os.OpenFile(h.Node(name), os.O_RDWR, 0)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		f, err = os.Open(h.Node(name)) // it can be looked at; what is to be written fails later
	}
	if err != nil {
		return nil, nil, err
	}
	size, err := f.Seek(0, 2)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	t, err := disk.Read(f, size)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("disk %s: %w", name, err), f.Close())
	}
	return f, t, nil
}

// Format makes a file system that fits a card: no discard, which hangs on some,
// tables that are written later and little by little, and few of them, as mail lies
// in large files.
func (h Host) Format(ctx context.Context, part string, t Tools) error {
	return run(ctx, t.Make, "-q", "-F", "-t", "ext4", "-L", Label, "-m", "1", "-i", "65536", "-E", "nodiscard,lazy_itable_init=1", h.Node(part))
}

// run runs a tool. What it says is in the error: it knows better than its code.
func run(ctx context.Context, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = []string{"PATH=/sbin:/bin"}
	out, err := c.CombinedOutput()
	if err != nil {
		return &ToolError{Tool: filepath.Base(name), Said: strings.TrimSpace(string(out[:min(len(out), 2000)])), Err: err}
	}
	return nil
}

// A ToolError is that of a program.
type ToolError struct {
	Tool, Said string
	Err        error
}

func (e *ToolError) Error() string { return fmt.Sprintf("%s: %v: %s", e.Tool, e.Err, e.Said) }
func (e *ToolError) Unwrap() error { return e.Err }

// blkpgPartition is struct blkpg_partition of linux/blkpg.h.
type blkpgPartition struct {
	start, length int64 // octets
	number        int32
	_             [64 + 64]byte // names, which nobody uses
	_             [4]byte
}

// blkpgArg is struct blkpg_ioctl_arg.
type blkpgArg struct {
	op, flags, length int32
	_                 int32
	data              *blkpgPartition
}

const blkpgAdd = 1 // BLKPG_ADD_PARTITION

// addPart tells the kernel of one partition. To have it read the table again fails
// while another partition is in use, as the root's always is.
func addPart(f *os.File, p disk.Partition) error {
	b := &blkpgPartition{start: p.Offset(), length: p.Size(), number: int32(p.Number)}
	a := &blkpgArg{op: blkpgAdd, length: int32(unsafe.Sizeof(*b)), data: b}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(a)))
	if e != 0 && e != unix.EBUSY { // it is known already
		return e
	}
	return nil
}

// waitFor waits for a device file, which the kernel makes a moment later.
func (h Host) waitFor(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if _, err := os.Stat(h.Node(name)); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not appear: %w", h.Node(name), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Twin returns the name of another disk with the same identity as this one: both
// were flashed from one image.
func (h Host) Twin(name string) (twin string, err error) {
	f, mine, err := h.table(name)
	if err != nil {
		return "", err
	}
	f.Close()
	disks, err := h.Disks()
	for _, d := range disks {
		if d.Name == name {
			continue
		}
		f, t, err := h.table(d.Name)
		if err != nil {
			continue // empty, or with a table that is not ours
		}
		f.Close()
		if t.Scheme == mine.Scheme && t.ID == mine.ID && t.Signature == mine.Signature {
			return d.Name, nil
		}
	}
	return "", err
}

// Rename gives a disk a new identity and changes what names the old one in the
// files of the boot partition. That comes first: in the moment between the two a
// power cut costs a second flashing, of a box that has no mail yet.
func (h Host) Rename(name, boot string) error {
	f, t, err := h.table(name)
	if err != nil {
		return err
	}
	defer f.Close()
	old := *t
	old.Parts = slices.Clone(t.Parts)
	t.NewIDs()
	var words []string
	for i, p := range old.Parts {
		from, to := old.PartUUID(p), t.PartUUID(t.Parts[i])
		words = append(words, from, to, strings.ToUpper(from), to)
	}
	if err := rewrite(boot, strings.NewReplacer(words...)); err != nil {
		return err
	}
	return t.Write(f)
}

const largestText = 64 << 10 // of a boot loader's settings

// rewrite replaces words in the boot loader's settings, wherever they are.
func rewrite(dir string, words *strings.Replacer) error {
	return filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".cfg", ".conf", ".txt"}, filepath.Ext(p)) {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() > largestText {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if n := []byte(words.Replace(string(b))); !bytes.Equal(n, b) {
			return replaceFile(p, n)
		}
		return nil
	})
}

// replaceFile leaves the old or the new one, also after a power cut.
func replaceFile(name string, b []byte) (err error) {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close(), os.Rename(name+".new", name), syncDir(filepath.Dir(name)))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
