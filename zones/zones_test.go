package zones

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homemail/store"
)

func open(t *testing.T, dir string) (*store.Store, *Book) {
	t.Helper()
	s, err := store.Open(dir, store.Options{Log: slog.New(slog.DiscardHandler), Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s, New(s, nil)
}

func told(w *Watch) bool {
	select {
	case <-w.C:
		return true
	default:
		return false
	}
}

func TestZones(t *testing.T) {
	s, b := open(t, t.TempDir())
	defer s.Close()
	w := b.Watch()
	defer w.Close()
	token := map[string]string{"token": "s3cret"}
	for _, z := range []Zone{{Name: "Example.ORG."}, {Name: "in.example.org", Follow: true}, {Name: "bücher.example"}} {
		z.Provider = "desec"
		if err := b.SetZone(z, token); err != nil {
			t.Fatal(z.Name, err)
		}
	}
	if !told(w) || told(w) {
		t.Error("not told once")
	}
	for name, want := range map[string]string{
		"example.org": "example.org", "_dmarc.Example.org.": "example.org", "mail.in.example.org": "in.example.org", "in.example.org": "in.example.org",
		"xin.example.org": "example.org", "www.BÜCHER.example": "xn--bcher-kva.example", "notexample.org": "", "org": "", "": "",
	} {
		z, err := b.For(name)
		if want == "" && !errors.Is(err, ErrNoZone) || want != "" && (err != nil || z.Name != want || z.Provider == nil) {
			t.Errorf("%q: %q %v", name, z.Name, err)
		}
	}
	list, err := b.Zones()
	if err != nil || len(list) != 3 || list[0].Name != "example.org" || list[0].Follow || !list[1].Follow {
		t.Errorf("%+v %v", list, err)
	}
	if err := b.Follow("example.org", true); err != nil || !told(w) {
		t.Error(err)
	}
	if z, err := b.Zone("example.org"); err != nil || !z.Follow || !z.Set.Equal(list[0].Set) {
		t.Errorf("%+v %v", z, err)
	}
	one, err := b.For("example.org")
	other, again := b.For("www.example.org")
	if err != nil || again != nil || one.Turn == nil || one.Turn != other.Turn {
		t.Error("two who change a zone do not wait for each other", err, again)
	}
	if in, err := b.For("in.example.org"); err != nil || in.Turn == nil || in.Turn == one.Turn {
		t.Error("two zones wait for each other", err)
	}
	if err := b.RemoveZone("in.example.org"); err != nil || !told(w) {
		t.Error(err)
	}
	if err := b.RemoveZone("in.example.org"); !errors.Is(err, store.ErrNotFound) || told(w) {
		t.Error(err)
	}
	if z, err := b.For("mail.in.example.org"); err != nil || z.Name != "example.org" {
		t.Error(z, err)
	}
}

func TestRefused(t *testing.T) {
	s, b := open(t, t.TempDir())
	defer s.Close()
	for _, tt := range []struct {
		zone, provider string
		credentials    map[string]string
		want           string
	}{
		{"example.org", "nobody", map[string]string{"token": "x"}, "no such dns provider"},
		{"example.org", "desec", map[string]string{}, "desec"},
		{"example.org", "desec", map[string]string{"token": "x", "tokn": "y"}, `"tokn"`},
		{"org", "desec", map[string]string{"token": "x"}, "not a domain name"},
		{"a/b.example", "desec", map[string]string{"token": "x"}, "not a domain name"},
	} {
		err := b.SetZone(Zone{Name: tt.zone, Provider: tt.provider}, tt.credentials)
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(strings.ToLower(err.Error()), tt.want) {
			t.Errorf("%s at %s: %v", tt.zone, tt.provider, err)
		}
	}
	for _, n := range []Name{{Host: "h.example", Service: "nobody", User: "u"}, {Host: "h.example", Service: "http://x.example", User: "u"}, {Host: "h.example", Service: "dyn"}, {Host: "h.example", Service: "dyn", User: "u:v"}} {
		if err := b.SetName(n, "p"); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	if list, err := b.Zones(); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
}

// Rows that are damaged, and a lost key, are errors that say what to do; all
// else goes on.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s, b := open(t, dir)
	if err := errors.Join(
		b.SetZone(Zone{Name: "example.org", Provider: "desec"}, map[string]string{"token": "s3cret"}),
		b.SetName(Name{Host: "home.example", Service: "dynu", User: "me"}, "s3cret"),
		s.PutState(zonePath+"bad.example", []byte("{")), s.PutState(dyndnsPath+"bad.example", []byte("[]")),
	); err != nil {
		t.Fatal(err)
	}
	names, err := b.Names()
	if err != nil || len(names) != 2 || names[0].Trouble == "" || names[1].Trouble != "" {
		t.Fatalf("%+v %v", names, err)
	}
	if d, err := b.Dyndns(names[1]); err != nil || d.Password != "s3cret" || d.Name() != "dyndns dynu home.example" {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := b.Dyndns(names[0]); err == nil {
		t.Error("a damaged name is used")
	}
	if _, err := b.For("bad.example"); err == nil || errors.Is(err, ErrNoZone) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "secrets.key")); err != nil {
		t.Fatal(err)
	}
	s, b = open(t, dir)
	defer s.Close()
	if _, err := b.For("example.org"); !errors.Is(err, ErrSealed) {
		t.Error(err)
	}
	if d, err := b.Dyndns(names[1]); !errors.Is(err, ErrSealed) || d.Name() != "dyndns dynu home.example" {
		t.Error(d, err)
	}
	if list, err := b.Zones(); err != nil || len(list) != 2 || list[0].Trouble == "" {
		t.Errorf("%+v %v", list, err)
	}
	if err := b.SetZone(Zone{Name: "example.org", Provider: "desec"}, map[string]string{"token": "new"}); err != nil {
		t.Fatal(err)
	}
	if z, err := b.For("example.org"); err != nil || z.Provider == nil {
		t.Error(z, err)
	}
	if err := errors.Join(b.RemoveZone("bad.example"), b.RemoveName("bad.example"), b.RemoveName("home.example")); err != nil {
		t.Error(err)
	}
}
