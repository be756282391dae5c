package acme

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"homemail/certs"
	"homemail/store"
)

func choosePorts(t *testing.T) ports { return ports{web: free(t), http: free(t)} }

func only(r certs.Reach) func() certs.Reach { return func() certs.Reach { return r } }

var (
	onlyHTTP = only(certs.Reach{HTTP: certs.Reachable, TLS: certs.Closed})
	onlyTLS  = only(certs.Reach{HTTP: certs.Closed, TLS: certs.Reachable})
	neither  = only(certs.Reach{HTTP: certs.Closed, TLS: certs.Closed})
)

// TestChallenges gets certificates in each of the three ways, with Pebble's
// default delays, and measures from the records to their use at every door.
func TestChallenges(t *testing.T) {
	for kind, reach := range map[string]func() certs.Reach{"http-01": onlyHTTP, "tls-alpn-01": onlyTLS, "dns-01": neither} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			z, at := serveZone(t), choosePorts(t)
			c := startCA(t, caPlan{http: port(t, at.http), tls: port(t, at.web), dns: z.addr})
			o := certs.ACME{Directory: c.directory, Roots: c.roots, PointsHere: z.pointsHere, Reachable: reach}
			if kind == "dns-01" {
				o.DNS = z.zone
			}
			h := openHouse(t, t.TempDir(), at, o)
			if got := h.Status()[0]; got.Shown != certs.SelfSigned {
				t.Errorf("at first %q is shown", got.Shown)
			}
			await(t, "the name that is not there yet", patience, func() bool { return strings.Contains(h.trouble(host), "not in the DNS yet") })
			if c.orders() > 0 {
				t.Error("an order for a name that leads nowhere")
			}
			z.publish()
			took := await(t, "certificates", patience, func() bool { return h.everywhere(c) == nil })
			t.Logf("%s: %v from the records to certificates of %d names in use at all doors", kind, took.Round(10*time.Millisecond), len(names))
			if c.orders() != len(names) || c.accounts() != 1 {
				t.Errorf("%d orders for %d names, %d accounts", c.orders(), len(names), c.accounts())
			}
			if left := z.left(); left > 0 {
				t.Errorf("%d challenges are left in the zone", left)
			}
			// A certificate is in use before the CA has been asked when to renew it.
			await(t, "plans for renewal", patience, func() bool {
				return !slices.ContainsFunc(h.Status(), func(st certs.Status) bool { return st.Renew.IsZero() })
			})
			for _, st := range h.Status() {
				if st.Shown != certs.Valid || !st.Trouble.Empty() || st.Renew.IsZero() || st.Orders != 1 {
					t.Errorf("%+v", st)
				}
			}
			conn, err := tls.Dial("tcp", h.mail, &tls.Config{InsecureSkipVerify: true}) // to an address: it asks for no name
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if !conn.ConnectionState().PeerCertificates[0].Equal(h.Leaf()) || h.Leaf().VerifyHostname(host) != nil {
				t.Error("who asks for no name does not get the host's certificate")
			}
			if h.AccountURI() == "" {
				t.Error("no account for CAA records")
			}
		})
	}
}

