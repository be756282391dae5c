package mtasts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A world is a policy host on pipes, its DNS and a state.
type world struct {
	mu      sync.Mutex
	txt     []string
	txtErr  error
	addrs   []netip.Addr
	handler http.HandlerFunc
	dead    bool
	hang    bool
	dials   []string
	fetches int
	state   mapState

	cert  tls.Certificate
	roots *x509.CertPool
	conns pipes
	open  []net.Conn // both ends of each
}

// pipes is a listener whose connections are put into it.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

type mapState map[string][]byte

func (m mapState) Get(name string) ([]byte, error) {
	b, ok := m[name]
	if !ok {
		return nil, errors.New("not found")
	}
	return b, nil
}

func (m mapState) Put(name string, b []byte) error { m[name] = b; return nil }

const good = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmx: *.mx.example.test\r\nmax_age: 1209600\r\n"

// newWorld must be called in a bubble.
func newWorld(t *testing.T, names ...string) *world {
	w := &world{
		txt: []string{"v=STSv1; id=1;"}, addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		state: mapState{}, conns: make(pipes),
	}
	w.serve("text/plain", good)
	w.cert, w.roots = certify(t, append(names, "mta-sts.example.test")...)
	srv := &http.Server{Handler: http.HandlerFunc(w.answer), ErrorLog: log.New(io.Discard, "", 0)}
	go srv.Serve(tls.NewListener(w.conns, &tls.Config{Certificates: []tls.Certificate{w.cert}}))
	t.Cleanup(func() {
		w.hangUp() // first: Close would wait, with its lock held, for alerts that nobody reads
		srv.Close()
		time.Sleep(time.Minute)
	})
	return w
}

// hangUp cuts all connections.
func (w *world) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
}

// certify makes a certificate that is its own root.
func certify(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func (w *world) serve(contentType, body string) {
	w.handler = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", contentType)
		io.WriteString(rw, body)
	}
}

func (w *world) answer(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.fetches++
	h := w.handler
	w.mu.Unlock()
	if r.URL.Path != "/.well-known/mta-sts.txt" || r.Host != "mta-sts.example.test" {
		http.NotFound(rw, r)
		return
	}
	h(rw, r)
}

func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.dials = append(w.dials, addr)
	dead, hang := w.dead, w.hang
	w.mu.Unlock()
	switch {
	case hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case dead:
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	w.mu.Lock()
	w.open = append(w.open, ours, theirs)
	w.mu.Unlock()
	w.conns <- theirs
	return ours, nil
}

func (w *world) options() Options {
	return Options{
		LookupTXT: func(_ context.Context, name string) ([]string, error) {
			if name != "_mta-sts.example.test" {
				return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
			}
			return w.txt, w.txtErr
		},
		LookupNetIP: func(context.Context, string, string) ([]netip.Addr, error) { return w.addrs, nil },
		Dial:        w.dial, Roots: w.roots, State: w.state,
	}
}

// bubble runs a test with a new world in a bubble of its own time.
func bubble(t *testing.T, f func(t *testing.T, w *world, c *Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f(t, w, New(w.options()))
	})
}

// mode is the policy of the domain, in a word.
func mode(c *Cache) string {
	p, err := c.Get(context.Background(), "example.test")
	if err != nil {
		return "error"
	}
	return p.Mode + p.ID
}

func TestGet(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, c *Cache) {
		p, err := c.Get(t.Context(), "Example.TEST.")
		if err != nil || p.Mode != Enforce || p.ID != "1" || p.MaxAge != 14*24*time.Hour || !p.Matches("a.mx.example.test.") {
			t.Fatalf("%+v, %v", p, err)
		}
		for _, d := range []string{"other.test", "", "[192.0.2.1]", "a b.test", "sub.example.test", strings.Repeat("a.", 130) + "test"} {
			if p, err := c.Get(t.Context(), d); err != nil || p.Mode != None {
				t.Errorf("%q: %+v, %v", d, p, err)
			}
		}
	})
}

