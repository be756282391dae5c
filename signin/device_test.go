package signin

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"homemail/store"
)

func TestDevicePassword(t *testing.T) {
	form := regexp.MustCompile(`^([0-9a-hjkmnp-tv-z]{5}-){4}[0-9a-hjkmnp-tv-z]{6}$`)
	seen := make(map[string]bool)
	for range 200 {
		p, err := NewDevicePassword()
		if err != nil || !form.MatchString(p) || seen[p] {
			t.Fatalf("%q, %v, seen before %v", p, err, seen[p])
		}
		seen[p] = true
	}
}

func TestMatch(t *testing.T) {
	var p store.Profile
	const phone, laptop, chosen = "01234-56789-abcde-fghjk-mnpqrs", "zzzzz-zzzzz-zzzzz-zzzzz-zzzzzz", "Chosen By-Hand"
	for _, password := range []string{phone, laptop, chosen} {
		d, err := NewDevice(p, password, password)
		if err != nil {
			t.Fatal(err)
		}
		p.Devices = append(p.Devices, d)
	}
	if p.Devices[0].ID == p.Devices[1].ID || !bytes.Equal(p.Devices[0].Salt, p.Devices[2].Salt) {
		t.Errorf("devices need ids of their own and one salt: %+v", p.Devices)
	}
	for typed, want := range map[string]string{
		phone:                             phone,
		"0123456789abcdefghjkmnpqrs":      phone,
		"O1234 56789 ABCDE FGHJK MNPQRS ": phone, // capital O for 0
		"0l234-56789-abcde-fghjk-mnpqrs":  phone, // l for 1
		strings.ToUpper(laptop):           laptop,
		chosen:                            chosen,
		"chosen by-hand":                  "",
		"":                                "",
		"0123456789abcdefghjkmnpqr":       "",
		"0123456789abcdefghjkmnpqrt":      "",
		phone + "\x00":                    "",
	} {
		d, ok := match(p.Devices, typed)
		if d.Name != want || ok != (want != "") {
			t.Errorf("%q is %q, %v; want %q", typed, d.Name, ok, want)
		}
	}
}

func TestOwnPassword(t *testing.T) {
	phc, err := HashPassword("correct horse")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(phc, err)
	}
	if err := CheckPassword(phc, "correct horse"); err != nil {
		t.Error(err)
	}
	if err := CheckPassword(phc, "Correct horse"); err != ErrDenied {
		t.Error(err)
	}
	if err := CheckPassword("", ""); err != ErrDenied {
		t.Error("an empty hash fits:", err)
	}
	for _, bad := range []string{"x", "$argon2id$v=19$m=99999999,t=2,p=1$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43), "$argon2id$v=19$m=0,t=0,p=0$$"} {
		if err := CheckPassword(bad, ""); err != errPHC {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// A hash that another program made, with the reference implementation's parameters of RFC 9106 left out.
	salt, key, ok := cut(strings.SplitN(phc, "$", 5)[4])
	if !ok || len(salt) != argonSalt || len(key) != argonKey {
		t.Error(base64.RawStdEncoding.EncodeToString(salt), ok)
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		for range hashing {
			if err := g.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		waiting := make(chan error, queued)
		for range queued {
			go func() { waiting <- g.enter(t.Context()) }()
		}
		synctest.Wait()
		if err := g.enter(t.Context()); err != ErrBusy || len(waiting) != 0 {
			t.Error("the queue has no end:", err, len(waiting))
		}
		for range queued {
			g.leave()
			if err := <-waiting; err != nil {
				t.Error(err)
			}
		}
	})
}
