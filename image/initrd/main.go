//go:build linux

// Command initrd is the first program on a PC: it loads the drivers of the disks,
// finds the root that the kernel's command line names, and hands over to its
// init. If it cannot, it ends, and the kernel, which then panics, starts the
// machine again: the boot loader has the other root. It is /init in the initial
// RAM disk, and reads nothing but the kernel's command line, partition tables and
// the files beside it.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"homemail/appliance/modules"
	"homemail/internal/disk"
)

const newRoot = "/root"

func main() {
	err := boot()
	say("cannot start: %v", err)
	time.Sleep(3 * time.Second) // for who reads it; the kernel's panic covers it
	os.Exit(1)
}

// say writes to the kernel's log, which every console shows.
func say(format string, args ...any) {
	line := fmt.Sprintf("homemail: "+format+"\n", args...)
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		os.Stderr.WriteString(line)
		return
	}
	defer f.Close()
	f.WriteString(line)
}

func boot() error {
	if err := mountKernel(); err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	c, err := parseCmdline(string(b))
	if err != nil {
		return err
	}
	drivers, err := modules.Running("/")
	if err != nil {
		return err
	}
	if err := drivers.Load(c.fstype); err != nil {
		say("%v", err)
	}
	dev, err := waitForRoot(drivers, c)
	if err != nil {
		return err
	}
	if err := unix.Mount(dev, newRoot, c.fstype, unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s: %w", dev, err)
	}
	return switchRoot(c.init)
}

// mountKernel mounts what the kernel has to say. /dev may be there already.
func mountKernel() error {
	for _, m := range []struct{ fstype, dir string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.fstype, m.dir, m.fstype, unix.MS_NOSUID, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return os.MkdirAll(newRoot, 0o755)
}

// A cmdline is what we need of the kernel's command line.
type cmdline struct{ partUUID, fstype, init, slot string }

func parseCmdline(s string) (cmdline, error) {
	c := cmdline{fstype: "squashfs", init: "/sbin/init"}
	for w := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "root":
			if id, ok := strings.CutPrefix(value, "PARTUUID="); ok {
				c.partUUID = id
			}
		case "rootfstype":
			c.fstype = value
		case "init":
			c.init = value
		case "homemail.slot":
			c.slot = value
		}
	}
	if c.partUUID == "" {
		return c, errors.New("the kernel's command line has no root=PARTUUID=")
	}
	return c, nil
}

// named reports whether a partition is the root that is asked for.
func (c cmdline) named(t *disk.Table, p disk.Partition) bool {
	return strings.EqualFold(t.PartUUID(p), c.partUUID)
}

// ours reports whether a partition has the label of our slot. The names of a box's
// partitions are changed once, when it first starts; a power cut in the middle of
// that leaves a command line with names that no partition has.
func (c cmdline) ours(_ *disk.Table, p disk.Partition) bool {
	return c.slot != "" && p.Name == "homemail root "+c.slot
}

const (
	poll       = 100 * time.Millisecond
	complain   = 10 * time.Second
	giveUpName = time.Minute     // a hub with slow disks takes half of it
	giveUpRoot = 2 * time.Minute // then the kernel panics, and another slot may start
)

// waitForRoot loads drivers until the partition is there. Two of one name are two
// disks flashed from one image: the one that has mail is the box's. If neither has,
// or both, to take one could be wrong, so it waits until one is pulled out.
func waitForRoot(drivers *modules.Set, c cmdline) (string, error) {
	start, said := time.Now(), time.Time{}
	for {
		err := drivers.Coldplug("/sys")
		found := findPart("/sys/block", "/dev", c.named)
		if len(found) == 0 && time.Since(start) > giveUpName {
			found = findPart("/sys/block", "/dev", c.ours)
		}
		found = choose(found)
		switch {
		case len(found) == 1:
			return found[0].dev, nil
		case len(found) > 1 && time.Since(said) > complain:
			say("%s and %s are copies of each other; pull out the disk that is not to be used", found[0].dev, found[1].dev)
			said = time.Now()
		case len(found) == 0 && time.Since(start) > giveUpRoot:
			return "", fmt.Errorf("no disk has the partition %s (drivers: %w)", c.partUUID, err)
		}
		time.Sleep(poll)
	}
}

// A root is a partition that could be ours.
type root struct {
	dev  string
	used bool // its disk has a data partition
}

// dataPart is the number of the data partition, docs/image.md.
const dataPart = 4

// findPart returns all partitions that are wanted.
func findPart(sysBlock, dev string, wanted func(*disk.Table, disk.Partition) bool) (found []root) {
	disks, err := os.ReadDir(sysBlock)
	if err != nil {
		return nil
	}
	for _, d := range disks {
		t, err := readTable(filepath.Join(dev, d.Name()))
		if err != nil {
			continue // empty drives, foreign disks
		}
		_, used := t.Part(dataPart)
		for _, p := range t.Parts {
			if !wanted(t, p) {
				continue
			}
			if name, ok := partDevice(filepath.Join(sysBlock, d.Name()), p.Number); ok {
				found = append(found, root{filepath.Join(dev, name), used})
			}
		}
	}
	return found
}

func readTable(dev string) (*disk.Table, error) {
	f, err := os.Open(dev)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return nil, err
	}
	return disk.Read(f, size)
}

// choose takes the one that has been used, if there is just one of these.
func choose(found []root) []root {
	if used := slices.DeleteFunc(slices.Clone(found), func(r root) bool { return !r.used }); len(used) == 1 {
		return used
	}
	return found
}

// partDevice is the device of a disk's partition, if the kernel has it yet: sda2
// of sda, but mmcblk0p2 of mmcblk0.
func partDevice(sysDisk string, number int) (name string, ok bool) {
	files, err := filepath.Glob(filepath.Join(sysDisk, filepath.Base(sysDisk)+"*", "partition"))
	if err != nil {
		return "", false
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.TrimSpace(string(b)) == fmt.Sprint(number) {
			return filepath.Base(filepath.Dir(f)), true
		}
	}
	return "", false
}

// switchRoot makes the new root the only one, as switch_root(8) does, and runs
// its init. What was in the initial RAM disk is removed: it is memory.
func switchRoot(init string) error {
	for _, d := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(d, newRoot+d, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", d, err)
		}
	}
	for _, d := range []string{"/lib", "/init"} {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", init, unix.Exec(init, []string{init}, os.Environ()))
}
