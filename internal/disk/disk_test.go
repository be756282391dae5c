package disk

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

// A ram is a disk in memory. After cut further writes it loses them, as in a
// power cut.
type ram struct {
	b   []byte
	cut int // writes that still arrive; negative: all
}

func newRAM(sectors int) *ram { return &ram{b: make([]byte, sectors*SectorSize), cut: -1} }

func (d *ram) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(d.b).ReadAt(p, off)
}

func (d *ram) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(d.b)) {
		return 0, io.ErrShortWrite
	}
	if d.cut == 0 {
		return len(p), nil
	}
	d.cut--
	return copy(d.b[off:], p), nil
}

func (d *ram) Sync() error { return nil }

func (d *ram) read(t *testing.T) *Table {
	t.Helper()
	got, err := Read(d, int64(len(d.b)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

const small = 8 << 20 / SectorSize

// sample is a small disk as our images have it.
func sample(t *testing.T, s Scheme) *ram {
	t.Helper()
	d := newRAM(small)
	copy(d.b, "boot code")
	tab := New(s, int64(len(d.b)))
	tab.Signature = 0x686d6169
	tab.ID = mustGUID("01234567-89ab-4def-8123-456789abcdef")
	for i := range 3 {
		p := Partition{Sectors: 2 << 20 / SectorSize, Type: TypeLinux, Name: "root ä", Code: CodeLinux}
		if _, err := tab.AppendPartition(p); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := tab.Write(d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRoundTrip(t *testing.T) {
	for _, s := range []Scheme{GPT, MBR} {
		d := sample(t, s)
		if !bytes.HasPrefix(d.b, []byte("boot code")) {
			t.Error("the boot code is gone")
		}
		got := d.read(t)
		if got.Scheme != s || got.Stale || len(got.Parts) != 3 {
			t.Fatalf("got %+v", got)
		}
		before := bytes.Clone(d.b)
		if err := got.Write(d); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, d.b) {
			t.Errorf("scheme %d: writing what was read changes the disk", s)
		}
	}
}

func TestAppendPartitionFillsTheDisk(t *testing.T) {
	for _, s := range []Scheme{GPT, MBR} {
		d := sample(t, s)
		d.b = append(d.b, make([]byte, 8<<20)...) // flashed to a larger disk
		tab := d.read(t)
		if s == GPT && !tab.Stale {
			t.Error("the backup is not at the end, and nobody says so")
		}
		was := slices.Clone(tab.Parts)
		p, err := tab.AppendPartition(Partition{Type: TypeLinux, Code: CodeLinux})
		if err != nil {
			t.Fatal(err)
		}
		if err := tab.Write(d); err != nil {
			t.Fatal(err)
		}
		got := d.read(t)
		if got.Stale || !slices.Equal(got.Parts[:3], was) || p.Number != 4 {
			t.Errorf("got %+v", got)
		}
		if end := got.Parts[3].Offset() + got.Parts[3].Size(); p.Start%align != 0 || int64(len(d.b))-end > 34*SectorSize {
			t.Errorf("%+v ends at %d of %d", p, end, len(d.b))
		}
		if _, err := got.AppendPartition(Partition{Type: TypeLinux}); !errors.Is(err, ErrFull) {
			t.Errorf("a full disk: %v", err)
		}
	}
}

// TestMBRHasTwoTiB holds that a larger disk is used as far as an MBR can say.
func TestMBRHasTwoTiB(t *testing.T) {
	tab := New(MBR, 8<<40)
	p, err := tab.AppendPartition(Partition{Code: CodeLinux})
	if err != nil || p.Start+p.Sectors != mbrSectors {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestPowerCut writes a table and stops after each of the writes: the disk
// then has the old table or the new one.
func TestPowerCut(t *testing.T) {
	for _, s := range []Scheme{GPT, MBR} {
		for cut := range 6 {
			d := sample(t, s)
			d.b = append(d.b, make([]byte, 8<<20)...)
			tab := d.read(t)
			old := slices.Clone(tab.Parts)
			tab.NewIDs()
			if _, err := tab.AppendPartition(Partition{Type: TypeLinux, Code: CodeLinux, Number: 4}); err != nil {
				t.Fatal(err)
			}
			d.cut = cut
			if err := tab.Write(d); err != nil {
				t.Fatal(err)
			}
			got := d.read(t)
			if !slices.Equal(got.Parts, old) && !slices.Equal(got.Parts, tab.Parts) {
				t.Errorf("scheme %d, %d writes: %+v", s, cut, got.Parts)
			}
		}
	}
}

func TestBackup(t *testing.T) {
	d := sample(t, GPT)
	want := d.read(t).Parts
	d.b[SectorSize+60] ^= 1
	got := d.read(t)
	if !got.Stale || !slices.Equal(got.Parts, want) {
		t.Errorf("from the backup: %+v", got)
	}
	if err := got.Write(d); err != nil {
		t.Fatal(err)
	}
	if d.read(t).Stale {
		t.Error("Write does not mend the first copy")
	}
	d.b[SectorSize+60] ^= 1
	d.b[len(d.b)-SectorSize+60] ^= 1
	if got, err := Read(d, int64(len(d.b))); err == nil {
		t.Errorf("both copies are damaged: %+v", got)
	}
}

func TestNewIDs(t *testing.T) {
	for _, s := range []Scheme{GPT, MBR} {
		d := sample(t, s)
		tab := d.read(t)
		old := map[string]bool{}
		for _, p := range tab.Parts {
			old[tab.PartUUID(p)] = true
		}
		id, sig := tab.ID, tab.Signature
		tab.NewIDs()
		if err := tab.Write(d); err != nil {
			t.Fatal(err)
		}
		tab = d.read(t)
		if tab.ID == id && tab.Signature == sig {
			t.Error("the disk has its old name")
		}
		for _, p := range tab.Parts {
			if old[tab.PartUUID(p)] {
				t.Errorf("partition %d has its old name", p.Number)
			}
		}
	}
}

func TestPartUUID(t *testing.T) {
	tab := &Table{Scheme: MBR, Signature: 0x686d6169}
	if got := tab.PartUUID(Partition{Number: 2}); got != "686d6169-02" {
		t.Error(got)
	}
	const s = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	tab = &Table{Scheme: GPT}
	if got := tab.PartUUID(Partition{ID: mustGUID(s)}); got != s {
		t.Error(got)
	}
	if g := mustGUID(s); g[0] != 0x28 || g[4] != 0x1f || g[8] != 0xba {
		t.Errorf("on the disk: %x", g)
	}
	for _, bad := range []string{"", "c12a7328f81f11d2ba4b00a0c93ec93b", "c12a7328-f81f-11d2-ba4b-00a0c93ec93x", "c12a73-28f81f-11d2-ba4b-00a0c93ec93b"} {
		if _, err := ParseGUID(bad); err == nil {
			t.Errorf("%q is a GUID", bad)
		}
	}
}

func TestNoTable(t *testing.T) {
	d := newRAM(100)
	if _, err := Read(d, int64(len(d.b))); !errors.Is(err, ErrNoTable) {
		t.Errorf("an empty disk: %v", err)
	}
	d.b[510], d.b[511] = 0x55, 0xaa
	copy(d.b[446:], "Replace and press any key") // a FAT without partitions
	if _, err := Read(d, int64(len(d.b))); !errors.Is(err, ErrNoTable) {
		t.Errorf("a boot sector: %v", err)
	}
}

func TestOverlap(t *testing.T) {
	tab := New(GPT, 8<<20)
	if err := tab.Add(Partition{Number: 1, Start: 2048, Sectors: 100, Type: TypeESP}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Partition{
		{Number: 1, Start: 4096, Sectors: 1},
		{Number: 2, Start: 2147, Sectors: 1},
		{Number: 2, Start: 1, Sectors: 4096},
		{Number: 2, Start: 4096},
		{Number: 2, Start: 4096, Sectors: 1 << 63},
		{Number: 129, Start: 4096, Sectors: 1},
	} {
		if err := tab.Add(p); err == nil || len(tab.Parts) != 1 {
			t.Errorf("%+v was added", p)
		}
	}
}
