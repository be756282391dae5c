package main

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
)

const (
	secretName = "sign-in.secret"
	secretSize = 32
)

// secret returns what the SCRAM salts of names that do not exist are made of.
// It is kept: a salt that a restart changes would be that of nobody. Losing it
// costs no more than that, once.
func secret(dir string) ([]byte, error) {
	path := filepath.Join(dir, secretName)
	b, err := os.ReadFile(path)
	if err == nil && len(b) == secretSize {
		return b, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	b = make([]byte, secretSize)
	rand.Read(b) // never fails, crypto/rand
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return nil, err
	}
	return b, os.Rename(path+".new", path)
}
