package certs

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"

	"homemail/store"
)

const pemKey = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"

func realState(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{Log: slog.New(slog.DiscardHandler), Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestStorageLaws holds our storage, over the real store, and certmagic's own
// over files against the same laws: those of its interface.
func TestStorageLaws(t *testing.T) {
	for name, s := range map[string]certmagic.Storage{
		"ours":  newStorage(realState(t)),
		"files": &certmagic.FileStorage{Path: filepath.Join(t.TempDir(), "files")},
	} {
		t.Run(name, func(t *testing.T) { storageLaws(t, s) })
	}
}

func storageLaws(t *testing.T, s certmagic.Storage) {
	ctx := t.Context()
	put := map[string]string{
		"acme/ca/account.json": "{}", "acme/ca/account.key": pemKey, "certificates/ca/a.test/a.test.crt": "chain",
		"certificates/ca/a.test/a.test.key": pemKey, "certificates/ca/ab.test/ab.test.crt": "", "certificates/ca2/a.test/a.test.crt": "x",
	}
	before := time.Now().Add(-time.Second)
	for k, v := range put {
		if err := s.Store(ctx, k, []byte("older")); err != nil {
			t.Fatal(err)
		}
		if err := s.Store(ctx, k, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range put {
		if got, err := s.Load(ctx, k); err != nil || string(got) != v {
			t.Errorf("%s: %q, %v", k, got, err)
		}
		info, err := s.Stat(ctx, k)
		if err != nil || info.Key != k || !info.IsTerminal || info.Size != int64(len(v)) || info.Modified.Before(before) || info.Modified.After(time.Now().Add(time.Second)) {
			t.Errorf("%s: %+v, %v", k, info, err)
		}
	}
	if info, err := s.Stat(ctx, "certificates/ca"); err != nil || info.IsTerminal {
		t.Errorf("a directory: %+v, %v", info, err)
	}
	for k, want := range map[string]bool{"acme": true, "acme/ca": true, "acme/ca/account.key": true, "acme/c": false, "certificates/ca/a.test/a": false} {
		if s.Exists(ctx, k) != want {
			t.Errorf("%s exists: %v", k, !want)
		}
	}
	for _, tt := range []struct {
		path      string
		recursive bool
		want      string
	}{
		{"certificates/ca", false, "certificates/ca/a.test certificates/ca/ab.test"},
		{"certificates/ca", true, "certificates/ca/a.test certificates/ca/a.test/a.test.crt certificates/ca/a.test/a.test.key certificates/ca/ab.test certificates/ca/ab.test/ab.test.crt"},
		{"acme", false, "acme/ca"},
	} {
		got, err := s.List(ctx, tt.path, tt.recursive)
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("list %s: %q, %v", tt.path, got, err)
		}
	}
	missing := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is not there: %v", what, err)
		}
	}
	_, err := s.Load(ctx, "no/such")
	missing("load", err)
	_, err = s.Stat(ctx, "no/such")
	missing("stat", err)
	_, err = s.List(ctx, "no/such", false)
	missing("list", err)
	if err := s.Delete(ctx, "no/such"); err != nil {
		t.Errorf("delete of what is not there: %v", err)
	}
	if err := s.Delete(ctx, "certificates/ca"); err != nil {
		t.Error(err)
	}
	if s.Exists(ctx, "certificates/ca") || !s.Exists(ctx, "certificates/ca2/a.test/a.test.crt") {
		t.Error("a directory is deleted with its own keys and no others")
	}
}

func TestStorageContext(t *testing.T) {
	s := newStorage(newMemory())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, errLoad := s.Load(ctx, "a")
	_, errList := s.List(ctx, "", true)
	_, errStat := s.Stat(ctx, "a")
	for _, err := range []error{s.Store(ctx, "a", nil), s.Delete(ctx, "a"), s.Lock(ctx, "a"), errLoad, errList, errStat} {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestKeysAreSealed: no private key is kept in the clear, under whatever name.
func TestKeysAreSealed(t *testing.T) {
	m := newMemory()
	s := newStorage(m)
	for _, k := range []string{"acme/ca/account.key", "certificates/ca/a/a.key", "certificates/ca/a/a.key.compromised", "other"} {
		if err := s.Store(t.Context(), k, []byte(pemKey)); err != nil {
			t.Fatal(err)
		}
		if row := m.rows["acme/"+k]; len(row) == 0 || bytes.Contains(row, []byte("AAAA")) {
			t.Errorf("%s is kept as %q", k, row)
		}
	}
	m.rows["acme/moved"] = m.rows["acme/other"]
	m.rows["acme/short"], m.rows["acme/kind"] = []byte("p"), []byte("x12345678")
	for _, k := range []string{"moved", "short", "kind"} {
		if _, err := s.Load(t.Context(), k); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := newStorage(newMemory()), t.Context()
		in, most := 0, 0
		for range 5 {
			go func() {
				if err := s.Lock(ctx, "a"); err != nil {
					t.Error(err)
				}
				in++
				most = max(most, in)
				time.Sleep(time.Second)
				in--
				if err := s.Unlock(ctx, "a"); err != nil {
					t.Error(err)
				}
			}()
		}
		begin := time.Now()
		if err := s.Lock(ctx, "b"); err != nil || time.Since(begin) > 0 {
			t.Error("locks of two names wait for each other")
		}
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := s.Lock(short, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if synctest.Wait(); most != 1 || in != 0 {
			t.Errorf("%d held it at once", most)
		}
		if s.Unlock(ctx, "a") == nil {
			t.Error("a lock that nobody holds was given back")
		}
	})
}
