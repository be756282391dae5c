//go:build linux

package modules

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// fake is a set whose kernel notes what it is given.
func fake(t *testing.T) (s *Set, got *[]string) {
	dir := t.TempDir()
	files := map[string]string{
		"modules.dep": "kernel/net/e1000e.ko: kernel/lib/ptp.ko kernel/lib/pps-core.ko\nkernel/lib/ptp.ko: kernel/lib/pps-core.ko\n" +
			"kernel/lib/pps-core.ko:\nkernel/mmc/mmc_block.ko.xz: kernel/mmc/mmc_core.ko\nkernel/mmc/mmc_core.ko:\n" +
			"kernel/fs/a.ko: kernel/fs/b.ko\nkernel/fs/b.ko: kernel/fs/a.ko\nkernel/lib/crc.ko:\nkernel/lib/late.ko:\n",
		"modules.alias": "# a comment\nalias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\nalias mmc:block mmc_block\n" +
			"alias usb:v0B95p17[89]0d*dc*dsc*dp*ic*isc*ip*in* mmc-core\nalias of:N*T*Cacme,a/b* crc\nalias hash crc\n",
		"modules.softdep": "softdep mmc_core pre: hash gone post: late\n",
	}
	for _, f := range []string{"net/e1000e.ko", "lib/ptp.ko", "lib/pps-core.ko", "mmc/mmc_block.ko.xz", "mmc/mmc_core.ko", "fs/a.ko", "fs/b.ko", "lib/crc.ko", "lib/late.ko"} {
		files["kernel/"+f] = f
	}
	write(t, dir, files)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got = new([]string)
	s.insert = func(f *os.File, flags int) error {
		name := Name(f.Name())
		if flags == unix.MODULE_INIT_COMPRESSED_FILE {
			name += " packed"
		}
		*got = append(*got, name)
		return nil
	}
	return s, got
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"e1000e", "pps_core ptp e1000e"},
		{"pps-core", "pps_core"},
		{"mmc_block", "crc mmc_core late mmc_block packed"},
		{"mmc:block", "crc mmc_core late mmc_block packed"},
		{"ext4", ""}, // built in
	} {
		s, got := fake(t)
		for range 2 { // twice is once
			if err := s.Load(tt.name); err != nil {
				t.Error(tt.name, err)
			}
		}
		if have := strings.Join(*got, " "); have != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, have, tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	s, _ := fake(t)
	s.insert = func(*os.File, int) error { return unix.EEXIST }
	if err := s.Load("e1000e"); err != nil {
		t.Error("one that is there:", err)
	}
	s, _ = fake(t)
	s.insert = func(*os.File, int) error { return unix.EKEYREJECTED }
	if err := s.Load("e1000e"); !errors.Is(err, unix.EKEYREJECTED) || !strings.Contains(err.Error(), "pps_core") {
		t.Error("a bad signature:", err)
	}
	s, got := fake(t)
	if s.Load("a"); len(*got) != 2 { // a ring of needs ends
		t.Error(*got)
	}
	if s, err := Open(t.TempDir()); err != nil || s.Load("x") != nil {
		t.Error("a kernel without modules:", err)
	}
}

func TestMatch(t *testing.T) {
	s, _ := fake(t)
	for _, tt := range []struct{ alias, want string }{
		{"pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00", "e1000e"},
		{"pci:v00008086d000010D4sv00001AF4sd00001100bc02sc00i00", ""},
		{"usb:v0B95p1790d0100dc00dsc00dp00icFFiscFFip00in00", "mmc_core"},
		{"usb:v0B95p1770d0100dc00dsc00dp00icFFiscFFip00in00", ""},
		{"of:NxTyCacme,a/bz/c", "crc"},
		{"mmc:block", "mmc_block"},
		{"", ""},
	} {
		if got := strings.Join(s.Match(tt.alias), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.alias, got, tt.want)
		}
	}
}

// TestColdplug: a device that shows only after another's driver was loaded is
// found in the next round.
func TestColdplug(t *testing.T) {
	s, got := fake(t)
	sys := t.TempDir()
	write(t, sys, map[string]string{
		"devices/pci0/uevent":     "DRIVER=x\nMODALIAS=pci:v00008086d000010D3sv0sd0bc02sc00i00\n",
		"devices/pci0/net/uevent": "INTERFACE=eth0\n",
	})
	insert := s.insert
	s.insert = func(f *os.File, flags int) error {
		if Name(f.Name()) == "e1000e" {
			write(t, sys, map[string]string{"devices/pci0/card/uevent": "MODALIAS=mmc:block"})
		}
		return insert(f, flags)
	}
	if err := s.Coldplug(sys); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(*got, "e1000e") || !slices.Contains(*got, "mmc_block packed") {
		t.Error(*got)
	}
}

func TestParseEvent(t *testing.T) {
	got := parseEvent([]byte("add@/devices/x\x00ACTION=add\x00DEVPATH=/devices/x\x00SUBSYSTEM=usb\x00MODALIAS=usb:v1\x00SEQNUM=7\x00"))
	if want := (Event{"add", "usb", "/devices/x", "usb:v1"}); got != want {
		t.Error(got)
	}
}
