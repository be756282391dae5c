package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func open(t testing.TB, o Options) *Source {
	t.Helper()
	o.Log = quiet
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shake does a handshake and returns both ends' errors as one. It goes over
// TCP: in a pipe without a buffer two alerts can wait for each other.
func shake(s *Source, client *tls.Config) (tls.ConnectionState, error) {
	return shakeWith(s.TLSConfig(), client)
}

func shakeWith(server, client *tls.Config) (tls.ConnectionState, error) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = c.(*tls.Conn).Handshake()
			c.Close()
		}
		served <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer raw.Close()
	c := tls.Client(raw, client)
	err = errors.Join(c.Handshake(), <-served)
	return c.ConnectionState(), err
}

func TestSelfSigned(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Host: "mail.example.test"})
	for name, want := range map[string]os.FileMode{"tls": 0o700, "tls/self-signed.key": 0o600, "tls/self-signed.crt": 0o600} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tls", ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Leaf())
	for _, name := range []string{"mail.example.test", "localhost", "127.0.0.1", "::1"} {
		if _, err := shake(s, &tls.Config{RootCAs: roots, ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := shake(s, &tls.Config{RootCAs: roots, ServerName: "other.example.test"}); err == nil {
		t.Error("good for any name")
	}
	if years := time.Until(s.Leaf().NotAfter) / (365 * 24 * time.Hour); years < 9 {
		t.Errorf("good for %d years", years)
	}
	again := open(t, Options{Dir: dir, Host: "mail.example.test"})
	if again.Fingerprint() != s.Fingerprint() || len(s.Fingerprint()) != 64 {
		t.Errorf("%s at the first start, %s at the second", s.Fingerprint(), again.Fingerprint())
	}
}

func TestSelfSignedIsMadeAgain(t *testing.T) {
	damage := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "tls", name), 50); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, spoil := range map[string]func(*testing.T, string){
		"crash between key and certificate": func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "tls/self-signed.crt")) },
		"damaged key":                       damage("self-signed.key"),
		"damaged certificate":               damage("self-signed.crt"),
		"other name":                        func(*testing.T, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			host := "a.example.test"
			first := open(t, Options{Dir: dir, Host: host})
			spoil(t, dir)
			if name == "other name" {
				host = "192.0.2.1"
			}
			second := open(t, Options{Dir: dir, Host: host})
			third := open(t, Options{Dir: dir, Host: host})
			if first.Fingerprint() == second.Fingerprint() || second.Fingerprint() != third.Fingerprint() {
				t.Errorf("%s, then %s, then %s", first.Fingerprint(), second.Fingerprint(), third.Fingerprint())
			}
			if err := second.Leaf().VerifyHostname(host); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSelfSignedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock begins in 2000, as on a board without a battery
		dir := t.TempDir()
		first := open(t, Options{Dir: dir, Host: "a.test"})
		if left := time.Until(first.Leaf().NotAfter); left < 35*365*24*time.Hour {
			t.Errorf("made before its time, it ends %v", first.Leaf().NotAfter)
		}
		time.Sleep(time.Until(first.Leaf().NotAfter) - remakeLeft + time.Hour)
		second := open(t, Options{Dir: dir, Host: "a.test"})
		if second.Fingerprint() == first.Fingerprint() {
			t.Error("not made again before its end")
		}
	})
}

func TestOpenKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir, Host: "a.test"})
	key, crt := filepath.Join(dir, "tls/self-signed.key"), filepath.Join(dir, "tls/self-signed.crt")
	for _, tt := range []struct {
		mode os.FileMode
		o    Options
		ok   bool
	}{
		{0o640, Options{Dir: dir, Host: "a.test"}, false},
		{0o640, Options{Cert: crt, Key: key}, true},
		{0o644, Options{Cert: crt, Key: key}, false},
	} {
		if err := os.Chmod(key, tt.mode); err != nil {
			t.Fatal(err)
		}
		tt.o.Log = quiet
		_, err := Open(tt.o)
		if tt.ok != (err == nil) || err != nil && !strings.Contains(err.Error(), `run "chmod 6`) {
			t.Errorf("%#o %+v: %v", tt.mode, tt.o, err)
		}
	}
}

