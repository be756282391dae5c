package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"homemail/appliance/slots"
	"homemail/internal/disk"
)

// cmdline is what the kernel is told. gpt: it takes the table's copy at the
// disk's end if the first one was damaged by a power cut.
func (b *builder) cmdline(t *disk.Table, slot slots.Slot) string {
	n := rootPartA
	if slot == slots.B {
		n = rootPartB
	}
	p, _ := t.Part(n)
	c := "root=PARTUUID=" + t.PartUUID(p) + " ro rootfstype=squashfs rootwait panic=10 oops=panic init=/sbin/init homemail.slot=" + slot.String()
	if b.target == "pi" {
		return c + " console=serial0,115200 console=tty1"
	}
	return c + " gpt console=tty0 console=ttyS0,115200"
}

// buildPC puts the image for PCs together.
func (b *builder) buildPC(ctx context.Context) (*disk.Table, []content, error) {
	t, err := table(disk.GPT)
	if err != nil {
		return nil, nil, err
	}
	k, err := b.kernel(ctx)
	if err != nil {
		return nil, nil, err
	}
	root, err := b.root(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := k.root.CopyTo(k.dir, filepath.Join(root, "lib/modules", k.release)); err != nil {
		return nil, nil, err
	}
	if err := b.firmwareFor(ctx, k.root, root, []string{"firmware-realtek"}, func(name string) bool { return strings.HasPrefix(name, "rtl_nic/") }); err != nil {
		return nil, nil, err
	}
	squash, err := b.squash(ctx, root, "zstd", "-Xcompression-level", "15")
	if err != nil {
		return nil, nil, err
	}
	initrd, err := b.initrd(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	boot, err := b.bootPC(ctx, t, k, initrd)
	if err != nil {
		return nil, nil, err
	}
	fat, err := b.fat(ctx, boot)
	if err != nil {
		return nil, nil, err
	}
	mbr, core, err := b.bios(ctx)
	if err != nil {
		return nil, nil, err
	}
	b.updateParts = map[string]string{"root.squashfs": squash, "slot/vmlinuz": k.image, "slot/initrd": initrd}
	contents := b.partitions(t, fat, squash)
	return t, append(contents,
		content{at: 0, room: bootCodeEnd, data: mbr},
		content{at: biosStart * disk.SectorSize, room: (align - biosStart) * disk.SectorSize, data: core}), nil
}

// partitions are the boot partition and slot a.
func (b *builder) partitions(t *disk.Table, fat, squash string) []content {
	boot, _ := t.Part(bootPart)
	root, _ := t.Part(rootPartA)
	return []content{{at: boot.Offset(), room: boot.Size(), file: fat}, {at: root.Offset(), room: root.Size(), file: squash}}
}

// bootPC stages the boot partition: shim and GRUB, both signed, then our kernels.
func (b *builder) bootPC(ctx context.Context, t *disk.Table, k *kernel, initrd string) (string, error) {
	boot, err := b.dir("boot")
	if err != nil {
		return "", err
	}
	shim, err := b.deb(ctx, "shim-signed")
	if err != nil {
		return "", err
	}
	grub, err := b.deb(ctx, "grub-efi-amd64-signed")
	if err != nil {
		return "", err
	}
	for from, to := range map[string]string{
		filepath.Join(shim, "usr/lib/shim/shimx64.efi.signed"):                   "EFI/BOOT/BOOTX64.EFI",
		filepath.Join(grub, "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"): "EFI/BOOT/grubx64.efi",
		k.image: "a/vmlinuz",
		initrd:  "a/initrd",
	} {
		if err := copyFile(from, filepath.Join(boot, to)); err != nil {
			return "", err
		}
	}
	texts := map[string]string{
		"EFI/debian/grub.cfg": "configfile /grub/grub.cfg\n", // where the signed GRUB looks
		"grub/grub.cfg":       grubConfig,
		"grub/grubenv":        string(slots.GRUBEnv()),
	}
	for _, s := range []slots.Slot{slots.A, slots.B} {
		texts["grub/"+s.String()+".cfg"] = "set cmdline=\"" + b.cmdline(t, s) + "\"\n"
	}
	if err := os.MkdirAll(filepath.Join(boot, "b"), 0o755); err != nil {
		return "", err
	}
	return boot, writeTexts(boot, texts)
}

// bios makes what a start by BIOS needs.
func (b *builder) bios(ctx context.Context) (mbr, core []byte, err error) {
	dir, err := b.deb(ctx, "grub-pc-bin")
	if err != nil {
		return nil, nil, err
	}
	from, out := filepath.Join(dir, "usr/lib/grub/i386-pc"), filepath.Join(b.work, "core.img")
	args := append([]string{"-d", from, "-O", "i386-pc", "-o", out, "-p", "(,gpt1)/grub"}, biosModules...)
	if err := b.tools.run(ctx, "", "grub-mkimage", args...); err != nil {
		return nil, nil, err
	}
	boot, err := os.ReadFile(filepath.Join(from, "boot.img"))
	if err != nil {
		return nil, nil, err
	}
	if core, err = os.ReadFile(out); err != nil {
		return nil, nil, err
	}
	return biosBoot(boot, core, biosStart)
}
