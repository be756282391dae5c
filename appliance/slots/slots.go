// Package slots knows which of the box's two roots runs, and tells the boot
// loader which to start: the other one once, and for good when it has proved
// itself. The boot partition is FAT, which has no journal, so this package only
// ever overwrites bytes of files that are there, each time within one sector: a
// power cut leaves the old bytes or the new. It creates and renames nothing, and
// knows nothing of what is in a slot.
package slots

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Slot is one of the two places for a root.
type Slot byte

// The slots.
const (
	A Slot = 'a'
	B Slot = 'b'
)

// String is the slot's name in paths and on the kernel's command line.
func (s Slot) String() string { return string(rune(s)) }

// Other returns the slot that s is not.
func (s Slot) Other() Slot { return A + B - s }

// MarshalText writes the slot's name.
func (s Slot) MarshalText() ([]byte, error) { return []byte{byte(s)}, nil }

// UnmarshalText takes "a" or "b".
func (s *Slot) UnmarshalText(b []byte) error {
	v, err := parse(string(b))
	if err == nil {
		*s = v
	}
	return err
}

func parse(s string) (Slot, error) {
	switch s {
	case "a":
		return A, nil
	case "b":
		return B, nil
	}
	return 0, fmt.Errorf("%w: %.20q is not a slot", ErrState, s)
}

// ErrState says that what the boot partition or the kernel's command line says
// of the slots cannot be understood. Nothing is changed then.
var ErrState = errors.New("the state of the slots is not known")

// A loader keeps which slot the box starts from.
type loader interface {
	// state returns the slot of every start, and the one that the next start
	// tries, 0 if it is none or the loader does not keep it.
	state() (every, next Slot, err error)
	// try lets the next start take s. A restart with the argument is needed for
	// that; with "" any restart will do.
	try(s Slot) (restart string, err error)
	commit(s Slot) error
	// settled repairs what an interrupted commit left, and takes back a try
	// that the loader has not taken back itself.
	settled() error
}

// A Boot is the box's boot loader.
type Boot struct {
	running Slot
	loader  loader
}

// State is what can be said of the slots.
type State struct {
	Running Slot `json:"running"`
	Every   Slot `json:"every"`           // what a start takes by itself
	Next    Slot `json:"next,omitzero"`   // what the next start tries, if anything
	Trial   bool `json:"trial,omitempty"` // Running was started to be tried
}

// Open finds the boot loader whose files are below dir, where the boot partition
// is mounted, and the running slot in the kernel's command line, the text of
// /proc/cmdline. It changes nothing.
func Open(dir, cmdline string) (*Boot, error) {
	b := &Boot{}
	var err error
	if b.running, err = Running(cmdline); err != nil {
		return nil, err
	}
	disk := directory(dir)
	if _, err := os.Stat(filepath.Join(dir, grubEnv)); err == nil {
		b.loader = grub{disk}
		return b, nil
	}
	if _, err := os.Stat(filepath.Join(dir, piConfig)); err == nil {
		b.loader = pi{disk}
		return b, nil
	}
	return nil, fmt.Errorf("%w: %s has neither %s nor %s", ErrState, dir, grubEnv, piConfig)
}

// Running returns the slot that a kernel's command line names.
func Running(cmdline string) (Slot, error) {
	for word := range strings.FieldsSeq(cmdline) {
		if name, ok := strings.CutPrefix(word, "homemail.slot="); ok {
			return parse(name)
		}
	}
	return 0, fmt.Errorf("%w: the kernel's command line has no homemail.slot=", ErrState)
}

// Running is the slot that was started.
func (b *Boot) Running() Slot { return b.running }

// State reads what the loader is going to do.
func (b *Boot) State() (State, error) {
	every, next, err := b.loader.state()
	return State{Running: b.running, Every: every, Next: next, Trial: err == nil && every != b.running}, err
}

// Try lets the next start, and only that one, take the slot that does not run.
// The box has to be restarted with the argument (see Restart); any other start
// in between takes the slot of every start.
func (b *Boot) Try() (restart string, err error) {
	return b.loader.try(b.running.Other())
}

// Commit lets every start take the running slot from now on.
func (b *Boot) Commit() error { return b.loader.commit(b.running) }

// Settle makes sure that the slot under trial is started once only, whatever the
// loader has managed to write, and completes a commit that was cut off. It is to
// be called at every start, as soon as the boot partition can be written.
func (b *Boot) Settle() error { return b.loader.settled() }

// sector is what a disk writes whole or not at all.
const sector = 512

// files are those of the boot partition.
type files interface {
	read(name string) ([]byte, error)
	// overwrite puts b in the place of as many bytes of a file, and returns when
	// they are on the disk.
	overwrite(name string, at int64, b []byte) error
}

// directory is where the boot partition is mounted.
type directory string

// fileMost is more than any of the loaders' files has.
const fileMost = 64 << 10

func (d directory) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileMost+1))
	if err == nil && len(b) > fileMost {
		err = fmt.Errorf("%w: %s is too long", ErrState, name)
	}
	return b, err
}

func (d directory) overwrite(name string, at int64, b []byte) error {
	f, err := os.OpenFile(filepath.Join(string(d), name), os.O_RDWR, 0) // no O_TRUNC, no O_CREATE: its clusters stay its own
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if at < 0 || at+int64(len(b)) > info.Size() {
		return fmt.Errorf("%w: %s is too short", fs.ErrInvalid, name)
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
