package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"homemail/image/fetch"
)

// Tools are programs out of pinned packages. They run with the libraries of
// those packages, so that every machine makes the same image, whatever it has.
type tools struct {
	loader string
	libs   string
	dirs   []string
	env    []string
}

const multiarch = "x86_64-linux-gnu"

func openTools(ctx context.Context, c *fetch.Cache) (*tools, error) {
	t := &tools{env: []string{
		"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "MTOOLSRC=/dev/null",
		fmt.Sprint("SOURCE_DATE_EPOCH=", c.Pins.Time.Unix()),
	}}
	var libs []string
	for _, d := range c.Pins.Debs {
		if d.For != "tool" {
			continue
		}
		dir, err := c.Unpack(ctx, d)
		if err != nil {
			return nil, err
		}
		t.dirs = append(t.dirs, dir)
		libs = append(libs, filepath.Join(dir, "usr/lib", multiarch))
		if d.Name == "libc6" {
			t.loader = filepath.Join(dir, "usr/lib", multiarch, "ld-linux-x86-64.so.2")
		}
	}
	t.libs = strings.Join(libs, ":")
	return t, nil
}

// path finds a program in the packages.
func (t *tools) path(name string) (string, error) {
	for _, d := range t.dirs {
		for _, bin := range []string{"usr/bin", "usr/sbin"} {
			p := filepath.Join(d, bin, name)
			if _, err := os.Stat(p); err == nil {
				return p, nil
			}
		}
	}
	return "", fmt.Errorf("no pinned package has the program %s", name)
}

// command is a program that is ready to run in dir.
func (t *tools) command(ctx context.Context, dir, name string, args ...string) (*exec.Cmd, error) {
	p, err := t.path(name)
	if err != nil {
		return nil, err
	}
	// By its own name: the mtools are one program with many.
	cmd := exec.CommandContext(ctx, t.loader, append([]string{"--argv0", name, "--library-path", t.libs, p}, args...)...)
	cmd.Dir, cmd.Env = dir, t.env
	return cmd, nil
}

// run runs a program. The error has what it said.
func (t *tools) run(ctx context.Context, dir, name string, args ...string) error {
	cmd, err := t.command(ctx, dir, name, args...)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
