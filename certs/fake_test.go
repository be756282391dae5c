package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"homemail/store"
)

// memory is a State that has no disk.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func newMemory() *memory { return &memory{rows: map[string][]byte{}} }

func (m *memory) State(path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.rows[path]
	if !ok {
		return nil, store.ErrNotFound
	}
	return slices.Clone(v), nil
}

func (m *memory) PutState(path string, v []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows[path] = slices.Clone(v); v == nil {
		delete(m.rows, path)
	}
	return nil
}

func (m *memory) States(prefix string, fn func(string, []byte) bool) error {
	m.mu.Lock()
	rows := maps.Clone(m.rows)
	m.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(rows)) {
		if strings.HasPrefix(path, prefix) && !fn(path, rows[path]) {
			break
		}
	}
	return nil
}

func (m *memory) SealSecret(path string, secret []byte) ([]byte, error) {
	b := []byte("sealed for " + path + ":")
	for _, c := range secret {
		b = append(b, ^c)
	}
	return b, nil
}

func (m *memory) OpenSecret(path string, sealed []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(sealed), "sealed for "+path+":")
	if !ok {
		return nil, store.ErrCorrupt
	}
	var b []byte
	for _, c := range []byte(rest) {
		b = append(b, ^c)
	}
	return b, nil
}

// A fakeCA signs what it is asked to, and knows when it was asked.
type fakeCA struct {
	fail shared[error]
	life time.Duration
	key  crypto.Signer

	mu     sync.Mutex
	orders []time.Time
	keys   map[string]bool // public keys in requests
}

// shared is a value that a test changes while others use it.
type shared[T any] struct {
	mu sync.Mutex
	v  T
}

func (s *shared[T]) set(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v = v
}

func (s *shared[T]) get() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.v
}

// seen is how many orders there were, with how many keys.
func (ca *fakeCA) seen() (orders, keys int) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return len(ca.orders), len(ca.keys)
}

func newCA(t testing.TB) *fakeCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeCA{key: key, life: 90 * 24 * time.Hour, keys: map[string]bool{}}
}

func (ca *fakeCA) sign(names []string, public crypto.PublicKey) ([]byte, error) {
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(ca.life),
		DNSNames: names, Issuer: pkix.Name{CommonName: "Fake CA"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, &x509.Certificate{Subject: pkix.Name{CommonName: "Fake CA"}}, public, ca.key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// A fakeOrder is an attempt at a fakeCA.
type fakeOrder struct {
	*attempt
	ca *fakeCA
}

func (o fakeOrder) Issue(_ context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	fail := o.ca.fail.get()
	if errors.Is(fail, errAway) {
		return nil, fail
	}
	if err := o.limits.take(o.name); err != nil {
		return nil, err
	}
	o.ca.mu.Lock()
	o.ca.orders = append(o.ca.orders, time.Now())
	o.ca.keys[string(csr.RawSubjectPublicKeyInfo)] = true
	o.ca.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	chain, err := o.ca.sign(csr.DNSNames, csr.PublicKey)
	return &certmagic.IssuedCertificate{Certificate: chain, Metadata: map[string]string{}}, err
}

const testHost = "mail.example.test"

// start opens a Source that asks ca, and runs it until stop.
func start(t *testing.T, dir string, ca *fakeCA, state State, o ACME) (s *Source, stop func()) {
	t.Helper()
	if o.Directory == "" {
		o.Directory = "https://127.0.0.1:1/dir" // nobody is there to say when to renew
	}
	if o.Names == nil {
		o.Names = func() []string { return []string{testHost} }
	}
	if o.Allowed == nil {
		o.Allowed = func() error { return nil }
	}
	s = open(t, Options{Dir: dir, Host: testHost, ACME: &o, State: state})
	s.keeper.issue = func(a *attempt) certmagic.Issuer { return fakeOrder{a, ca} }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// lawful holds orders against the limits.
func (ca *fakeCA) lawful(t *testing.T) {
	t.Helper()
	for i, at := range ca.orders {
		if i > 0 && at.Sub(ca.orders[i-1]) < ordersApart {
			t.Errorf("orders %d and %d are %v apart", i-1, i, at.Sub(ca.orders[i-1]))
		}
		if i >= ordersPerWeek && at.Sub(ca.orders[i-ordersPerWeek]) < week {
			t.Errorf("order %d is the sixth within %v", i, at.Sub(ca.orders[i-ordersPerWeek]))
		}
	}
}
