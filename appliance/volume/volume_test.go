//go:build linux

package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"homemail/internal/disk"
)

// A box is a machine made of files.
type box struct {
	Host
	t   *testing.T
	log string // of the tools
}

func newBox(t *testing.T) *box {
	dir := t.TempDir()
	b := &box{Host{filepath.Join(dir, "sys"), filepath.Join(dir, "dev")}, t, filepath.Join(dir, "log")}
	for _, d := range []string{b.Dev, filepath.Join(b.Sys, "block"), filepath.Join(b.Sys, "dev/block")} {
		b.must(os.MkdirAll(d, 0o755))
	}
	return b
}

func (b *box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) write(name, text string) {
	b.t.Helper()
	b.must(os.MkdirAll(filepath.Dir(name), 0o755))
	b.must(os.WriteFile(name, []byte(text), 0o644))
}

// disk adds a disk with a table of two partitions, on a bus.
func (b *box) disk(name, bus string, s disk.Scheme) {
	const size = 64 << 20
	dev := filepath.Join(b.Sys, "devices", bus, "block", name)
	b.write(filepath.Join(dev, "size"), fmt.Sprint(size/512))
	b.write(filepath.Join(dev, "device/model"), "Model "+name+"\n")
	b.write(filepath.Join(dev, "ro"), "0\n")
	b.write(filepath.Join(dev, "queue/read_ahead_kb"), "128\n")
	b.must(os.Symlink(dev, filepath.Join(b.Sys, "block", name)))
	f, err := os.Create(b.Node(name))
	b.must(err)
	defer f.Close()
	b.must(f.Truncate(size))
	t := disk.New(s, size)
	for n := 1; n <= 2; n++ {
		_, err := t.AppendPartition(disk.Partition{Number: n, Sectors: 8192, Type: linuxType(), Code: 0x83, Name: "x"})
		b.must(err)
		b.part(name, n)
	}
	if s == disk.MBR {
		t.Signature = 0x686d6169
	} else {
		t.ID = disk.GUID{1, 2, 3}
	}
	b.must(t.Write(f))
}

// part has the kernel know a partition.
func (b *box) part(name string, n int) {
	p := Part(name, n)
	real, err := filepath.EvalSymlinks(filepath.Join(b.Sys, "block", name))
	b.must(err)
	b.write(filepath.Join(real, p, "partition"), fmt.Sprint(n))
	b.write(b.Node(p), "")
}

// tools are two that write down how they were called, and end with a code.
func (b *box) tools(makes, checks int) Tools {
	tool := func(name string, code int) string {
		file := filepath.Join(filepath.Dir(b.log), name)
		b.write(file, fmt.Sprintf("#!/bin/sh\necho %s \"$@\" >>%s\necho it says so\nexit %d\n", name, b.log, code))
		b.must(os.Chmod(file, 0o755))
		return file
	}
	return Tools{tool("mke2fs", makes), tool("e2fsck", checks)}
}

func (b *box) calls() string {
	s, _ := os.ReadFile(b.log)
	return string(s)
}

func TestEnsureData(t *testing.T) {
	for _, tt := range []struct {
		name   string
		scheme disk.Scheme
	}{{"sda", disk.GPT}, {"mmcblk0", disk.MBR}} {
		b := newBox(t)
		b.disk(tt.name, "pci0", tt.scheme)
		b.part(tt.name, 4) // as if the kernel had been told
		// The power goes while the file system is made.
		_, made, err := b.EnsureData(t.Context(), tt.name, 4, b.tools(1, 0))
		var tool *ToolError
		if !errors.As(err, &tool) || !strings.Contains(tool.Said, "it says so") || made {
			t.Fatal(tt.name, err, made)
		}
		// At the next start it is made anew, and then never again.
		part, made, err := b.EnsureData(t.Context(), tt.name, 4, b.tools(0, 0))
		if err != nil || !made || part != Part(tt.name, 4) {
			t.Fatal(tt.name, err, made, part)
		}
		if n := strings.Count(b.calls(), "mke2fs"); n != 2 {
			t.Errorf("%s: made %d times:\n%s", tt.name, n, b.calls())
		}
		if _, made, err = b.EnsureData(t.Context(), tt.name, 4, b.tools(1, 0)); err != nil || made {
			t.Errorf("%s: made over what may be mail: %v", tt.name, err)
		}
		f, table, err := b.table(tt.name)
		b.must(err)
		f.Close()
		if p, ok := table.Part(4); !ok || p.Start+p.Sectors < table.Sectors-4096 || unfinished(p) {
			t.Errorf("%s: %+v", tt.name, p)
		}
	}
}

// TestNeverOverData: a partition without our mark is somebody's, whatever is in it.
func TestNeverOverData(t *testing.T) {
	b := newBox(t)
	b.disk("sda", "pci0", disk.GPT)
	if _, made, err := b.EnsureData(t.Context(), "sda", 2, b.tools(1, 0)); err != nil || made || b.calls() != "" {
		t.Error(err, made, b.calls())
	}
}