func TestNoPolicy(t *testing.T) {
	long := good + strings.Repeat("x: "+strings.Repeat("y", 100)+"\r\n", 650)
	for name, tt := range map[string]struct {
		change func(w *world)
		want   string
	}{
		"no record":            {func(w *world) { w.txt, w.txtErr = nil, &net.DNSError{IsNotFound: true} }, "none"},
		"other record":         {func(w *world) { w.txt = []string{"v=spf1 -all"} }, "none"},
		"two records":          {func(w *world) { w.txt = append(w.txt, w.txt[0]) }, "none"},
		"no id":                {func(w *world) { w.txt = []string{"v=STSv1;"} }, "none"},
		"bad id":               {func(w *world) { w.txt = []string{"v=STSv1; id=a-b"} }, "none"},
		"DNS fails":            {func(w *world) { w.txtErr = &net.DNSError{IsTemporary: true} }, "error"},
		"refused":              {func(w *world) { w.dead = true }, "error"},
		"hangs":                {func(w *world) { w.hang = true }, "error"},
		"html":                 {func(w *world) { w.serve("text/html", good) }, "error"},
		"no type":              {func(w *world) { w.serve("", good) }, "error"},
		"charset":              {func(w *world) { w.serve("text/plain; charset=utf-8", good) }, "enforce1"},
		"64 KiB":               {func(w *world) { w.serve("text/plain", long) }, "error"},
		"bad policy":           {func(w *world) { w.serve("text/plain", "hello") }, "error"},
		"404":                  {func(w *world) { w.handler = http.NotFound }, "error"},
		"204":                  {func(w *world) { w.handler = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(204) } }, "error"},
		"never ends":           {func(w *world) { w.handler = drip }, "error"},
		"wrong name":           {func(w *world) { *w = *rename(t, w) }, "error"},
		"private":              {func(w *world) { w.addrs = []netip.Addr{netip.MustParseAddr("192.168.1.1")} }, "error"},
		"private, then public": {func(w *world) { w.addrs = append([]netip.Addr{netip.MustParseAddr("::1")}, w.addrs...) }, "enforce1"},
		"no address":           {func(w *world) { w.addrs = nil }, "error"},
		"redirect": {func(w *world) {
			w.handler = func(rw http.ResponseWriter, r *http.Request) {
				if w.serve("text/plain", good); r.URL.RawQuery == "" {
					http.Redirect(rw, r, r.URL.Path+"?again", http.StatusFound)
				}
			}
		}, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				tt.change(w)
				c := New(w.options())
				start := time.Now()
				if got := mode(c); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				if took := time.Since(start); took > checkTime {
					t.Errorf("took %v", took)
				}
				first := len(w.dials)
				time.Sleep(recheck - time.Second)
				if start = time.Now(); mode(c) != tt.want || time.Since(start) != 0 || len(w.dials) != first {
					t.Errorf("asked again within 5 minutes: %v", w.dials)
				}
				synctest.Wait()
				*w = world{txt: []string{"v=STSv1; id=1"}, addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, cert: w.cert, roots: w.roots, conns: w.conns, state: w.state}
				w.serve("text/plain", good)
				if time.Sleep(time.Second); name != "wrong name" && mode(c) != "enforce1" {
					t.Errorf("not asked again after 5 minutes: %s", mode(c))
				}
			})
		})
	}
}

func drip(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/plain")
	for r.Context().Err() == nil {
		io.WriteString(rw, "x: y\n")
		rw.(http.Flusher).Flush()
		select {
		case <-time.After(5 * time.Second):
		case <-r.Context().Done():
		}
	}
}

// rename makes the client trust a certificate for another name only.
func rename(t *testing.T, w *world) *world {
	_, roots := certify(t, "example.test")
	return &world{txt: w.txt, addrs: w.addrs, handler: w.handler, state: w.state, cert: w.cert, roots: roots, conns: w.conns}
}

func TestCertificateOfAnotherName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		o.LookupTXT = func(context.Context, string) ([]string, error) { return w.txt, nil }
		_, err := New(o).Get(t.Context(), "evil.test") // served with mta-sts.example.test
		var bad x509.HostnameError
		if !errors.As(err, &bad) {
			t.Errorf("got %v", err)
		}
	})
}

// A policy in force survives whatever an attacker can do to its fetching, and
// a restart, but not its max_age.
func TestStaysInForce(t *testing.T) {
	for name, attack := range map[string]func(w *world){
		"no record":  func(w *world) { w.txt, w.txtErr = nil, &net.DNSError{IsNotFound: true} },
		"DNS fails":  func(w *world) { w.txtErr = &net.DNSError{IsTemporary: true} },
		"dead":       func(w *world) { w.dead = true },
		"new id":     func(w *world) { w.txt, w.hang = []string{"v=STSv1; id=2"}, true },
		"bad policy": func(w *world) { w.txt = []string{"v=STSv1; id=2"}; w.serve("text/plain", "mode: none\n") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world, c *Cache) {
				if got := mode(c); got != "enforce1" {
					t.Fatal(got)
				}
				attack(w)
				for range 13 {
					time.Sleep(24 * time.Hour)
					if got := mode(c); got != "enforce1" {
						t.Fatal(got)
					}
				}
				if got := mode(New(w.options())); got != "enforce1" {
					t.Errorf("after a restart: %s", got)
				}
				time.Sleep(24 * time.Hour)
				if got := mode(c); strings.HasPrefix(got, "enforce") {
					t.Errorf("after max_age: %s", got)
				}
				if got := mode(New(w.options())); strings.HasPrefix(got, "enforce") {
					t.Errorf("after max_age and a restart: %s", got)
				}
			})
		})
	}
}

