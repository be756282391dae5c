package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedTable destroys the blocks of a table: the start is refused with its
// name, or what was lost is reported; it never ends the process.
func TestDamagedTable(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		if err := s.PutState(fmt.Sprintf("x/%06d", i), bytes.Repeat([]byte{byte(i)}, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, _ := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	if len(tables) == 0 {
		t.Fatal("there is no table")
	}
	whole, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := 0; at < len(whole); at += len(whole)/60 + 1 {
		b := bytes.Clone(whole)
		for i := at; i < min(at+len(whole)/60, len(b)); i++ {
			b[i] ^= 0xff
		}
		if err := os.WriteFile(tables[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{Reserve: 1 << 20})
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), "table") && !strings.Contains(err.Error(), "damaged") {
				t.Errorf("bytes from %d on: %v", at, err)
			}
			continue
		}
		s.Close()
	}
	if refused == 0 {
		t.Error("no damage was noticed at the start")
	}
}