// age makes all orders on record older, as if time had passed.
func age(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	st, err := store.Open(dir, store.Options{Log: slog.New(slog.DiscardHandler), Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	rows := map[string]map[string]any{}
	err = st.States("acme-orders/", func(path string, v []byte) bool {
		row := map[string]any{}
		if json.Unmarshal(v, &row) == nil {
			rows[path] = row
		}
		return true
	})
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows of orders, %v", len(rows), err)
	}
	for path, row := range rows {
		ages := row["Ages"].([]any)
		for i := range ages {
			ages[i] = ages[i].(float64) + float64(by)
		}
		v, err := json.Marshal(row)
		if err == nil {
			err = st.PutState(path, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRenewal: a restart uses what is stored and orders nothing; then the CA
// says that it is time, and under a steady load of new connections each of
// which succeeds another certificate with the same key takes over.
func TestRenewal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	z, at := serveZone(t), choosePorts(t)
	z.publish()
	c := startCA(t, caPlan{http: port(t, at.http), tls: port(t, at.web), dns: z.addr, env: []string{"PEBBLE_VA_NOSLEEP=1"}})
	o := certs.ACME{Directory: c.directory, Roots: c.roots, PointsHere: z.pointsHere, Names: func() []string { return names[:1] }}
	h := openHouse(t, dir, at, o)
	await(t, "a certificate", patience, func() bool { return h.Status()[0].Shown == certs.Valid })
	first := h.Leaf()
	h.stop()

	h = openHouse(t, dir, at, o)
	if !h.Leaf().Equal(first) {
		t.Fatal("after a restart another certificate is shown")
	}
	await(t, "rest", patience, func() bool {
		st := h.Status()[0]
		return st.Doing == certs.Resting && !st.Next.IsZero() && time.Until(st.Next) > time.Minute
	})
	if c.orders() != 1 {
		t.Fatalf("%d orders after a restart", c.orders())
	}

	c.renewNow(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.Raw}))
	h.stop()
	h = openHouse(t, dir, at, o) // it asks when to renew, but has ordered within the hour
	await(t, "the hour to be respected", patience, func() bool { return strings.Contains(h.trouble(host), "a short time ago") })
	h.stop()
	age(t, dir, 2*time.Hour)

	h = openHouse(t, dir, at, o)
	load := startLoad(t, h.mail, c)
	await(t, "the renewal", patience, func() bool { return !h.Leaf().Equal(first) })
	time.Sleep(200 * time.Millisecond)
	done, saw := load()
	second := h.Leaf()
	if second.NotBefore.Before(first.NotBefore) || !bytes.Equal(second.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		t.Error("the renewed certificate has another key: TLSA records would be wrong")
	}
	if !saw[string(first.Raw)] && !saw[string(second.Raw)] || done < 50 {
		t.Errorf("%d connections", done)
	}
	t.Logf("%d connections during the swap, none failed; %d certificates seen", done, len(saw))
	if c.orders() != 2 || c.accounts() != 1 || c.count("ARI: order") != 1 {
		t.Errorf("%d orders, %d accounts, %d of them said what they replace", c.orders(), c.accounts(), c.count("ARI: order"))
	}
	h.stop()
	noKeys(t, dir)
}

// startLoad makes connections until it is told to stop, and fails the test if
// one of them does.
func startLoad(t *testing.T, addr string, c *ca) (stop func() (n int64, saw map[string]bool)) {
	var (
		n    atomic.Int64
		mu   sync.Mutex
		saw  = map[string]bool{}
		quit = make(chan struct{})
		all  sync.WaitGroup
	)
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				state, err := shown(addr, host, c)
				if err != nil {
					t.Errorf("a connection failed: %v", err)
					return
				}
				n.Add(1)
				mu.Lock()
				saw[string(state.PeerCertificates[0].Raw)] = true
				mu.Unlock()
			}
		})
	}
	return func() (int64, map[string]bool) {
		close(quit)
		all.Wait()
		return n.Load(), saw
	}
}

