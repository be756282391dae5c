package update

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
)

// newKey is a key for one test.
func newKey(t testing.TB) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	pub, priv, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub, priv
}

// sample is an update and its payload; large is one of several checkpoints.
func sample() (Manifest, []byte) { return made(1 << 20) }
func large() (Manifest, []byte)  { return made(25 << 20) }

func made(root int) (Manifest, []byte) {
	parts := []struct {
		name string
		b    []byte
	}{
		{RootName, bytes.Repeat([]byte("root"), root/4)},
		{"vmlinuz", bytes.Repeat([]byte("kernel"), 1000)},
		{"overlays/miniuart-bt.dtbo", []byte("overlay")},
	}
	m := Manifest{
		Version: "1.3.0", Target: "amd64", Created: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Payload: "homemail-1.3.0.payload",
		Schema: Schema{Schema: 2, ReadableBy: 1}, Notes: Notes{EN: "Faster.", JA: "速くなりました。"},
	}
	var payload []byte
	for _, p := range parts {
		m.Files = append(m.Files, File{p.name, int64(len(p.b)), sha256.Sum256(p.b)})
		payload = append(payload, p.b...)
	}
	return m, payload
}

var running = Running{Version: "1.2.9", Target: "amd64", Schema: Schema{Schema: 1, ReadableBy: 1}}

func sign(t testing.TB, m Manifest, key minisign.PrivateKey) (manifest, signature []byte) {
	t.Helper()
	manifest, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return manifest, minisign.Sign(key, manifest)
}

func TestVerify(t *testing.T) {
	pub1, key1 := newKey(t)
	pub2, key2 := newKey(t)
	_, stranger := newKey(t)
	trusted := []minisign.PublicKey{pub1, pub2}
	m, _ := sample()
	for i, key := range []minisign.PrivateKey{key1, key2} {
		manifest, sig := sign(t, m, key)
		if got, err := Verify(trusted, manifest, sig); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("key %d: %+v, %v", i, got, err)
		}
		if _, err := Verify(nil, manifest, sig); !errors.Is(err, ErrSignature) {
			t.Errorf("a build without keys took an update: %v", err)
		}
		manifest[20] ^= 1
		if _, err := Verify(trusted, manifest, sig); !errors.Is(err, ErrSignature) {
			t.Errorf("a changed manifest: %v", err)
		}
	}
	manifest, sig := sign(t, m, stranger)
	if _, err := Verify(trusted, manifest, sig); !errors.Is(err, ErrSignature) {
		t.Errorf("a stranger's key: %v", err)
	}
	long := bytes.Repeat([]byte(" "), ManifestMost+1)
	if _, err := Verify(trusted, long, minisign.Sign(key1, long)); !errors.Is(err, ErrSignature) {
		t.Errorf("too long: %v", err)
	}
	if _, err := Verify(trusted, []byte("{"), minisign.Sign(key1, []byte("{"))); !errors.Is(err, ErrManifest) {
		t.Errorf("no JSON: %v", err)
	}
}

func TestParseKeys(t *testing.T) {
	keys, err := ParseKeys(" RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3, RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3")
	if err != nil || len(keys) != 2 || keys[1].ID() != 0xE7620F1842B4E81F {
		t.Errorf("%v, %v", keys, err)
	}
	if _, err := ParseKeys("RWQ="); err == nil {
		t.Error("a broken key was taken")
	}
	if keys, err := Keys(); err != nil || len(keys) != 0 {
		t.Errorf("a build without keys has %v, %v", keys, err)
	}
}

