package store

import (
	"errors"
	"testing"
)

// TestBrokenStoreKeepsJournal asks for a checkpoint after the disk failed.
func TestBrokenStoreKeepsJournal(t *testing.T) {
	s, err := Open(t.TempDir(), Options{Reserve: 1 << 20, JournalSegment: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	a := addAccount(t, s, "anna@example.test")
	m := inbox(t, a)
	for i := range 3 {
		put(t, a, m, text(i, 600<<10))
	}
	before := len(s.journal.sealed)
	if before == 0 {
		t.Fatal("no file of the journal is full")
	}
	s.breakDown(errors.New("the disk failed"))
	if err := s.exclusive(s.checkpoint); !errors.Is(err, ErrBroken) {
		t.Errorf("checkpoint: %v", err)
	}
	s.Close()
	if n := len(s.journal.spare); n > 0 {
		t.Errorf("%d of %d files of the journal were let go", n, before)
	}
}
