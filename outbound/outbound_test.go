package outbound

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"homemail/internal/storetest"
	"homemail/relay"
	"homemail/sign"
	"homemail/store"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBook(t *testing.T) {
	dir := t.TempDir()
	s := storetest.Open(t, dir, nil)
	b, err := Open(s)
	must(t, err)
	if err := b.Way("a@example.test", "b@outside.test"); err == nil {
		t.Error("a blank house has a way out")
	}
	if err := b.SetRoute("", relay.Route{Way: relay.Via, Smarthost: "isp"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a route through nothing: %v", err)
	}
	h := Smarthost{Name: "isp", Preset: "gmail", User: "anna@gmail.com"}
	must(t, h.Complete())
	if h.Host != "smtp.gmail.com" || h.Port == 0 || h.TLS == "" {
		t.Errorf("completed to %+v", h)
	}
	must(t, b.SaveSmarthost(h, "open sesame"))
	must(t, b.SetRoute("", relay.Route{Way: relay.Via, Smarthost: "isp"}))
	must(t, b.SetRoute("*.Outlook.COM", relay.Route{Way: relay.Direct, Smarthost: "left over"}))
	must(t, b.SetRoute("closed.test", relay.Route{}))
	must(t, b.SetSender("Anna@Elsewhere.test", "isp"))
	if err := b.SetSender("anna", "isp"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a sender without a domain: %v", err)
	}
	if err := b.Way("a@example.test", "b@outside.test"); err != nil {
		t.Error(err)
	}
	if err := b.Way("a@example.test", "b@closed.test"); err == nil {
		t.Error("a closed way is open")
	}
	if err := b.Way("anna@elsewhere.test", "b@closed.test"); err != nil {
		t.Error(err)
	}
	if err := b.RemoveSmarthost("isp"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a smarthost in use was removed: %v", err)
	}

	// Another start knows it all, and the password is nowhere in the open.
	b, err = Open(s)
	must(t, err)
	r := b.Routes()
	if r.Default.Smarthost != "isp" || r.For("mail.outlook.com") != (relay.Route{Way: relay.Direct}) || r.BySender["anna@elsewhere.test"] != "isp" {
		t.Errorf("routes %+v", r)
	}
	if secret, err := r.Smarthosts["isp"].Secret(); err != nil || secret != "open sesame" {
		t.Errorf("password %q, %v", secret, err)
	}
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(p)
		if bytes.Contains(raw, []byte("open sesame")) {
			t.Errorf("%s has the password in the open", p)
		}
		return err
	}))
	must(t, b.SetSender("anna@elsewhere.test", ""))
	must(t, b.SetRoute("", relay.Route{}))
	must(t, b.RemoveSmarthost("isp"))
	if err := b.RemoveRoute("nowhere.test"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestSmarthostWords(t *testing.T) {
	for _, h := range []Smarthost{{Name: "x"}, {Name: "x", Preset: "nobody"}, {Name: "x", Preset: "ses"}} {
		if err := h.Complete(); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v", h, err)
		}
	}
	h := Smarthost{Host: "a.test"}
	if err := h.Complete(); err != nil || h.Port != 465 || h.TLS != relay.TLSImplicit {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestKeyring(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	must(t, s.AddDomain("example.test"))
	r := NewKeyring(s)
	if keys, err := r.Get("example.test"); err != nil || len(keys) != 0 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if _, err := r.Make("outside.test"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Rotate("outside.test"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	must(t, r.Complete(t.Context(), true))
	first, err := r.Set("example.test")
	must(t, err)
	_, err = r.Rotate("example.test")
	must(t, err)
	if _, err := r.Rotate("example.test"); !errors.Is(err, sign.ErrRotating) {
		t.Errorf("got %v", err)
	}
	_, err = r.Activate("example.test")
	must(t, err)
	again := NewKeyring(s)
	keys, err := again.Get("example.test")
	must(t, err)
	if len(keys) != 4 || keys[0].State != sign.Retired || keys[2].State != sign.Active || !bytes.Equal(keys[0].Private, first.Keys[0].Private) {
		t.Errorf("keys %v", keys)
	}
}

func TestSecret(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	a, err := Secret(s, "srs")
	must(t, err)
	b, err := Secret(s, "srs")
	must(t, err)
	c, err := Secret(s, "other")
	must(t, err)
	if !bytes.Equal(a, b) || bytes.Equal(a, c) || len(a) != 32 {
		t.Errorf("%x %x %x", a, b, c)
	}
}

// TestLostKey opens a house whose secrets.key is gone: it goes on, with a new
// secret, and can have new keys.
func TestLostKey(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{Reserve: 1 << 20})
	must(t, err)
	must(t, s.AddDomain("example.test"))
	old, err := Secret(s, "srs")
	must(t, err)
	_, err = NewKeyring(s).Make("example.test")
	must(t, err)
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, "secrets.key")))

	s = storetest.Open(t, dir, nil)
	for range 2 {
		secret, err := Secret(s, "srs")
		if err != nil || len(secret) != 32 || bytes.Equal(secret, old) {
			t.Fatalf("%x, %v", secret, err)
		}
	}
	r := NewKeyring(s)
	if _, err := r.Make("example.test"); !errors.Is(err, store.ErrCorrupt) { // the key may come back
		t.Errorf("got %v", err)
	}
	set, err := r.Rotate("example.test")
	must(t, err)
	if keys, err := NewKeyring(s).Get("example.test"); err != nil || len(keys) != 2 || keys[0].State != sign.Active || keys[0].Selector != set.Keys[0].Selector {
		t.Errorf("keys %v, %v", keys, err)
	}
}

// TestDamagedRoutes has rows that cannot be read: their mail waits.
func TestDamagedRoutes(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	for path, v := range map[string]string{"route/": `{"Way":"direct"}`, "route/a.test": "{", "smarthost/isp": "{"} {
		must(t, s.PutState(path, []byte(v)))
	}
	b, err := Open(s)
	must(t, err)
	if b.Way("x@example.test", "b@b.test") != nil || b.Way("x@example.test", "a@a.test") == nil {
		t.Errorf("routes %+v", b.Routes())
	}
}

var _ sign.Keys = (*Keyring)(nil)

// TestKeyringMakesOnce: a domain that is asked about from two sides at once has
// one set of keys.
func TestKeyringMakesOnce(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	must(t, s.AddDomain("example.test"))
	r := NewKeyring(s)
	var sets [4]sign.Set
	var wg sync.WaitGroup
	for i := range sets {
		wg.Go(func() { sets[i], _ = r.Make("example.test") })
	}
	wg.Wait()
	for _, set := range sets {
		if len(set.Keys) != 2 || !bytes.Equal(set.Keys[0].Private, sets[0].Keys[0].Private) {
			t.Fatal("two sets of keys were made")
		}
	}
}
