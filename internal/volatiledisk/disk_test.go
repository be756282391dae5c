package volatiledisk

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func newDisk(t *testing.T, sectors int64) (*Disk, *os.File) {
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(sectors * Sector); err != nil {
		t.Fatal(err)
	}
	d, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	return d, f
}

// TestCut: what was flushed survives, what was not survives sector by sector.
func TestCut(t *testing.T) {
	for _, keep := range []float64{0, 0.5, 1} {
		d, f := newDisk(t, 64)
		old, young := bytes.Repeat([]byte{1}, 64*Sector), bytes.Repeat([]byte{2}, 64*Sector)
		d.WriteAt(old, 0)
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		d.WriteAt(young, 0)
		if err := d.Cut(3, keep); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		kept := 0
		for i := 0; i < len(got); i += Sector {
			switch s := got[i : i+Sector]; {
			case bytes.Equal(s, young[:Sector]):
				kept++
			case !bytes.Equal(s, old[:Sector]):
				t.Fatalf("keep %v: a sector is torn", keep)
			}
		}
		if kept != d.Stats.Pending-d.Stats.Dropped || keep == 0 && kept != 0 || keep == 1 && kept != 64 || keep == 0.5 && (kept < 10 || kept > 54) {
			t.Errorf("keep %v: %d sectors were kept, %+v", keep, kept, d.Stats)
		}
		if _, err := d.WriteAt(old, 0); err != ErrCut {
			t.Errorf("a write after the cut: %v", err)
		}
		if err := d.Flush(); err != ErrCut {
			t.Errorf("a flush after the cut: %v", err)
		}
	}
}

// TestReadsWhatWasWritten compares a disk with a slice of bytes.
func TestReadsWhatWasWritten(t *testing.T) {
	d, _ := newDisk(t, 16)
	model := make([]byte, d.Size())
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		off := r.Int64N(d.Size())
		p := make([]byte, r.Int64N(min(3*Sector, d.Size()-off)+1))
		switch r.IntN(5) {
		case 0:
			d.Flush()
		case 1, 2:
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			copy(model[off:], p)
			if n, err := d.WriteAt(p, off); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		default:
			if n, err := d.ReadAt(p, off); n != len(p) || err != nil || !bytes.Equal(p, model[off:off+int64(n)]) {
				t.Fatalf("%d bytes at %d: %v", len(p), off, err)
			}
		}
	}
}
