package certs

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// TestRenewalsUnderLoad renews over and over while clients connect to a real
// door: each verifies what it sees, none is turned away, and none has to wait.
func TestRenewalsUnderLoad(t *testing.T) {
	const renewals = 6
	ca, state := newCA(t), newMemory()
	s, stop := start(t, t.TempDir(), ca, state, ACME{})
	defer stop()
	until(t, func() bool { return s.Status()[0].Shown == Valid })
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go answer(l)

	ctx, cancel := context.WithCancel(t.Context())
	var (
		clients sync.WaitGroup
		done    atomic.Int64
		saw     sync.Map
	)
	roots := ca.roots(t)
	for range 3 {
		clients.Go(func() {
			for ctx.Err() == nil {
				c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: testHost})
				if err != nil {
					t.Errorf("a connection was dropped: %v", err)
					return
				}
				saw.Store(string(c.ConnectionState().PeerCertificates[0].Raw), true)
				c.Close()
				done.Add(1)
			}
		})
	}
	for range renewals {
		old := s.Leaf()
		forceRenewal(t, s)
		until(t, func() bool { return !s.Leaf().Equal(old) })
		before := done.Load()
		until(t, func() bool { return done.Load() > before+3 }) // all clients have seen it
	}
	cancel()
	clients.Wait()
	n := 0
	saw.Range(func(any, any) bool { n++; return true })
	if n < renewals {
		t.Errorf("of %d renewals %d certificates were seen", renewals, n)
	}
	t.Logf("%d connections during %d renewals, none dropped", done.Load(), renewals)
}

// forceRenewal is a CA that wants the certificate replaced at once, to somebody
// who has not ordered for long.
func forceRenewal(t *testing.T, s *Source) {
	t.Helper()
	k := s.keeper
	k.limits.mu.Lock()
	for _, r := range k.limits.rows {
		r.Ages = nil
	}
	k.limits.mu.Unlock()
	var now acme.RenewalInfo
	now.SelectedTime = time.Now().Add(-time.Hour)
	now.SuggestedWindow.Start, now.SuggestedWindow.End = now.SelectedTime, now.SelectedTime.Add(time.Minute)
	until(t, func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		e := k.entries[testHost]
		if e.busy { // then it is not ours to change
			return false
		}
		e.ari, e.askARI = now, time.Now().Add(time.Hour)
		return true
	})
	s.Wake()
}

// roots are what a client has to trust.
func (ca *fakeCA) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Fake CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return pool
}

func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go func() { c.(*tls.Conn).Handshake(); c.Close() }()
		}
	}
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time")
		}
	}
}
