// Command image builds the disk images of the box: of our own program, and of a
// kernel, firmware and a few tools that come as Debian's packages and Go modules,
// each pinned in pins.txt. It needs no root, and the same source and pins make the
// same image, bit for bit, on every machine. It runs on linux/amd64, with Go and
// xz; all else that it runs is pinned too.
//
//	go run ./image -target amd64|pi [-o FILE]
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"homemail/image/fetch"
)

//go:embed pins.txt
var pinsText string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "image:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	if err := lacking(); err != nil {
		return err
	}
	b, err := newBuilder(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	return b.build(ctx)
}

type options struct {
	target  string
	out     string
	bin     string
	parts   string
	cache   string
	mirror  string
	version string
	keys    string
}

// How images are packed: every program that writes images reads
// gzip, but not each balenaEtcher reads xz (balena-io/etcher#4498). Raspberry Pi
// Imager does, and with gzip the Pi's image would be a tenth larger.
const (
	packingPC = ".img.gz"
	packingPi = ".img.xz"
)

func parseOptions(args []string) (o options, err error) {
	fs := flag.NewFlagSet("image", flag.ContinueOnError)
	fs.StringVar(&o.target, "target", "", "`amd64` for a PC, or pi for a Raspberry Pi")
	fs.StringVar(&o.out, "o", "", "the image's `file`; packed if it ends with .gz or .xz (default homemail-amd64.img.gz, homemail-pi.img.xz)")
	fs.StringVar(&o.parts, "parts", "", "also write what an update needs into this `directory`")
	fs.StringVar(&o.bin, "homemail", "", "take this `program`, and build none")
	fs.StringVar(&o.version, "version", "", "the `version` of a release; without it, or without keys, the image is for trying out")
	fs.StringVar(&o.keys, "keys", "", "the public `keys` of minisign that may sign updates, with commas between")
	fs.StringVar(&o.mirror, "mirror", fetch.DefaultMirror, "where Debian's packages are, by `URL`")
	fs.StringVar(&o.cache, "cache", "", "the `directory` for what was fetched (default below the user's cache)")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.target != "amd64" && o.target != "pi" || fs.NArg() > 0 {
		return o, errors.New("usage: image -target amd64|pi [-o FILE]")
	}
	if o.out == "" {
		o.out = "homemail-" + o.target + packingPC
		if o.target == "pi" {
			o.out = "homemail-" + o.target + packingPi
		}
	}
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, err
		}
		o.cache = filepath.Join(dir, "homemail", "image")
	}
	return o, nil
}

// lacking names what this machine does not have.
func lacking() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("this is %s/%s; the programs that put the image together need linux/amd64", runtime.GOOS, runtime.GOARCH)
	}
	for _, p := range []string{"go", "xz"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("the program %s is needed; on Debian it is in the package %s", p, map[string]string{"go": "golang", "xz": "xz-utils"}[p])
		}
	}
	return nil
}

// A builder has what the steps of one build share.
type builder struct {
	options
	pins  *fetch.Pins
	cache *fetch.Cache
	tools *tools
	work  string
	start time.Time
	goArch,
	multiarch string
	release     release
	used        map[string]bool   // sums of what went in
	updateParts map[string]string // what an update has, by name
}

func newBuilder(ctx context.Context, o options) (*builder, error) {
	pins, err := fetch.ParsePins(strings.NewReader(pinsText))
	if err != nil {
		return nil, err
	}
	b := &builder{options: o, pins: pins, start: time.Now(), goArch: "amd64", multiarch: multiarch, used: map[string]bool{}}
	if o.target == "pi" {
		b.goArch, b.multiarch = "arm64", "aarch64-linux-gnu"
	}
	b.cache = &fetch.Cache{Dir: o.cache, Mirror: strings.TrimSuffix(o.mirror, "/"), Pins: pins, Log: b.say}
	if b.tools, err = openTools(ctx, b.cache); err != nil {
		return nil, err
	}
	b.work, err = os.MkdirTemp("", "homemail-image-")
	return b, err
}

func (b *builder) close() { os.RemoveAll(b.work) }

// say prints progress.
func (b *builder) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.1f s  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}

// deb returns the directory of an unpacked package for this target.
func (b *builder) deb(ctx context.Context, name string) (string, error) {
	d, err := b.pins.Deb(b.target, name)
	if err != nil {
		return "", err
	}
	b.used[d.SHA256] = true
	return b.cache.Unpack(ctx, d)
}

// dir makes a directory below the working directory.
func (b *builder) dir(name string) (string, error) {
	d := filepath.Join(b.work, name)
	return d, os.MkdirAll(d, 0o755)
}
