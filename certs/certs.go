// Package certs has the certificates that every door shows: the owner's PEM
// files, those that it gets from a CA by ACME (RFC 8555) and renews, and before
// any of these one that it makes and signs itself at the first start. It listens
// on nothing, and asks a CA for nothing before the owner has agreed.
package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Options say where certificates are. Without Cert and Key a self-signed pair
// is kept in Dir.
type Options struct {
	Dir       string // the data directory; pairs of ours are in its tls/
	Host      string // the name that a certificate of ours is made for
	Cert, Key string // PEM files of the owner
	Log       *slog.Logger

	ACME  *ACME // nil to ask no CA
	State State // where ACME's are kept
}

// A Source holds the certificates in force. It is safe for concurrent use.
type Source struct {
	files  pair
	own    bool // the files are the owner's
	log    *slog.Logger
	shelf  atomic.Pointer[shelf]
	change sync.Mutex // held while the shelf is replaced
	keeper *keeper    // nil without ACME

	mu     sync.Mutex // held while the files are looked at
	looked time.Time
	seen   state // of the files when they were last read, good or bad
}

const lookEvery = 10 * time.Second // between looks at the owner's files

// Open reads the certificate, after making one if there is none. A pair that
// cannot be used is an error.
func Open(o Options) (*Source, error) {
	s := &Source{files: pair{o.Cert, o.Key, othersMayNot}, own: o.Cert != "", log: o.Log}
	if s.log == nil {
		s.log = slog.Default()
	}
	if o.Host == "" {
		o.Host = "localhost"
	}
	if o.Cert == "" {
		dir := filepath.Join(o.Dir, "tls")
		s.files = pair{filepath.Join(dir, "self-signed.crt"), filepath.Join(dir, "self-signed.key"), onlyOwnerMay}
		if err := s.files.ensure(o.Host, s.log); err != nil {
			return nil, err
		}
	}
	s.looked, s.seen = time.Now(), s.files.state()
	c, err := s.files.load()
	if err != nil {
		return nil, err
	}
	s.shelf.Store(&shelf{host: o.Host})
	if o.ACME != nil {
		if s.keeper, err = newKeeper(s, *o.ACME, o.State, s.log); err != nil {
			return nil, err
		}
	}
	s.use(c)
	return s, nil
}

// Run gets and renews certificates until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	if s.keeper == nil {
		<-ctx.Done()
		return nil
	}
	return s.keeper.run(ctx)
}

// TLSConfig is what every door serves by; see RFC 9325 for the choices. The
// caller may change it.
func (s *Source) TLSConfig() *tls.Config {
	return &tls.Config{
		GetCertificate: s.get,
		MinVersion:     tls.VersionTLS12,
		// Of TLS 1.2 only what has forward secrecy and authenticated encryption,
		// RFC 9325 §4.2. TLS 1.3 has nothing else, and Go takes no choice there.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
	}
}

// Leaf is the certificate that is shown to who asks for the host or for no name,
// without its chain.
func (s *Source) Leaf() *x509.Certificate {
	t := s.shelf.Load()
	return t.pick(t.host, time.Now()).Leaf
}

// Fingerprint is the SHA-256 of Leaf, in hex: what a mail program shows when it
// asks whether to trust it.
func (s *Source) Fingerprint() string { return fingerprint(s.Leaf()) }

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Reload reads the files again if they have changed. A pair that cannot be
// used leaves the old one in force.
func (s *Source) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look()
}

// get answers a handshake. New files of the owner are taken up here, so that
// nothing has to run beside the doors.
func (s *Source) get(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.mu.TryLock() { // else somebody is looking: the old one will do
		if time.Since(s.looked) >= lookEvery {
			_ = s.look() // is logged
		}
		s.mu.Unlock()
	}
	return s.shelf.Load().pick(asked(h), time.Now()), nil
}

func (s *Source) look() error {
	s.looked = time.Now()
	now := s.files.state()
	if now.equal(s.seen) {
		return nil
	}
	s.seen = now
	c, err := s.files.load()
	if err != nil {
		err = fmt.Errorf("the new certificate cannot be used, the old one stays: %w", err)
		s.log.Error(err.Error())
		return err
	}
	s.use(c)
	return nil
}

// use puts the certificate of the files on the shelf.
func (s *Source) use(c *tls.Certificate) {
	s.replace(func(t *shelf) *shelf {
		u := *t
		if u.self = c; s.own {
			u.own, u.self = c, nil
		}
		return &u
	})
	if s.own || s.Leaf() == c.Leaf {
		s.announce(c.Leaf, "file", s.files.cert)
	}
}

// replace swaps the shelf. A handshake sees the old one or the new one.
func (s *Source) replace(fn func(*shelf) *shelf) {
	s.change.Lock()
	defer s.change.Unlock()
	s.shelf.Store(fn(s.shelf.Load()))
}

func (s *Source) announce(c *x509.Certificate, from ...any) {
	s.log.Info("certificate in force", append(from, "names", c.DNSNames, "expires", c.NotAfter, "sha256", fingerprint(c))...)
	if time.Now().After(c.NotAfter) { // an expired one still keeps strangers from reading along
		s.log.Warn("the certificate has expired; mail programs will complain until there is a new one", "names", c.DNSNames)
	}
}
