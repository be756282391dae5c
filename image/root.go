package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A release is what /etc/homemail-release says.
type release struct {
	Version string
	Target  string
	Build   string // of the program and the pins
	Time    int64  // of the pins, in seconds: no clock is right that says less
}

func (r release) String() string {
	return fmt.Sprintf("version=%s\ntarget=%s\nbuild=%s\ntime=%d\n", r.Version, r.Target, r.Build, r.Time)
}

// goBuild builds one of our programs, with nothing in it of the machine.
func (b *builder) goBuild(ctx context.Context, pkg, out string) error {
	b.say("build %s for %s", pkg, b.goArch)
	flags := "-s -w -buildid="
	if b.version != "" {
		flags += " -X homemail/update.version=" + b.version
	}
	if b.keys != "" {
		flags += " -X homemail/update.keys=" + b.keys
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=auto", "-ldflags="+flags, "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.goArch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// program puts homemail into the root, and says what it is.
func (b *builder) program(ctx context.Context, root string) error {
	out := filepath.Join(root, "bin/homemail")
	if b.bin != "" {
		if err := copyFile(b.bin, out); err != nil {
			return err
		}
	} else if err := b.goBuild(ctx, "homemail/cmd/homemail", out); err != nil {
		return err
	}
	exe, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	version := cmp.Or(b.version, "(devel)")
	if info, err := buildinfo.Read(bytes.NewReader(exe)); err == nil && b.version == "" && info.Main.Version != "" {
		version = info.Main.Version
	}
	h := sha256.New()
	h.Write(exe)
	h.Write([]byte(pinsText))
	b.release = release{version, b.target, hex.EncodeToString(h.Sum(nil))[:16], b.pins.Time.Unix()}
	if err := os.Symlink("../bin/homemail", filepath.Join(root, "sbin/init")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "etc/homemail-release"), []byte(b.release.String()), 0o644)
}

// rootDirs are all that the box mounts something on, and where files go.
var rootDirs = []string{"bin", "boot", "data", "dev", "etc/ssl/certs", "lib", "proc", "root", "run", "sbin", "sys", "tmp", "usr/share", "var"}

// root stages the root file system: all but kernel modules and firmware.
func (b *builder) root(ctx context.Context) (string, error) {
	root, err := b.dir("root")
	if err != nil {
		return "", err
	}
	for _, d := range rootDirs {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/false\nhomemail:x:100:100:homemail:/data:/bin/false\n",
		"etc/group":  "root:x:0:\nhomemail:x:100:\n",
		"etc/hosts":  "127.0.0.1 localhost\n::1 localhost\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if err := os.Symlink("../run/resolv.conf", filepath.Join(root, "etc/resolv.conf")); err != nil {
		return "", err
	}
	return root, errors.Join(b.program(ctx, root), b.ext4Tools(ctx, root), b.certificates(ctx, root), b.zones(ctx, root), b.licences(ctx, root))
}

// ext4Tools are Debian's programs for the data partition, with their libraries.
func (b *builder) ext4Tools(ctx context.Context, root string) error {
	dir, err := b.deb(ctx, "e2fsprogs")
	if err != nil {
		return err
	}
	for from, to := range map[string]string{
		"usr/sbin/mke2fs": "sbin/mke2fs", "usr/sbin/e2fsck": "sbin/e2fsck", "usr/sbin/resize2fs": "sbin/resize2fs", "etc/mke2fs.conf": "etc/mke2fs.conf",
	} {
		if err := copyFile(filepath.Join(dir, from), filepath.Join(root, to)); err != nil {
			return err
		}
	}
	libs := filepath.Join("lib", b.multiarch)
	for _, l := range []struct{ deb, file, to string }{
		{"libext2fs2t64", "libext2fs.so.2", libs}, {"libext2fs2t64", "libe2p.so.2", libs}, {"libcom-err2", "libcom_err.so.2", libs},
		{"libblkid1", "libblkid.so.1", libs}, {"libuuid1", "libuuid.so.1", libs}, {"libc6", "libc.so.6", libs},
		{"libc6", b.loader(), filepath.Dir(b.loaderPath())},
	} {
		dir, err := b.deb(ctx, l.deb)
		if err != nil {
			return err
		}
		if err := copyFile(filepath.Join(dir, "usr/lib", b.multiarch, l.file), filepath.Join(root, l.to, l.file)); err != nil {
			return err
		}
	}
	return nil
}

// loaderPath is where programs look for their loader.
func (b *builder) loaderPath() string {
	if b.goArch == "arm64" {
		return "lib/ld-linux-aarch64.so.1"
	}
	return "lib64/ld-linux-x86-64.so.2"
}

func (b *builder) loader() string { return filepath.Base(b.loaderPath()) }

// certificates are Mozilla's authorities, as Debian has them, in one file.
func (b *builder) certificates(ctx context.Context, root string) error {
	dir, err := b.deb(ctx, "ca-certificates")
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "usr/share/ca-certificates/mozilla/*.crt"))
	if err != nil || len(files) < 100 {
		return fmt.Errorf("ca-certificates has %d certificates (%w)", len(files), err)
	}
	slices.Sort(files)
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		all = append(all, b...)
	}
	return os.WriteFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"), all, 0o644)
}

