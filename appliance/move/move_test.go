//go:build linux

package move

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homemail/appliance/volume"
)

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// A bench is a move between two directories.
type bench struct {
	*Mover
	from, at string
	story    []string
	during   func(stage string)
}

func newBench(t *testing.T) *bench {
	b := &bench{from: t.TempDir(), at: t.TempDir(), during: func(string) {}}
	note := func(s string) error { b.story = append(b.story, s); b.during(s); return nil }
	b.Mover = New(Options{
		From: b.from, At: b.at, Log: slog.New(slog.DiscardHandler),
		Pause:  func(context.Context) error { return note("pause") },
		Resume: func(context.Context) error { return note("resume") },
		Switch: func(context.Context, volume.ID) error { return note("switch") },
		Attach: func(_ context.Context, disk string, resume *volume.ID) (volume.ID, error) {
			if resume != nil && *resume != (volume.ID{7}) {
				return volume.ID{}, errors.New("another disk")
			}
			return volume.ID{7}, note("attach " + disk)
		},
	})
	put(t, b.from, "homemail/store/000001.sst", strings.Repeat("mail", 1<<18))
	put(t, b.from, "homemail/store/MANIFEST", "one")
	put(t, b.from, "clock", "now")
	put(t, b.from, "lost+found/x", "not ours")
	return b
}

func TestMove(t *testing.T) {
	b := newBench(t)
	sparse, err := os.Create(filepath.Join(b.from, "homemail/store/1.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sparse.WriteAt([]byte("end"), 1<<22); err != nil {
		t.Fatal(err)
	}
	sparse.Close()
	b.during = func(s string) { // homemail writes until it is stopped
		if s == "pause" {
			put(t, b.from, "homemail/store/MANIFEST", "two")
			put(t, b.from, "homemail/store/2.vlog", "new")
			os.Remove(filepath.Join(b.from, "clock"))
		}
	}
	if err := b.Run(t.Context(), "sdb"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.story, ", "); got != "attach sdb, pause, switch, resume" {
		t.Error(got)
	}
	for name, want := range map[string]string{"homemail/store/MANIFEST": "two", "homemail/store/2.vlog": "new"} {
		if got, err := os.ReadFile(filepath.Join(b.at, name)); string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"clock", "lost+found", movingFile, movedFile} {
		if _, err := os.Stat(filepath.Join(b.at, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if id, moved, err := Moved(b.from); err != nil || !moved || id != (volume.ID{7}) {
		t.Error(id, moved, err)
	}
	if _, moved, _ := Moved(b.at); moved {
		t.Error("the new place says that the mail has left it")
	}
	if p := b.Progress(); p.Stage != Done || p.Done != p.Total || p.Total < 1<<20 {
		t.Errorf("%+v", p)
	}
	if info, err := os.Stat(filepath.Join(b.at, "homemail/store/000001.sst")); err != nil || info.Mode() != 0o600 {
		t.Error(info, err)
	}
}

// TestDamaged: a disk that keeps other bytes than it was given is not moved to.
func TestDamaged(t *testing.T) {
	b := newBench(t)
	old := time.Now().Add(-time.Hour)
	b.during = func(s string) {
		if s != "pause" {
			return
		}
		name := filepath.Join(b.at, "homemail/store/MANIFEST")
		info, err := os.Stat(name)
		if err == nil {
			old = info.ModTime()
		}
		put(t, b.at, "homemail/store/MANIFEST", "0ne")
		os.Chtimes(name, old, old)
	}
	if err := b.Run(t.Context(), "sdb"); !errors.Is(err, ErrDifferent) {
		t.Error(err)
	}
	if _, moved, _ := Moved(b.from); moved {
		t.Error("moved")
	}
	if got := strings.Join(b.story, ", "); got != "attach sdb, pause, resume" {
		t.Error("homemail does not go on where it was:", got)
	}
	if p := b.Progress(); p.Stage != Failed || p.Why == "" {
		t.Errorf("%+v", p)
	}
}

// TestResume: after a power cut it goes on to the same disk, and does not copy
// again what is there.
func TestResume(t *testing.T) {
	b := newBench(t)
	ctx, cut := context.WithCancel(t.Context())
	b.during = func(s string) {
		if s == "attach sdb" {
			cut()
		}
	}
	if err := b.Run(ctx, "sdb"); !errors.Is(err, context.Canceled) || !b.Unfinished() {
		t.Fatal(err)
	}
	name := filepath.Join(b.from, "homemail/store/000001.sst")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	same := strings.Repeat("MAIL", 1<<18) // marks what was there already
	put(t, b.at, "homemail/store/000001.sst", same)
	os.Chtimes(filepath.Join(b.at, "homemail/store/000001.sst"), info.ModTime(), info.ModTime())
	b.story, b.during = nil, func(string) {}
	if err := b.Run(t.Context(), ""); !errors.Is(err, ErrDifferent) { // verifying sees through the mark
		t.Error(err)
	}
	if got, _ := os.ReadFile(filepath.Join(b.at, "homemail/store/000001.sst")); string(got) != same {
		t.Error("it was copied again")
	}
	os.Remove(filepath.Join(b.at, "homemail/store/000001.sst"))
	if err := b.Run(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func TestReadID(t *testing.T) {
	name := filepath.Join(t.TempDir(), movedFile)
	if err := writeID(name, volume.ID{1, 2, 255}); err != nil {
		t.Fatal(err)
	}
	if id, ok, err := readID(name); !ok || err != nil || id != (volume.ID{1, 2, 255}) {
		t.Error(id, ok, err)
	}
	for _, bad := range []string{"", "x", "0102"} {
		put(t, filepath.Dir(name), movedFile, bad)
		if _, ok, err := readID(name); ok || err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
