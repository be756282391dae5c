// Package storetest opens stores for tests and verifies them when they close.
package storetest

import (
	"context"
	"log/slog"
	"testing"

	"homemail/store"
)

// Open opens a store that is verified and closed when the test ends: every
// invariant has to hold, whatever the test did. A nil log says nothing.
func Open(t testing.TB, dir string, log *slog.Logger) *store.Store {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s, err := store.Open(dir, store.Options{Log: log, Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		Verify(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Verify fails the test for everything that a check of the store finds.
func Verify(t testing.TB, s *store.Store) {
	t.Helper()
	r, err := s.Check(context.Background(), store.CheckOptions{Bodies: true})
	if err != nil {
		t.Errorf("checking the store: %v", err)
	}
	for _, f := range r.Findings {
		t.Errorf("the store: %s", f.What)
	}
}
