// Package letters is the boot partition as a letter box: files that an owner puts
// there with any computer, and files that the box leaves there to be read. Homemail
// itself sees only a directory of its own in memory; this package carries a few
// files, by their names, between the two.
package letters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The files.
const (
	Setup   = "homemail.toml"        // answers to the steps of the set-up; its secrets are wiped once they are used
	Claim   = "homemail-claim.txt"   // the code that makes the house yours
	Status  = "homemail-status.txt"  // how the box is
	Reset   = "reset-owner"          // makes a new password for the owner
	Network = "homemail-network.txt" // an address of the owner's choice, and the box's name
)

const (
	largest = 64 << 10 // a letter; nobody types more
	period  = 2 * time.Second
)

// A Box carries letters.
type Box struct {
	Enabled bool // the boot partition is mounted

	boot, dir string
	user      int // whose dir is; 0 leaves that, for tests
	log       *slog.Logger

	mu   sync.Mutex
	sent map[string][]byte // what is on the boot partition, as far as it is ours; nil is no file
}

// New returns a letter box between the boot partition and a directory.
func New(boot, dir string, user int, log *slog.Logger) *Box {
	return &Box{boot: boot, dir: dir, user: user, log: log, sent: map[string][]byte{}}
}

// Fetch brings what the owner left, at the start.
func (b *Box) Fetch() error {
	if !b.Enabled {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, name := range []string{Setup, Reset} {
		text, err := b.find(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = b.give(name, text)
			b.sent[name] = text
		}
		errs = append(errs, err)
	}
	for _, name := range []string{Claim, Status} { // of the start before
		if text, err := read(filepath.Join(b.boot, name)); err == nil {
			b.sent[name] = text
		}
	}
	return errors.Join(errs...)
}

// find reads a letter, also one that an editor has given an end to its name.
func (b *Box) find(name string) ([]byte, error) {
	text, err := read(filepath.Join(b.boot, name))
	if errors.Is(err, fs.ErrNotExist) && filepath.Ext(name) == "" {
		return read(filepath.Join(b.boot, name+".txt"))
	}
	return text, err
}

// give puts a letter into the directory, for its user.
func (b *Box) give(name string, text []byte) error {
	to := filepath.Join(b.dir, name)
	if err := os.WriteFile(to, text, 0o600); err != nil {
		return err
	}
	if b.user == 0 {
		return nil
	}
	return os.Chown(to, b.user, b.user)
}

// Run delivers what changes until ctx ends.
func (b *Box) Run(ctx context.Context) error {
	for {
		if err := b.Deliver(); err != nil {
			b.log.Warn("a file was not written to the boot partition", "err", err)
		}
		select {
		case <-ctx.Done():
			return b.Deliver()
		case <-time.After(period):
		}
	}
}

// Deliver writes to the boot partition what has changed since, and nothing else:
// each write to it is one that a power cut can meet. A request is taken away last,
// when what came of it is there.
func (b *Box) Deliver() error {
	if !b.Enabled {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, name := range []string{Claim, Status, Setup, Reset} {
		errs = append(errs, b.deliver(name))
	}
	return errors.Join(errs...)
}

func (b *Box) deliver(name string) error {
	text, err := read(filepath.Join(b.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		if b.sent[name] == nil || name == Setup { // the owner's file stays the owner's
			return nil
		}
		if err := b.remove(name); err != nil {
			return err
		}
		b.sent[name] = nil
		return nil
	}
	if err != nil {
		return err
	}
	if old := b.sent[name]; name == Reset || old != nil && bytes.Equal(old, text) {
		return nil
	}
	if err := Replace(filepath.Join(b.boot, name), text); err != nil {
		return err
	}
	b.sent[name] = text
	return nil
}

func (b *Box) remove(name string) error {
	var errs []error
	for _, n := range []string{name, name + ".txt"} {
		if err := os.Remove(filepath.Join(b.boot, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, syncDir(b.boot))...)
}

// read reads a letter. It follows no link: the directory is homemail's, and who has
// homemail is not to have the box read other files to them.
func read(name string) ([]byte, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	r, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, err := r.Open(filepath.Base(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, largest+1))
	if err == nil && len(text) > largest {
		err = fmt.Errorf("%s is too large", name)
	}
	if text == nil {
		text = []byte{}
	}
	return text, err
}

// Replace writes a file so that there is the old or the new one, also after a power
// cut: what is new is on the disk before its name is.
func Replace(name string, text []byte) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	return errors.Join(os.Rename(name+".new", name), syncDir(filepath.Dir(name)))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// NetworkSettings are an owner's choice. The zero value asks the network.
type NetworkSettings struct {
	Name    string // of the box
	Address string // "192.168.1.20/24"
	Router  string
	DNS     []string
}

// Network reads the settings on the boot partition.
func (b *Box) Network() (s NetworkSettings) {
	if !b.Enabled {
		return s
	}
	text, err := read(filepath.Join(b.boot, Network))
	if errors.Is(err, fs.ErrNotExist) {
		return s
	}
	if err == nil {
		s, err = ParseNetwork(string(text))
	}
	if err != nil {
		b.log.Warn("homemail-network.txt cannot be used as it is", "err", err)
	}
	return s
}

// SetNetwork writes them.
func (b *Box) SetNetwork(s NetworkSettings) error {
	if !b.Enabled {
		return errors.New("the boot partition is not there")
	}
	return Replace(filepath.Join(b.boot, Network), []byte(strings.ReplaceAll(s.String(), "\n", "\r\n")))
}

// String is the file.
func (s NetworkSettings) String() string {
	var b strings.Builder
	b.WriteString("# The network of this box. Without an address it asks the router for one.\n")
	for _, f := range []struct{ name, value, example string }{
		{"name", s.Name, "homemail"}, {"address", s.Address, "192.168.1.20/24"}, {"router", s.Router, "192.168.1.1"},
		{"dns", strings.Join(s.DNS, " "), "192.168.1.1"},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, "%s = %s\n", f.name, f.value)
		} else {
			fmt.Fprintf(&b, "#%s = %s\n", f.name, f.example)
		}
	}
	return b.String()
}

// ParseNetwork reads lines of "name = value". Whether an address is one is for who
// uses it to say.
func ParseNetwork(text string) (s NetworkSettings, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")) // some editors begin a file with it
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch name = strings.TrimSpace(name); {
		case !ok:
			return s, fmt.Errorf("line %d: no = in it", n)
		case name == "name" && !hostName(value):
			return s, fmt.Errorf("line %d: a name has letters, digits and hyphens", n)
		case name == "name":
			s.Name = value
		case name == "address":
			s.Address = value
		case name == "router":
			s.Router = value
		case name == "dns":
			s.DNS = strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' })
		default:
			return s, fmt.Errorf("line %d: %q is not known; right are name, address, router and dns", n, name)
		}
	}
	return s, nil
}

// hostName is one label of RFC 1123 §2.1.
func hostName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}