// noKeys looks for private keys in the clear, beside our own of self-signed.
func noKeys(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "self-signed") {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("PRIVATE KEY")) {
			t.Errorf("%s has a private key in the clear", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRefusals: what goes wrong is said in words that say what to do, the
// self-signed certificate stays, and one order is all that is tried.
func TestRefusals(t *testing.T) {
	deny := errors.New("401 Unauthorized: no such token")
	for name, tt := range map[string]struct {
		refuse []string
		reach  func() certs.Reach
		moved  bool // the CA asks at ports that are not ours
		deny   error
		want   string
		orders int
	}{
		"the CA's policy":  {refuse: []string{"example.test"}, reach: onlyHTTP, want: "The CA gives no certificate for mail.example.test", orders: 0},
		"port 80 closed":   {reach: onlyHTTP, moved: true, want: "could not connect to port 80 of mail.example.test", orders: 1},
		"port 443 closed":  {reach: onlyTLS, moved: true, want: "could not connect to port 443 of mail.example.test", orders: 1},
		"no way":           {reach: neither, want: "the router, or give a token of the DNS host", orders: 0},
		"a token that ran": {reach: neither, deny: deny, want: "see whether its token is right", orders: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z, at := serveZone(t), choosePorts(t)
			z.publish()
			z.deny = tt.deny
			plan := caPlan{http: port(t, at.http), tls: port(t, at.web), dns: z.addr, refuse: tt.refuse, env: []string{"PEBBLE_VA_NOSLEEP=1"}}
			if tt.moved {
				plan.http, plan.tls = port(t, free(t)), port(t, free(t))
			}
			c := startCA(t, plan)
			o := certs.ACME{Directory: c.directory, Roots: c.roots, Reachable: tt.reach, Names: func() []string { return names[:1] }}
			if tt.deny != nil {
				o.DNS = z.zone
			}
			h := openHouse(t, t.TempDir(), at, o)
			await(t, "words", patience, func() bool { return h.Status()[0].Doing != certs.Ordering && h.trouble(host) != "" })
			h.Wake() // the limits stay
			time.Sleep(time.Second)
			if st := h.Status()[0]; st.Shown != certs.SelfSigned || !strings.Contains(st.Trouble.EN, tt.want) {
				t.Errorf("%+v", st)
			}
			if c.orders() != tt.orders {
				t.Errorf("%d orders", c.orders())
			}
			t.Log(h.trouble(host))
		})
	}
}

// TestAway: nobody is at the CA's address; then it comes.
func TestAway(t *testing.T) {
	t.Parallel()
	z, at := serveZone(t), choosePorts(t)
	z.publish()
	plan := caPlan{addr: free(t), manage: free(t), http: port(t, at.http), tls: port(t, at.web), dns: z.addr}
	first := startCA(t, caPlan{http: plan.http, tls: plan.tls, dns: z.addr}) // for its roots
	h := openHouse(t, t.TempDir(), at, certs.ACME{Directory: "https://" + plan.addr + "/dir", Roots: first.roots})
	await(t, "words", patience, func() bool { return strings.Contains(h.trouble(host), "cannot be reached just now") })
	if st := h.Status()[0]; st.Shown != certs.SelfSigned || st.Orders != 0 {
		t.Errorf("%+v", st)
	}
	c := startCA(t, plan)
	await(t, "certificates", patience, func() bool { return h.everywhere(c) == nil })
}

// TestBadNonces: every fifth request is answered that its nonce is bad.
func TestBadNonces(t *testing.T) {
	t.Parallel()
	z, at := serveZone(t), choosePorts(t)
	z.publish()
	c := startCA(t, caPlan{http: port(t, at.http), tls: port(t, at.web), dns: z.addr, env: []string{"PEBBLE_WFE_NONCEREJECT=20", "PEBBLE_VA_NOSLEEP=1"}})
	h := openHouse(t, t.TempDir(), at, certs.ACME{Directory: c.directory, Roots: c.roots})
	await(t, "certificates", patience, func() bool { return h.everywhere(c) == nil })
	if c.orders() != len(names) {
		t.Errorf("%d orders", c.orders())
	}
}

// TestClaim: before the owner has agreed the CA does not hear of us at all.
func TestClaim(t *testing.T) {
	t.Parallel()
	z, at := serveZone(t), choosePorts(t)
	z.publish()
	c := startCA(t, caPlan{http: port(t, at.http), tls: port(t, at.web), dns: z.addr, env: []string{"PEBBLE_VA_NOSLEEP=1"}})
	addr, seen := relay(t, strings.TrimSuffix(strings.TrimPrefix(c.directory, "https://"), "/dir"))
	var claimed atomic.Bool
	h := openHouse(t, t.TempDir(), at, certs.ACME{
		Directory: "https://" + addr + "/dir", Roots: c.roots,
		Allowed: func() error {
			if !claimed.Load() {
				return errors.New("nobody has claimed this server yet")
			}
			return nil
		},
	})
	await(t, "words", patience, func() bool { return h.trouble(host) == "Nobody has claimed this server yet." })
	time.Sleep(time.Second)
	if seen.Load() != 0 || c.accounts() != 0 || h.AccountURI() != "" {
		t.Errorf("%d connections to the CA, %d accounts before the claim", seen.Load(), c.accounts())
	}
	claimed.Store(true)
	h.Wake()
	await(t, "certificates", patience, func() bool { return h.everywhere(c) == nil })
	if seen.Load() == 0 {
		t.Error("the CA was reached in another way: this test sees nothing")
	}
}

// relay passes connections on and counts them.
func relay(t *testing.T, to string) (addr string, seen *atomic.Int64) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	t.Cleanup(func() { l.Close() })
	seen = new(atomic.Int64)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			seen.Add(1)
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { io.Copy(out, in); out.Close() }()
			go func() { io.Copy(in, out); in.Close() }()
		}
	}()
	return l.Addr().String(), seen
}
