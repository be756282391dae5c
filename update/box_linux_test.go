package update

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aead.dev/minisign"

	"homemail/appliance/slots"
)

// A bench is a box whose disk is a directory.
type bench struct {
	t        *testing.T
	dir      string
	key      minisign.PrivateKey
	box      *Box
	restarts []string
}

const (
	rootSize = 32 << 20
	oldRoot  = "the root before"
)

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir()}
	b.put("boot/grub/grubenv", slots.GRUBEnv())
	b.put("boot/grub/b.cfg", []byte("set cmdline=\"root=PARTUUID=22-b ro old homemail.slot=b\"\n"))
	b.put("boot/b/vmlinuz", bytes.Repeat([]byte("a longer kernel"), 1000))
	b.put("root-b", append([]byte(oldRoot), make([]byte, rootSize-len(oldRoot))...))
	pub, key := newKey(t)
	b.key = key
	b.start("a", running, pub)
	return b
}

func (b *bench) put(name string, text []byte) {
	b.t.Helper()
	name = filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) get(name string) []byte {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// start starts the box with a slot, as after a restart.
func (b *bench) start(slot string, r Running, keys ...minisign.PublicKey) {
	b.t.Helper()
	boot, err := slots.Open(filepath.Join(b.dir, "boot"), "homemail.slot="+slot)
	if err != nil {
		b.t.Fatal(err)
	}
	if keys == nil {
		keys = b.box.o.Keys
	}
	b.restarts = nil
	b.box = New(Options{
		Boot: boot, BootDir: filepath.Join(b.dir, "boot"), Root: filepath.Join(b.dir, "root-b"), State: filepath.Join(b.dir, "state"),
		Running: r, Keys: keys, Log: slog.New(slog.DiscardHandler), Restart: func(a string) { b.restarts = append(b.restarts, "restart "+a) },
	})
}

func (b *bench) status() Status {
	b.t.Helper()
	s, err := b.box.Status()
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// untouched fails if anything leads to the other slot.
func (b *bench) untouched(what string) {
	b.t.Helper()
	if s := b.status(); s.Slots.Next != 0 || s.Slots.Every != slots.A || len(b.restarts) != 0 {
		b.t.Errorf("%s: %+v, %v", what, s.Slots, b.restarts)
	}
}

func from(payload []byte) Opener {
	return func(offset int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(payload[offset:])), nil }
}

func TestInstall(t *testing.T) {
	b := newBench(t)
	m, payload := sample()
	m.Args = "ro new"
	manifest, sig := sign(t, m, b.key)
	if err := b.box.Install(t.Context(), manifest, sig, from(payload)); err != nil {
		t.Fatal(err)
	}
	if got := b.get("root-b"); len(got) != rootSize || !bytes.Equal(got[:m.Files[0].Size], payload[:m.Files[0].Size]) {
		t.Error("the root is not what was sent")
	}
	if got := b.get("boot/b/vmlinuz"); int64(len(got)) != m.Files[1].Size {
		t.Errorf("the kernel has %d bytes: the end of a longer one before", len(got))
	}
	if got := string(b.get("boot/b/overlays/miniuart-bt.dtbo")); got != "overlay" {
		t.Errorf("%q", got)
	}
	if got := string(b.get("boot/grub/b.cfg")); got != "set cmdline=\"root=PARTUUID=22-b homemail.slot=b ro new\"\n" {
		t.Errorf("%q", got)
	}
	s := b.status()
	if s.Slots.Next != slots.B || len(b.restarts) != 1 || s.Last.Stage != Trying || s.Last.To != "1.3.0" || s.Last.Tries != 1 {
		t.Errorf("%+v, %+v, %v", s.Slots, s.Last, b.restarts)
	}
}

func TestInstallRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*bench, *Manifest)
		want   error
	}{
		"older":     {func(_ *bench, m *Manifest) { m.Version = "1.0.0" }, ErrOlder},
		"schema":    {func(_ *bench, m *Manifest) { m.Schema = Schema{2, 2} }, ErrSchema},
		"root room": {func(_ *bench, m *Manifest) { m.Files[0].Size = rootSize + 1 }, ErrRoom},
		"boot room": {func(_ *bench, m *Manifest) { m.Files[1].Size = 1 << 29 }, nil}, // fits where tests run; see TestRoom
		"trial":     {func(b *bench, _ *Manifest) { b.start("b", running) }, ErrTrial},
		"key":       {func(b *bench, _ *Manifest) { _, b.key = newKey(b.t) }, ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			m, _ := sample()
			tt.change(b, &m)
			manifest, sig := sign(t, m, b.key)
			opened := false
			err := b.box.Install(t.Context(), manifest, sig, func(int64) (io.ReadCloser, error) { opened = true; return nil, io.ErrUnexpectedEOF })
			if tt.want != nil && (!errors.Is(err, tt.want) || opened) || err == nil {
				t.Errorf("%v, opened %v", err, opened)
			}
			if !bytes.HasPrefix(b.get("root-b"), []byte(oldRoot)) {
				t.Error("the root was written to")
			}
			if name != "trial" {
				b.untouched(name)
			}
		})
	}
}

