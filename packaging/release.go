package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"homemail/packaging/sbom"
	"homemail/update"
)

// targets are what programs are made for: 64 bits only, as the store maps files
// that are larger than what 32 bits can address.
var targets = []struct{ os, arch string }{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"},
}

// A builder makes a release.
type builder struct {
	version string
	out     string
	keys    string
	date    time.Time // of everything that has one
}

func release(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	var b builder
	f.StringVar(&b.version, "version", string(update.Development), "the `VERSION`, such as 1.2.3")
	f.StringVar(&b.out, "o", "dist", "`DIR` to write to")
	f.StringVar(&b.keys, "keys", "", "public `KEYS` of minisign that may sign updates, with commas between")
	only := f.String("only", "", "make only one, such as `linux/amd64`")
	if err := f.Parse(args); err != nil {
		return err
	}
	if _, err := update.Version(b.version).Parse(); err != nil {
		return err
	}
	if _, err := update.ParseKeys(b.keys); err != nil {
		return err
	}
	var err error
	if b.date, err = sourceDate(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	for _, t := range targets {
		if *only != "" && *only != t.os+"/"+t.arch {
			continue
		}
		if err := b.make(ctx, t.os, t.arch); err != nil {
			return fmt.Errorf("%s/%s: %w", t.os, t.arch, err)
		}
	}
	return nil
}

// sourceDate is when the source was committed, or what SOURCE_DATE_EPOCH says
// (reproducible-builds.org).
func sourceDate(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		b, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("the date of the source: %w; set SOURCE_DATE_EPOCH where there is no git", err)
		}
		text = strings.TrimSpace(string(b))
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(n, 0).UTC(), err
}

// make makes the program for one system, and all that goes with it.
func (b *builder) make(ctx context.Context, system, arch string) error {
	name := fmt.Sprintf("homemail-%s-%s-%s", b.version, system, arch)
	program := filepath.Join(b.out, name)
	if err := b.compile(ctx, system, arch, program); err != nil {
		return err
	}
	d, err := sbom.Of(program, b.version)
	if err != nil {
		return err
	}
	bill := program + ".cdx.json"
	if err := d.Write(bill); err != nil {
		return err
	}
	made := []string{program, bill}
	if system == "linux" {
		deb, err := b.debian(ctx, arch, program, bill)
		if err != nil {
			return err
		}
		made = append(made, deb)
	}
	for _, file := range made {
		if err := writeSum(file); err != nil {
			return err
		}
	}
	return nil
}

// compile builds with nothing in the program of the machine that builds it.
func (b *builder) compile(ctx context.Context, system, arch, out string) error {
	flags := "-s -w -buildid= -X homemail/update.keys=" + b.keys
	if b.version != string(update.Development) {
		flags += " -X homemail/update.version=" + b.version
	}
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, "homemail/cmd/homemail")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=")
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	return nil
}

// writeSum writes a file's SHA-256 beside it, as sha256sum -c reads it, and
// tells it.
func writeSum(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%s  %s\n", hex.EncodeToString(h.Sum(nil)), filepath.Base(file))
	fmt.Printf("%9.1f MB  %s", float64(n)/1e6, line)
	return os.WriteFile(file+".sha256", []byte(line), 0o644)
}
