package main

import (
	"bytes"
	"encoding/binary"
	"errors"

	"homemail/appliance/slots"
	"homemail/internal/disk"
)

// grubConfig starts a slot: slots.GRUBConfig says which. A kernel that cannot be
// loaded, or whose signature is wrong, is left for the other slot's.
const grubConfig = `set timeout=0
set gfxpayload=keep
` + slots.GRUBConfig + `
for s in "$slot" a b; do
  set cmdline=""
  source /grub/$s.cfg
  if linux /$s/vmlinuz $cmdline; then
    if initrd /$s/initrd; then boot; fi
  fi
done
echo "homemail: neither slot can be started"
sleep 30
reboot
`

// biosModules are the parts of GRUB that a start by BIOS needs. Started by UEFI
// GRUB is one signed file, which has them all.
var biosModules = []string{
	"biosdisk", "part_gpt", "part_msdos", "fat", "normal", "linux", "loadenv", "test", "echo", "configfile",
	"search", "sleep", "reboot", "all_video", "vbe", "vga",
}

// Where GRUB's boot code has to know a place (its sources: boot.S, diskboot.S).
const (
	bootCodeEnd  = 440  // the disk's name and the partitions follow
	kernelSector = 0x5c // in boot.img: 8 octets, where core.img is
	driveCheck   = 0x66 // in boot.img: a jump that is wrong for hard disks
	blockList    = 0x1f4
	blockCount   = 0x1fc
)

// biosBoot returns what the first sector and the BIOS boot partition have: the
// work of grub-bios-setup, for a place that is known.
func biosBoot(boot, core []byte, lba uint64) (mbr, part []byte, err error) {
	if len(boot) != disk.SectorSize || len(core) < 2*disk.SectorSize {
		return nil, nil, errors.New("GRUB's boot.img or core.img has an unknown form")
	}
	mbr, part = bytes.Clone(boot[:bootCodeEnd]), bytes.Clone(core)
	binary.LittleEndian.PutUint64(mbr[kernelSector:], lba)
	mbr[driveCheck], mbr[driveCheck+1] = 0x90, 0x90 // believe the BIOS's drive number
	sectors := (len(core) + disk.SectorSize - 1) / disk.SectorSize
	binary.LittleEndian.PutUint64(part[blockList:], lba+1)
	binary.LittleEndian.PutUint16(part[blockCount:], uint16(sectors-1))
	return mbr, part, nil
}
