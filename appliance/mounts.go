//go:build linux

package appliance

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A mount is one that every box has.
type mount struct {
	source, target, kind string
	flags                uintptr
	options              string
}

const careful = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mounts are in the order in which they are made. Memory that files take is
// bounded: nobody is to fill it.
func mounts() []mount {
	return []mount{
		{"proc", "/proc", "proc", careful, ""},
		{"sysfs", "/sys", "sysfs", careful, ""},
		{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620"},
		{"tmpfs", "/run", "tmpfs", careful, "mode=0755,size=16m"},
		{"tmpfs", "/tmp", "tmpfs", careful, "mode=1777,size=20%"},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", careful, ""},
	}
}

// mountAll makes the mounts that are not there yet: a RAM disk may have made some.
func mountAll() error {
	var errs []error
	for _, m := range mounts() {
		if strings.HasPrefix(m.target, "/dev/") {
			os.Mkdir(m.target, 0o755) // the root is read-only, but this is not the root
		}
		err := unix.Mount(m.source, m.target, m.kind, m.flags, m.options)
		if err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.target, err))
		}
	}
	return errors.Join(errs...)
}

// A sysctl is a setting of the kernel.
type sysctl struct{ name, value string }

func sysctls() []sysctl {
	return []sysctl{
		{"kernel/printk", "4 4 1 4"},    // the console is for people: only what is broken
		{"kernel/printk_devkmsg", "on"}, // we say little, and all of it is wanted
		{"kernel/panic", "10"},
		{"kernel/kptr_restrict", "2"},
		{"kernel/dmesg_restrict", "1"},
		{"kernel/unprivileged_bpf_disabled", "1"},
		{"kernel/yama/ptrace_scope", "2"},
		{"net/ipv4/tcp_syncookies", "1"},
		{"net/ipv4/conf/all/rp_filter", "2"}, // two cards in one network work, strangers' addresses do not
		{"net/ipv4/conf/all/accept_redirects", "0"},
		{"net/ipv6/conf/all/accept_redirects", "0"},
		{"net/ipv6/conf/default/accept_redirects", "0"},
		{"net/ipv6/conf/all/use_tempaddr", "0"},  // a server keeps its address
		{"vm/dirty_background_bytes", "4194304"}, // a card is slow: what is written goes out early
		{"vm/dirty_bytes", "33554432"},
	}
}

// tune sets the kernel as far as this one has the settings.
func tune(log *slog.Logger, cmdline string) {
	list := sysctls()
	if strings.Contains(cmdline, "homemail.debug") {
		list = append(list, sysctl{"kernel/printk", "7 4 1 7"})
	}
	for _, s := range list {
		if err := os.WriteFile("/proc/sys/"+s.name, []byte(s.value), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
			log.Debug("a setting of the kernel was refused", "setting", s.name, "err", err)
		}
	}
}

// directories makes those in memory. What homemail writes to is homemail's.
func directories() error {
	errs := []error{os.MkdirAll(serversDir, 0o755), os.MkdirAll(letterDir, 0o700), os.Chown(letterDir, mailUser, mailUser)}
	if _, err := os.Stat(resolver); errors.Is(err, os.ErrNotExist) {
		errs = append(errs, os.WriteFile(resolver, nil, 0o644))
	}
	return errors.Join(errs...)
}

// param is the value of a word of the kernel's command line, the last if there are
// several.
func param(cmdline, name string) (value string) {
	for w := range strings.FieldsSeq(cmdline) {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			value = v
		}
	}
	return value
}

// consoles are the devices that the kernel shows its messages on, without its own
// word for the one in use.
func consoles(cmdline string) (list []string) {
	for w := range strings.FieldsSeq(cmdline) {
		if v, ok := strings.CutPrefix(w, "console="); ok {
			name, _, _ := strings.Cut(v, ",")
			if name == "serial0" { // the firmware's word for it on a Pi
				name = "ttyS0"
			}
			if name == "tty0" {
				name = "tty1"
			}
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list
}
