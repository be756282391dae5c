package disk

import (
	"reflect"
	"testing"
)

// FuzzRead: what Read accepts has partitions on the disk, apart from each
// other; it can be written and read again, is then not stale, and takes a
// further partition that moves no other.
func FuzzRead(f *testing.F) {
	const sectors = 4096
	for _, s := range []Scheme{GPT, MBR} {
		d := newRAM(sectors)
		tab := New(s, sectors*SectorSize)
		tab.entries = 4
		if err := tab.Add(Partition{Number: 2, Start: 2048, Sectors: 7, Type: TypeLinux, Code: CodeLinux, Name: "r"}); err != nil {
			f.Fatal(err)
		}
		if err := tab.Write(d); err != nil {
			f.Fatal(err)
		}
		f.Add(d.b[:3*SectorSize], d.b[len(d.b)-2*SectorSize:])
	}
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		d := newRAM(sectors)
		copy(d.b, head)
		if n := len(tail); n <= len(d.b) {
			copy(d.b[len(d.b)-n:], tail)
		}
		tab, err := Read(d, int64(len(d.b)))
		if err != nil {
			return
		}
		taken := make([]bool, sectors)
		for _, p := range tab.Parts {
			for i := range p.Sectors {
				if taken[p.Start+i] {
					t.Fatalf("sector %d is in two partitions", p.Start+i)
				}
				taken[p.Start+i] = true
			}
		}
		tab.AppendPartition(Partition{Type: TypeLinux, Code: CodeLinux})
		if err := tab.Write(d); err != nil {
			t.Fatalf("write %+v: %v", tab, err)
		}
		again, err := Read(d, int64(len(d.b)))
		if err != nil || again.Stale {
			t.Fatalf("read again: %+v, %v", again, err)
		}
		tab.Stale = false
		if !reflect.DeepEqual(tab.Parts, again.Parts) {
			t.Fatalf("%+v, then %+v", tab.Parts, again.Parts)
		}
	})
}
