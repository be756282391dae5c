package depmod

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module writes a module that has nothing but its section .modinfo.
func module(t *testing.T, dir, name, info string) {
	t.Helper()
	names := "\x00.modinfo\x00.shstrtab\x00"
	body := strings.ReplaceAll(info, "\n", "\x00")
	var b bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
		Shoff: uint64(64 + len(body) + len(names)),
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	for _, v := range []any{
		h, []byte(body), []byte(names), elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: uint64(len(body))},
		elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(64 + len(body)), Size: uint64(len(names))},
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(filepath.Join(dir, name), b.Bytes()); err != nil {
		t.Fatal(err)
	}
}

var files = map[string]string{
	"kernel/net/e1000e.ko":   "alias=pci:v00008086d*\ndepends=ptp\nfirmware=e/1.bin",
	"kernel/lib/ptp.ko":      "depends=pps-core",
	"kernel/lib/pps-core.ko": "depends=",
	"kernel/mmc/block.ko":    "alias=mmc:block\nalias=mmc*\nsoftdep=pre: crc gone",
	"kernel/lib/crc.ko":      "",
	"kernel/net/other.ko":    "depends=ptp",
}

func chosen(t *testing.T, rules string) (Set, error) {
	t.Helper()
	dir := t.TempDir()
	rs, err := ParseRules(strings.NewReader(rules))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for name := range files {
		all = append(all, name)
	}
	return Choose(dir, all, rs, func(names []string) error {
		for _, n := range names { // only what is asked for is unpacked
			module(t, dir, n, files[n])
		}
		return nil
	})
}

func TestChoose(t *testing.T) {
	s, err := chosen(t, "# a comment\n+ net\n- net/other\n+ mmc/b*\n")
	if err != nil {
		t.Fatal(err)
	}
	got := s.Tables()
	for name, want := range map[string]string{
		"modules.dep": "kernel/mmc/block.ko:\nkernel/lib/crc.ko:\nkernel/net/e1000e.ko: kernel/lib/ptp.ko kernel/lib/pps-core.ko\n" +
			"kernel/lib/pps-core.ko:\nkernel/lib/ptp.ko: kernel/lib/pps-core.ko\n",
		"modules.alias":   "alias mmc:block block\nalias mmc* block\nalias pci:v00008086d* e1000e\n",
		"modules.softdep": "softdep block pre: crc gone\n",
	} {
		if string(got[name]) != want {
			t.Errorf("%s:\n%s", name, got[name])
		}
	}
	if f := s["e1000e"].Firmware; len(f) != 1 || f[0] != "e/1.bin" {
		t.Errorf("firmware %q", f)
	}
}

func TestMissing(t *testing.T) {
	old := files["kernel/lib/crc.ko"]
	files["kernel/lib/crc.ko"] = "depends=nobody"
	defer func() { files["kernel/lib/crc.ko"] = old }()
	if _, err := chosen(t, "+ lib/crc"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Error(err)
	}
	for _, bad := range []string{"net", "* net", "+ [", "+ a b"} {
		if _, err := ParseRules(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is a rule", bad)
		}
	}
	if _, err := read(os.Args[0]); err == nil {
		t.Error("a program is a module")
	}
}
