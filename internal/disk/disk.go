// Package disk reads and writes the partition tables of the box's disks: GPT
// (UEFI 2.10 §5.3) on a PC, MBR on a Raspberry Pi. It knows sectors of 512
// octets only, and never looks inside a partition.
package disk

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// SectorSize is what all our images are made for.
const SectorSize = 512

// align is where new partitions start: flash cards erase in blocks of up to
// 1 MiB and more, and every partitioning program uses this since 2009.
const align = 1 << 20 / SectorSize

var (
	// ErrNoTable is returned if a disk has neither a GPT nor an MBR.
	ErrNoTable = errors.New("the disk has no partition table that we know")
	// ErrFull is returned if there is no room for another partition.
	ErrFull = errors.New("the disk has no room for another partition")
)

// A Scheme is a kind of partition table.
type Scheme int

// The schemes that Read knows.
const (
	GPT Scheme = iota + 1
	MBR
)

// A Table is the partition table of a disk.
type Table struct {
	Scheme    Scheme
	ID        GUID   // of a disk with a GPT
	Signature uint32 // of a disk with an MBR
	Sectors   uint64 // of the disk
	Parts     []Partition

	// Stale is set by Read if one copy of the GPT is damaged or missing, or
	// if the disk is larger than its GPT says. Write mends both.
	Stale bool

	entries int // room in the GPT's array
}

// A Partition is one entry of a Table.
type Partition struct {
	Number  int // from 1, as the kernel counts
	Start   uint64
	Sectors uint64

	Type       GUID // in a GPT
	ID         GUID
	Attributes uint64
	Name       string // at most 36 UTF-16 code units

	Code   byte // the type in an MBR
	Active bool // MBR: the firmware may boot it
}

// Offset is where a partition starts, in octets.
func (p Partition) Offset() int64 { return int64(p.Start) * SectorSize }

// Size is how many octets a partition has.
func (p Partition) Size() int64 { return int64(p.Sectors) * SectorSize }

// A File is a disk that can be written: an *os.File.
type File interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// New returns an empty table for a disk of size octets.
func New(s Scheme, size int64) *Table {
	return &Table{Scheme: s, Sectors: uint64(size) / SectorSize, entries: gptEntries}
}

// Read reads the table of a disk of size octets. If the first copy of a GPT is
// damaged the one at the end of the disk is taken. What it returns has no two
// partitions that overlap and none that leaves the disk. The error is ErrNoTable
// or says what is wrong with the table.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	if size < SectorSize {
		return nil, ErrNoTable
	}
	var first [SectorSize]byte
	if _, err := r.ReadAt(first[:], 0); err != nil {
		return nil, fmt.Errorf("read the first sector: %w", err)
	}
	t, err := readGPT(r, uint64(size)/SectorSize, &first)
	if errors.Is(err, ErrNoTable) {
		t, err = readMBR(uint64(size)/SectorSize, &first)
	}
	if err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// Write writes the table. Of a GPT the copy at the end of the disk comes first
// and is on the disk before the one at its start changes, so that a power cut
// leaves one of them whole. An MBR is one sector. Boot code is left as it is.
func (t *Table) Write(f File) error {
	if err := t.check(); err != nil {
		return err
	}
	if t.Scheme == MBR {
		return t.writeMBR(f)
	}
	return t.writeGPT(f)
}

// Part returns a partition by its number.
func (t *Table) Part(number int) (Partition, bool) {
	for _, p := range t.Parts {
		if p.Number == number {
			return p, true
		}
	}
	return Partition{}, false
}

// PartUUID is what the kernel calls a partition in root=PARTUUID=.
func (t *Table) PartUUID(p Partition) string {
	if t.Scheme == MBR {
		return fmt.Sprintf("%08x-%02x", t.Signature, p.Number)
	}
	return p.ID.String()
}

// AppendPartition adds p behind all others. Its Number is the lowest free one
// unless it is set, its Start is chosen, and its Sectors are all to the end of
// the disk unless they are set. A GPT's partition without an ID gets a random
// one. The disk does not change before Write. The error is ErrFull if there
// are no numbers or no sectors left.
func (t *Table) AppendPartition(p Partition) (Partition, error) {
	if p.Number == 0 {
		p.Number = 1
		for _, used := t.Part(p.Number); used; _, used = t.Part(p.Number) {
			p.Number++
		}
	}
	start := uint64(align)
	for _, q := range t.Parts {
		start = max(start, q.Start+q.Sectors)
	}
	p.Start = (start + align - 1) / align * align
	_, last := t.usable()
	if p.Start > last || p.Number > t.room() {
		return Partition{}, ErrFull
	}
	if room := last + 1 - p.Start; p.Sectors == 0 {
		p.Sectors = room
	} else if p.Sectors > room {
		return Partition{}, ErrFull
	}
	if t.Scheme == GPT && p.ID.IsZero() {
		p.ID = NewGUID()
	}
	return t.fit(p), t.Add(p)
}

