package agent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"aead.dev/minisign"

	"homemail/store"
	"homemail/update"
	"homemail/update/agent"
	"homemail/update/press"
)

// A memory is rows in memory.
type memory map[string][]byte

func (m memory) State(path string) ([]byte, error) {
	if b, ok := m[path]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("%s: %w", path, store.ErrNotFound)
}

func (m memory) PutState(path string, v []byte) error {
	m[path] = v
	return nil
}

// A box takes what is whole.
type box struct {
	mu     sync.Mutex
	status update.Status
	key    minisign.PublicKey
	have   int64 // bytes of the payload that it has already
	got    []update.Version
	at     []time.Time
}

func (b *box) Status(context.Context) (update.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status, nil
}

func (b *box) Install(_ context.Context, manifest, signature []byte, open update.Opener, size int64, told func(int64)) error {
	m, err := update.Verify([]minisign.PublicKey{b.key}, manifest, signature)
	if err != nil {
		return err
	}
	in, err := open(b.have)
	if err != nil {
		return err
	}
	defer in.Close()
	payload, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if int64(len(payload)) != size-b.have {
		return fmt.Errorf("%d bytes of %d", len(payload), size)
	}
	if b.have == 0 {
		for _, f := range m.Files {
			if update.Hash(sha256.Sum256(payload[:f.Size])) != f.SHA256 {
				return update.ErrDamaged
			}
			payload = payload[f.Size:]
		}
	}
	told(size)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got, b.at = append(b.got, m.Version), append(b.at, time.Now())
	return nil
}

// A publisher is a web server with a directory, and a line that breaks.
type publisher struct {
	dir      string
	breaks   int // after so many bytes of each answer
	noRanges bool
	hangs    bool // instead of breaking
	down     *atomic.Bool
	asked    []string
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked = append(p.asked, r.URL.Path+" "+r.Header.Get("Range"))
	if p.down.Load() {
		return nil, errors.New("no route to host")
	}
	b, err := os.ReadFile(filepath.Join(p.dir, filepath.Base(r.URL.Path)))
	answer := &http.Response{StatusCode: 200, Status: "200 OK", Header: http.Header{}, Request: r}
	if err != nil {
		answer.StatusCode, answer.Status = 404, "404 Not Found"
	}
	from := 0
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); n == 1 && !p.noRanges {
		answer.StatusCode, answer.Status = 206, "206 Partial Content"
		answer.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		b = b[min(from, len(b)):]
	}
	body := io.Reader(bytes.NewReader(b))
	if p.breaks > 0 && len(b) > p.breaks {
		body = io.MultiReader(bytes.NewReader(b[:p.breaks]), &broken{r.Context(), p.hangs})
	}
	answer.Body = io.NopCloser(body)
	return answer, nil
}

type broken struct {
	ctx   context.Context
	hangs bool
}

func (b *broken) Read([]byte) (int, error) {
	if b.hangs {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	return 0, errors.New("connection reset by peer")
}

// A bench is an agent with all that it meets.
type bench struct {
	t      *testing.T
	key    minisign.PrivateKey
	pub    minisign.PublicKey
	web    *publisher
	stick  string
	box    *box
	memory memory
	agent  *agent.Agent
}

func newBench(t *testing.T) *bench {
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, key: key, pub: pub, web: &publisher{dir: t.TempDir(), down: new(atomic.Bool)}, stick: t.TempDir(), memory: memory{}}
	b.box = &box{key: pub, status: update.Status{Version: "1.2.0", Target: "pi"}}
	b.start()
	return b
}

func (b *bench) start() {
	b.agent = agent.New(agent.Options{Box: b.box, Memory: b.memory, Schema: update.Schema{Schema: 1, ReadableBy: 1},
		Keys: []minisign.PublicKey{b.pub}, Dirs: []string{b.stick}, HTTP: b.web, Log: slog.New(slog.DiscardHandler)})
}