// writePair makes a pair of the owner's in dir.
func writePair(t testing.TB, dir string, useRSA bool) Options {
	t.Helper()
	o := Options{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	p := pair{o.Cert, o.Key, othersMayNot}
	if err := p.make("mail.example.test"); err != nil {
		t.Fatal(err)
	}
	if !useRSA {
		return o
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := template("mail.example.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(o.Key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600)
	os.WriteFile(o.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	return o
}

func TestNewFilesAreTakenUp(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	o, o2 := writePair(t, dir, false), writePair(t, other, false)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, o)
		first := s.Fingerprint()
		shown := func() string {
			t.Helper()
			if _, err := shake(s, &tls.Config{InsecureSkipVerify: true}); err != nil {
				t.Fatal(err)
			}
			return s.Fingerprint()
		}
		if err := os.Rename(o2.Cert, o.Cert); err != nil { // the key is still the old one's
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		if shown() != first {
			t.Error("a certificate without its key took effect")
		}
		if err := s.Reload(); err != nil {
			t.Errorf("a state that was seen is reported again: %v", err)
		}
		if err := os.Rename(o2.Key, o.Key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery / 2)
		if shown() != first {
			t.Error("the files are looked at more often than they should be")
		}
		time.Sleep(lookEvery / 2)
		second := shown()
		if second == first {
			t.Error("the new pair was not taken up")
		}
		os.Remove(o.Cert)
		if err := s.Reload(); err == nil || s.Fingerprint() != second {
			t.Errorf("files gone: %v, %s", err, s.Fingerprint())
		}
	})
	o.Log = quiet
	if _, err := Open(o); err == nil {
		t.Error("a missing certificate is no error at the start")
	}
}

// TestScan tries every version, suite and curve that Go's client can speak.
func TestScan(t *testing.T) {
	for _, useRSA := range []bool{false, true} {
		s := open(t, writePair(t, t.TempDir(), useRSA))
		for v, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			_, err := shake(s, &tls.Config{InsecureSkipVerify: true, MinVersion: v, MaxVersion: v})
			if (err == nil) != want {
				t.Errorf("rsa %t, %s: %v", useRSA, tls.VersionName(v), err)
			}
		}
		kind, good := "_ECDSA_", 0
		if useRSA {
			kind = "_RSA_"
		}
		for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
				continue
			}
			want := strings.HasPrefix(suite.Name, "TLS_ECDHE"+kind) && (strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "_CHACHA20_"))
			_, err := shake(s, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
			if (err == nil) != want {
				t.Errorf("%s with rsa %t: %v", suite.Name, useRSA, err)
			}
			if err == nil {
				good++
			}
		}
		if good != 3 {
			t.Errorf("%d suites with rsa %t; want 3", good, useRSA)
		}
	}
	s := open(t, Options{Dir: t.TempDir()})
	for curve, want := range map[tls.CurveID]bool{tls.X25519MLKEM768: true, tls.X25519: true, tls.CurveP256: true, tls.CurveP384: false, tls.CurveP521: false} {
		_, err := shake(s, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{curve}})
		if (err == nil) != want {
			t.Errorf("%v: %v", curve, err)
		}
	}
	if key, ok := s.Leaf().PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("our own key is a %T", s.Leaf().PublicKey)
	}
}

// BenchmarkHandshake is what a new connection costs, both ends together.
func BenchmarkHandshake(b *testing.B) {
	s := open(b, Options{Dir: b.TempDir()})
	for name, curve := range map[string]tls.CurveID{"hybrid": tls.X25519MLKEM768, "x25519": tls.X25519} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := shake(s, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{curve}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
