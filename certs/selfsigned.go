package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

const (
	validYears = 10                  // people confirm it once, by hand, on each of their devices
	remakeLeft = 30 * 24 * time.Hour // before its end a new one is made
	serialBits = 127                 // RFC 5280 §4.1.2.2: positive, at most 20 octets
)

// ensure makes a self-signed pair if there is none that can be used for host.
func (p pair) ensure(host string, log *slog.Logger) error {
	c, err := p.load()
	switch {
	case errors.Is(err, errOpenKey):
		return err
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		log.Warn("the self-signed certificate is damaged; a new one is made", "err", err)
	case err != nil:
	case time.Until(c.Leaf.NotAfter) < remakeLeft:
		log.Warn("the self-signed certificate is at its end; a new one is made", "expires", c.Leaf.NotAfter)
	case c.Leaf.VerifyHostname(host) != nil:
		log.Warn("the self-signed certificate is for another name; a new one is made", "names", c.Leaf.DNSNames, "host", host)
	default:
		return nil
	}
	if err := p.make(host); err != nil {
		return fmt.Errorf("cannot make a certificate: %w", err)
	}
	return nil
}

func (p pair) make(host string) error {
	if err := os.MkdirAll(filepath.Dir(p.key), 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t, err := template(host, time.Now())
	if err != nil {
		return err
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})); err != nil {
		return err
	}
	return writeFile(p.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
}

func template(host string, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	// A board without a battery may think it is 1970. The certificate has to be
	// good today all the same, and when the clock is right.
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if now.Before(epoch) {
		now = epoch
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: host},
		NotBefore:             epoch,
		NotAfter:              now.AddDate(validYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           addresses(),
	}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = append(t.IPAddresses, ip)
	} else if host != "localhost" {
		t.DNSNames = append([]string{host}, t.DNSNames...)
	}
	return t, nil
}

// addresses are this computer's own, of every network that it is in.
func addresses() []net.IP {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return ips
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().IsGlobalUnicast() {
			ips = append(ips, p.Addr().AsSlice())
		}
	}
	return ips
}
