package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homemail/appliance/slots"
	"homemail/image/fetch"
	"homemail/internal/disk"
)

func TestTable(t *testing.T) {
	for _, s := range []disk.Scheme{disk.GPT, disk.MBR} {
		tab, err := table(s)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "image")
		boot := []byte("boot code")
		if err := writeImage(name, tab, []content{{at: 0, room: bootCodeEnd, data: boot}}); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := disk.Read(f, int64(tab.Sectors)*disk.SectorSize)
		if err != nil || got.Stale {
			t.Fatalf("%+v, %v", got, err)
		}
		if p, _ := got.Part(bootPart); p.Start != 2048 || p.Size() != bootSize || s == disk.MBR && (!p.Active || p.Code != disk.CodeFAT32) {
			t.Errorf("boot partition: %+v", p)
		}
		start := make([]byte, len(boot))
		if _, err := f.ReadAt(start, 0); err != nil || !bytes.Equal(start, boot) {
			t.Errorf("the boot code is %q", start)
		}
		if p, err := got.AppendPartition(disk.Partition{Type: disk.TypeLinux, Code: disk.CodeLinux}); err == nil && p.Number != 4 {
			t.Errorf("the data partition would be %d", p.Number)
		}
	}
}

func TestCmdline(t *testing.T) {
	for _, tt := range []struct {
		target string
		scheme disk.Scheme
		slot   slots.Slot
		want   string
	}{
		{"amd64", disk.GPT, slots.A, "root=PARTUUID=686f6d65-6d61-496c-8000-000000000002 "},
		{"amd64", disk.GPT, slots.B, "root=PARTUUID=686f6d65-6d61-496c-8000-000000000003 "},
		{"pi", disk.MBR, slots.A, "root=PARTUUID=686d6169-02 "},
		{"pi", disk.MBR, slots.B, "root=PARTUUID=686d6169-03 "},
	} {
		tab, err := table(tt.scheme)
		if err != nil {
			t.Fatal(err)
		}
		b := &builder{options: options{target: tt.target}}
		got := b.cmdline(tab, tt.slot)
		if s, err := slots.Running(got); err != nil || s != tt.slot {
			t.Errorf("%q is slot %v, %v", got, s, err)
		}
		if !strings.HasPrefix(got, tt.want) || strings.ContainsAny(got, "\n\"$") {
			t.Errorf("%q does not start with %q", got, tt.want)
		}
	}
}

func TestBIOSBoot(t *testing.T) {
	boot, core := bytes.Repeat([]byte{0xff}, 512), bytes.Repeat([]byte{0xee}, 3*512+1)
	mbr, part, err := biosBoot(boot, core, 40)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	if len(mbr) != 440 || le.Uint64(mbr[0x5c:]) != 40 || mbr[0x66] != 0x90 || mbr[0x67] != 0x90 {
		t.Errorf("boot.img: %x", mbr[0x58:0x70])
	}
	if le.Uint64(part[0x1f4:]) != 41 || le.Uint16(part[0x1fc:]) != 3 || len(part) != len(core) {
		t.Errorf("core.img: %x", part[0x1f0:0x200])
	}
	if _, _, err := biosBoot(boot[:100], core, 40); err == nil {
		t.Error("a short boot.img was taken")
	}
}

// TestCPIO reads the archive back by its fields.
func TestCPIO(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "lib"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"init": "program", "lib/b": "12345", "lib/a": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := cpio(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for at := 0; at < len(b); {
		if string(b[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		field := func(n int) int {
			var v int
			for _, c := range b[at+6+8*n : at+14+8*n] {
				v = v*16 + strings.IndexByte("0123456789abcdef", c)
			}
			return v
		}
		name := string(b[at+110 : at+110+field(11)-1])
		names = append(names, name)
		if name == "init" && (field(1) != 0o100755 || field(2) != 0 || field(5) != 1) {
			t.Errorf("init: mode %o, owner %d, time %d", field(1), field(2), field(5))
		}
		if name == "dev/console" && (field(1) != 0o020600 || field(9) != 5 || field(10) != 1) {
			t.Errorf("console: mode %o, %d:%d", field(1), field(9), field(10))
		}
		at = (at+110+field(11)+3)/4*4 + (field(6)+3)/4*4
	}
	if got := strings.Join(names, " "); got != "dev dev/console init lib lib/a lib/b TRAILER!!!" {
		t.Error(got)
	}
}

// TestPins holds that there is a pin for all that the builder asks for by name.
func TestPins(t *testing.T) {
	p, err := fetch.ParsePins(strings.NewReader(pinsText))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"amd64", "pi"} {
		for _, name := range []string{"e2fsprogs", "libc6", "ca-certificates", "tzdata"} {
			if _, err := p.Deb(target, name); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := p.Module(piKernel); err != nil {
		t.Error(err)
	}
}

func TestPiWiFi(t *testing.T) {
	for name, want := range map[string]bool{
		"brcm/brcmfmac43455-sdio.raspberrypi,4-model-b.txt": true,
		"cypress/cyfmac43455-sdio.bin":                      true,
		"brcm/brcmfmac43455-sdio.acepc-t8.txt":              false,
		"brcm/brcmfmac4356-pcie.bin":                        false,
	} {
		if piWiFi(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, args := range [][]string{{}, {"-target", "arm"}, {"-target", "pi", "x"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	o, err := parseOptions([]string{"-target", "pi"})
	if err != nil || o.out != "homemail-pi.img.xz" {
		t.Errorf("%+v, %v", o, err)
	}
	for out, packed := range map[string]bool{"a.img": false, "a.img.gz": true, "a.img.xz": true} {
		if b := (&builder{options: options{out: out}}); (b.packing() != nil) != packed {
			t.Errorf("%s: packed is %v", out, !packed)
		}
	}
}

// TestPiConfig: the firmware reads lines of at most 98 characters.
func TestPiConfig(t *testing.T) {
	for line := range strings.Lines(piConfig(slots.B)) {
		if len(line) > 98 {
			t.Errorf("%q is too long", line)
		}
	}
	if !strings.HasPrefix(piConfig(slots.B), "os_prefix=b/\n") {
		t.Error(piConfig(slots.B))
	}
}
