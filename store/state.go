package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/chacha20poly1305"
)

// State is what other packages keep in rows of their own, under paths such as
// "dkim/example.org". They say what it means.

// State returns what is kept at a path, or ErrNotFound.
func (s *Store) State(path string) (v []byte, err error) {
	err = s.view(func(r reader) error {
		v, err = r.get(stateKey(path))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// States gives fn what is kept under paths that start with a prefix, by path,
// until it returns false. What it gets is its own. A row that is damaged is
// logged and comes as nil: it must not hide the others.
func (s *Store) States(prefix string, fn func(path string, v []byte) bool) error {
	const batch = 256
	for from := stateKey(prefix); from != nil; {
		var rows []stateRow
		err := s.view(func(r reader) (err error) {
			rows, err = s.states(r, prefix, from, batch)
			return err
		})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if !fn(r.path, r.value) {
				return nil
			}
		}
		from = nil
		if len(rows) == batch {
			from = append(stateKey(rows[batch-1].path), 0)
		}
	}
	return nil
}

type stateRow struct {
	path  string
	value []byte
}

// states reads the next rows with a prefix, from a key on.
func (s *Store) states(r reader, prefix string, from key, most int) (rows []stateRow, err error) {
	err = r.keys(stateKey(prefix), from, func(key []byte) (bool, error) {
		v, err := r.get(key)
		if errors.Is(err, ErrCorrupt) {
			s.log.Error("a row of state cannot be read", "path", string(key[1:]), "err", err)
			v, err = nil, nil
		}
		rows = append(rows, stateRow{string(key[1:]), v})
		return err == nil && len(rows) < most, err
	})
	return rows, err
}

// PutState keeps something at a path; nil removes it.
func (s *Store) PutState(path string, v []byte) error {
	need := toChange
	if v == nil {
		need = toShrink
	}
	return s.update(need, func(t *tx) error {
		t.putState(path, v)
		return nil
	})
}

// UpdateState changes what is at a path, nil if nothing is, in one transaction.
func (s *Store) UpdateState(path string, fn func(old []byte) ([]byte, error)) error {
	return s.update(toChange, func(t *tx) error {
		old, err := t.get(stateKey(path))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		v, err := fn(old)
		if err != nil {
			return err
		}
		t.putState(path, v)
		return nil
	})
}

func (t *tx) putState(path string, v []byte) {
	if v == nil {
		t.del(stateKey(path))
		return
	}
	t.put(stateKey(path), v)
}

// secretsName is the file of the key that secrets are encrypted under. It is
// beside the database, so that a copy of the database alone gives none away.
const secretsName = "secrets.key"

// SealSecret encrypts a password or a private key, to be kept at a path of
// state and nowhere else: at another it cannot be opened.
func (s *Store) SealSecret(path string, secret []byte) ([]byte, error) {
	key, err := s.secretsKey()
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(secret)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, secret, []byte(path)), nil
}

// OpenSecret decrypts what SealSecret made for a path.
func (s *Store) OpenSecret(path string, sealed []byte) ([]byte, error) {
	key, err := s.secretsKey()
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, fmt.Errorf("%s: %w: the secret is cut short", path, ErrCorrupt)
	}
	secret, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: the secret does not fit the key in %s", path, ErrCorrupt, secretsName)
	}
	return secret, nil
}

// secretsKey reads the key of all secrets, or makes it. Should it be lost, what
// it has sealed is ErrCorrupt from then on, and nothing else is lost.
func (s *Store) secretsKey() ([]byte, error) {
	s.secrets.Lock()
	defer s.secrets.Unlock()
	if s.secretKey != nil {
		return s.secretKey, nil
	}
	name := filepath.Join(s.dir, secretsName)
	key, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		key = make([]byte, chacha20poly1305.KeySize)
		rand.Read(key)
		err = writeFile(name, key)
	}
	if err != nil {
		return nil, err
	}
	if len(key) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("%s: %w: it is not a key", name, ErrCorrupt)
	}
	s.secretKey = key
	return key, nil
}
