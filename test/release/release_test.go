// Package release_test makes a release and looks at it with the programs that
// will: it is the same twice, systemd likes its units, dpkg its package, and the
// program serves at sockets that systemd has opened.
package release_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"homemail/test/need"
)

const version = "9.8.7"

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("HOMEMAIL_TOOLS") == "1" {
		if dir, _ := made(); dir != "" {
			os.RemoveAll(filepath.Dir(dir))
		}
	}
	os.Exit(code)
}

// build makes a release for this system of the source in a directory.
func build(source, out string) error {
	c := exec.Command("go", "run", "./packaging", "release", "-only", "linux/amd64", "-version", version, "-o", out)
	c.Dir = source
	c.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// made is a release that all tests look at.
var made = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "homemail-release-")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "dist")
	return out, build("../..", out)
})

func dist(t *testing.T) string {
	t.Helper()
	need.Tools(t, "dpkg-deb", "systemd-analyze", "systemd-socket-activate", "sha256sum")
	out, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestSameTwice builds again from a copy of the source in another place, under
// another name of the same user, and compares every bit.
func TestSameTwice(t *testing.T) {
	first := dist(t)
	dir := t.TempDir()
	source := filepath.Join(dir, "elsewhere", "source")
	if err := copySource("../..", source); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(dir, "dist")
	if err := build(source, second); err != nil {
		t.Fatal(err)
	}
	a, b := sums(t, first), sums(t, second)
	if len(a) != 6 || len(b) != len(a) {
		t.Errorf("%d and %d files; right are a program, its bill, a package, and their sums", len(a), len(b))
	}
	for name, sum := range a {
		if b[name] != sum {
			t.Errorf("%s is not the same twice", name)
		}
	}
}

// copySource copies what is no hidden file.
func copySource(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case rel != "." && strings.HasPrefix(d.Name(), "."), rel == "dist":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(target, 0o700) // another mode than that of the original
		case !d.Type().IsRegular():
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o600)
	})
}

func sums(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = sha256.Sum256(b)
	}
	return all
}

// TestSums: sha256sum reads what is beside each file, and the bill names what is
// in the program.
func TestSums(t *testing.T) {
	dir := dist(t)
	list, err := filepath.Glob(filepath.Join(dir, "*.sha256"))
	if err != nil || len(list) != 3 {
		t.Errorf("%d sums, %v", len(list), err)
	}
	for _, file := range list {
		run(t, dir, "sha256sum", "-c", "--strict", filepath.Base(file))
	}
	b, err := os.ReadFile(filepath.Join(dir, "homemail-"+version+"-linux-amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(b, &bill); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"std", "github.com/dgraph-io/badger/v4", "golang.org/x/crypto", "aead.dev/minisign"} {
		found := false
		for _, c := range bill.Components {
			found = found || c.Name == want && c.Version != "" && strings.HasPrefix(c.PURL, "pkg:golang/"+want+"@")
		}
		if !found {
			t.Errorf("the bill does not name %s", want)
		}
	}
}

// unpack unpacks the package.
func unpack(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	run(t, "", "dpkg-deb", "-R", filepath.Join(dist(t), "homemail_"+version+"_amd64.deb"), dir)
	return dir
}

// TestPackage: everything is root's, the scripts are scripts, and systemd finds
// the units right and the service well confined.
func TestPackage(t *testing.T) {
	deb := filepath.Join(dist(t), "homemail_"+version+"_amd64.deb")
	for line := range strings.Lines(run(t, "", "dpkg-deb", "-c", deb)) {
		if !strings.Contains(line, " root/root ") || strings.Contains(line[:10], "w-r") && line[0] != 'd' && line[0] != '-' {
			t.Errorf("%s", line)
		}
	}
	dir := unpack(t)
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		run(t, "", "sh", "-n", filepath.Join(dir, "DEBIAN", script))
	}
	units, err := filepath.Glob(filepath.Join(dir, "usr/lib/systemd/system/homemail*"))
	if err != nil || len(units) != 5 {
		t.Errorf("%q, %v", units, err)
	}
	service := filepath.Join(dir, "usr/lib/systemd/system/homemail.service")
	text, err := os.ReadFile(service)
	if err != nil {
		t.Fatal(err)
	}
	// verify looks whether the program is there
	text = bytes.Replace(text, []byte("/usr/bin/homemail"), []byte(filepath.Join(dir, "usr/bin/homemail")), 1)
	if err := os.WriteFile(service, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "", "systemd-analyze", append([]string{"verify", "--man=no"}, units...)...); strings.Contains(out, "homemail") {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
	run(t, "", "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", service) // 1.5 of 10
	if out := run(t, "", filepath.Join(dir, "usr/bin/homemail"), "version"); !strings.Contains(out, version) {
		t.Errorf("%s", out)
	}
}

// TestInstall lets dpkg install, upgrade and remove the package below a directory,
// without its scripts, which are systemd's.
func TestInstall(t *testing.T) {
	need.Root(t)
	deb := filepath.Join(dist(t), "homemail_"+version+"_amd64.deb")
	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg", file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dpkg := func(args ...string) {
		t.Helper()
		run(t, "", "dpkg", append([]string{"--root=" + root, "--force-depends", "--force-script-chrootless", "--log=" + filepath.Join(root, "log")}, args...)...)
	}
	dpkg("--unpack", deb)
	settings := filepath.Join(root, "etc/homemail/config.toml")
	if _, err := os.Stat(settings + ".dpkg-new"); err != nil {
		t.Errorf("the settings are no conffile: %v", err)
	}
	if info, err := os.Stat(filepath.Join(root, "usr/bin/homemail")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestSockets: systemd opens the doors and the real program serves there.
func TestSockets(t *testing.T) {
	program := filepath.Join(unpack(t), "usr/bin/homemail")
	dir := t.TempDir()
	smtp, imap := freePort(t), freePort(t)
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("host_name = \"mail.example.org\"\ndata = %q\n[listen]\nsmtp = [%q]\nimap = [%q]\n"+
		"submission = []\nsubmissions = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\nhttps = []\n[store]\nreserve = \"1MiB\"\n", filepath.Join(dir, "data"), smtp, imap)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	c := exec.CommandContext(ctx, "systemd-socket-activate", "-l", smtp, "-l", imap, program, "serve", "-config", config)
	c.Stdout, c.Stderr = &log, &log
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 30 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = c.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	for addr, want := range map[string]string{smtp: "220 mail.example.org", imap: "* OK"} {
		if got := greeting(t, addr); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", addr, got)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// greeting waits for the first line: until systemd has opened the socket, and then
// until the program that it starts answers.
func greeting(t *testing.T, addr string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			defer conn.Close()
			conn.SetReadDeadline(deadline)
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Error(err)
			}
			return line
		}
		if time.Now().After(deadline) {
			t.Error(err)
			return ""
		}
		time.Sleep(50 * time.Millisecond)
	}
}
