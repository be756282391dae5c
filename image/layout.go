package main

import (
	"fmt"
	"io"
	"os"

	"homemail/internal/disk"
)

const (
	mib = 1 << 20

	bootSize = 256 * mib // two kernels, and the letter box
	rootSize = 256 * mib // each
)

// The partitions. The data partition gets number 4 when the box first starts.
const (
	bootPart  = 1
	rootPartA = 2
	rootPartB = 3
	biosPart  = 5
)

const (
	biosStart = 40 // behind the GPT, which ends with sector 33
	align     = mib / disk.SectorSize
)

// The names in an image. The box gives itself new ones when it first starts: two
// disks from one image can be told apart then.
const (
	diskGUID    = "686f6d65-6d61-496c-8000-000000000000"
	partGUID    = "686f6d65-6d61-496c-8000-0000000000%02d"
	mbrID       = 0x686d6169
	volumeID    = "686d6169"
	volumeLabel = "HOMEMAIL"
)

func guid(s string) disk.GUID {
	g, err := disk.ParseGUID(s)
	if err != nil {
		panic(err) // a constant above is wrong
	}
	return g
}

// table is the partition table of an image.
func table(s disk.Scheme) (*disk.Table, error) {
	size := int64(mib + bootSize + 2*rootSize + mib) // room for the GPT at both ends
	t := disk.New(s, size)
	t.ID, t.Signature = guid(diskGUID), mbrID
	parts := []disk.Partition{
		{Number: bootPart, Sectors: bootSize / disk.SectorSize, Type: disk.TypeESP, Code: disk.CodeFAT32, Active: true, Name: "homemail boot"},
		{Number: rootPartA, Sectors: rootSize / disk.SectorSize, Type: disk.TypeLinux, Code: disk.CodeLinux, Name: "homemail root a"},
		{Number: rootPartB, Sectors: rootSize / disk.SectorSize, Type: disk.TypeLinux, Code: disk.CodeLinux, Name: "homemail root b"},
	}
	for _, p := range parts {
		p.ID = guid(fmt.Sprintf(partGUID, p.Number))
		if _, err := t.AppendPartition(p); err != nil {
			return nil, err
		}
	}
	if s == disk.MBR {
		return t, nil
	}
	return t, t.Add(disk.Partition{
		Number: biosPart, Start: biosStart, Sectors: align - biosStart, Type: disk.TypeBIOSBoot,
		ID: guid(fmt.Sprintf(partGUID, biosPart)), Name: "homemail BIOS",
	})
}

// A content is what an image has at some place.
type content struct {
	at   int64
	room int64
	file string // or
	data []byte
}

// writeImage writes an image. What is zero stays a hole in the file.
func writeImage(name string, t *disk.Table, contents []content) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if err := f.Truncate(int64(t.Sectors) * disk.SectorSize); err != nil {
		return err
	}
	for _, c := range contents {
		if err := c.write(f); err != nil {
			return err
		}
	}
	return t.Write(f) // keeps boot code
}

func (c content) write(f *os.File) error {
	if c.file == "" {
		if int64(len(c.data)) > c.room {
			return fmt.Errorf("%d octets at %d have room for %d", len(c.data), c.at, c.room)
		}
		_, err := f.WriteAt(c.data, c.at)
		return err
	}
	in, err := os.Open(c.file)
	if err != nil {
		return err
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || info.Size() > c.room {
		return fmt.Errorf("%s does not fit into %d octets (%w)", c.file, c.room, err)
	}
	return copySparse(f, in, c.at)
}

func copySparse(f *os.File, in io.Reader, at int64) error {
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 && string(buf[:n]) != string(zero[:n]) {
			if _, err := f.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