func TestCheckManifest(t *testing.T) {
	pub, key := newKey(t)
	for name, change := range map[string]func(*Manifest){
		"a parent":          func(m *Manifest) { m.Files[1].Name = "../grub/grub.cfg" },
		"absolute":          func(m *Manifest) { m.Files[1].Name = "/etc/passwd" },
		"a backslash":       func(m *Manifest) { m.Files[1].Name = `a\b` },
		"a newline":         func(m *Manifest) { m.Files[1].Name = "a\nb" },
		"twice on FAT":      func(m *Manifest) { m.Files[1].Name = "Overlays/MINIUART-bt.dtbo" },
		"half a file":       func(m *Manifest) { m.Files[1].Name = "vmlinuz.new" },
		"no root":           func(m *Manifest) { m.Files = m.Files[1:] },
		"empty":             func(m *Manifest) { m.Files[1].Size = 0 },
		"negative":          func(m *Manifest) { m.Files[1].Size = -1 },
		"huge":              func(m *Manifest) { m.Files[1].Size = sizeMost },
		"overflow":          func(m *Manifest) { m.Files[1].Size, m.Files[2].Size = 1<<62, 1<<62 },
		"version":           func(m *Manifest) { m.Version = "1.3" },
		"no schema":         func(m *Manifest) { m.Schema = Schema{} },
		"unreadable itself": func(m *Manifest) { m.ReadableBy = 3 },
		"payload elsewhere": func(m *Manifest) { m.Payload = "https://example.org/x" },
		"payload above":     func(m *Manifest) { m.Payload = "../x" },
		"quotes":            func(m *Manifest) { m.Args = `ro" ; insmod x` },
		"a substitution":    func(m *Manifest) { m.Args = "ro $x" },
		"two lines":         func(m *Manifest) { m.Args = "ro\ninit=/x" },
	} {
		m, _ := sample()
		change(&m)
		manifest, sig := sign(t, m, key)
		if _, err := Verify([]minisign.PublicKey{pub}, manifest, sig); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFits is the rule by which versions and schemas go up.
func TestFits(t *testing.T) {
	for _, tt := range []struct {
		what string
		m    func(*Manifest)
		r    Running
		want error
	}{
		{"the next version", nil, running, nil},
		{"the same", func(m *Manifest) { m.Version = "1.2.9" }, running, ErrOlder},
		{"an older one", func(m *Manifest) { m.Version = "1.2.8" }, running, ErrOlder},
		{"10 is more than 9", func(m *Manifest) { m.Version = "1.2.10" }, running, nil},
		{"onto a development build", func(m *Manifest) { m.Version = "0.0.1" }, Running{Development, "amd64", running.Schema}, nil},
		{"another target", func(m *Manifest) { m.Target = "pi" }, running, ErrTarget},
		{"reads more, writes what we can read", func(m *Manifest) { m.Schema = Schema{5, 1} }, running, nil},
		{"writes what we cannot read", func(m *Manifest) { m.Schema = Schema{2, 2} }, running, ErrSchema},
		{"cannot read what we write", func(m *Manifest) { m.Schema = Schema{1, 1} }, Running{"1.2.9", "amd64", Schema{2, 2}}, ErrSchema},
		{"the release after the one that learnt to read", func(m *Manifest) { m.Schema = Schema{2, 2} }, Running{"1.2.9", "amd64", Schema{2, 1}}, nil},
	} {
		m, _ := sample()
		if tt.m != nil {
			tt.m(&m)
		}
		if err := m.Fits(tt.r); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, bad := range []Version{"", "1", "1.2", "1.2.3.4", "1.2.-3", "01.2.3", "1.2.+3", "1.2.3 ", "1.2.x", "9999999.0.0", "v1.2.3", "1.2.3-rc1"} {
		if _, err := bad.Parse(); !errors.Is(err, ErrVersion) || bad.After("0.0.0") || Version("9.9.9").After(bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if Release() != Development {
		t.Errorf("a test is release %q", Release())
	}
}

// FuzzVerify states that no byte of a manifest or a signature can be changed.
func FuzzVerify(f *testing.F) {
	pub, key := newKey(f)
	m, _ := sample()
	manifest, sig := sign(f, m, key)
	f.Add(manifest, sig)
	f.Add(manifest, bytes.Replace(sig, []byte("\n"), []byte("\r\n"), 1))
	f.Add([]byte("{}"), sig)
	f.Add(manifest, []byte("untrusted comment: \nRWQ=\ntrusted comment: \n\n"))
	f.Add([]byte(strings.Repeat("[", 1000)), []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if _, err := Verify([]minisign.PublicKey{pub}, a, b); err == nil && !bytes.Equal(a, manifest) {
			t.Errorf("%q is taken with %q", a, b)
		}
	})
}
