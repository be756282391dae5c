package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestSecretIsKept(t *testing.T) {
	dir := t.TempDir()
	get := func() []byte {
		b, err := secret(dir)
		if err != nil || len(b) != secretSize {
			t.Fatal(len(b), err)
		}
		return b
	}
	first := get()
	if !bytes.Equal(first, get()) {
		t.Error("another secret after a restart")
	}
	path := filepath.Join(dir, secretName)
	if i, err := os.Stat(path); err != nil || i.Mode() != 0o600 {
		t.Error(i.Mode(), err)
	}
	if err := os.Truncate(path, 7); err != nil { // a power cut
		t.Fatal(err)
	}
	if bytes.Equal(first, get()) || !bytes.Equal(get(), get()) {
		t.Error("a secret that was cut short was not made anew")
	}
}
