package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestLostSecretsKey starts a house whose secrets.key is gone: it opens, and
// what leaves goes without a signature until its owner asks for new keys.
func TestLostSecretsKey(t *testing.T) {
	c := trySettings(t.TempDir())
	listenOn(&c, func(string) int { return 0 })
	inside := func(use func(*house)) {
		t.Helper()
		h, err := openHouse(t.Context(), c, world{}, quietLog(io.Discard))
		if err != nil {
			t.Fatal(err)
		}
		use(h)
		if err := h.close(); err != nil {
			t.Error(err)
		}
	}
	signs := func(h *house, want bool) {
		t.Helper()
		o, err := h.outside()
		if err != nil {
			t.Fatal(err)
		}
		signing, err := o.Sign("example.test")
		if err != nil || (signing != nil) != want {
			t.Errorf("signs: %v, %v", signing, err)
		}
		sealing, err := o.Seal("example.test")
		if err != nil || (sealing != nil) != want {
			t.Errorf("seals: %v, %v", sealing, err)
		}
	}
	inside(func(h *house) {
		if err := h.store.AddDomain("example.test"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.keys.Make("example.test"); err != nil {
			t.Fatal(err)
		}
		signs(h, true)
	})
	if err := os.Remove(filepath.Join(c.Data, "secrets.key")); err != nil {
		t.Fatal(err)
	}
	inside(func(h *house) {
		signs(h, false)
		if _, err := h.keys.Rotate("example.test"); err != nil {
			t.Fatal(err)
		}
		signs(h, true)
	})
}
