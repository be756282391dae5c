//go:build linux

package appliance

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// signals ends the box in order when somebody asks for it: Ctrl-Alt-Del at the
// keyboard (SIGINT, once the kernel does not restart by itself), or a virtual
// machine's host. It also buries orphans, of which there should be none.
func (b *box) signals(ctx context.Context) error {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		b.log.Debug("Ctrl-Alt-Del stays the kernel's", "err", err)
	}
	c := make(chan os.Signal, 8)
	signal.Notify(c, unix.SIGINT, unix.SIGTERM, unix.SIGPWR)
	defer signal.Stop(c)
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-c:
			if s == unix.SIGINT {
				b.stop <- Restart
			} else {
				b.stop <- PowerOff
			}
		}
	}
}

// An event of a key is struct input_event of 64 bits: 16 octets of time, then these.
const (
	eventSize  = 24
	eventType  = 16
	eventCode  = 18
	eventValue = 20
	keyEvent   = 1   // EV_KEY
	powerKey   = 116 // KEY_POWER
)

// keys are the bits of /sys/class/input/*/device/capabilities/key for the power
// button, in the word that is the second from the right.
const powerBit = 1 << (powerKey - 64)

// buttons waits for the power button of everything that has one.
func (b *box) buttons(ctx context.Context) {
	list, err := filepath.Glob("/sys/class/input/event*")
	if err != nil {
		return
	}
	for _, dir := range list {
		if !hasPowerKey(filepath.Join(dir, "device/capabilities/key")) {
			continue
		}
		f, err := os.Open(filepath.Join("/dev/input", filepath.Base(dir)))
		if err != nil {
			continue
		}
		if unix.IoctlSetInt(int(f.Fd()), eviocgrab, 1) != nil { // we have it already
			f.Close()
			continue
		}
		go func() {
			defer f.Close()
			stop := context.AfterFunc(ctx, func() { f.Close() })
			defer stop()
			b.button(f)
		}()
	}
}

// eviocgrab is EVIOCGRAB of linux/input.h: one reader alone gets the key.
const eviocgrab = 0x40044590

func hasPowerKey(name string) bool {
	text, err := os.ReadFile(name)
	return err == nil && powerKeyIn(string(text))
}

// button ends the box when the key is pressed.
func (b *box) button(f *os.File) {
	e := make([]byte, eventSize)
	for {
		if n, err := f.Read(e); err != nil || n < eventSize {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		if pressed(e) {
			b.log.Info("the power button was pressed")
			b.stop <- PowerOff
			return
		}
	}
}

func pressed(e []byte) bool {
	return binary.NativeEndian.Uint16(e[eventType:]) == keyEvent && binary.NativeEndian.Uint16(e[eventCode:]) == powerKey &&
		binary.NativeEndian.Uint32(e[eventValue:]) == 1
}

// Finish turns the machine off or starts it again. Only PID 1 calls it, last.
func Finish(e Ending) error {
	unix.Sync()
	if e == Restart {
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// powerKeyIn reads a bitmap as the kernel shows it: words of 64 bits, the lowest
// last.
func powerKeyIn(text string) bool {
	words := strings.Fields(text)
	if len(words) < 2 {
		return false
	}
	v, err := strconv.ParseUint(words[len(words)-2], 16, 64)
	return err == nil && v&powerBit != 0
}
