package fetch

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// deb is a package with a program, a link to it, and what else is given.
func deb(t *testing.T, more ...tar.Header) []byte {
	t.Helper()
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("xz is not installed")
	}
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	for _, h := range append([]tar.Header{
		{Name: "./usr/bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./usr/bin/a", Typeflag: tar.TypeReg, Mode: 0o755, Size: 3},
		{Name: "./usr/bin/b", Typeflag: tar.TypeSymlink, Linkname: "a"},
	}, more...) {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, strings.Repeat("x", int(h.Size)))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("xz", "-c")
	cmd.Stdin = &data
	xz, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		body []byte
	}{{"debian-binary", []byte("2.0")}, {"data.tar.xz", xz}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.body))
		b.Write(m.body)
		if len(m.body)%2 != 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func cache(t *testing.T, h http.HandlerFunc) *Cache {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &Cache{Dir: t.TempDir(), Mirror: srv.URL, Pins: &Pins{}, Log: t.Logf}
}

func TestUnpack(t *testing.T) {
	body, asked := deb(t), 0
	c := cache(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/debian/pool/a.deb" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Write(body)
	})
	d := Deb{Name: "a", Path: "debian/pool/a.deb", SHA256: fmt.Sprintf("%x", sha256.Sum256(body))}
	for range 2 {
		dir, err := c.Unpack(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "usr/bin/b")); err != nil || string(b) != "xxx" {
			t.Errorf("%q, %v", b, err)
		}
	}
	if asked != 1 {
		t.Errorf("fetched %d times", asked)
	}
	if left, _ := filepath.Glob(filepath.Join(c.Dir, "*-*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestWrongSum: what has another sum is not unpacked, and not kept.
func TestWrongSum(t *testing.T) {
	c := cache(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "something else") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that the archive is not asked
	if _, err := c.get(t.Context(), c.Mirror, strings.Repeat("0", 64)); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Error(err)
	}
	if _, err := c.Unpack(ctx, Deb{Name: "a", Path: "debian/a", SHA256: strings.Repeat("0", 64)}); err == nil {
		t.Error("it was unpacked")
	}
	if left, _ := os.ReadDir(c.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestOutside: a package cannot write beside its directory.
func TestOutside(t *testing.T) {
	for _, more := range [][]tar.Header{
		{{Name: "../evil", Typeflag: tar.TypeReg, Size: 1}},
		{{Name: "./link", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, {Name: "./link/homemail-evil", Typeflag: tar.TypeReg, Size: 1}},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "a.deb")
		if err := os.WriteFile(file, deb(t, more...), 0o644); err != nil {
			t.Fatal(err)
		}
		in := filepath.Join(dir, "in")
		if err := os.Mkdir(in, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unpackDeb(t.Context(), file, in); err == nil {
			t.Errorf("%s was unpacked", more[len(more)-1].Name)
		}
	}
}

func TestParsePins(t *testing.T) {
	sum := strings.Repeat("a", 64)
	p, err := ParsePins(strings.NewReader("# pins\ntime 20261122T000000Z\ndeb all tzdata 2026c all " + sum + " debian/pool/t.deb\ngo pi example.org/m v1 h1:x\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := p.Deb("pi", "tzdata"); err != nil || d.Version != "2026c" {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := p.Deb("pi", "grub"); err == nil {
		t.Error("there is no grub")
	}
	if m, err := p.Module("example.org/m"); err != nil || m.Sum != "h1:x" {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{
		"", "time x", "deb a b c", "time 20261122T000000Z\nwhat is this",
		"time 20261122T000000Z\ndeb all t 1 all short debian/t.deb",
		"time 20261122T000000Z\ndeb all t 1 all " + sum + " ../t.deb",
	} {
		if _, err := ParsePins(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