func TestDisks(t *testing.T) {
	b := newBox(t)
	b.disk("sda", "pci0/usb1/1-1", disk.GPT)
	b.disk("mmcblk0", "mmc", disk.MBR)
	b.must(os.MkdirAll(filepath.Join(b.Sys, "block/loop0"), 0o755))
	b.write(filepath.Join(b.Sys, "devices/mmc/block/mmcblk0/ro"), "1\n")
	got, err := b.Disks()
	if err != nil || len(got) != 2 || got[0].Name != "mmcblk0" || !got[0].ReadOnly || got[0].USB ||
		got[1].Name != "sda" || !got[1].USB || got[1].Model != "Model sda" || got[1].Size != 64<<20 {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "..", "../block/sda", "loop0", "sdz", "mmcblk0boot0"} {
		if d, err := b.Disk(bad); err == nil {
			t.Error(bad, d)
		}
	}
	if err := b.Tune("sda"); err != nil {
		t.Error(err)
	}
	if n, err := number(filepath.Join(b.Sys, "block/sda/queue/read_ahead_kb")); n != 16 {
		t.Error(n, err)
	}
}

func TestOf(t *testing.T) {
	b := newBox(t)
	b.disk("nvme0n1", "pci0", disk.GPT)
	real, err := filepath.EvalSymlinks(filepath.Join(b.Sys, "block/nvme0n1"))
	b.must(err)
	b.must(os.Symlink(filepath.Join(real, "nvme0n1p2"), filepath.Join(b.Sys, "dev/block/259:2")))
	if name, n, err := b.byNumber(unix.Mkdev(259, 2)); err != nil || name != "nvme0n1" || n != 2 {
		t.Error(name, n, err)
	}
	if _, _, err := b.byNumber(unix.Mkdev(1, 1)); !errors.Is(err, ErrNoDisk) {
		t.Error(err)
	}
}

// TestTwin: of two disks from one image, one gets another identity, and what loads
// its kernel knows it.
func TestTwin(t *testing.T) {
	for _, s := range []disk.Scheme{disk.GPT, disk.MBR} {
		b := newBox(t)
		b.disk("sda", "pci0", s)
		if twin, err := b.Twin("sda"); err != nil || twin != "" {
			t.Error("alone:", twin, err)
		}
		b.disk("sdb", "pci1", s)
		if twin, err := b.Twin("sda"); err != nil || twin != "sdb" {
			t.Error("two:", twin, err)
		}
		f, before, err := b.table("sda")
		b.must(err)
		f.Close()
		p, _ := before.Part(2)
		boot := t.TempDir()
		b.write(filepath.Join(boot, "grub/a.cfg"), "linux root=PARTUUID="+before.PartUUID(p)+" ro\n")
		b.write(filepath.Join(boot, "a/cmdline.txt"), "root=PARTUUID="+strings.ToUpper(before.PartUUID(p))+" ro\n")
		b.write(filepath.Join(boot, "other.bin"), before.PartUUID(p))
		if err := b.Rename("sda", boot); err != nil {
			t.Fatal(err)
		}
		f, after, err := b.table("sda")
		b.must(err)
		f.Close()
		q, _ := after.Part(2)
		for _, file := range []string{"grub/a.cfg", "a/cmdline.txt"} {
			if got, _ := os.ReadFile(filepath.Join(boot, file)); !strings.Contains(string(got), "root=PARTUUID="+after.PartUUID(q)+" ro\n") {
				t.Errorf("%s: %s", file, got)
			}
		}
		if got, _ := os.ReadFile(filepath.Join(boot, "other.bin")); string(got) != before.PartUUID(p) || before.PartUUID(p) == after.PartUUID(q) {
			t.Error("what is no text was changed, or nothing")
		}
		if twin, err := b.Twin("sda"); err != nil || twin != "" {
			t.Error("after:", twin, err)
		}
	}
}

func TestCheck(t *testing.T) {
	b := newBox(t)
	for code, want := range map[int]string{0: "false true", 1: "true true", 2: "true true", 3: "true true", 4: "false false", 8: "false false", 12: "false false"} {
		mended, err := b.Check(t.Context(), "sda4", b.tools(0, code))
		if got := fmt.Sprint(mended, err == nil); got != want {
			t.Errorf("exit %d: %s, want %s", code, got, want)
		}
	}
	if !strings.Contains(b.calls(), "e2fsck -p "+b.Node("sda4")) {
		t.Error(b.calls())
	}
}

// TestMountFails: it is said what is wrong, and nothing is thrown away.
func TestMountFails(t *testing.T) {
	b := newBox(t)
	b.disk("sda", "pci0", disk.GPT)
	s := b.Mount(t.Context(), "sda", "sda2", t.TempDir(), b.tools(0, 4))
	if s.Mode != Absent || s.Trouble != NoMount || !strings.Contains(s.Detail, "it says so") || strings.Contains(b.calls(), "mke2fs") {
		t.Errorf("%+v %s", s, b.calls())
	}
}

func TestExt4(t *testing.T) {
	b := newBox(t)
	b.disk("sda", "pci0", disk.GPT)
	img := make([]byte, 4096)
	img[superBlock+magicAt], img[superBlock+magicAt+1] = 0x53, 0xef
	copy(img[superBlock+uuidAt:], "0123456789abcdef")
	copy(img[superBlock+labelAt:], Label)
	b.write(b.Node("sda2"), string(img))
	id, label, ok := Ext4(b.Node("sda2"))
	if !ok || label != Label || id.String() != "30313233-3435-3637-3839-616263646566" {
		t.Error(id, label, ok)
	}
	if name, part, err := b.FindExt4(id); err != nil || name != "sda" || part != "sda2" {
		t.Error(name, part, err)
	}
	if _, _, err := b.FindExt4(ID{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, _, ok := Ext4(b.Node("sda1")); ok {
		t.Error("an empty partition is ext4")
	}
}
