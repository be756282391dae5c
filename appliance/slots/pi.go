package slots

import (
	"bytes"
	"fmt"
)

// The files that the Raspberry Pi's firmware reads: config.txt at every start,
// and in its place tryboot.txt at the one start that was asked for with
// reboot(2) and piRestart. Each has a line os_prefix= with the directory of the
// slot.
const (
	piConfig  = "config.txt"
	piTry     = "tryboot.txt"
	piRestart = "0 tryboot"
	piPrefix  = "os_prefix="
)

type pi struct{ files files }

// PiPrefix is the line of config.txt, or of tryboot.txt, that names a slot.
func PiPrefix(s Slot) string { return piPrefix + s.String() + "/" }

// find returns the slot that a file names, and where in the file.
func (p pi) find(name string) (s Slot, at int64, err error) {
	b, err := p.files.read(name)
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(b) {
		text := bytes.TrimRight(line, "\r\n")
		if rest, ok := bytes.CutPrefix(text, []byte(piPrefix)); ok && len(rest) == 2 && rest[1] == '/' {
			s, err := parse(string(rest[:1]))
			return s, at + int64(len(piPrefix)), err
		}
		at += int64(len(line))
	}
	return 0, 0, fmt.Errorf("%w: %s has no line %sa/", ErrState, name, piPrefix)
}

// set lets a file name a slot, by one byte.
func (p pi) set(name string, s Slot) error {
	is, at, err := p.find(name)
	if err != nil || is == s {
		return err
	}
	return p.files.overwrite(name, at, []byte{byte(s)})
}

// state cannot tell what the next start tries: the firmware has that from the
// restart.
func (p pi) state() (every, next Slot, err error) {
	every, _, err = p.find(piConfig)
	return every, 0, err
}

func (p pi) try(s Slot) (string, error) {
	return piRestart, p.set(piTry, s)
}

// commit is the one byte of config.txt. That tryboot.txt names the same slot
// until the second byte is written does not matter: nothing reads it before try.
func (p pi) commit(s Slot) error {
	if err := p.set(piConfig, s); err != nil {
		return err
	}
	return p.set(piTry, s.Other())
}

func (p pi) settled() error {
	every, _, err := p.find(piConfig)
	if err != nil {
		return err
	}
	return p.set(piTry, every.Other())
}
