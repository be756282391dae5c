package main

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// build makes the image and what goes with it.
func (b *builder) build(ctx context.Context) error {
	make := b.buildPC
	if b.target == "pi" {
		make = b.buildPi
	}
	t, contents, err := make(ctx)
	if err != nil {
		return err
	}
	raw := filepath.Join(b.work, "image")
	pack := b.packing()
	if pack == nil {
		raw = b.out
	}
	b.say("write the image")
	if err := writeImage(raw, t, contents); err != nil {
		return err
	}
	if pack != nil {
		b.say("pack the image")
		if err := pack(ctx, raw, b.out); err != nil {
			return err
		}
	}
	if err := b.writeParts(); err != nil {
		return err
	}
	return b.describe(raw)
}

// packing is how the image is packed, nil if it is not.
func (b *builder) packing() func(ctx context.Context, raw, out string) error {
	switch filepath.Ext(b.out) {
	case ".gz":
		return func(_ context.Context, raw, out string) error { return gzipFile(raw, out) }
	case ".xz":
		return b.packXZ
	}
	return nil
}

// packXZ packs with xz. The blocks make the result the same on any number of
// processors.
func (b *builder) packXZ(ctx context.Context, raw, out string) error {
	cmd, err := b.tools.command(ctx, "", "xz", "-6", "-T0", "--block-size=16MiB", "-c", raw)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("xz: %w", err)
	}
	return f.Close()
}

// describe writes FILE.sha256, in the form of sha256sum(1), and FILE.cdx.json, and
// says the sizes.
func (b *builder) describe(raw string) error {
	sum, size, err := sha256File(b.out)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s  %s\n", sum, filepath.Base(b.out))
	if err := os.WriteFile(b.out+".sha256", []byte(text), 0o644); err != nil {
		return err
	}
	if err := b.sbom(b.out+".cdx.json", sum); err != nil {
		return err
	}
	info, err := os.Stat(raw)
	if err != nil {
		return err
	}
	b.say("%s: %.1f MB, %.0f MB unpacked, version %s", b.out, float64(size)/1e6, float64(info.Size())/1e6, b.release.Version)
	fmt.Print(text)
	return nil
}

func sha256File(name string) (sum string, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// fat makes the boot partition of a staged tree, all of one time.
func (b *builder) fat(ctx context.Context, dir string) (string, error) {
	b.say("make the boot partition")
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(p, time.Time{}, b.pins.Time)
	})
	if err != nil {
		return "", err
	}
	out := filepath.Join(b.work, "boot.fat")
	return out, makeFAT(ctx, b.tools, dir, out, bootSize)
}

// writeParts writes what an update of this target has: root.squashfs, and below
// slot what the slot has on the boot partition.
func (b *builder) writeParts() error {
	if b.parts == "" {
		return nil
	}
	for name, from := range b.updateParts {
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		to := filepath.Join(b.parts, name)
		if info.IsDir() {
			err = copyTree(from, to, func(string) bool { return true })
		} else {
			err = copyFile(from, to)
		}
		if err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(b.parts, "release"), []byte(b.release.String()), 0o644)
}

func writeTexts(dir string, texts map[string]string) error {
	for name, text := range texts {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// gzipFile packs a file. No name and no time go into it.
func gzipFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = io.Copy(z, in)
	return errors.Join(err, z.Close())
}
