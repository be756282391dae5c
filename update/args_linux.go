package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"homemail/appliance/slots"
)

// setArgs changes the arguments of a slot's kernel, but for those that say where
// the slot is: GRUB has them in a variable of grub/SLOT.cfg, the Pi in
// SLOT/cmdline.txt.
func setArgs(dir string, s slots.Slot, args string) error {
	name, before, after := filepath.Join(dir, s.String(), "cmdline.txt"), "", "\n"
	if _, err := os.Stat(filepath.Join(dir, "grub")); err == nil {
		name, before, after = filepath.Join(dir, "grub", s.String()+".cfg"), `set cmdline="`, "\"\n"
	}
	old, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) { // a cut between the two halves of a FAT rename
		old, err = os.ReadFile(name + newSuffix)
	}
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(old))
	text = strings.TrimSuffix(strings.TrimPrefix(text, before), strings.TrimSpace(after))
	var own []string
	for word := range strings.FieldsSeq(text) {
		if strings.HasPrefix(word, "root=") || strings.HasPrefix(word, "homemail.slot=") {
			own = append(own, word)
		}
	}
	if len(own) != 2 {
		return fmt.Errorf("%s does not say where the slot is", name)
	}
	return replace(name, []byte(before+strings.Join(own, " ")+" "+args+after))
}
