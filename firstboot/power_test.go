package firstboot

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"homemail/store"
)

// A plugged box has a store that outlives its boots.
type plugged struct {
	t     *testing.T
	state *memory
	boots int
	stops []func()
}

// memory is a State of rows alone. Like the store it may be asked by several at once.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (m *memory) SealSecret(_ string, secret []byte) ([]byte, error) { return secret, nil }
func (m *memory) OpenSecret(_ string, sealed []byte) ([]byte, error) { return sealed, nil }

func (m *memory) State(path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.rows[path]; ok {
		return b, nil
	}
	return nil, store.ErrNotFound
}

func (m *memory) PutState(path string, v []byte) error {
	return m.UpdateState(path, func([]byte) ([]byte, error) { return v, nil })
}

func (m *memory) UpdateState(path string, fn func([]byte) ([]byte, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := fn(m.rows[path])
	if err != nil {
		return err
	}
	if delete(m.rows, path); v != nil {
		m.rows[path] = v
	}
	return nil
}

// boot starts the kernel.
func (p *plugged) boot() Box {
	p.boots++
	begun := time.Now()
	return Box{string(rune('a' + p.boots)), func() time.Duration { return time.Since(begun) }}
}

// start starts the program. Stop ends it in good order; who does not call it has
// pulled the plug.
func (p *plugged) start(b Box) (c *Claim, stop func()) {
	code, err := NewCode("")
	if err != nil {
		p.t.Fatal(err)
	}
	code.Plug(b)
	c = NewClaim(code, p.state, func(context.Context) (bool, error) { return false, nil }, subnets)
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.watch(ctx) }()
	synctest.Wait()
	stop = sync.OnceFunc(func() {
		end()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
	p.stops = append(p.stops, stop)
	return c, stop
}

// cut ends a program without its writing anything down any more.
func (p *plugged) cut(stop func()) {
	synctest.Wait()
	rows := maps.Clone(p.state.rows)
	stop()
	p.state.rows = rows
}

func withPlug(t *testing.T, fn func(t *testing.T, p *plugged)) {
	synctest.Test(t, func(t *testing.T) {
		p := &plugged{t: t, state: &memory{rows: map[string][]byte{}}}
		fn(t, p)
		for _, stop := range p.stops {
			stop()
		}
	})
}

func await(t *testing.T, c *Claim) string {
	t.Helper()
	token, err := c.Await(t.Context(), "", near)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func noReturn(t *testing.T, c *Claim, token string) {
	t.Helper()
	if _, err := c.Return(t.Context(), token, near, ""); !errors.Is(err, ErrPower) {
		t.Errorf("%v, want %v", err, ErrPower)
	}
}

// TestPlug is how it goes well: the browser that waited wins, and no other.
func TestPlug(t *testing.T) {
	withPlug(t, func(t *testing.T, p *plugged) {
		c, stop := p.start(p.boot())
		if !c.Powered(t.Context()) {
			t.Error("it is not offered")
		}
		token := await(t, c)
		time.Sleep(time.Minute)
		if left := c.Left(token); left != powerWait-time.Minute || c.Left("x") != 0 {
			t.Errorf("%v left", left)
		}
		noReturn(t, c, token) // still in the same start
		p.cut(stop)
		time.Sleep(time.Hour) // with a lamp on the plug meanwhile

		c, stop = p.start(p.boot())
		defer stop()
		time.Sleep(100 * time.Second)
		noReturn(t, c, "a stranger")
		if _, err := c.Return(t.Context(), token, far, ""); !errors.Is(err, ErrFar) {
			t.Errorf("from afar: %v", err)
		}
		for who, want := range map[string]bool{token: true, "a stranger": false, "": false} {
			if back, err := c.Back(who); err != nil || back != want {
				t.Errorf("%q is back: %t, %v", who, back, err)
			}
		}
		proof, err := c.Return(t.Context(), token, near, "Safari, iPhone")
		if err != nil || !c.Holds(proof) || c.Holds(token) {
			t.Fatalf("%v", err)
		}
		if by, err := c.By(); err != nil || !by.Plug || by.From != near.String() {
			t.Errorf("%+v %v", by, err)
		}
		if _, err := c.Return(t.Context(), token, near, ""); !errors.Is(err, ErrClaimed) || c.Powered(t.Context()) {
			t.Errorf("a claimed house: %v", err)
		}
	})
}

// TestAttackPlug is all that looks like a plug that was pulled and is none.
func TestAttackPlug(t *testing.T) {
	for name, happens := range map[string]func(t *testing.T, p *plugged, b Box, c *Claim, stop func()) *Claim{
		"the program starts again": func(_ *testing.T, p *plugged, b Box, _ *Claim, stop func()) *Claim {
			p.cut(stop)
			c, _ := p.start(b)
			return c
		},
		"an orderly restart": func(_ *testing.T, p *plugged, _ Box, _ *Claim, stop func()) *Claim {
			stop()
			c, _ := p.start(p.boot())
			return c
		},
		"the power is cut at night": func(_ *testing.T, p *plugged, _ Box, _ *Claim, stop func()) *Claim {
			time.Sleep(powerWait + time.Second)
			p.cut(stop)
			c, _ := p.start(p.boot())
			return c
		},
		"it comes back late": func(_ *testing.T, p *plugged, _ Box, _ *Claim, stop func()) *Claim {
			p.cut(stop)
			c, _ := p.start(p.boot())
			time.Sleep(powerReturn + time.Second)
			return c
		},
		"only after another power cut": func(_ *testing.T, p *plugged, _ Box, _ *Claim, stop func()) *Claim {
			p.cut(stop)
			_, stop = p.start(p.boot())
			p.cut(stop)
			c, _ := p.start(p.boot())
			return c
		},
		"somebody else waits, too": func(t *testing.T, p *plugged, _ Box, c *Claim, stop func()) *Claim {
			for _, want := range []error{ErrRival, ErrOnce} {
				if _, err := c.Await(t.Context(), "", near6); !errors.Is(err, want) {
					t.Errorf("two wait: %v, want %v", err, want)
				}
			}
			p.cut(stop)
			c, _ = p.start(p.boot())
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			withPlug(t, func(t *testing.T, p *plugged) {
				b := p.boot()
				c, stop := p.start(b)
				token := await(t, c)
				c = happens(t, p, b, c, stop)
				noReturn(t, c, token)
			})
		})
	}
}

// TestPlugNotOffered: without Plug, from afar, too often.
func TestPlugNotOffered(t *testing.T) {
	w := newWorld(t)
	c := w.claim(t)
	if _, err := c.Await(t.Context(), "", near); !errors.Is(err, ErrNoPower) || c.Powered(t.Context()) {
		t.Errorf("a laptop: %v", err)
	}
	if _, err := c.Return(t.Context(), "x", near, ""); !errors.Is(err, ErrNoPower) {
		t.Errorf("a laptop: %v", err)
	}
	c.code.Plug(Box{"a", func() time.Duration { return time.Minute }})
	for _, from := range []netip.Addr{far, {}} {
		if _, err := c.Await(t.Context(), "", from); !errors.Is(err, ErrFar) {
			t.Errorf("%v: %v", from, err)
		}
	}
	token := await(t, c)
	if again, err := c.Await(t.Context(), token, near); err != nil || again != token {
		t.Errorf("once more: %q, %v", again, err)
	}
	if _, err := c.Await(t.Context(), "", near); !errors.Is(err, ErrOnce) {
		t.Errorf("another browser at the address: %v", err)
	}
	if b, ok := ReadBox(); ok && (len(b.Boot) < 30 || b.Uptime() <= 0) {
		t.Errorf("%+v", b)
	}
}

// TestAttackRival: who gets in the owner's way can do so once.
func TestAttackRival(t *testing.T) {
	withPlug(t, func(t *testing.T, p *plugged) {
		c, stop := p.start(p.boot())
		await(t, c)
		if _, err := c.Await(t.Context(), "", near6); !errors.Is(err, ErrRival) {
			t.Errorf("a second one: %v", err)
		}
		if _, err := c.Await(t.Context(), "", near); !errors.Is(err, ErrRival) {
			t.Errorf("the first one, at once: %v", err)
		}
		time.Sleep(powerWait)
		token := await(t, c)
		if _, err := c.Await(t.Context(), "", near6); !errors.Is(err, ErrOnce) || c.Left(token) == 0 {
			t.Errorf("the second one, once more: %v", err)
		}
		p.cut(stop)
		c, _ = p.start(p.boot())
		if _, err := c.Return(t.Context(), token, near, ""); err != nil {
			t.Error(err)
		}
	})
}

// TestAttackWaits has strangers with many addresses begin to wait.
func TestAttackWaits(t *testing.T) {
	withPlug(t, func(t *testing.T, p *plugged) {
		c, _ := p.start(p.boot())
		for i := range powerTries {
			if _, err := c.Await(t.Context(), "", netip.AddrFrom4([4]byte{192, 168, 1, byte(100 + i)})); err != nil {
				t.Fatal(i, err)
			}
			time.Sleep(powerWait)
		}
		if _, err := c.Await(t.Context(), "", near); !errors.Is(err, ErrTries) {
			t.Errorf("%v", err)
		}
	})
}