// zones is the time zones, without the copies that count leap seconds.
func (b *builder) zones(ctx context.Context, root string) error {
	dir, err := b.deb(ctx, "tzdata")
	if err != nil {
		return err
	}
	return copyTree(filepath.Join(dir, "usr/share/zoneinfo"), filepath.Join(root, "usr/share/zoneinfo"), func(name string) bool {
		top, _, _ := strings.Cut(name, "/")
		return top != "right" && top != "posix"
	})
}

// licences are the terms under which others let us hand their work on.
func (b *builder) licences(ctx context.Context, root string) error {
	for _, d := range b.pins.Debs {
		if d.For != b.target && d.For != "all" {
			continue
		}
		dir, err := b.deb(ctx, d.Name)
		if err != nil {
			return err
		}
		// Packages of one source may share theirs, by a link to another package.
		text, err := os.ReadFile(filepath.Join(dir, "usr/share/doc", d.Name, "copyright"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := writeTexts(root, map[string]string{"usr/share/doc/" + d.Name + "/copyright": string(text)}); err != nil {
			return err
		}
	}
	for _, m := range b.pins.Modules {
		if m.For != b.target {
			continue
		}
		dir, err := b.module(ctx, m.Path)
		if err != nil {
			return err
		}
		err = copyTree(dir, filepath.Join(root, "usr/share/doc", filepath.Base(m.Path)), func(name string) bool { return strings.HasPrefix(name, "LICENSE") })
		if err != nil {
			return err
		}
	}
	return nil
}

// squash packs a root.
func (b *builder) squash(ctx context.Context, root, compressor string, more ...string) (string, error) {
	out := filepath.Join(b.work, "root.squashfs")
	seconds := fmt.Sprint(b.pins.Time.Unix())
	args := append([]string{
		root, out, "-noappend", "-no-progress", "-quiet", "-all-root", "-no-xattrs", "-no-exports",
		"-mkfs-time", seconds, "-all-time", seconds, "-b", "256K", "-comp", compressor,
	}, more...)
	b.say("pack the root with %s", compressor)
	if err := normalize(root); err != nil {
		return "", err
	}
	cmd, err := b.tools.command(ctx, "", "mksquashfs", args...)
	if err != nil {
		return "", err
	}
	cmd.Env = slices.DeleteFunc(slices.Clone(cmd.Env), func(s string) bool { return strings.HasPrefix(s, "SOURCE_DATE_EPOCH=") }) // it refuses both
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mksquashfs: %w\n%s", err, text)
	}
	return out, nil
}

// normalize sets the modes of a staged tree, whatever the umask was.
func normalize(root string) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() || info.Mode()&0o100 != 0 {
			return os.Chmod(p, 0o755)
		}
		return os.Chmod(p, 0o644)
	})
}

// copyFile copies a file, through links, with its right to be run.
func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, info.Mode().Perm())
}

// copyTree copies the files that take says yes to. Links stay links.
func copyTree(from, to string, take func(name string) bool) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(from, p)
		if err != nil || !take(filepath.ToSlash(name)) {
			return err
		}
		dest := filepath.Join(to, name)
		if d.Type()&fs.ModeSymlink == 0 {
			return copyFile(p, dest)
		}
		link, err := os.Readlink(p)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
			return err
		}
		return os.Symlink(link, dest)
	})
}
