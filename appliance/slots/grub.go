package slots

import (
	"bytes"
	"fmt"
	"strings"
)

// grubEnv is GRUB's environment block, in which it can change variables itself,
// and only in place.
const grubEnv = "grub/grubenv"

const (
	grubSize   = 1024 // of the block; GRUB takes no other
	grubHeader = "# GRUB Environment Block\n"
)

// grub starts the slot that the variable slot names, or the one that next_slot
// names, which it clears before: see GRUBConfig.
type grub struct{ files files }

// GRUBEnv is the environment block of a new image.
func GRUBEnv() []byte { return grubBlock(A, 0) }

// grubBlock is a whole block. What changes is in the first sector: the block
// has two, and only one is written at once.
func grubBlock(every, next Slot) []byte {
	b := bytes.Repeat([]byte{'#'}, grubSize)
	text := grubHeader + "slot=" + every.String() + "\nnext_slot="
	if next != 0 {
		text += next.String()
	}
	copy(b, text+"\n")
	return b
}

// state takes a block whose slot is unreadable for one that says a, as
// GRUBConfig does.
func (g grub) state() (every, next Slot, err error) {
	b, err := g.files.read(grubEnv)
	if err != nil {
		return 0, 0, err
	}
	if len(b) != grubSize {
		return 0, 0, fmt.Errorf("%w: %s has %d bytes", ErrState, grubEnv, len(b))
	}
	every = A
	text, _ := strings.CutPrefix(string(b), grubHeader)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		s, err := parse(value)
		switch {
		case err != nil:
		case name == "slot":
			every = s
		case name == "next_slot":
			next = s
		}
	}
	return every, next, nil
}

func (g grub) try(s Slot) (string, error) {
	every, _, err := g.state()
	if err != nil {
		return "", err
	}
	return "", g.files.overwrite(grubEnv, 0, grubBlock(every, s))
}

func (g grub) commit(s Slot) error {
	return g.files.overwrite(grubEnv, 0, grubBlock(s, 0))
}

// settled clears next_slot: GRUB cannot on every disk, but it is the running
// system that matters.
func (g grub) settled() error {
	every, next, err := g.state()
	if err != nil || next == 0 {
		return err
	}
	return g.files.overwrite(grubEnv, 0, grubBlock(every, 0))
}

// GRUBConfig is the part of grub.cfg that chooses the slot: afterwards the
// variable slot has its name. A slot is tried only if GRUB could write down
// that it has been: one that crashes would be tried for ever.
const GRUBConfig = `set slot=a
load_env --file /grub/grubenv slot next_slot
if [ "$slot" != "a" -a "$slot" != "b" ]; then set slot=a; fi
if [ "$next_slot" = "a" -o "$next_slot" = "b" ]; then
  set try="$next_slot"
  set next_slot=""
  if save_env --file /grub/grubenv next_slot; then set slot="$try"; fi
fi
`