// press makes an update in a directory and returns its file.
func (b *bench) press(dir string, v update.Version) string {
	b.t.Helper()
	root := filepath.Join(b.t.TempDir(), "root")
	if err := os.WriteFile(root, bytes.Repeat([]byte(v), 50_000), 0o644); err != nil {
		b.t.Fatal(err)
	}
	file, err := press.Press(dir, press.Sheet{
		Manifest: update.Manifest{Version: v, Target: "pi", Schema: update.Schema{Schema: 1, ReadableBy: 1}, Created: time.Unix(1.7e9, 0).UTC(),
			Notes: update.Notes{EN: "New in " + string(v), JA: "新しい点"}},
		Root: root, Boot: fstest.MapFS{"kernel8.img": {Data: []byte("kernel")}, "overlays/x.dtbo": {Data: []byte("x")}}, Key: b.key,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return file
}

func (b *bench) set(s agent.Settings) {
	b.t.Helper()
	if err := b.agent.Set(s); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) want(s agent.State) agent.Status {
	b.t.Helper()
	got, err := b.agent.Status(b.t.Context())
	if err != nil || got.State != s {
		b.t.Errorf("%q, %q, %v; want %q", got.State, got.Detail, err, s)
	}
	return got
}

// run starts the agent in a bubble and runs it until fn returns.
func (b *bench) run(fn func(t *testing.T)) {
	synctest.Test(b.t, func(t *testing.T) {
		b.start()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.agent.Run(ctx) }()
		fn(t)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

const base = "https://updates.example.org/homemail"

func TestNight(t *testing.T) {
	for name, web := range map[string]publisher{
		"a good line":        {},
		"a line that breaks": {breaks: 100_000},
		"one that hangs":     {breaks: 100_000, hangs: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			web.dir, web.down = b.web.dir, b.web.down
			*b.web = web
			b.press(b.web.dir, "1.3.0")
			b.want(agent.NoSource)
			b.set(agent.Settings{URL: base, Auto: true})
			b.want(agent.Unknown)
			b.run(func(t *testing.T) {
				time.Sleep(36 * time.Hour)
				synctest.Wait()
			})
			if len(b.box.got) == 0 || b.box.got[0] != "1.3.0" {
				t.Fatalf("the box got %v", b.box.got)
			}
			if at := b.box.at[0].Local(); at.Hour() < 3 || at.Hour() > 5 {
				t.Errorf("installed at %v", at)
			}
			b.box.status.Version = "1.3.0"
			if err := b.agent.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.want(agent.Current)
		})
	}
}

func TestNoRanges(t *testing.T) {
	b := newBench(t)
	b.web.noRanges, b.box.have = true, 7
	b.press(b.web.dir, "1.3.0")
	b.set(agent.Settings{URL: base})
	b.run(func(t *testing.T) {
		if err := b.agent.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.agent.Apply(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	})
	if len(b.box.got) != 1 {
		t.Errorf("%v, asked for %q", b.want(agent.Ready), b.web.asked)
	}
}

// TestByHand: nothing is installed by itself if the owner does not want it.
func TestByHand(t *testing.T) {
	b := newBench(t)
	b.press(b.web.dir, "1.3.0")
	b.set(agent.Settings{URL: base + "/"})
	b.run(func(t *testing.T) {
		if err := b.agent.Apply(); !errors.Is(err, agent.ErrNoOffer) {
			t.Errorf("%v", err)
		}
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if len(b.box.got) != 0 {
			t.Errorf("%v", b.box.got)
		}
		if s := b.want(agent.Ready); s.Offer.Notes.EN != "New in 1.3.0" || s.Offer.From != base+"/" {
			t.Errorf("%+v", s.Offer)
		}
		if err := b.agent.Apply(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
	if len(b.box.got) != 1 {
		t.Errorf("%v", b.box.got)
	}
	b.start()
	if s := b.agent.Settings(); s.Auto || s.URL != base+"/" {
		t.Errorf("after a restart: %+v", s)
	}
}

// TestBack: a version that did not work is not tried again by itself, one that
// nobody knows why it stopped is once.
func TestBack(t *testing.T) {
	for _, tt := range []struct {
		reason update.Reason
		tries  int
		again  bool
	}{
		{update.Unhealthy, 1, false}, {update.Stopped, 1, true}, {update.Stopped, 2, false},
	} {
		b := newBench(t)
		b.press(b.web.dir, "1.3.0")
		b.set(agent.Settings{URL: base, Auto: true})
		b.box.status.Last = &update.Record{From: "1.2.0", To: "1.3.0", Stage: update.Back, Reason: tt.reason, Tries: tt.tries}
		b.run(func(t *testing.T) {
			time.Sleep(30 * time.Hour)
			synctest.Wait()
			b.want(agent.Back)
		})
		if again := len(b.box.got) > 0; again != tt.again {
			t.Errorf("%s, %d tries: again %v", tt.reason, tt.tries, again)
		}
		b.press(b.web.dir, "1.3.1")
		if err := b.agent.Check(t.Context()); err != nil {
			t.Error(err)
		}
		b.want(agent.Ready)
	}
}

func TestStick(t *testing.T) {
	b := newBench(t)
	b.set(agent.Settings{URL: base}) // which has nothing yet
	b.run(func(t *testing.T) {
		b.press(b.stick, "1.2.5")
		file := b.press(b.stick, "1.4.0")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := b.want(agent.Ready); s.Offer.Version != "1.4.0" || s.Offer.From != filepath.Base(file) {
			t.Errorf("%+v", s.Offer)
		}
		other := b.press(t.TempDir(), "1.4.1")
		if err := os.Rename(other, file); err != nil {
			t.Fatal(err)
		}
		if err := b.agent.Apply(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.want(agent.Trouble)
		if len(b.box.got) != 0 {
			t.Error("another file than the one that was shown was installed")
		}
		if err := b.agent.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.agent.Apply(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	})
	if len(b.box.got) != 1 || b.box.got[0] != "1.4.1" {
		t.Errorf("%v", b.box.got)
	}
}

func TestUpload(t *testing.T) {
	b := newBench(t)
	b.box.have = 1000
	text, err := os.ReadFile(b.press(t.TempDir(), "1.3.0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.agent.Upload(t.Context(), bytes.NewReader(text)); err != nil || len(b.box.got) != 1 {
		t.Errorf("%v, %v", err, b.box.got)
	}
	for _, bad := range [][]byte{nil, text[:700], bytes.Replace(text, []byte("1.3.0"), []byte("1.3.9"), 1), text[:len(text)/2], []byte("no tar at all")} {
		if err := b.agent.Upload(t.Context(), bytes.NewReader(bad)); err == nil {
			t.Errorf("%d bytes were taken", len(bad))
		}
	}
}

func TestTrouble(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(*bench)
		code string
	}{
		"a stranger's signature": {func(b *bench) { b.pub, b.key, _ = minisign.GenerateKey(rand.Reader); b.press(b.web.dir, "1.3.0") }, "signature"},
		"another target's": {func(b *bench) {
			b.press(b.web.dir, "1.3.0")
			b.box.status.Target = "amd64"
			for _, suffix := range []string{"", agent.SignatureSuffix} {
				os.Rename(filepath.Join(b.web.dir, agent.ManifestName("pi")+suffix), filepath.Join(b.web.dir, agent.ManifestName("amd64")+suffix))
			}
		}, "target"},
		"endless": {func(b *bench) {
			os.WriteFile(filepath.Join(b.web.dir, agent.ManifestName("pi")), make([]byte, update.ManifestMost+1), 0o644)
		}, "line"},
		"nothing": {func(*bench) {}, "line"},
	} {
		b := newBench(t)
		tt.do(b)
		b.set(agent.Settings{URL: base})
		if err := b.agent.Check(t.Context()); agent.Code(err) != tt.code {
			t.Errorf("%s: %q, %v", name, agent.Code(err), err)
		}
		b.want(agent.Trouble)
	}
}

// TestDown: nobody is told of a place that is down for a night.
func TestDown(t *testing.T) {
	b := newBench(t)
	b.press(b.web.dir, "1.2.0")
	b.set(agent.Settings{URL: base, Auto: true})
	b.run(func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b.want(agent.Current)
		b.web.down.Store(true)
		time.Sleep(48 * time.Hour)
		b.want(agent.Current)
		time.Sleep(8 * 24 * time.Hour)
		b.want(agent.Trouble)
	})
}

func TestURL(t *testing.T) {
	b := newBench(t)
	for _, bad := range []string{"ftp://example.org/", "example.org", "https://", "https://user:secret@example.org/", "file:///etc/passwd", "https://" + strings.Repeat("a", 2000)} {
		if err := b.agent.Set(agent.Settings{URL: bad}); !errors.Is(err, agent.ErrURL) {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
}

func TestNoBox(t *testing.T) {
	a := agent.New(agent.Options{Memory: memory{}, Log: slog.New(slog.DiscardHandler)})
	if s, err := a.Status(t.Context()); err != nil || s.State != agent.NoBox {
		t.Errorf("%+v, %v", s, err)
	}
	if err := a.Run(t.Context()); err != nil {
		t.Error(err)
	}
	for _, err := range []error{a.Check(t.Context()), a.Apply(), a.Upload(t.Context(), nil)} {
		if !errors.Is(err, agent.ErrNoBox) || agent.Code(err) != "no-box" {
			t.Errorf("%v", err)
		}
	}
}

// FuzzUpload states that what is not signed never reaches the box.
func FuzzUpload(f *testing.F) {
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.WriteFile(root, []byte("root"), 0o644); err != nil {
		f.Fatal(err)
	}
	file, err := press.Press(dir, press.Sheet{Manifest: update.Manifest{Version: "2.0.0", Target: "pi", Schema: update.Schema{Schema: 1, ReadableBy: 1}},
		Root: root, Boot: fstest.MapFS{}, Key: key})
	if err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:1024])
	f.Add(bytes.ToUpper(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		strict := &box{key: pub, status: update.Status{Version: "1.0.0", Target: "pi"}}
		a := agent.New(agent.Options{Box: strict, Memory: memory{}, Keys: []minisign.PublicKey{pub}, Log: slog.New(slog.DiscardHandler)})
		err := a.Upload(t.Context(), bytes.NewReader(b))
		if (err == nil) != (len(strict.got) == 1) {
			t.Errorf("%v, and the box got %v", err, strict.got)
		}
	})
}
