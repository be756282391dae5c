//go:build linux

package modules

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rounds bounds how often the devices are looked through: a driver shows new
// devices, whose drivers show more. A USB card reader behind two hubs takes five.
const rounds = 8

// Coldplug loads the modules of all devices below sys, which is /sys, until there
// is nothing new. What cannot be loaded is returned at the end: another device
// may still work.
func (s *Set) Coldplug(sys string) error {
	var errs []error
	done := map[string]bool{}
	for range rounds {
		found, err := s.look(sys, done)
		errs = append(errs, err...)
		if !found {
			break
		}
	}
	return errors.Join(errs...)
}

// look loads what devices ask for that were not seen before.
func (s *Set) look(sys string, done map[string]bool) (found bool, errs []error) {
	err := filepath.WalkDir(filepath.Join(sys, "devices"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "uevent" { // a device may go while we look
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return nil
		}
		if m := modalias(bytes.Split(b, []byte("\n"))); m != "" && !done[m] {
			done[m], found = true, true
			errs = append(errs, s.For(m))
		}
		return nil
	})
	return found, append(errs, err)
}

// For loads what a device with this MODALIAS needs.
func (s *Set) For(modalias string) error {
	var errs []error
	for _, m := range s.Match(modalias) {
		errs = append(errs, s.load(m, depth))
	}
	return errors.Join(errs...)
}

func modalias(lines [][]byte) string {
	for _, l := range lines {
		if m, ok := bytes.CutPrefix(l, []byte("MODALIAS=")); ok {
			return string(m)
		}
	}
	return ""
}

// eventMax is more than the kernel puts into one event, UEVENT_BUFFER_SIZE.
const eventMax = 8192

// An Event is what the kernel says of a device.
type Event struct {
	Action    string // "add", "remove", "change"
	Subsystem string // "net", "block", "input"
	Device    string // path below /sys
	Modalias  string
}

// Watch loads the modules of devices that are plugged in, and tells of all that
// come and go, until ctx ends. The kernel alone may write to its socket.
func (s *Set) Watch(ctx context.Context, log *slog.Logger, told func(Event)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return err
	}
	f := os.NewFile(uintptr(fd), "uevents")
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, eventMax)
	for {
		n, err := f.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, unix.ENOBUFS) { // more came than we read; it is only news
			continue
		}
		if err != nil {
			return err
		}
		e := parseEvent(buf[:n])
		if e.Action == "add" && e.Modalias != "" {
			if err := s.For(e.Modalias); err != nil {
				log.Warn("a device has no driver", "device", e.Device, "err", err)
			}
		}
		told(e)
	}
}

// parseEvent reads "add@/devices/x\0ACTION=add\0...".
func parseEvent(b []byte) (e Event) {
	for _, field := range bytes.Split(b, []byte{0}) {
		name, value, _ := strings.Cut(string(field), "=")
		switch name {
		case "ACTION":
			e.Action = value
		case "SUBSYSTEM":
			e.Subsystem = value
		case "DEVPATH":
			e.Device = value
		case "MODALIAS":
			e.Modalias = value
		}
	}
	return e
}
