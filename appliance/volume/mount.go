//go:build linux

package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// A Mode is what can be done with the data.
type Mode string

// The modes of data.
const (
	Normal   Mode = "normal"
	ReadOnly Mode = "read-only" // it can be read, and nothing more
	Absent   Mode = "absent"
)

// A Trouble says why the data is not as it should be.
type Trouble string

// The troubles, for which the console and the page have words.
const (
	Fine     Trouble = ""
	Damaged  Trouble = "damaged"   // e2fsck could not mend it
	Locked   Trouble = "locked"    // the disk takes no writes
	NoRoom   Trouble = "no-room"   // for a partition
	Broken   Trouble = "broken"    // the disk does not answer as it should
	Detached Trouble = "detached"  // the mail is on a USB disk that is not there
	NoMount  Trouble = "unmounted" // it has no file system that can be read
	TooLarge Trouble = "toolarge"  // it can only be read, and the memory is too small to show it
)

// State is how the data is.
type State struct {
	Mode    Mode
	Trouble Trouble
	Detail  string // for who knows such things
	Disk    string // "sda"
	Part    string // "sda4"
}

// options of ext4 for data: no time of reading is written, metadata that nobody
// waits for is written twice a minute, and an error stops all writing at once.
const options = "data=ordered,errors=remount-ro,commit=30"

const flags = unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC

// fsck's exit codes, e2fsck(8).
const (
	fsckMended   = 1 | 2
	fsckUnmended = 4
)

// Check has a file system checked and, where that is safe, mended.
func (h Host) Check(ctx context.Context, part string, t Tools) (mended bool, err error) {
	err = run(ctx, t.Check, "-p", h.Node(part))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if code := exit.ExitCode(); code > 0 && code&^fsckMended == 0 {
			return true, nil
		}
	}
	return false, err
}

// Mount checks the data's file system and mounts it: as it should be, or read-only
// if that is all that can be done.
func (h Host) Mount(ctx context.Context, disk, part, dir string, t Tools) State {
	s := State{Mode: Normal, Disk: disk, Part: part}
	d, err := h.Disk(disk)
	locked := err == nil && d.ReadOnly
	if !locked {
		_, err = h.Check(ctx, part, t)
	}
	if err == nil && !locked {
		if err = unix.Mount(h.Node(part), dir, "ext4", flags, options); err == nil {
			return s
		}
		err = fmt.Errorf("mount: %w", err)
	}
	s.Mode, s.Trouble = ReadOnly, Damaged
	if locked {
		s.Trouble, s.Detail = Locked, "the disk is locked against writing"
	} else {
		s.Detail = err.Error()
	}
	// Its journal is not replayed: that would be a write.
	if err := unix.Mount(h.Node(part), dir, "ext4", flags|unix.MS_RDONLY, "noload"); err != nil {
		s.Mode, s.Trouble, s.Detail = Absent, NoMount, s.Detail+"; "+err.Error()
	}
	return s
}

// Lay puts a layer of memory over data that can only be read, so that a program
// that needs to write can show what is there. Nothing of it reaches the disk.
func Lay(lower, memory, dir string) error {
	upper, work := memory+"/upper", memory+"/work"
	for _, d := range []string{memory, upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	return unix.Mount("overlay", dir, "overlay", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "lowerdir="+lower+",upperdir="+upper+",workdir="+work)
}

// Unmount lets go of a directory, or at least of writing to it.
func Unmount(dir string) error {
	err := unix.Unmount(dir, 0)
	if err == nil || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return errors.Join(fmt.Errorf("unmount %s: %w", dir, err), unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
}
