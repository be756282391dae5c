package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A pair is a certificate and its key, as PEM files.
type pair struct {
	cert, key string
	mayNot    fs.FileMode // bits that the key's file must not have
}

// Who may read a key: of ours the owner alone; of the system's a group too,
// as Debian's ssl-cert.
const (
	onlyOwnerMay fs.FileMode = 0o077
	othersMayNot fs.FileMode = 0o007
)

const maxPEM = 1 << 20 // a chain has some 10 KB

// errOpenKey is a key that people who should not can read.
var errOpenKey = errors.New("the key can be read by others")

func (p pair) load() (*tls.Certificate, error) {
	chain, _, err := read(p.cert)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, mode, err := read(p.key)
	if err != nil {
		return nil, fmt.Errorf("certificate key: %w", err)
	}
	if mode&p.mayNot != 0 {
		return nil, fmt.Errorf("%s: %w (mode %#o); run \"chmod %o %[1]s\"", p.key, errOpenKey, mode.Perm(), mode.Perm()&^p.mayNot)
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", p.cert, p.key, err)
	}
	return &c, nil
}

func read(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPEM))
	return b, st.Mode(), err
}

// A state of a pair's files tells whether they are still the same.
type state [2]fs.FileInfo

func (p pair) state() (s state) {
	s[0], _ = os.Stat(p.cert) // nil if it cannot be seen
	s[1], _ = os.Stat(p.key)
	return s
}

func (s state) equal(t state) bool {
	for i := range s {
		a, b := s[i], t[i]
		if a == nil || b == nil {
			if a != b {
				return false
			}
			continue
		}
		// Times alone do not do: the kernel's clock for them ticks every 4 ms.
		if !os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || a.Mode() != b.Mode() {
			return false
		}
	}
	return true
}

// writeFile makes a file that is whole or not there at all after a crash.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
