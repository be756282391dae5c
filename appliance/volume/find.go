//go:build linux

// Package volume finds the disks of the box, makes the partition for its data at
// the first start, has file systems checked, and mounts them. It never makes a
// file system where there may be mail.
package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Host is where the kernel shows its devices.
type Host struct {
	Sys string // "/sys"
	Dev string // "/dev"
}

// A Disk is a whole disk.
type Disk struct {
	Name     string // "sda", "mmcblk0"
	Size     int64  // octets
	Model    string
	USB      bool
	ReadOnly bool
}

// ErrNoDisk says that there is no such disk.
var ErrNoDisk = errors.New("no such disk")

// Node is the device file of a disk or partition.
func (h Host) Node(name string) string { return filepath.Join(h.Dev, name) }

// Disks lists what can hold files and is not made by the kernel itself.
func (h Host) Disks() (list []Disk, err error) {
	entries, err := os.ReadDir(filepath.Join(h.Sys, "block"))
	for _, e := range entries {
		if d, err := h.Disk(e.Name()); err == nil && d.Size > 0 {
			list = append(list, d)
		}
	}
	return list, err
}

// Disk looks at one disk. Memory, loops and parts of an eMMC that are no disk are
// none: they have no device of their own, or hardware areas' names.
func (h Host) Disk(name string) (d Disk, err error) {
	dir := filepath.Join(h.Sys, "block", name)
	if name == "" || filepath.Base(name) != name || strings.Contains(name, "boot") || strings.Contains(name, "rpmb") {
		return d, ErrNoDisk
	}
	if _, err := os.Stat(filepath.Join(dir, "device")); err != nil {
		return d, fmt.Errorf("%w: %s", ErrNoDisk, name)
	}
	sectors, err := number(filepath.Join(dir, "size"))
	if err != nil {
		return d, err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return d, err
	}
	ro, _ := number(filepath.Join(dir, "ro"))
	return Disk{Name: name, Size: sectors * 512, Model: h.model(dir), USB: strings.Contains(real, "/usb"), ReadOnly: ro == 1}, nil
}

// model is what a disk calls itself, as far as it can be shown.
func (h Host) model(dir string) string {
	for _, file := range []string{"device/model", "device/name"} {
		if s, err := text(filepath.Join(dir, file)); err == nil && s != "" {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return -1
				}
				return r
			}, s[:min(len(s), 40)])
		}
	}
	return ""
}

// Of returns the disk, and the number of its partition, that has a file.
func (h Host) Of(file string) (disk string, part int, err error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return "", 0, err
	}
	return h.byNumber(uint64(st.Dev))
}

func (h Host) byNumber(dev uint64) (disk string, part int, err error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(h.Sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))))
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", ErrNoDisk, err)
	}
	n, err := number(filepath.Join(dir, "partition"))
	if err != nil {
		return "", 0, fmt.Errorf("%s is no partition: %w", filepath.Base(dir), err)
	}
	return filepath.Base(filepath.Dir(dir)), int(n), nil
}

// Part is the name of a disk's partition as the kernel makes it: "sda4", but
// "mmcblk0p4".
func Part(disk string, n int) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		return disk + "p" + strconv.Itoa(n)
	}
	return disk + strconv.Itoa(n)
}

// HasPart reports whether the kernel knows a partition.
func (h Host) HasPart(disk string, n int) bool {
	_, err := os.Stat(filepath.Join(h.Sys, "block", disk, Part(disk, n)))
	return err == nil
}

// Parts are the numbers of a disk's partitions.
func (h Host) Parts(disk string) (list []int) {
	entries, _ := os.ReadDir(filepath.Join(h.Sys, "block", disk))
	for _, e := range entries {
		if n, err := number(filepath.Join(h.Sys, "block", disk, e.Name(), "partition")); err == nil {
			list = append(list, int(n))
		}
	}
	slices.Sort(list)
	return list
}

// readAhead is in KiB, docs/store.md: what is written through a memory map is
// written with all that was read ahead around it, 65 times as much on a card.
const readAhead = "16"

// Tune sets what makes a disk last.
func (h Host) Tune(disk string) error {
	return os.WriteFile(filepath.Join(h.Sys, "block", disk, "queue/read_ahead_kb"), []byte(readAhead), 0o644)
}

func text(name string) (string, error) {
	b, err := os.ReadFile(name)
	return strings.TrimSpace(string(b)), err
}

func number(name string) (int64, error) {
	s, err := text(name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(s, 10, 64)
}

// An ID is the UUID of an ext4 file system.
type ID [16]byte

// String is how tools show it.
func (id ID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

const (
	superBlock = 1024 // octets into the partition, ext4(5)
	magicAt    = 0x38
	uuidAt     = 0x68
	labelAt    = 0x78
)

// Ext4 reads the name of an ext4 file system; ok is false if it is none.
func Ext4(name string) (id ID, label string, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return id, "", false
	}
	defer f.Close()
	b := make([]byte, 0x88)
	if _, err := f.ReadAt(b, superBlock); err != nil || b[magicAt] != 0x53 || b[magicAt+1] != 0xef {
		return id, "", false
	}
	label, _, _ = strings.Cut(string(b[labelAt:labelAt+16]), "\x00")
	return ID(b[uuidAt : uuidAt+16]), label, true
}

// FindExt4 looks through the partitions of all disks for a file system.
func (h Host) FindExt4(id ID) (disk, part string, err error) {
	disks, err := h.Disks()
	if err != nil {
		return "", "", err
	}
	for _, d := range disks {
		for _, n := range h.Parts(d.Name) {
			p := Part(d.Name, n)
			if got, _, ok := Ext4(h.Node(p)); ok && got == id {
				return d.Name, p, nil
			}
		}
	}
	return "", "", fs.ErrNotExist
}
