package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

const (
	gptEntries    = 128 // what everybody writes: 16 KiB, the least that UEFI allows
	maxGPTEntries = 1024
	entrySize     = 128
	headerSize    = 92
	nameUnits     = 36
)

const gptSignature = "EFI PART"

func (t *Table) entrySectors() uint64 {
	return (uint64(t.entries)*entrySize + SectorSize - 1) / SectorSize
}

// readGPT tries the copy after the first sector, then the one that ends the
// disk. Without a protective MBR (UEFI 2.10 §5.2.3) what looks like a GPT is
// left over from an older use of the disk.
func readGPT(r io.ReaderAt, sectors uint64, first *[SectorSize]byte) (*Table, error) {
	if !protective(first) || sectors < 3 {
		return nil, ErrNoTable
	}
	t, alternate, err := readGPTAt(r, sectors, 1)
	if err == nil {
		_, _, backup := readGPTAt(r, sectors, sectors-1)
		t.Stale = alternate != sectors-1 || backup != nil
		return t, nil
	}
	t, _, backup := readGPTAt(r, sectors, sectors-1)
	if backup != nil {
		return nil, fmt.Errorf("both copies of the GPT are damaged: %w", err)
	}
	t.Stale = true
	return t, nil
}

// readGPTAt reads the copy whose header is at sector lba (UEFI 2.10 §5.3.2).
func readGPTAt(r io.ReaderAt, sectors, lba uint64) (t *Table, alternate uint64, err error) {
	le := binary.LittleEndian
	h := make([]byte, SectorSize)
	if _, err := r.ReadAt(h, int64(lba)*SectorSize); err != nil {
		return nil, 0, fmt.Errorf("read the GPT's header: %w", err)
	}
	sum := le.Uint32(h[16:])
	clear(h[16:20])
	size, count := le.Uint32(h[12:]), le.Uint32(h[80:])
	switch {
	case string(h[:8]) != gptSignature || size < headerSize || size > SectorSize:
		return nil, 0, fmt.Errorf("sector %d has no header of a GPT", lba)
	case crc32.ChecksumIEEE(h[:size]) != sum || le.Uint64(h[24:]) != lba:
		return nil, 0, fmt.Errorf("the GPT's header in sector %d is damaged", lba)
	case le.Uint32(h[84:]) != entrySize || count == 0 || count > maxGPTEntries:
		return nil, 0, fmt.Errorf("the GPT in sector %d has %d entries of %d octets", lba, count, le.Uint32(h[84:]))
	}
	t = &Table{Scheme: GPT, Sectors: sectors, entries: int(count), ID: GUID(h[56:72])}
	at := le.Uint64(h[72:])
	if at < 2 || at > sectors-1 || t.entrySectors() > sectors-at {
		return nil, 0, fmt.Errorf("the entries of the GPT in sector %d are not on the disk", lba)
	}
	raw := make([]byte, count*entrySize)
	if _, err := r.ReadAt(raw, int64(at)*SectorSize); err != nil {
		return nil, 0, fmt.Errorf("read the GPT's entries: %w", err)
	}
	if crc32.ChecksumIEEE(raw) != le.Uint32(h[88:]) {
		return nil, 0, fmt.Errorf("the entries of the GPT in sector %d are damaged", lba)
	}
	for i := range int(count) {
		if p, ok := parseEntry(raw[i*entrySize:][:entrySize]); ok {
			p.Number = i + 1
			t.Parts = append(t.Parts, p)
		}
	}
	return t, le.Uint64(h[32:]), nil
}

// parseEntry reads an entry (UEFI 2.10 §5.3.3). One that ends before it starts
// gets no sectors; check refuses it.
func parseEntry(e []byte) (p Partition, used bool) {
	le := binary.LittleEndian
	p = Partition{
		Type: GUID(e[0:16]), ID: GUID(e[16:32]),
		Start: le.Uint64(e[32:]), Attributes: le.Uint64(e[48:]),
	}
	if last := le.Uint64(e[40:]); last >= p.Start {
		p.Sectors = last - p.Start + 1
	}
	var name []uint16
	for i := range nameUnits {
		u := le.Uint16(e[56+2*i:])
		if u == 0 {
			break
		}
		name = append(name, u)
	}
	p.Name = string(utf16.Decode(name))
	return p, !p.Type.IsZero()
}

func (p Partition) entry(e []byte) {
	le := binary.LittleEndian
	copy(e[0:], p.Type[:])
	copy(e[16:], p.ID[:])
	le.PutUint64(e[32:], p.Start)
	le.PutUint64(e[40:], p.Start+p.Sectors-1)
	le.PutUint64(e[48:], p.Attributes)
	name := utf16.Encode([]rune(p.Name))
	for i := range min(len(name), nameUnits) {
		le.PutUint16(e[56+2*i:], name[i])
	}
}

func (t *Table) writeGPT(f File) error {
	raw := make([]byte, t.entries*entrySize)
	for _, p := range t.Parts {
		p.entry(raw[(p.Number-1)*entrySize:])
	}
	end := t.Sectors - 1
	if err := t.writeCopy(f, raw, end, 1, end-t.entrySectors()); err != nil {
		return err
	}
	if err := t.writeCopy(f, raw, 1, end, 2); err != nil {
		return err
	}
	return t.protect(f)
}

// writeCopy writes the entries, then the header that speaks for them, and
// waits until the disk has them.
func (t *Table) writeCopy(f File, raw []byte, lba, alternate, entries uint64) error {
	if _, err := f.WriteAt(raw, int64(entries)*SectorSize); err != nil {
		return fmt.Errorf("write the GPT's entries: %w", err)
	}
	le := binary.LittleEndian
	first, last := t.usable()
	h := make([]byte, SectorSize)
	copy(h, gptSignature)
	le.PutUint32(h[8:], 0x00010000) // revision 1.0
	le.PutUint32(h[12:], headerSize)
	le.PutUint64(h[24:], lba)
	le.PutUint64(h[32:], alternate)
	le.PutUint64(h[40:], first)
	le.PutUint64(h[48:], last)
	copy(h[56:], t.ID[:])
	le.PutUint64(h[72:], entries)
	le.PutUint32(h[80:], uint32(t.entries))
	le.PutUint32(h[84:], entrySize)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(raw))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:headerSize]))
	if _, err := f.WriteAt(h, int64(lba)*SectorSize); err != nil {
		return fmt.Errorf("write the GPT's header: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write the GPT: %w", err)
	}
	return nil
}

// protect makes the first sector say that all of the disk is taken, for
// programs that know no GPT (UEFI 2.10 §5.2.3). Boot code stays.
func (t *Table) protect(f File) error {
	s, err := firstSector(f)
	if err != nil {
		return err
	}
	clear(s[mbrTable : mbrTable+mbrEntries*mbrEntrySize])
	e := s[mbrTable:]
	copy(e, []byte{0, 0, 2, 0, codeGPT, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(t.Sectors-1, 0xffffffff)))
	return writeFirstSector(f, s)
}