// TestCutOff breaks an installation off at many places, restarts the box, and
// goes on: nothing leads to the slot before it is whole, and no checkpoint is
// asked for twice.
func TestCutOff(t *testing.T) {
	b := newBench(t)
	m, payload := large()
	manifest, sig := sign(t, m, b.key)
	boom := errors.New("the line broke")
	var wants []int64
	for _, at := range []int64{0, 1, checkpoint - 1, checkpoint, 2*checkpoint + 5, m.Files[0].Size, m.Files[0].Size + 1, m.Size() - 1} {
		open := func(offset int64) (io.ReadCloser, error) {
			wants = append(wants, offset)
			r := io.Reader(bytes.NewReader(payload[offset:]))
			return io.NopCloser(io.MultiReader(io.LimitReader(r, max(at-offset, 0)), failing{boom})), nil
		}
		if err := b.box.Install(t.Context(), manifest, sig, open); !errors.Is(err, boom) {
			t.Fatalf("at %d: %v", at, err)
		}
		b.untouched("broken off")
		b.start("a", running) // the power went
		b.box.Run(t.Context(), nil)
		b.untouched("after a restart")
	}
	if want := []int64{0, 0, 0, 0, checkpoint, 2 * checkpoint, m.Files[0].Size, m.Files[0].Size}; !equal(wants, want) {
		t.Errorf("asked for %v, want %v", wants, want)
	}
	if err := b.box.Install(t.Context(), manifest, sig, from(payload)); err != nil {
		t.Fatal(err)
	}
	if s := b.status(); s.Slots.Next != slots.B || len(s.Before) != 0 {
		t.Errorf("%+v", s)
	}
}

