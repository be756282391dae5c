package letters

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func has(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "-"
	}
	return string(b)
}

func newBox(t *testing.T) (b *Box, boot, dir string) {
	boot, dir = t.TempDir(), t.TempDir()
	b = New(boot, dir, 0, slog.New(slog.DiscardHandler))
	b.Enabled = true
	return b, boot, dir
}

func TestLetters(t *testing.T) {
	b, boot, dir := newBox(t)
	put(t, boot, Setup, "password = \"secret\"")
	put(t, boot, "reset-owner.txt", "") // as an editor saves it
	put(t, boot, Status, "of yesterday")
	put(t, boot, "vmlinuz", "kernel")
	step := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(what, err)
		}
	}
	step("fetch", b.Fetch())
	if has(dir, Setup) != "password = \"secret\"" || has(dir, Reset) != "" || has(dir, "vmlinuz") != "-" {
		t.Error("fetched:", has(dir, Setup), has(dir, Reset))
	}
	step("deliver", b.Deliver())
	if has(boot, "reset-owner.txt") != "" {
		t.Error("the request is gone before it was met")
	}
	put(t, dir, Setup, "password = \"\"") // its secrets were used
	put(t, dir, Claim, "the code")
	put(t, dir, Status, "a new password")
	put(t, dir, "vmlinuz", "not a kernel")
	os.Remove(filepath.Join(dir, Reset))
	step("deliver", b.Deliver())
	for name, want := range map[string]string{Setup: "password = \"\"", Claim: "the code", Status: "a new password", "reset-owner.txt": "-", Reset: "-", "vmlinuz": "kernel"} {
		if got := has(boot, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	os.Remove(filepath.Join(dir, Claim))
	os.Remove(filepath.Join(dir, Setup))
	step("deliver", b.Deliver())
	if has(boot, Claim) != "-" || has(boot, Setup) == "-" {
		t.Error("the code stays, or the owner's file is gone")
	}
}

// TestQuiet: what has not changed is not written again.
func TestQuiet(t *testing.T) {
	b, boot, dir := newBox(t)
	put(t, dir, Status, "well")
	if err := b.Deliver(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(boot, Status)); err != nil {
		t.Fatal(err)
	}
	if err := b.Deliver(); err != nil || has(boot, Status) != "-" {
		t.Error("it was written again:", err)
	}
}

// TestLinks: who has homemail does not read the box's files by a link, nor fill the
// boot partition.
func TestLinks(t *testing.T) {
	b, boot, dir := newBox(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("x"), 0o600), os.Symlink(secret, filepath.Join(dir, Status))); err != nil {
		t.Fatal(err)
	}
	if err := b.Deliver(); err == nil || has(boot, Status) != "-" {
		t.Error("a link was followed")
	}
	os.Remove(filepath.Join(dir, Status))
	put(t, dir, Status, string(make([]byte, largest+1)))
	if err := b.Deliver(); err == nil || has(boot, Status) != "-" {
		t.Error("a letter of any size is carried")
	}
}

func TestDisabled(t *testing.T) {
	b, boot, dir := newBox(t)
	b.Enabled = false
	put(t, dir, Status, "well")
	if err := errors.Join(b.Fetch(), b.Deliver()); err != nil || has(boot, Status) != "-" {
		t.Error(err)
	}
	if b.SetNetwork(NetworkSettings{}) == nil {
		t.Error("kept nowhere")
	}
}

func TestNetwork(t *testing.T) {
	b, _, _ := newBox(t)
	if s := b.Network(); !reflect.DeepEqual(s, NetworkSettings{}) {
		t.Error(s)
	}
	want := NetworkSettings{Name: "post", Address: "192.168.1.20/24", Router: "192.168.1.1", DNS: []string{"192.168.1.1", "9.9.9.9"}}
	if err := b.SetNetwork(want); err != nil {
		t.Fatal(err)
	}
	if got := b.Network(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if s, err := ParseNetwork("\ufeff# comment\r\n\r\nname = \"post\"\r\n"); err != nil || s.Name != "post" {
		t.Error(s, err)
	}
	for _, bad := range []string{"name", "name = -x", "name = a b", "name = ", "wlan = x"} {
		if _, err := ParseNetwork(bad); err == nil {
			t.Error(bad)
		}
	}
}
