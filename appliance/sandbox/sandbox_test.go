//go:build linux

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is what runs inside, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "enter" {
		if err := Enter(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		inside(os.Args[4], os.Args[5])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// inside tells what it may.
func inside(dir, file string) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		for _, want := range []string{"Uid:", "Gid:", "Groups:", "CapPrm:", "CapEff:", "CapBnd:", "NoNewPrivs:"} {
			if strings.HasPrefix(line, want) {
				fmt.Println(strings.Join(strings.Fields(line), " "))
			}
		}
	}
	_, err := os.ReadFile(file)
	fmt.Println("read:", err == nil)
	fmt.Println("write:", os.WriteFile(filepath.Join(dir, "x"), nil, 0o600) == nil)
	var l unix.Rlimit
	unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	fmt.Println("open:", l.Max)
	b := make([]byte, 5)
	n, _ := os.NewFile(3, "given").Read(b)
	fmt.Println("given:", string(b[:n]), os.Getenv("WORD"))
}

func run(t *testing.T, s Spec, dir, file string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString("hello")
	w.Close()
	s.Files, s.Env = []*os.File{r}, []string{"WORD=word"}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := s.Command(ctx, []string{"enter"}, "inside", dir, file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		t.Fatal(err, out.String())
	}
	return out.String()
}

func TestConfined(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mine")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := Spec{Read: []string{"/proc", "/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache", "/not/there"}, Write: []string{dir}}
	got := run(t, s, dir, secret)
	for _, want := range []string{"NoNewPrivs: 1", "write: true", "open: 64", "given: hello word"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if hasLandlock() && !strings.Contains(got, "read: false") {
		t.Errorf("it reads what it was not given:\n%s", got)
	}
	if !hasLandlock() {
		t.Log("this kernel has no Landlock")
	}
	s.Read, s.Open = append(s.Read, secret), 100
	if got := run(t, s, dir, secret); !strings.Contains(got, "read: true") || !strings.Contains(got, "open: 100") {
		t.Errorf("it does not read what it was given:\n%s", got)
	}
}

// TestUser: it takes root to become somebody else.
func TestUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("this needs root")
		return
	}
	dir := t.TempDir()
	got := run(t, Spec{User: 12345, Read: []string{"/"}, program: public(t)}, dir, "/proc/self/status")
	for _, want := range []string{"Uid: 12345 12345 12345 12345", "Gid: 12345 12345", "Groups:\n", "CapPrm: 0000000000000000", "CapEff: 0000000000000000",
		"CapBnd: 0000000000000000", "write: false", "read: true"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// public is a copy of this program where everybody may run it.
func public(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sandbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "program")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(name, b, 0o755)); err != nil {
		t.Fatal(err)
	}
	return name
}

func hasLandlock() bool {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)
	return e == 0 && v > 0
}