func equal(a, b []int64) bool {
	for i := range a {
		if len(a) != len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestDamaged: what is not what was signed is never tried, whoever changed it,
// and asked for again from the start.
func TestDamaged(t *testing.T) {
	b := newBench(t)
	m, payload := sample()
	manifest, sig := sign(t, m, b.key)
	bad := bytes.Clone(payload)
	bad[len(bad)-1]++
	if err := b.box.Install(t.Context(), manifest, sig, from(bad)); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	b.untouched("a changed payload")
	broken := errors.New("enough")
	open := func(offset int64) (io.ReadCloser, error) {
		if offset != 0 {
			t.Errorf("goes on at %d with what is damaged", offset)
		}
		return io.NopCloser(failing{broken}), nil
	}
	if err := b.box.Install(t.Context(), manifest, sig, open); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := b.box.Install(t.Context(), manifest, sig, from(payload)); err != nil {
		t.Fatal(err)
	}
	// the box came back from it; meanwhile the disk lost a byte
	b.start("a", running)
	b.box.Run(t.Context(), nil)
	root := b.get("root-b")
	root[12345]++
	b.put("root-b", root)
	if err := b.box.Install(t.Context(), manifest, sig, open); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	b.untouched("a disk that loses bytes")
}

func TestRoom(t *testing.T) {
	b := newBench(t)
	m, _ := sample()
	for range 5 {
		m.Files = append(m.Files, File{Name: "x" + strings.Repeat("y", len(m.Files)), Size: 1 << 50})
	}
	w := writer{options: b.box.o, manifest: m, slot: slots.B}
	if err := w.room(); !errors.Is(err, ErrRoom) {
		t.Error(err)
	}
}

// installed is a box that was started to try an update.
func installed(t *testing.T) *bench {
	b := newBench(t)
	m, payload := sample()
	manifest, sig := sign(t, m, b.key)
	if err := b.box.Install(t.Context(), manifest, sig, from(payload)); err != nil {
		t.Fatal(err)
	}
	b.start("b", Running{Version: "1.3.0", Target: "amd64", Schema: m.Schema})
	return b
}

func TestTrial(t *testing.T) {
	sick := errors.New("smtp: no greeting")
	begin := time.Time{}
	after := func(d time.Duration) bool { return time.Since(begin) >= d }
	for _, tt := range []struct {
		name    string
		healthy func(context.Context) error
		kept    time.Duration // 0 if it is not
	}{
		{"healthy", func(context.Context) error { return nil }, 10 * time.Minute},
		{"slow to start", func(context.Context) error {
			if after(5 * time.Minute) {
				return nil
			}
			return sick
		}, 15 * time.Minute},
		{"never", func(context.Context) error { return sick }, 0},
		{"sick after nine minutes", func(context.Context) error {
			if after(9 * time.Minute) {
				return sick
			}
			return nil
		}, 0},
		{"now and then", func(context.Context) error {
			if int(time.Since(begin)/time.Minute)%8 == 7 {
				return sick
			}
			return nil
		}, 0},
		{"hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := installed(t)
			synctest.Test(t, func(t *testing.T) {
				begin = time.Now()
				b.box.Run(t.Context(), tt.healthy)
				took := time.Since(begin).Round(time.Minute)
				s := b.status()
				if tt.kept != 0 {
					if s.Slots.Every != slots.B || s.Last.Stage != Good || took != tt.kept || len(b.restarts) != 0 {
						t.Errorf("after %v: %+v, %+v, %v", took, s.Slots, s.Last, b.restarts)
					}
					return
				}
				if s.Slots.Every != slots.A || s.Slots.Next != 0 || len(b.restarts) != 1 || took > 26*time.Minute {
					t.Errorf("after %v: %+v, %+v, %v", took, s.Slots, s.Last, b.restarts)
				}
			})
			if tt.kept != 0 {
				return
			}
			b.start("a", running)
			b.box.Run(t.Context(), nil)
			if s := b.status(); s.Last.Stage != Back || s.Last.Reason != Unhealthy || s.Last.Detail == "" {
				t.Errorf("%+v", s.Last)
			}
		})
	}
}

// TestCrash: the version never says anything, and the box is back.
func TestCrash(t *testing.T) {
	b := installed(t)
	b.start("a", running)
	if err := b.box.o.Boot.Settle(); err != nil { // GRUB has cleared the try
		t.Fatal(err)
	}
	b.box.Run(t.Context(), nil)
	if s := b.status(); s.Last.Stage != Back || s.Last.Reason != Stopped || s.Last.From != "1.2.9" || s.Last.To != "1.3.0" {
		t.Errorf("%+v", s.Last)
	}
}

// TestCutInTrial: the power goes after the commit and before that is written
// down, or in the trial.
func TestCutInTrial(t *testing.T) {
	b := installed(t)
	if err := b.box.o.Boot.Commit(); err != nil {
		t.Fatal(err)
	}
	b.start("b", Running{Version: "1.3.0"})
	b.box.Run(t.Context(), nil)
	if s := b.status(); s.Last.Stage != Good || s.Slots.Trial {
		t.Errorf("%+v, %+v", s.Last, s.Slots)
	}

	b = installed(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.box.Run(ctx, func(context.Context) error { cancel(); return nil })
	if len(b.restarts) != 0 {
		t.Error("a box that is being stopped was restarted")
	}
	b.start("a", running)
	b.box.Run(t.Context(), nil)
	if s := b.status(); s.Last.Stage != Back || s.Last.Reason != Stopped {
		t.Errorf("%+v", s.Last)
	}
}

// TestNoRecords: the data partition says nothing, or nonsense; the loader
// decides.
func TestNoRecords(t *testing.T) {
	for _, records := range []string{"", "[]", "{", "[{}]"} {
		b := installed(t)
		b.put("state/updates.json", []byte(records))
		synctest.Test(t, func(t *testing.T) {
			b.box.Run(t.Context(), func(context.Context) error { return nil })
			if s := b.status(); s.Slots.Every != slots.B || s.Last == nil || s.Last.Stage != Good || s.Last.To != "1.3.0" {
				t.Errorf("%q: %+v, %+v", records, s.Slots, s.Last)
			}
		})
	}
}

func TestSocket(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "update")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.box.Serve(ctx, l) }()
	c := Client{path}
	if s, err := c.Status(ctx); err != nil || s.Version != "1.2.9" || s.Slots.Running != slots.A {
		t.Errorf("%+v, %v", s, err)
	}
	m, payload := large()
	told := func(int64) {}
	_, stranger := newKey(t)
	manifest, sig := sign(t, m, stranger)
	if err := c.Install(ctx, manifest, sig, from(payload), m.Size(), told); !errors.Is(err, ErrSignature) || Code(err) != "signature" {
		t.Errorf("%v, %q", err, Code(err))
	}
	manifest, sig = sign(t, m, b.key)
	boom := errors.New("the line broke")
	broken := func(int64) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(payload[:checkpoint+7]), failing{boom})), nil
	}
	if err := c.Install(ctx, manifest, sig, broken, m.Size(), told); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	first := int64(-1)
	open := func(offset int64) (io.ReadCloser, error) { first = offset; return from(payload)(offset) }
	for {
		err := c.Install(ctx, manifest, sig, open, m.Size(), told)
		if errors.Is(err, ErrBusy) { // the one before has not noticed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if first != checkpoint || len(b.restarts) != 1 {
		t.Errorf("went on at %d, %v", first, b.restarts)
	}
	raw, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	raw.Write([]byte{askInstall, 0xff, 0xff, 0xff, 0xff}) // 4 GiB of manifest
	answer, _ := io.ReadAll(raw)
	if !bytes.Contains(answer, []byte(`"code":"signature"`)) {
		t.Errorf("%s", answer)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
