// Package update_test holds updates against programs that others wrote: minisign
// for signatures, and mtools and fsck for what a power cut leaves on FAT.
package update_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"aead.dev/minisign"

	"homemail/appliance/slots"
	"homemail/test/need"
	"homemail/update"
	"homemail/update/agent"
	"homemail/update/press"
)

func run(t *testing.T, stdin, name string, args ...string) []byte {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader([]byte(stdin))
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// TestMinisign: the real minisign verifies what press signs, and a box takes what
// minisign has signed, prehashed or not.
func TestMinisign(t *testing.T) {
	need.Tools(t, "minisign")
	dir := t.TempDir()
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	if err := os.WriteFile(root, []byte("a root"), 0o644); err != nil {
		t.Fatal(err)
	}
	sheet := press.Sheet{
		Manifest: update.Manifest{Version: "1.2.3", Target: "amd64", Schema: update.Schema{Schema: 1, ReadableBy: 1}},
		Root:     root, Boot: fstest.MapFS{"vmlinuz": {Data: []byte("a kernel")}}, Key: key,
	}
	file, err := press.Press(dir, sheet)
	if err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, agent.ManifestName("amd64"))
	run(t, "", "minisign", "-Vm", manifest, "-P", pub.String())
	if list := run(t, "", "tar", "tf", file); !bytes.Equal(list, []byte("homemail-amd64.manifest\nhomemail-amd64.manifest.minisig\nhomemail-amd64-1.2.3.payload\n")) {
		t.Errorf("%s", list)
	}

	theirs := filepath.Join(dir, "their")
	run(t, "", "minisign", "-G", "-W", "-p", theirs+".pub", "-s", theirs+".key")
	text, err := os.ReadFile(theirs + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	var key2 minisign.PublicKey
	if err := key2.UnmarshalText(bytes.TrimSpace(text)); err != nil {
		t.Fatal(err)
	}
	for _, how := range [][]string{nil, {"-l"}} {
		run(t, "", "minisign", append([]string{"-Sm", manifest, "-s", theirs + ".key", "-x", theirs + ".sig"}, how...)...)
		signature, err := os.ReadFile(theirs + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(manifest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := update.Verify([]minisign.PublicKey{pub, key2}, b, signature); err != nil {
			t.Errorf("%v: %v", how, err)
		}
		if _, err := update.Verify([]minisign.PublicKey{pub}, b, signature); err == nil {
			t.Errorf("%v: a stranger's signature was taken", how)
		}
	}
}

const sector = 512

// A disk is a boot partition in a file, and the same files in a directory, which
// package slots writes to. Its writes are taken over sector by sector.
type disk struct {
	t     *testing.T
	image string
	dir   string
	names []string
}

func newDisk(t *testing.T, files map[string][]byte) *disk {
	t.Helper()
	tmp := t.TempDir()
	d := &disk{t: t, image: filepath.Join(tmp, "boot.fat"), dir: filepath.Join(tmp, "boot")}
	run(t, "", "mkfs.vfat", "-C", "-F", "32", "-s", "1", "-n", "HOMEMAIL", d.image, "40960")
	run(t, "", "mmd", "-i", d.image, "::/grub", "::/a")
	for name, b := range files {
		path := filepath.Join(d.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "", "mcopy", "-i", d.image, path, "::/"+name)
		d.names = append(d.names, name)
	}
	return d
}

// A write is a sector of the image.
type write struct {
	at int64
	b  []byte
}

// writes runs fn and returns the sectors of the image that it means to change.
func (d *disk) writes(fn func()) (list []write) {
	d.t.Helper()
	before := map[string][]byte{}
	for _, name := range d.names {
		before[name] = d.read(name)
	}
	fn()
	image, err := os.ReadFile(d.image)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, name := range d.names {
		old, after := before[name], d.read(name)
		if len(old) != len(after) {
			d.t.Fatalf("%s had %d bytes and has %d: its clusters are others now", name, len(old), len(after))
		}
		for i := 0; i < len(old); i += sector {
			end := min(i+sector, len(old))
			if bytes.Equal(old[i:end], after[i:end]) {
				continue
			}
			at := bytes.Index(image, old) // it has whole clusters in a row, as nothing else was ever written
			if at < 0 || at%sector != 0 {
				d.t.Fatalf("%s is not in the image", name)
			}
			list = append(list, write{int64(at + i), after[i:end]})
		}
	}
	return list
}

func (d *disk) read(name string) []byte {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

// check looks at the image as a machine does that starts from it.
func (d *disk) check(what string, may ...slots.Slot) {
	d.t.Helper()
	run(d.t, "", "fsck.vfat", "-n", d.image)
	dir := d.t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "grub"), 0o755); err != nil {
		d.t.Fatal(err)
	}
	for _, name := range d.names {
		run(d.t, "", "mcopy", "-i", d.image, "::/"+name, filepath.Join(dir, name))
	}
	boot, err := slots.Open(dir, "homemail.slot=a")
	if err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
	s, err := boot.State()
	if err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
	for _, m := range may {
		if s.Every == m {
			return
		}
	}
	d.t.Errorf("%s: every start takes %s, right is one of %s", what, s.Every, may)
}

// TestPowerCut replays all that slots writes in the life of an update onto a FAT
// disk, and cuts the power after every write.
func TestPowerCut(t *testing.T) {
	need.Tools(t, "mkfs.vfat", "fsck.vfat", "mcopy", "mmd")
	for name, files := range map[string]map[string][]byte{
		"grub": {"grub/grubenv": slots.GRUBEnv()},
		"pi": {
			"config.txt":  append(bytes.Repeat([]byte("# a comment\n"), 60), slots.PiPrefix(slots.A)+"\narm_64bit=1\n"...),
			"tryboot.txt": []byte("# once\n" + slots.PiPrefix(slots.B) + "\narm_64bit=1\n"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t, files)
			steps := []struct {
				what, running string
				do            func(*slots.Boot) error
				after         []slots.Slot
			}{
				{"try b", "a", func(b *slots.Boot) error { _, err := b.Try(); return err }, []slots.Slot{slots.A}},
				{"settle in b", "b", (*slots.Boot).Settle, []slots.Slot{slots.A}},
				{"commit b", "b", (*slots.Boot).Commit, []slots.Slot{slots.A, slots.B}},
				{"try a", "b", func(b *slots.Boot) error { _, err := b.Try(); return err }, []slots.Slot{slots.B}},
				{"back in b", "b", (*slots.Boot).Settle, []slots.Slot{slots.B}},
			}
			total := 0
			for _, s := range steps {
				list := d.writes(func() {
					boot, err := slots.Open(d.dir, "homemail.slot="+s.running)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.do(boot); err != nil {
						t.Fatal(err)
					}
				})
				for _, w := range list {
					d.check("before a write of: "+s.what, s.after...)
					f, err := os.OpenFile(d.image, os.O_WRONLY, 0)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := f.WriteAt(w.b, w.at); err != nil {
						t.Fatal(err)
					}
					if err := f.Close(); err != nil {
						t.Fatal(err)
					}
					d.check("after a write of: "+s.what, s.after...)
					total++
				}
			}
			if total < 2 {
				t.Errorf("only %d sectors were written", total)
			}
		})
	}
}
