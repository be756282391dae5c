package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The kinds of an entry's mode, cpio(5).
const (
	cpioDir  = 0o040000
	cpioFile = 0o100000
	cpioChar = 0o020000
)

// cpio returns the tree below dir as an initial RAM disk, in the form newc, in
// the order of names: all owned by root, with one time. It has /dev/console, which
// the kernel opens for the first program.
func cpio(dir string, seconds int64) ([]byte, error) {
	var b bytes.Buffer
	n := 0
	add := func(name string, mode, rdevMajor, rdevMinor int, data []byte) {
		n++
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", n, mode, 0, 0, 1, seconds,
			len(data), 0, 0, rdevMajor, rdevMinor, len(name)+1, 0)
		b.WriteString(name)
		b.WriteByte(0)
		pad(&b)
		b.Write(data)
		pad(&b)
	}
	add("dev", cpioDir|0o755, 0, 0, nil)
	add("dev/console", cpioChar|0o600, 5, 1, nil)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			add(name, cpioDir|0o755, 0, 0, nil)
			return nil
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		add(name, cpioFile|0o755, 0, 0, data)
		return nil
	})
	n = -1 // the trailer has no inode
	add("TRAILER!!!", 0, 0, 0, nil)
	return b.Bytes(), err
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
