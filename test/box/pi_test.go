package box

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homemail/internal/disk"
	"homemail/test/need"
)

// The files that each model's boot ROM and firmware look for, from Raspberry Pi's
// documentation; what is in the slot's directory has os_prefix before it.
var models = []struct {
	name   string
	loader []string
	trees  []string
}{
	{"Raspberry Pi 3, Zero 2 W", []string{"bootcode.bin", "start.elf", "fixup.dat", "start_cd.elf", "fixup_cd.dat"},
		[]string{"bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb", "bcm2710-rpi-zero-2-w.dtb", "bcm2710-rpi-cm3.dtb"}},
	{"Raspberry Pi 4", []string{"start4.elf", "fixup4.dat", "start4cd.elf", "fixup4cd.dat"},
		[]string{"bcm2711-rpi-4-b.dtb", "bcm2711-rpi-400.dtb", "bcm2711-rpi-cm4.dtb"}},
	{"Raspberry Pi 5", nil, // its own memory has the loader
		[]string{"bcm2712-rpi-5-b.dtb", "bcm2712d0-rpi-5-b.dtb", "bcm2712-rpi-500.dtb", "bcm2712-rpi-cm5-cm5io.dtb"}},
}

// TestPi builds the image for Raspberry Pis, looks for all that the models need
// before our program runs.
func TestPi(t *testing.T) {
	need.Tools(t, "fsck.vfat", "mcopy", "unsquashfs", "xz")
	dir := t.TempDir()
	packed := filepath.Join(dir, "homemail-pi.img.xz")
	build(t, "pi", packed)
	info, err := os.Stat(packed)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f MB packed, at most %.0f", float64(info.Size())/1e6, mostPi/1e6)
	if info.Size() > mostPi {
		t.Errorf("%d octets are more than %.0f", info.Size(), mostPi)
	}
	checkBOM(t, packed+".cdx.json")
	run(t, "xz", "-d", packed)
	image := strings.TrimSuffix(packed, ".xz")
	checkTable(t, image)
	var files []string
	for _, m := range models {
		files = append(files, m.loader...)
		for _, tree := range m.trees {
			files = append(files, "a/"+tree)
		}
	}
	boot := checkBoot(t, image, append(files, "LICENSE.broadcom", "a/overlays/README", "a/overlays/disable-bt.dtbo"))
	checkConfig(t, boot, "config.txt", "a")
	checkConfig(t, boot, "tryboot.txt", "b")
	kernel := checkKernel(t, boot)
	checkRoot(t, image)
	checkDrivers(t, kernel)
}

// checkTable: the boot ROM reads an MBR, and wants FAT with LBA.
func checkTable(t *testing.T, image string) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := disk.Read(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	p, _ := table.Part(1)
	if table.Scheme != disk.MBR || table.Signature != 0x686d6169 || p.Code != disk.CodeFAT32 || !p.Active || len(table.Parts) != 3 {
		t.Errorf("%+v", table)
	}
}

// checkConfig: what config.txt names is there, and the command line fits the disk.
func checkConfig(t *testing.T, boot, name, slot string) {
	t.Helper()
	set := map[string]string{}
	for line := range strings.Lines(string(readFAT(t, boot, name))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		set[key] = value
		if len(line) > 98 {
			t.Errorf("%s: the firmware cuts %q", name, line)
		}
	}
	for key, want := range map[string]string{
		"os_prefix": slot + "/", "arm_64bit": "1", "kernel": "kernel8.img", "cmdline": "cmdline.txt", "enable_uart": "1", "dtparam": "watchdog=on",
	} {
		if set[key] != want {
			t.Errorf("%s: %s=%s, want %s", name, key, set[key], want)
		}
	}
	line := string(readFAT(t, boot, slot+"/"+set["cmdline"]))
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Errorf("%s: %q is not one line", name, line)
	}
	number := map[string]int{"a": 2, "b": 3}[slot]
	for _, word := range []string{fmt.Sprintf("root=PARTUUID=686d6169-%02d", number), "rootfstype=squashfs", "rootwait", "panic=10", "init=/sbin/init", "homemail.slot=" + slot} {
		if !strings.Contains(line, word) {
			t.Errorf("%s: %q has no %s", name, line, word)
		}
	}
}

// checkKernel unpacks the kernel: an image of arm64 (Linux, booting.rst).
func checkKernel(t *testing.T, boot string) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(readFAT(t, boot, "a/kernel8.img")))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if string(b[0x38:0x3c]) != "ARM\x64" {
		t.Errorf("the kernel has %q where its name should be", b[0x38:0x3c])
	}
	return b
}

// checkRoot: the programs of the root are for this processor, and there.
func checkRoot(t *testing.T, image string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	run(t, "unsquashfs", "-q", "-n", "-d", dir, part(t, image, 2))
	for _, name := range []string{"sbin/init", "sbin/mke2fs", "sbin/e2fsck", "sbin/resize2fs", "lib/ld-linux-aarch64.so.1", "lib/aarch64-linux-gnu/libc.so.6"} {
		f, err := elf.Open(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if f.Machine != elf.EM_AARCH64 {
			t.Errorf("%s is for %v", name, f.Machine)
		}
		libs, _ := f.ImportedLibraries()
		for _, l := range libs {
			if found, _ := filepath.Glob(filepath.Join(dir, "lib", "*", l)); len(found) == 0 && l != "ld-linux-aarch64.so.1" {
				t.Errorf("%s needs %s", name, l)
			}
		}
		f.Close()
	}
	release, err := os.ReadFile(filepath.Join(dir, "etc/homemail-release"))
	if err != nil || !strings.Contains(string(release), "target=pi\n") {
		t.Errorf("%q, %v", release, err)
	}
	for _, name := range []string{
		"etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Asia/Tokyo",
		"lib/firmware/brcm/brcmfmac43455-sdio.bin", "lib/firmware/brcm/brcmfmac43430-sdio.bin", "lib/firmware/brcm/brcmfmac43455-sdio.raspberrypi,5-model-b.txt",
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checkDrivers: what a box needs before it can load anything is in the kernel.
func checkDrivers(t *testing.T, kernel []byte) {
	t.Helper()
	at := bytes.Index(kernel, []byte("IKCFG_ST"))
	if at < 0 {
		t.Fatal("the kernel does not say how it was made")
	}
	z, err := gzip.NewReader(bytes.NewReader(kernel[at+8:]))
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	config, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"BCMGENET", "MACB", "MFD_RP1", "PCIE_BRCMSTB", "MMC_BCM2835", "MMC_SDHCI_IPROC", "MMC_SDHCI_BRCMSTB", "USB_LAN78XX", "USB_NET_SMSC95XX",
		"USB_STORAGE", "BLK_DEV_NVME", "SQUASHFS", "SQUASHFS_ZLIB", "EXT4_FS", "VFAT_FS", "BCM2835_WDT", "DEVTMPFS_MOUNT", "IPV6",
	} {
		if !bytes.Contains(config, []byte("\nCONFIG_"+name+"=y\n")) {
			t.Errorf("CONFIG_%s is not in the kernel", name)
		}
	}
}
