package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"homemail/store"
	"homemail/update"
)

// TestSignUpdate makes an update of the parts of an image.
func TestSignUpdate(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	open, err := key.MarshalText() // sealing one with a password takes a gigabyte of memory
	if err != nil {
		t.Fatal(err)
	}
	write("parts/release", "version=1.2.3\ntarget=pi\nbuild=00\ntime=1\n")
	write("parts/root.squashfs", "root")
	write("parts/slot/kernel8.img", "kernel")
	write("parts/slot/cmdline.txt", "root=PARTUUID=1-02 ro homemail.slot=a\n")
	args := []string{"update", "-parts", filepath.Join(dir, "parts"), "-notes-en", write("en", "Faster."), "-notes-ja", write("ja", "速い。"),
		"-key", write("key", string(open)), "-args", "ro quiet", "-o", filepath.Join(dir, "dist")}
	if err := run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "dist/homemail-pi.manifest"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := os.ReadFile(filepath.Join(dir, "dist/homemail-pi.manifest.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := update.Verify([]minisign.PublicKey{pub}, manifest, signature)
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != "1.2.3" || m.Args != "ro quiet" || m.Notes.JA != "速い。" || m.Schema != (update.Schema{Schema: store.SchemaReads, ReadableBy: store.SchemaWrites}) {
		t.Errorf("%+v", m)
	}
	if len(m.Files) != 2 || m.Files[1].Name != "kernel8.img" { // what says where the root is stays the box's own
		t.Errorf("%+v", m.Files)
	}
	for _, bad := range [][]string{{}, {"x"}, {"update"}, {"release", "-version", "1.2"}, {"release", "-keys", "RWQ="}} {
		if err := run(t.Context(), bad); err == nil {
			t.Errorf("%q did something", strings.Join(bad, " "))
		}
	}
}