func TestRefresh(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, c *Cache) {
		want := func(m string, fetches int) {
			t.Helper()
			if got := mode(c); got != m || w.fetches != fetches {
				t.Errorf("got %s after %d fetches, want %s after %d", got, w.fetches, m, fetches)
			}
		}
		want("enforce1", 1)
		time.Sleep(23 * time.Hour)
		want("enforce1", 1) // the same id: no fetch within a day
		time.Sleep(2 * time.Hour)
		want("enforce1", 2) // a day has passed
		w.txt = []string{"v=STSv1; id=2"}
		w.serve("text/plain", strings.Replace(good, "enforce", "testing", 1))
		want("enforce1", 2) // within 5 minutes
		time.Sleep(recheck)
		want("testing2", 3)
		w.txt = []string{"v=STSv1; id=3"}
		w.serve("text/plain", "version: STSv1\nmode: none\nmax_age: 86400")
		time.Sleep(recheck)
		want("none3", 4) // this is how a domain takes its policy back, §2.5
		c = New(w.options())
		want("none3", 4)
	})
}

func TestRefreshOfDeadHostDoesNotSlow(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, c *Cache) {
		mode(c)
		w.hang = true
		time.Sleep(25 * time.Hour)
		slow := time.Duration(0)
		for range 24 * 6 {
			start := time.Now()
			mode(c)
			slow += time.Since(start)
			time.Sleep(10 * time.Minute)
		}
		if slow == 0 || slow > 25*dialTime {
			t.Errorf("waited %v in a day", slow)
		}
	})
}

func TestConcurrentGetsShareAFetch(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, c *Cache) {
		slow := w.handler
		w.handler = func(rw http.ResponseWriter, r *http.Request) { time.Sleep(20 * time.Second); slow(rw, r) }
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				ctx := context.Background()
				if i%2 == 0 { // some give up; nobody else pays for it
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(i+1)*time.Second)
					defer cancel()
				}
				if p, err := c.Get(ctx, "example.test"); (err == nil) != (i%2 == 1) || err == nil && p.Mode != Enforce {
					t.Errorf("%d: %+v, %v", i, p, err)
				}
			})
		}
		if wg.Wait(); w.fetches > 11 { // one, and one more for each leader that gave up
			t.Errorf("%d fetches", w.fetches)
		}
		before := w.fetches
		for range 20 {
			wg.Go(func() { mode(c) })
		}
		if wg.Wait(); w.fetches != before {
			t.Errorf("%d fetches for a known policy", w.fetches-before)
		}
	})
}

// Whoever gives up says nothing about the domain.
func TestCancelledIsNotCached(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, c *Cache) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if w.hang = true; true {
			if _, err := c.Get(ctx, "example.test"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		synctest.Wait()
		if w.hang = false; mode(c) != "enforce1" {
			t.Errorf("got %s", mode(c))
		}
	})
}

func TestClockGoesBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, c *Cache) {
		w.state["example.test"] = fmt.Appendf(nil, `{"policy":{"mode":"enforce","mx":["a.test"],"max_age":%d,"id":"1"},"fetched":"2036-01-01T00:00:00Z"}`, time.Hour)
		if w.dead = true; mode(c) != "enforce1" {
			t.Errorf("got %s", mode(c))
		}
	})
}

func TestDamagedState(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, c *Cache) {
		if w.state["example.test"] = []byte("{"); mode(c) != "enforce1" {
			t.Errorf("got %s", mode(c))
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, c *Cache) {
		mode(c)
		for i := range 3 * maxEntries {
			if _, err := c.Get(t.Context(), fmt.Sprintf("d%d.test", i)); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.entries) > maxEntries {
			t.Errorf("%d entries", len(c.entries))
		}
		if !slices.Contains(slices.Collect(maps.Keys(c.entries)), "example.test") {
			t.Error("the policy in force was forgotten before the others")
		}
	})
}

// Durability row 45.
func TestPublic(t *testing.T) {
	for _, s := range []string{"1.1.1.1", "192.0.2.1", "2606:4700::1", "::ffff:1.1.1.1", "64:ff9b::101:101", "172.32.0.1", "100.128.0.1"} {
		if !(guard{}).allowed(netip.MustParseAddr(s)) {
			t.Errorf("%s is refused", s)
		}
	}
	for _, s := range []string{
		"127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1", "100.127.255.255",
		"0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.0.8", "198.18.0.1",
		"::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fc00::1", "fd00::1", "ff02::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::c0a8:101", "64:ff9b:1::1", "2002:c0a8:101::1", "2001:0:1::1",
	} {
		a := netip.MustParseAddr(s)
		if (guard{}).allowed(a) {
			t.Errorf("%s is allowed", s)
		}
		if a.Zone() == "" && !(guard{Options{Allow: []netip.Prefix{netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())}}}).allowed(a) {
			t.Errorf("%s is refused though configured", s)
		}
	}
}
