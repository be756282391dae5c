package rfc6376

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// The limits on strangers' keys. A larger one costs us time, not them.
const (
	minRSA     = 1024    // bits, RFC 8301 §3.2
	maxRSA     = 4096    // bits; e is under 2^31 as crypto/x509 wants it
	maxRecord  = 4 << 10 // octets of a key record; an RSA key of 4,096 bits has 736
	maxRecords = 8       // TXT records looked at under one name
	maxName    = 253     // RFC 1035 §2.3.4, without the dot at the end
)

// The algorithms of a=, RFC 8301 and RFC 8463. rsa-sha1 is not one any more.
const (
	RSA     = "rsa-sha256"
	Ed25519 = "ed25519-sha256"
)

// ErrTemporary wraps what may be gone at the next try.
var ErrTemporary = errors.New("temporary DNS failure")

// What is wrong with a signature or its key, for good.
var (
	errAlgorithm = errors.New("unknown algorithm")
	errName      = errors.New("domain or selector is not valid")
	errNoKey     = errors.New("no key is published")
	errKey       = errors.New("key record is not valid")
	errRevoked   = errors.New("key is revoked")
	errSize      = errors.New("key has a size that is not accepted")
	errSignature = errors.New("signature does not match")
)

// KeyName returns the name under which a key is published, RFC 6376 §3.6.2.1,
// and the domain in A-labels and lower case.
func KeyName(domain, selector string) (name, ascii string, err error) {
	ascii, err = toASCII(domain)
	if err != nil {
		return "", "", err
	}
	selector, err = toASCII(selector)
	if err != nil {
		return "", "", err
	}
	name = selector + "._domainkey." + ascii
	if len(name) > maxName {
		return "", "", errName
	}
	return name, ascii, nil
}

// toASCII also reads the U-labels of RFC 8616.
func toASCII(name string) (string, error) {
	if len(name) > maxName || !utf8.ValidString(name) { // idna lets it pass
		return "", errName
	}
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			ascii, err := idna.Lookup.ToASCII(name)
			if err != nil {
				return "", errName
			}
			name = ascii
			break
		}
	}
	name = strings.ToLower(name)
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return "", errName
		}
	}
	return name, nil
}

func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 63
}

// A Key is a published key.
type Key struct {
	public crypto.PublicKey
	hashes []string // h=, nil for all
}

// LookUp asks for the key of a name from KeyName. An error that is not
// ErrTemporary is for good.
func LookUp(ctx context.Context, lookupTXT func(context.Context, string) ([]string, error), name string) (Key, error) {
	records, err := lookupTXT(ctx, name)
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) && dns.IsNotFound {
		return Key{}, errNoKey
	}
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	err = errNoKey
	for _, r := range records[:min(len(records), maxRecords)] {
		var k Key
		if k, err = ParseKey(r); err == nil {
			return k, nil
		}
	}
	return Key{}, err
}

// ParseKey reads a key record, RFC 6376 §3.6.1.
func ParseKey(record string) (Key, error) {
	if len(record) > maxRecord {
		return Key{}, errSize
	}
	tags, err := ParseTags(record)
	if err != nil {
		return Key{}, errKey
	}
	if v, ok := tags["v"]; ok && (v != "DKIM1" || !strings.HasPrefix(strings.TrimLeft(record, wsp), "v")) {
		return Key{}, errKey
	}
	if s, ok := tags["s"]; ok {
		if services := SplitList(s); !slices.Contains(services, "*") && !slices.Contains(services, "email") {
			return Key{}, errKey
		}
	}
	p, ok := tags["p"]
	if p = Squeeze(p); p == "" {
		if ok {
			return Key{}, errRevoked
		}
		return Key{}, errKey
	}
	der, err := base64.StdEncoding.DecodeString(p)
	if err != nil {
		return Key{}, errKey
	}
	var k Key
	if h, ok := tags["h"]; ok {
		k.hashes = SplitList(h)
	}
	switch tags["k"] {
	case "", "rsa":
		k.public, err = parseRSA(der)
	case "ed25519":
		if len(der) != ed25519.PublicKeySize {
			return Key{}, errKey
		}
		k.public = ed25519.PublicKey(der)
	default:
		return Key{}, errAlgorithm
	}
	return k, err
}

// parseRSA reads a SubjectPublicKeyInfo, or the RSAPublicKey of which RFC 6376
// speaks and which a few publish.
func parseRSA(der []byte) (*rsa.PublicKey, error) {
	var pub *rsa.PublicKey
	if k, err := x509.ParsePKIXPublicKey(der); err == nil {
		pub, _ = k.(*rsa.PublicKey)
	} else if pub, err = x509.ParsePKCS1PublicKey(der); err != nil {
		return nil, errKey
	}
	if pub == nil {
		return nil, errKey
	}
	if n := pub.N.BitLen(); n < minRSA || n > maxRSA {
		return nil, errSize
	}
	return pub, nil
}

// Verify checks a signature in base64 over a SHA-256 digest.
func (k Key) Verify(algorithm string, digest []byte, b string) error {
	sig, err := base64.StdEncoding.DecodeString(Squeeze(b))
	if err != nil || len(sig) == 0 {
		return errSignature
	}
	if k.hashes != nil && !slices.Contains(k.hashes, "sha256") {
		return errAlgorithm
	}
	good := false
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		if algorithm != RSA {
			return errAlgorithm
		}
		good = rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest, sig) == nil
	case ed25519.PublicKey:
		if algorithm != Ed25519 {
			return errAlgorithm
		}
		good = ed25519.Verify(pub, digest, sig)
	}
	if !good {
		return errSignature
	}
	return nil
}

// AlgorithmOf returns the a= of a key, "" for a kind that DKIM has not.
func AlgorithmOf(key crypto.Signer) string {
	switch key.Public().(type) {
	case *rsa.PublicKey:
		return RSA
	case ed25519.PublicKey:
		return Ed25519
	}
	return ""
}

// Sign returns the signature of a SHA-256 digest in base64. Ed25519 signs the
// digest as its message, RFC 8463 §3.
func Sign(key crypto.Signer, digest []byte) (string, error) {
	var h crypto.Hash
	switch AlgorithmOf(key) {
	case RSA:
		h = crypto.SHA256
	case Ed25519:
	default:
		return "", errAlgorithm
	}
	sig, err := key.Sign(rand.Reader, digest, h)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sig), nil
}

// Digest returns the hash over the chosen fields and, without its b=, the
// field that signs them, RFC 6376 §3.7.
func Digest(chosen []Field, signing Field, relaxed bool) []byte {
	h := sha256.New()
	var buf []byte
	for _, f := range chosen {
		buf = f.AppendCanonical(buf[:0], relaxed)
		h.Write(buf)
	}
	h.Write(signing.AppendUnsigned(buf[:0], relaxed))
	return h.Sum(nil)
}

// AppendUnsigned appends the canonical form of a signing field as it is hashed
// for its own signature: without the value of b= and the last line ending.
func (f Field) AppendUnsigned(dst []byte, relaxed bool) []byte {
	dst = f.WithoutSignature().AppendCanonical(dst, relaxed)
	return dst[:len(dst)-len(oneCRLF)]
}
