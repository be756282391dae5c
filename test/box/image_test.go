// Package box builds the images and starts them in emulated machines: what a hobbyist
// and a small office do with them.
package box

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homemail/internal/disk"
	"homemail/test/need"
)

// What an image may have, packed. docs/image.md and the README say so.
const (
	mostPC = 60e6
	mostPi = 35e6
)

// build builds an image with a program that is there already, if one is given.
func build(t *testing.T, target, out string, more ...string) {
	t.Helper()
	began := time.Now()
	said := run(t, "go", append([]string{"run", "homemail/image", "-target", target, "-o", out}, more...)...)
	t.Logf("%s after %.0f s:\n%s", filepath.Base(out), time.Since(began).Seconds(), said)
}

// TestPC builds the image for PCs twice, which has to give the same, and lives
// with it: see house.
func TestPC(t *testing.T) {
	need.Root(t) // for the disk that forgets
	need.Tools(t, "qemu-system-x86_64", "sgdisk", "fsck.vfat", "mcopy", "e2fsck", "xz")
	dir := t.TempDir()
	image := filepath.Join(dir, "homemail.img")
	build(t, "amd64", image)
	t.Run("twice the same", func(t *testing.T) {
		again := filepath.Join(dir, "again.img.gz")
		build(t, "amd64", again)
		sameAsPacked(t, image, again, mostPC)
	})
	if said := run(t, "sgdisk", "-v", image); !strings.Contains(said, "No problems found") {
		t.Error(said)
	}
	checkBoot(t, image, pcFiles)
	house := &house{disk: newDisk(t, image)}
	t.Run("UEFI", house.first)
	if t.Failed() {
		return
	}
	t.Run("power cuts", house.cuts)
	t.Run("BIOS", func(t *testing.T) { house.comesBack(t, bios) })
	t.Run("Secure Boot", func(t *testing.T) { house.comesBack(t, secure) })
	house.inspect(t)
}

// sameAsPacked unpacks an image and holds it against another one.
func sameAsPacked(t *testing.T, image, packed string, most int64) {
	t.Helper()
	info, err := os.Stat(packed)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f MB packed, at most %.0f", float64(info.Size())/1e6, float64(most)/1e6)
	if info.Size() > most {
		t.Errorf("%s has %d octets, more than %d", packed, info.Size(), most)
	}
	run(t, "sh", "-c", "cd "+filepath.Dir(packed)+" && sha256sum -c "+filepath.Base(packed)+".sha256")
	checkBOM(t, packed+".cdx.json")
	one, two := run(t, "sha256sum", image), run(t, "sh", "-c", "gzip -dc "+packed+" | sha256sum")
	if one[:64] != two[:64] {
		t.Errorf("two builds give\n%s%s", one, two)
	}
}

func checkBOM(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		Format     string `json:"bomFormat"`
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(b, &bom); err != nil || bom.Format != "CycloneDX" {
		t.Errorf("%s: %v, %q", file, err, bom.Format)
	}
	names := ""
	for _, c := range bom.Components {
		if c.Name == "" || c.Version == "" {
			t.Errorf("%s: %+v", file, c)
		}
		names += c.Name + " "
	}
	for _, name := range []string{"homemail", "e2fsprogs", "ca-certificates", "github.com/dgraph-io/ristretto/v2"} {
		if !strings.Contains(names, name+" ") {
			t.Errorf("%s does not list %s", file, name)
		}
	}
}

var pcFiles = []string{
	"EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "EFI/debian/grub.cfg",
	"grub/grub.cfg", "grub/grubenv", "grub/a.cfg", "grub/b.cfg", "a/vmlinuz", "a/initrd",
}

// part copies a partition of an image to a file.
func part(t *testing.T, image string, number int) string {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := disk.Read(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	p, ok := table.Part(number)
	if !ok {
		t.Fatalf("%s has no partition %d", image, number)
	}
	b := make([]byte, p.Size())
	if _, err := f.ReadAt(b, p.Offset()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// checkBoot looks at the boot partition: its file system is in order, and has the
// files. It returns its file.
func checkBoot(t *testing.T, image string, files []string) string {
	t.Helper()
	boot := part(t, image, 1)
	run(t, "fsck.vfat", "-n", boot)
	b, err := os.ReadFile(boot)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b[82:90], []byte("FAT32   ")) || !bytes.HasPrefix(b[71:82], []byte("HOMEMAIL")) {
		t.Errorf("the boot partition is %q, %q", b[82:90], b[71:82])
	}
	for _, f := range files {
		if len(readFAT(t, boot, f)) == 0 {
			t.Errorf("%s is empty", f)
		}
	}
	return boot
}

// readFAT reads a file of a boot partition.
func readFAT(t *testing.T, boot, name string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "file")
	run(t, "mcopy", "-n", "-i", boot, "::/"+name, out)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
