//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homemail/internal/disk"
)

func TestParseCmdline(t *testing.T) {
	c, err := parseCmdline("BOOT_IMAGE=/a/vmlinuz root=PARTUUID=686d6169-02 ro rootfstype=ext4 init=/sbin/init homemail.slot=b\n")
	if err != nil || c != (cmdline{"686d6169-02", "ext4", "/sbin/init", "b"}) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"", "root=/dev/sda2 ro", "root=PARTUUID="} {
		if _, err := parseCmdline(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// machine has disks with our partitions, as the kernel shows them. Those with a
// plus behind their names have been used.
func machine(t *testing.T, names ...string) (sys, dev string) {
	sys, dev = t.TempDir(), t.TempDir()
	for _, name := range names {
		d := disk.New(disk.GPT, 4<<20)
		numbers := []int{2, 3}
		if _, used := strings.CutSuffix(name, "+"); used {
			name, numbers = name[:len(name)-1], append(numbers, dataPart)
		}
		for _, n := range numbers {
			id, err := disk.ParseGUID("686f6d65-6d61-496c-8000-00000000000" + string(rune('0'+n)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.AppendPartition(disk.Partition{Number: n, Sectors: 2, Type: disk.TypeLinux, ID: id, Name: "homemail root " + string(rune('a'+n-2))}); err != nil {
				t.Fatal(err)
			}
			part := name + string(rune('0'+n))
			if strings.HasPrefix(name, "mmc") {
				part = name + "p" + string(rune('0'+n))
			}
			p := filepath.Join(sys, name, part)
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(p, "partition"), []byte{byte('0' + n), '\n'}, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Create(filepath.Join(dev, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(4 << 20); err != nil {
			t.Fatal(err)
		}
		if err := d.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(sys, "sr0"), 0o755); err != nil { // has no device
		t.Fatal(err)
	}
	return sys, dev
}

func TestFindPart(t *testing.T) {
	const id = "686F6D65-6d61-496c-8000-000000000003"
	sys, dev := machine(t, "mmcblk0")
	if got := findPart(sys, dev, cmdline{partUUID: id}.named); len(got) != 1 || got[0] != (root{filepath.Join(dev, "mmcblk0p3"), false}) {
		t.Errorf("on a card: %v", got)
	}
	if got := findPart(sys, dev, cmdline{partUUID: "00000000-6d61-496c-8000-000000000003"}.named); got != nil {
		t.Errorf("another name: %v", got)
	}
	if got := findPart(sys, dev, cmdline{slot: "a"}.ours); len(got) != 1 || got[0].dev != filepath.Join(dev, "mmcblk0p2") {
		t.Errorf("by its label: %v", got)
	}
}

// TestChoose: two disks from one image.
func TestChoose(t *testing.T) {
	for _, tt := range []struct{ disks, want string }{
		{"sda sdb", "sda3 sdb3"}, // which is the box's cannot be known
		{"sda sdb+", "sdb3"},
		{"sda+ sdb", "sda3"},
		{"sda+ sdb+", "sda3 sdb3"},
		{"sda+", "sda3"},
	} {
		sys, dev := machine(t, strings.Fields(tt.disks)...)
		var got []string
		for _, r := range choose(findPart(sys, dev, cmdline{partUUID: "686f6d65-6d61-496c-8000-000000000003"}.named)) {
			got = append(got, filepath.Base(r.dev))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.disks, got, tt.want)
		}
	}
}
