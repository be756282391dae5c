package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
)

// What a key may be. Larger ones cost more than they prove.
const (
	maxKeyRecord = 4096 // bytes: RSA with 4096 bits takes 740, notes may follow
	maxKeys      = 8    // TXT records that are looked at
	minRSA       = 1024 // bits, RFC 8301 §3.2
	maxRSA       = 4096
	maxExponent  = 1 << 32 // Go takes no more than 1<<31-1
)

// A key is a key record, RFC 6376 §3.6.1.
type key struct {
	public   crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey
	kind     string           // k=
	hashes   []string         // h=; nil for all
	services []string         // s=; nil for all
	testing  bool             // t=y
	strict   bool             // t=s: i= is in d= itself
}

type keyAnswer struct {
	key *key
	err error
}

// lookupKey asks for the key at a name.
func lookupKey(ctx context.Context, lookup func(context.Context, string) ([]string, error), name string) keyAnswer {
	records, err := lookup(ctx, name)
	if err != nil {
		return keyAnswer{err: lookupError(err)}
	}
	k, err := pickKey(records)
	return keyAnswer{k, err}
}

// pickKey takes the only record that is a key. RFC 6376 §3.6.2.2 leaves open
// what several mean; to us, nothing.
func pickKey(records []string) (*key, error) {
	if len(records) > maxKeys {
		return nil, permanent("too many records where the key should be")
	}
	var found *key
	var why error = permanent("there is no key")
	for _, r := range records {
		k, err := parseKey(r)
		switch {
		case err != nil:
			why = err
		case found != nil:
			return nil, permanent("there is more than one key")
		default:
			found = k
		}
	}
	if found == nil {
		return nil, why
	}
	return found, nil
}

// parseKey reads a key record.
func parseKey(record string) (*key, error) {
	if len(record) > maxKeyRecord {
		return nil, permanent("the key record is too long")
	}
	list, err := parseTags([]byte(record))
	switch {
	case err != nil:
		return nil, permanent("the key record is broken: " + err.Error())
	case list.has("v") && (list.get("v") != "DKIM1" || list[0].name != "v"):
		return nil, permanent("the key record is not DKIM1")
	case !list.has("p"):
		return nil, permanent("the key record holds no key")
	case list.get("p") == "":
		return nil, permanent("the key was revoked")
	}
	k := &key{kind: "rsa"}
	if list.has("k") {
		k.kind = strings.ToLower(list.get("k"))
	}
	if list.has("h") {
		k.hashes = splitList(strings.ToLower(list.get("h")))
	}
	if list.has("s") {
		k.services = splitList(strings.ToLower(list.get("s")))
	}
	flags := splitList(strings.ToLower(list.get("t")))
	k.testing = slices.Contains(flags, "y")
	k.strict = slices.Contains(flags, "s")
	der, err := decodeBase64(list.get("p"), maxKeyRecord)
	if err != nil {
		return nil, permanent("the key is not in base64")
	}
	k.public, err = parsePublic(k.kind, der)
	return k, err
}

// parsePublic reads the key itself, within our limits.
func parsePublic(kind string, der []byte) (crypto.PublicKey, error) {
	switch kind {
	case "rsa":
		return parseRSA(der)
	case "ed25519": // RFC 8463 §4
		if len(der) != ed25519.PublicKeySize {
			return nil, permanent("the key does not have the size of Ed25519")
		}
		return ed25519.PublicKey(der), nil
	}
	return nil, permanent("the kind of the key is not known")
}

// parseRSA reads a SubjectPublicKeyInfo, or the bare RSAPublicKey that erratum
// 3017 of RFC 6376 speaks of.
func parseRSA(der []byte) (*rsa.PublicKey, error) {
	var pub *rsa.PublicKey
	if any, err := x509.ParsePKIXPublicKey(der); err == nil {
		pub, _ = any.(*rsa.PublicKey)
	} else if bare, err := x509.ParsePKCS1PublicKey(der); err == nil {
		pub = bare
	}
	switch {
	case pub == nil:
		return nil, permanent("the key is not an RSA key")
	case pub.N.BitLen() < minRSA || pub.N.BitLen() > maxRSA:
		return nil, permanent("the key has " + strconv.Itoa(pub.N.BitLen()) + " bits")
	case pub.E < 3 || pub.E%2 == 0 || uint64(pub.E) > maxExponent:
		return nil, permanent("the exponent of the key is out of range")
	}
	return pub, nil
}

// allows checks whether a signature may be made with this key.
func (k *key) allows(s *signature) error {
	kind, _, _ := strings.Cut(s.algorithm, "-")
	switch {
	case k.kind != kind:
		return permanent("the key is not of the kind of a=")
	case k.hashes != nil && !slices.Contains(k.hashes, "sha256"):
		return permanent("the key is not for sha256")
	case k.services != nil && !slices.Contains(k.services, "*") && !slices.Contains(k.services, "email"):
		return permanent("the key is not for mail")
	case k.strict && s.identity != s.domain:
		return permanent("the key is not for domains below d=")
	}
	return nil
}
