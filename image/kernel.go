package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"homemail/image/depmod"
)

//go:embed modules.initrd.txt
var initrdRules string

//go:embed modules.root.txt
var rootRules string

// A kernel is Debian's, signed by Debian for Secure Boot.
type kernel struct {
	release string
	image   string     // file
	dir     string     // lib/modules/RELEASE, with the modules unpacked
	initrd  depmod.Set // that find the root
	root    depmod.Set // all
}

const kernelPackage = "linux-image-"

// kernel unpacks the kernel and the modules that the lists take.
func (b *builder) kernel(ctx context.Context) (*kernel, error) {
	k := &kernel{}
	for _, d := range b.pins.Debs {
		if r, ok := strings.CutPrefix(d.Name, kernelPackage); ok {
			k.release = r
		}
	}
	deb, err := b.deb(ctx, kernelPackage+k.release)
	if err != nil {
		return nil, err
	}
	k.image = filepath.Join(deb, "boot/vmlinuz-"+k.release)
	from := filepath.Join(deb, "usr/lib/modules", k.release)
	if k.dir, err = b.dir("modules"); err != nil {
		return nil, err
	}
	files, err := moduleFiles(from)
	if err != nil {
		return nil, err
	}
	b.say("unpack the modules of %s", k.release)
	unpack := func(files []string) error { return b.unpackModules(ctx, from, k.dir, files) }
	if k.initrd, err = choose(k.dir, files, initrdRules, unpack); err != nil {
		return nil, err
	}
	k.root, err = choose(k.dir, files, initrdRules+rootRules, unpack)
	b.say("%d modules, %d of them to find the root", len(k.root), len(k.initrd))
	return k, err
}

func choose(dir string, files []string, rules string, unpack func([]string) error) (depmod.Set, error) {
	rs, err := depmod.ParseRules(strings.NewReader(rules))
	if err != nil {
		return nil, err
	}
	return depmod.Choose(dir, files, rs, unpack)
}

const (
	packed       = ".xz"
	packedInitrd = ".zst"
)

// moduleFiles are the kernel's modules, by their names when unpacked.
func moduleFiles(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".ko"+packed) {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		files = append(files, strings.TrimSuffix(filepath.ToSlash(rel), packed))
		return err
	})
	return files, err
}

// unpackModules unpacks modules: the root is packed as a whole, which is smaller,
// and faster to read. The signature at a module's end stays.
func (b *builder) unpackModules(ctx context.Context, from, to string, files []string) error {
	var args []string
	for _, f := range files {
		dest := filepath.Join(to, f)
		if _, err := os.Stat(dest); err == nil {
			continue
		}
		if err := copyFile(filepath.Join(from, f+packed), dest+packed); err != nil {
			return err
		}
		args = append(args, f+packed)
	}
	if len(args) == 0 {
		return nil
	}
	return b.tools.run(ctx, to, "xz", append([]string{"-d", "-T0"}, args...)...)
}

// initrd makes the initial RAM disk.
func (b *builder) initrd(ctx context.Context, k *kernel) (string, error) {
	dir, err := b.dir("initrd")
	if err != nil {
		return "", err
	}
	if err := b.goBuild(ctx, "homemail/image/initrd", filepath.Join(dir, "init")); err != nil {
		return "", err
	}
	if err := k.initrd.CopyTo(k.dir, filepath.Join(dir, "lib/modules", k.release)); err != nil {
		return "", err
	}
	data, err := cpio(dir, b.pins.Time.Unix())
	if err != nil {
		return "", err
	}
	out := filepath.Join(b.work, "initrd.cpio")
	if err := os.WriteFile(out, data, 0o644); err != nil {
		return "", err
	}
	return out + packedInitrd, b.tools.run(ctx, "", "zstd", "-19", "-q", "-f", "--single-thread", out, "-o", out+packedInitrd)
}

// firmwareFor copies the firmware that the chosen modules may ask for, out of the
// packages, links with what they lead to.
func (b *builder) firmwareFor(ctx context.Context, set depmod.Set, root string, debs []string, take func(name string) bool) error {
	n, size := 0, int64(0)
	for _, name := range debs {
		dir, err := b.deb(ctx, name)
		if err != nil {
			return err
		}
		from := filepath.Join(dir, "usr/lib/firmware")
		wanted := map[string]bool{}
		for _, m := range set {
			for _, pattern := range m.Firmware {
				found, err := filepath.Glob(filepath.Join(from, pattern))
				if err != nil {
					return err
				}
				for _, f := range found {
					wanted[f] = true
				}
			}
		}
		for f := range wanted {
			rel, err := filepath.Rel(from, f)
			if err != nil || !take(filepath.ToSlash(rel)) {
				continue
			}
			if err := copyFile(f, filepath.Join(root, "lib/firmware", rel)); err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					continue // a link out of the package
				}
				return fmt.Errorf("firmware %s: %w", rel, err)
			}
			n++
			if info, err := os.Stat(f); err == nil {
				size += info.Size()
			}
		}
	}
	b.say("%d files of firmware, %.1f MB", n, float64(size)/1e6)
	return nil
}
