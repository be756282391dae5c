package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"homemail/appliance/slots"
	"homemail/image/depmod"
	"homemail/internal/disk"
)

const (
	piKernel   = "github.com/gokrazy/kernel.rpi"
	piFirmware = "github.com/gokrazy/firmware"
)

// piLoaders are what the processor of a Raspberry Pi 3, Zero 2 W or 4 loads before
// config.txt. The Pi 5 has all that in its own memory. The small memory of the
// graphics asks for the files with cd.
var piLoaders = []string{
	"bootcode.bin",
	"start.elf", "fixup.dat", "start_cd.elf", "fixup_cd.dat",
	"start4.elf", "fixup4.dat", "start4cd.elf", "fixup4cd.dat",
}

// piTrees are the device trees of the models; each is looked for by its name.
var piTrees = []string{
	"bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb", "bcm2710-rpi-cm3.dtb",
	"bcm2710-rpi-zero-2.dtb", "bcm2710-rpi-zero-2-w.dtb",
	"bcm2711-rpi-4-b.dtb", "bcm2711-rpi-400.dtb", "bcm2711-rpi-cm4.dtb",
	"bcm2712-rpi-5-b.dtb", "bcm2712d0-rpi-5-b.dtb", "bcm2712-d-rpi-5-b.dtb", "bcm2712-rpi-500.dtb",
	"bcm2712-rpi-cm5-cm5io.dtb", "bcm2712-rpi-cm5-cm4io.dtb",
}

// piConfig is config.txt, and, with the other slot, tryboot.txt.
func piConfig(s slots.Slot) string {
	return slots.PiPrefix(s) + `
arm_64bit=1
kernel=kernel8.img
cmdline=cmdline.txt
enable_uart=1
disable_splash=1
gpu_mem=16
dtparam=watchdog=on
`
}

// buildPi puts the image for the Raspberry Pi together. Its kernel has all that it
// needs to mount the root.
func (b *builder) buildPi(ctx context.Context) (*disk.Table, []content, error) {
	t, err := table(disk.MBR)
	if err != nil {
		return nil, nil, err
	}
	kernel, err := b.module(ctx, piKernel)
	if err != nil {
		return nil, nil, err
	}
	root, err := b.root(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := b.piModules(ctx, kernel, root); err != nil {
		return nil, nil, err
	}
	squash, err := b.squash(ctx, root, "gzip") // this kernel reads no other
	if err != nil {
		return nil, nil, err
	}
	slot, err := b.slotPi(kernel)
	if err != nil {
		return nil, nil, err
	}
	boot, err := b.bootPi(ctx, t, slot)
	if err != nil {
		return nil, nil, err
	}
	fat, err := b.fat(ctx, boot)
	if err != nil {
		return nil, nil, err
	}
	b.updateParts = map[string]string{"root.squashfs": squash, "slot": slot}
	return t, b.partitions(t, fat, squash), nil
}

func (b *builder) module(ctx context.Context, path string) (string, error) {
	m, err := b.pins.Module(path)
	if err != nil {
		return "", err
	}
	b.used[m.Sum] = true
	return b.cache.Module(ctx, m)
}

// piModules are the few drivers that are not in the kernel: those of the Wi-Fi,
// with its firmware.
func (b *builder) piModules(ctx context.Context, kernel, root string) error {
	dirs, err := filepath.Glob(filepath.Join(kernel, "lib/modules/*"))
	if err != nil || len(dirs) != 1 {
		return fmt.Errorf("%s has modules of %d kernels (%w)", piKernel, len(dirs), err)
	}
	rules, err := depmod.ParseRules(strings.NewReader("+ drivers/net/wireless/broadcom"))
	if err != nil {
		return err
	}
	var files []string
	err = filepath.WalkDir(dirs[0], func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".ko") {
			return err
		}
		rel, err := filepath.Rel(dirs[0], p)
		files = append(files, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		return err
	}
	set, err := depmod.Choose(dirs[0], files, rules, func([]string) error { return nil })
	if err != nil {
		return err
	}
	if err := set.CopyTo(dirs[0], filepath.Join(root, "lib/modules", filepath.Base(dirs[0]))); err != nil {
		return err
	}
	dir, err := b.deb(ctx, "firmware-brcm80211")
	if err != nil {
		return err
	}
	if err := copyTree(filepath.Join(dir, "usr/lib/firmware"), filepath.Join(root, "lib/firmware"), piWiFi); err != nil {
		return err
	}
	return b.radioRules(ctx, root)
}

// radioRules say what may be sent in which country.
func (b *builder) radioRules(ctx context.Context, root string) error {
	dir, err := b.deb(ctx, "wireless-regdb")
	if err != nil {
		return err
	}
	for _, name := range []string{"regulatory.db", "regulatory.db.p7s"} {
		if err := copyFile(filepath.Join(dir, "usr/lib/firmware", name+"-upstream"), filepath.Join(root, "lib/firmware", name)); err != nil {
			return err
		}
	}
	return nil
}

// piWiFi reports whether a firmware file is for the Wi-Fi of a Raspberry Pi.
func piWiFi(name string) bool {
	base := filepath.Base(name)
	for _, chip := range []string{"43430", "43436", "43436s", "43455", "43456"} {
		for _, maker := range []string{"brcmfmac", "cyfmac"} {
			rest, ok := strings.CutPrefix(base, maker+chip+"-sdio.")
			if ok && (rest == "bin" || rest == "clm_blob" || rest == "txt" || strings.HasPrefix(rest, "raspberrypi,")) {
				return true
			}
		}
	}
	return false
}

// slotPi stages what one slot has on the boot partition, and what an update
// replaces there.
func (b *builder) slotPi(kernel string) (string, error) {
	slot, err := b.dir("slot")
	if err != nil {
		return "", err
	}
	// Packed: the firmware unpacks it faster than it reads from a card.
	if err := gzipFile(filepath.Join(kernel, "vmlinuz"), filepath.Join(slot, "kernel8.img")); err != nil {
		return "", err
	}
	for _, name := range piTrees {
		if err := copyFile(filepath.Join(kernel, name), filepath.Join(slot, name)); err != nil {
			return "", err
		}
	}
	err = copyTree(filepath.Join(kernel, "overlays"), filepath.Join(slot, "overlays"), func(string) bool { return true })
	if err != nil {
		return "", err
	}
	// The firmware takes a directory without this file for none of overlays.
	return slot, writeTexts(slot, map[string]string{"overlays/README": "Device tree overlays of the kernel beside them.\n"})
}

// bootPi stages the boot partition.
func (b *builder) bootPi(ctx context.Context, t *disk.Table, slot string) (string, error) {
	boot, err := b.dir("boot")
	if err != nil {
		return "", err
	}
	firmware, err := b.module(ctx, piFirmware)
	if err != nil {
		return "", err
	}
	for _, name := range append([]string{"LICENSE.broadcom"}, piLoaders...) {
		if err := copyFile(filepath.Join(firmware, name), filepath.Join(boot, name)); err != nil {
			return "", err
		}
	}
	if err := copyTree(slot, filepath.Join(boot, "a"), func(string) bool { return true }); err != nil {
		return "", err
	}
	texts := map[string]string{"config.txt": piConfig(slots.A), "tryboot.txt": piConfig(slots.B)}
	for _, s := range []slots.Slot{slots.A, slots.B} {
		texts[s.String()+"/cmdline.txt"] = b.cmdline(t, s) + "\n"
	}
	return boot, writeTexts(boot, texts)
}
