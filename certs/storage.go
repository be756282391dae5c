package certs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"homemail/store"
)

// State is where certificates, keys and the account are kept, so that a backup
// holds them; *store.Store is one.
type State interface {
	State(path string) ([]byte, error)
	PutState(path string, v []byte) error
	States(prefix string, fn func(path string, v []byte) bool) error
	SealSecret(path string, secret []byte) ([]byte, error)
	OpenSecret(path string, sealed []byte) ([]byte, error)
}

const statePrefix = "acme/" // of all paths that the storage uses

// A row is its kind, the time of its last change in Unix nanoseconds (64 bits,
// big endian), and what is kept: private keys never in the clear.
const (
	rowPlain   = 'p'
	rowSealed  = 's'
	rowHeader  = 1 + 8
	privateKey = "PRIVATE KEY-----" // ends the first line of every key in PEM, RFC 7468
)

// storage keeps certmagic's files in State. What it calls a directory is there
// as long as something is below it.
type storage struct {
	state State
	locks *locks
}

func newStorage(s State) storage { return storage{s, &locks{held: map[string]chan struct{}{}}} }

// Store puts a value at a key, encrypted if a private key is in it.
func (s storage) Store(ctx context.Context, key string, value []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := statePrefix + key
	row := binary.BigEndian.AppendUint64([]byte{rowPlain}, uint64(time.Now().UnixNano()))
	if strings.HasSuffix(key, ".key") || bytes.Contains(value, []byte(privateKey)) {
		sealed, err := s.state.SealSecret(path, value)
		if err != nil {
			return err
		}
		row[0], value = rowSealed, sealed
	}
	return s.state.PutState(path, append(row, value...))
}

// Load returns the value at a key, or an error that is fs.ErrNotExist.
func (s storage) Load(ctx context.Context, key string) ([]byte, error) {
	v, _, err := s.load(ctx, key)
	return v, err
}

func (s storage) load(ctx context.Context, key string) ([]byte, time.Time, error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, err
	}
	path := statePrefix + key
	row, err := s.state.State(path)
	if errors.Is(err, store.ErrNotFound) {
		return nil, time.Time{}, &fs.PathError{Op: "load", Path: key, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(row) < rowHeader {
		return nil, time.Time{}, fmt.Errorf("%s: %w: it is cut short", path, store.ErrCorrupt)
	}
	at := time.Unix(0, int64(binary.BigEndian.Uint64(row[1:])))
	v := row[rowHeader:]
	switch row[0] {
	case rowSealed:
		v, err = s.state.OpenSecret(path, v)
	case rowPlain:
	default:
		err = fmt.Errorf("%s: %w: it is of kind %q", path, store.ErrCorrupt, row[0])
	}
	return v, at, err
}

// Delete removes a key and all that is below it. What is not there is removed.
func (s storage) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	all, err := s.below(key)
	if err != nil {
		return err
	}
	for _, k := range append(all, key) {
		if err := s.state.PutState(statePrefix+k, nil); err != nil {
			return err
		}
	}
	return nil
}

// Exists tells whether there is a value at a key, or below it.
func (s storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the keys below a path: the next level, or all levels.
func (s storage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all, err := s.below(path)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 && path != "" {
		return nil, &fs.PathError{Op: "list", Path: path, Err: fs.ErrNotExist}
	}
	start := 0
	if path != "" {
		start = len(path) + 1
	}
	var keys []string
	for _, k := range all {
		for i := start; i <= len(k); i++ {
			if i < len(k) && k[i] != '/' {
				continue
			}
			keys = append(keys, k[:i]) // a directory on the way, or the key itself
			if !recursive {
				break
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// Stat tells what is at a key.
func (s storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	v, at, err := s.load(ctx, key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: at, Size: int64(len(v)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	all, scanErr := s.below(key)
	if scanErr != nil {
		return certmagic.KeyInfo{}, scanErr
	}
	if len(all) == 0 {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key}, nil
}

// below lists the keys that have a directory as their prefix, sorted.
func (s storage) below(dir string) (keys []string, err error) {
	if dir != "" {
		dir += "/"
	}
	err = s.state.States(statePrefix+dir, func(path string, _ []byte) bool {
		keys = append(keys, strings.TrimPrefix(path, statePrefix))
		return true
	})
	return keys, err
}

// Lock waits until nobody else holds the lock of that name. The store is open
// in one process only, so locks need not outlive it.
func (s storage) Lock(ctx context.Context, name string) error { return s.locks.lock(ctx, name) }

// Unlock gives a lock back.
func (s storage) Unlock(_ context.Context, name string) error { return s.locks.unlock(name) }

type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is given back
}

func (l *locks) lock(ctx context.Context, name string) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.mu.Lock()
		free, taken := l.held[name]
		if !taken {
			l.held[name] = make(chan struct{})
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
		}
	}
}

func (l *locks) unlock(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	free, taken := l.held[name]
	if !taken {
		return fmt.Errorf("lock %q is not held", name)
	}
	delete(l.held, name)
	close(free)
	return nil
}
