package durability

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"homemail/internal/volatiledisk"
)

// command runs a program and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// ext4 makes a file with an empty ext4 file system of some MB, and its journal.
func ext4(t *testing.T, mb, journalMB int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(mb << 20); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-N", "4096", "-J", fmt.Sprintf("size=%d", journalMB), "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", path)
	return path
}

// A mounted is a loop device with a file system on it.
type mounted struct {
	loop, dir string
}

// mount mounts an image. The test unmounts it in the end if nobody has.
func mount(t *testing.T, image string) *mounted {
	t.Helper()
	m := &mounted{loop: command(t, "losetup", "--find", "--show", image)}
	t.Cleanup(func() { m.unmount() })
	dir := t.TempDir()
	if err := syscall.Mount(m.loop, dir, "ext4", 0, ""); err != nil {
		t.Fatalf("mounting %s: %v", image, err)
	}
	m.dir = dir
	return m
}

func (m *mounted) unmount() error {
	var err error
	if m.dir != "" {
		if err = syscall.Unmount(m.dir, 0); err != nil {
			syscall.Unmount(m.dir, syscall.MNT_DETACH)
		}
		m.dir = ""
	}
	if m.loop != "" {
		exec.Command("losetup", "--detach", m.loop).Run()
		m.loop = ""
	}
	return err
}

// A machine is a disk with a volatile cache, and what is mounted from it.
type machine struct {
	disk  *volatiledisk.Disk
	fuse  *volatiledisk.Mount
	image *os.File
	*mounted
}

// powerOn mounts an image through a disk with a volatile cache.
func powerOn(t *testing.T, image string) *machine {
	t.Helper()
	m := &machine{}
	t.Cleanup(m.off)
	var err error
	if m.image, err = os.OpenFile(image, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	if m.disk, err = volatiledisk.New(m.image); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if m.fuse, err = m.disk.MountAt(dir); err != nil {
		t.Fatal(err)
	}
	m.mounted = mount(t, filepath.Join(dir, volatiledisk.FileName))
	return m
}

// off takes everything apart. What is written meanwhile is lost after a cut.
func (m *machine) off() {
	if m.mounted != nil {
		m.unmount()
	}
	if m.fuse != nil {
		// The loop device goes when the last has closed it, and who looks for a
		// free one opens them all.
		for late := time.Now().Add(10 * time.Second); m.fuse.Close() != nil && time.Now().Before(late); {
			time.Sleep(50 * time.Millisecond)
		}
		m.fuse = nil
	}
	if m.image != nil {
		m.image.Close()
		m.image = nil
	}
}
