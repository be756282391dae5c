package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	mbrSignature = 440 // where the disk's signature is; boot code is before it
	mbrTable     = 446
	mbrMagic     = 510
	mbrEntries   = 4
	mbrEntrySize = 16
	mbrSectors   = 1<<32 - 1 // what its fields can say: 2 TiB, whatever the disk has
)

func hasMagic(s *[SectorSize]byte) bool { return s[mbrMagic] == 0x55 && s[mbrMagic+1] == 0xaa }

// protective reports whether a first sector says that a GPT follows.
func protective(s *[SectorSize]byte) bool {
	if !hasMagic(s) {
		return false
	}
	for i := range mbrEntries {
		if s[mbrTable+i*mbrEntrySize+4] == codeGPT {
			return true
		}
	}
	return false
}

// readMBR reads the four entries of the first sector. Extended partitions are
// entries like any other: nobody needs what is in them.
func readMBR(sectors uint64, s *[SectorSize]byte) (*Table, error) {
	if !hasMagic(s) || protective(s) {
		return nil, ErrNoTable
	}
	t := &Table{Scheme: MBR, Sectors: sectors, Signature: binary.LittleEndian.Uint32(s[mbrSignature:])}
	for i := range mbrEntries {
		e := s[mbrTable+i*mbrEntrySize:][:mbrEntrySize]
		if e[0]&0x7f != 0 {
			// Only 0x00 and 0x80 occur: else this is the boot sector of a
			// file system that has the disk for itself.
			return nil, ErrNoTable
		}
		if e[4] == 0 {
			continue
		}
		t.Parts = append(t.Parts, Partition{
			Number: i + 1, Code: e[4], Active: e[0] == 0x80,
			Start:   uint64(binary.LittleEndian.Uint32(e[8:])),
			Sectors: uint64(binary.LittleEndian.Uint32(e[12:])),
		})
	}
	return t, nil
}

func (t *Table) writeMBR(f File) error {
	s, err := firstSector(f)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(s[mbrSignature:], t.Signature)
	clear(s[mbrSignature+4 : mbrMagic])
	for _, p := range t.Parts {
		e := s[mbrTable+(p.Number-1)*mbrEntrySize:]
		copy(e, []byte{0, 0xfe, 0xff, 0xff, p.Code, 0xfe, 0xff, 0xff}) // cylinders and heads: too far for them
		if p.Active {
			e[0] = 0x80
		}
		binary.LittleEndian.PutUint32(e[8:], uint32(p.Start))
		binary.LittleEndian.PutUint32(e[12:], uint32(p.Sectors))
	}
	return writeFirstSector(f, s)
}

func firstSector(r io.ReaderAt) (*[SectorSize]byte, error) {
	var s [SectorSize]byte
	if n, err := r.ReadAt(s[:], 0); err != nil && !(n == 0 && errors.Is(err, io.EOF)) {
		return nil, fmt.Errorf("read the first sector: %w", err)
	}
	return &s, nil
}

func writeFirstSector(f File, s *[SectorSize]byte) error {
	s[mbrMagic], s[mbrMagic+1] = 0x55, 0xaa
	if _, err := f.WriteAt(s[:], 0); err != nil {
		return fmt.Errorf("write the first sector: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write the first sector: %w", err)
	}
	return nil
}