// Add adds p where it says. What only the other scheme has is dropped.
func (t *Table) Add(p Partition) error {
	p = t.fit(p)
	was := t.Parts
	t.Parts = append(slices.Clone(was), p)
	slices.SortFunc(t.Parts, func(a, b Partition) int { return cmp.Compare(a.Number, b.Number) })
	if err := t.check(); err != nil {
		t.Parts = was
		return err
	}
	return nil
}

// fit drops from p what this scheme has no room for, so that callers can say a
// partition's type for both.
func (t *Table) fit(p Partition) Partition {
	if t.Scheme == MBR {
		return Partition{Number: p.Number, Start: p.Start, Sectors: p.Sectors, Code: p.Code, Active: p.Active}
	}
	p.Code, p.Active = 0, false
	return p
}

// NewIDs gives the disk and its partitions random names, so that two disks
// flashed from one image can be told apart. Numbers and places stay.
func (t *Table) NewIDs() {
	g := NewGUID()
	if t.Scheme == MBR {
		t.Signature = binary.LittleEndian.Uint32(g[:4]) | 1 // never 0, which means none
		return
	}
	t.ID = g
	for i := range t.Parts {
		t.Parts[i].ID = NewGUID()
	}
}

// room is the highest number that a partition can have.
func (t *Table) room() int {
	if t.Scheme == MBR {
		return mbrEntries
	}
	return t.entries
}

// usable returns the first and the last sector that partitions may have.
func (t *Table) usable() (first, last uint64) {
	if t.Scheme == MBR {
		return 1, min(t.Sectors, mbrSectors) - 1
	}
	n := t.entrySectors()
	if t.Sectors < 2*n+4 {
		return 1, 0
	}
	return 2 + n, t.Sectors - n - 2
}

// check says whether a table may be written, and be believed.
func (t *Table) check() error {
	first, last := t.usable()
	for i, p := range t.Parts {
		switch {
		case p.Number < 1 || p.Number > t.room():
			return fmt.Errorf("no partition can have the number %d", p.Number)
		case p.Sectors == 0:
			return fmt.Errorf("partition %d is empty", p.Number)
		case p.Start < first || p.Start > last || p.Sectors-1 > last-p.Start:
			return fmt.Errorf("partition %d leaves the disk of %d sectors", p.Number, t.Sectors)
		}
		for _, q := range t.Parts[:i] {
			if p.Number == q.Number {
				return fmt.Errorf("two partitions have the number %d", p.Number)
			}
			if p.Start < q.Start+q.Sectors && q.Start < p.Start+p.Sectors {
				return fmt.Errorf("partitions %d and %d overlap", q.Number, p.Number)
			}
		}
	}
	return nil
}

// A GUID is kept as it stands on the disk: the first three groups of its text
// are little endian (UEFI 2.10, appendix A).
type GUID [16]byte

// The partition types that we use.
var (
	TypeESP      = mustGUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	TypeBIOSBoot = mustGUID("21686148-6449-6e6f-744e-656564454649")
	TypeLinux    = mustGUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
)

// The types in an MBR.
const (
	CodeFAT32 = 0x0c // with LBA
	CodeLinux = 0x83
	codeGPT   = 0xee
)

// NewGUID returns a random GUID (RFC 9562 §5.4).
func NewGUID() GUID {
	var g GUID
	rand.Read(g[:])
	g[7] = g[7]&0x0f | 0x40 // the version is in the third group, whose octets are swapped
	g[8] = g[8]&0x3f | 0x80
	return g
}

// ParseGUID reads the usual form with four dashes.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	parts := strings.Split(s, "-")
	if len(parts) != 5 || len(s) != 36 || len(parts[0]) != 8 || len(parts[1]) != 4 || len(parts[2]) != 4 || len(parts[3]) != 4 {
		return g, fmt.Errorf("%q is no GUID", s)
	}
	b, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil {
		return g, fmt.Errorf("%q is no GUID", s)
	}
	copy(g[:], b)
	return g.swapped(), nil
}

func mustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

// IsZero reports whether a GUID is all zero, which marks an unused entry.
func (g GUID) IsZero() bool { return g == GUID{} }

// String returns a GUID as the kernel writes it, in small letters.
func (g GUID) String() string {
	b := g.swapped()
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (g GUID) swapped() GUID {
	slices.Reverse(g[0:4])
	slices.Reverse(g[4:6])
	slices.Reverse(g[6:8])
	return g
}
