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

// state is equal as long as the files are the same. Linked files are followed:
// certbot changes only its links.
func (p pair) state() string {
	var s string
	for _, path := range []string{p.cert, p.key} {
		real, _ := filepath.EvalSymlinks(path)
		st, err := os.Stat(path)
		if err != nil {
			s += err.Error() + "\n"
			continue
		}
		s += fmt.Sprintln(real, st.Size(), st.ModTime().UnixNano(), st.Mode())
	}
	return s
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
