//go:build linux

package appliance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"homemail/appliance/volume"
	"homemail/appliance/watchdog"
)

func TestCommandLine(t *testing.T) {
	const line = "root=PARTUUID=x ro homemail.slot=a console=tty0 console=ttyS0,115200 console=tty0 homemail.slot=b"
	if got := param(line, "homemail.slot"); got != "b" {
		t.Error(got)
	}
	if got := consoles(line); !slices.Equal(got, []string{"tty1", "ttyS0"}) {
		t.Error(got)
	}
	if got := consoles("console=serial0,115200 console=tty1"); !slices.Equal(got, []string{"ttyS0", "tty1"}) {
		t.Error(got)
	}
}

func TestPowerKey(t *testing.T) {
	e := make([]byte, eventSize)
	binary.NativeEndian.PutUint16(e[eventType:], keyEvent)
	binary.NativeEndian.PutUint16(e[eventCode:], powerKey)
	if pressed(e) {
		t.Error("let go is pressed")
	}
	binary.NativeEndian.PutUint32(e[eventValue:], 1)
	if !pressed(e) {
		t.Error("pressed is not")
	}
	for text, want := range map[string]bool{"10000000000000 0": true, "0": false, "": false, "1 0": false, "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe": true} {
		if powerKeyIn(text) != want {
			t.Error(text)
		}
	}
}

// TestDoors: every port that homemail has by itself is opened for it.
func TestDoors(t *testing.T) {
	list := []door{{port: 80}, {port: 443}, {port: 25}}
	if len(files(list)) != 3 || len(files(list, 80, 443)) != 2 || len(files(list, 110)) != 0 {
		t.Error("the wrong doors")
	}
}

func TestUsed(t *testing.T) {
	if n, err := used(t.TempDir()); err != nil || n != 0 {
		t.Error(n, err)
	}
	if _, err := used("/not/there"); err == nil {
		t.Error("no error")
	}
	if memory() < 1<<20 {
		t.Error(memory())
	}
}

// TestNotice: the console hears of a homemail that ends again and again, and no
// more once one has lasted.
func TestNotice(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notice")
	for early, want := range []string{"", "", "", "", "ends\n", "ends\n"} {
		if err := notice(name, early); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(name); string(got) != want {
			t.Errorf("after %d: %q", early, got)
		}
	}
	if err := notice(name, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Error("it still stands there:", err)
	}
}

// TestShared: a move changes the data while homemail vouches and others look.
func TestShared(t *testing.T) {
	b := &box{log: slog.New(slog.DiscardHandler), pulse: watchdog.NewPulse(time.Hour, time.Hour), beat: watchdog.NewPulse(time.Hour, time.Hour)}
	b.mail = &program{box: b}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 100 {
			b.data.set(volume.State{Mode: volume.Normal, Disk: "sda"})
			b.mail.setDir("/data")
			b.beat.Reset(time.Hour)
		}
	})
	for range 100 {
		var out bytes.Buffer
		for _, q := range []string{"state", "alive"} {
			if err := b.do(t.Context(), &out, []string{q}); err != nil {
				t.Fatal(err)
			}
		}
		b.mail.failing()
	}
	wg.Wait()
	if err := b.do(t.Context(), &bytes.Buffer{}, []string{"alive"}); err != nil {
		t.Fatal(err)
	}
	if err := b.healthy(t.Context()); err != nil {
		t.Error(err)
	}
}
