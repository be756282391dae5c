//go:build linux

package appliance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"homemail/appliance/move"
	"homemail/appliance/volume"
	"homemail/internal/disk"
)

// prepareBoot mounts the boot partition of the disk that the root is on, and gives
// the disk an identity of its own if another one has the same.
func (b *box) prepareBoot(ctx context.Context) {
	name, _, err := host().Of("/")
	if err != nil {
		b.log.Warn("the root is on no disk", "err", err)
		return
	}
	b.disk = name
	part := host().Node(volume.Part(name, bootPart))
	const options = "umask=0077,flush,errors=remount-ro"
	if err := unix.Mount(part, bootDir, "vfat", unix.MS_NOATIME|careful, options); err != nil {
		b.log.Warn("the boot partition cannot be used", "err", err)
		return
	}
	b.boot = true
	if host().HasPart(name, dataPart) {
		return
	}
	// The first start: the other disk may be the same image, flashed before.
	if twin, err := host().Twin(name); err != nil || twin == "" {
		return
	} else if err := host().Rename(name, bootDir); err != nil {
		b.log.Error("two disks have the same identity", "disk", name, "other", twin, "err", err)
	} else {
		b.log.Info("this disk was a copy of another and has an identity of its own now", "disk", name, "other", twin)
	}
}

// prepareData makes, checks and mounts the data.
func (b *box) prepareData(ctx context.Context) (s volume.State) {
	if b.disk == "" {
		return volume.State{Mode: volume.Absent, Trouble: volume.Broken, Detail: "the root is on no disk"}
	}
	part, made, err := host().EnsureData(ctx, b.disk, dataPart, tools())
	if err != nil {
		s = volume.State{Mode: volume.Absent, Trouble: volume.Broken, Detail: err.Error(), Disk: b.disk}
		if errors.Is(err, disk.ErrFull) {
			s.Trouble = volume.NoRoom
		}
		return s
	}
	if made {
		b.log.Info("a partition for the mail was made", "partition", part)
	}
	b.tuneDisk(b.disk)
	if s = host().Mount(ctx, b.disk, part, dataDir, tools()); s.Mode != volume.Normal {
		return s
	}
	to, moved, err := move.Moved(dataDir)
	if err != nil || !moved {
		return s
	}
	return b.elsewhere(ctx, to)
}

// elsewhere mounts data that was moved to another disk. While that is not there the
// old data stays closed: it is what was, and mail in two places never comes
// together again.
func (b *box) elsewhere(ctx context.Context, id volume.ID) volume.State {
	if err := volume.Unmount(dataDir); err != nil {
		return volume.State{Mode: volume.Absent, Trouble: volume.Broken, Detail: err.Error()}
	}
	name, part, err := move.Await(ctx, host(), id)
	if err != nil {
		return volume.State{Mode: volume.Absent, Trouble: volume.Detached, Detail: "file system " + id.String()}
	}
	b.tuneDisk(name)
	return host().Mount(ctx, name, part, dataDir, tools())
}

func (b *box) tuneDisk(name string) {
	if err := host().Tune(name); err != nil {
		b.log.Warn("a disk cannot be set up to last", "disk", name, "err", err)
	}
}

// spareMemory is the part of the memory that mail may take which can only be read:
// what is opened to be written is copied there.
const spareMemory = 3 // a third

// openData makes homemail's directory, or shows what can only be read of it through
// a layer of memory; dir is "" if there is nothing to serve.
func (b *box) openData() (dir string) {
	data := b.data.get()
	switch data.Mode {
	case volume.Normal:
		if err := own(mailDir); err != nil {
			b.log.Error("the directory of the mail cannot be made", "err", err)
			return ""
		}
		return mailDir
	case volume.ReadOnly:
		size, err := used(mailDir)
		if err != nil {
			b.log.Error("the mail can only be read, and not even counted", "err", err)
			return ""
		}
		if size > memory()/spareMemory {
			b.log.Error("the mail can only be read, and is too large for that here", "octets", size)
			data.Trouble = volume.TooLarge
			b.data.set(data)
			return ""
		}
		layer := "/run/layer"
		if err := errors.Join(os.MkdirAll(layer, 0o755), unix.Mount("tmpfs", layer, "tmpfs", careful, "size=50%"), volume.Lay(dataDir, layer, dataDir)); err != nil {
			b.log.Error("the mail can only be read, and cannot be shown", "err", err)
			return ""
		}
		return mailDir
	}
	return ""
}

// own makes a directory for homemail. What is in one that was moved or restored is
// its own already.
func own(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chown(dir, mailUser, mailUser)
}

func used(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			n += st.Blocks * 512
		} else {
			n += info.Size()
		}
		return nil
	})
	return n, err
}

func memory() int64 {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return 0
	}
	return int64(s.Totalram) * int64(s.Unit)
}
