package dkim

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"homemail/mailauth/rfc6376"
)

// What one signature may ask of us.
const (
	maxSigned = 50  // names in h=: each is searched for, hashed and may be long
	maxValue  = 512 // bytes of b=: RSA with 4096 bits
	startSize = 8   // what RFC 6008 §3 asks for
)

// A signature is a DKIM-Signature field, RFC 6376 §3.5.
type signature struct {
	field     rfc6376.Field
	err       error // why it cannot be verified
	domain    string
	selector  string
	algorithm string
	start     string // of b=
	identity  string // the domain of i=
	keyName   string

	headers                    []string // h=
	relaxedHeader, relaxedBody bool
	length                     int64 // l=; -1 without
	signed, expires            int64 // t= and x=, in seconds; -1 without
	bodyDigest                 []byte
	value                      string // b=

	key  chan keyAnswer
	body *bodyHash
}

// tags are a tag-list.
type tags map[string]string

func (t tags) has(name string) bool { _, ok := t[name]; return ok }

// parseSignature reads what it can: a log with d= and s= is of use even if
// something else is wrong.
func parseSignature(f rfc6376.Field) *signature {
	s := &signature{field: f, length: -1, signed: -1, expires: -1}
	list, err := rfc6376.ParseTags(f.Value())
	if err != nil {
		s.err = permanent(err.Error())
		return s
	}
	s.algorithm = printable(strings.ToLower(list["a"]))
	s.value = rfc6376.Squeeze(list["b"])
	s.start = printable(s.value[:min(startSize, len(s.value))])
	if name, domain, err := rfc6376.KeyName(list["d"], list["s"]); err == nil {
		s.keyName, s.domain = name, domain
		s.selector = strings.TrimSuffix(name, "._domainkey."+domain)
	}
	s.err = s.read(list)
	return s
}

// read checks the tags as RFC 6376 §6.1.1 says.
func (s *signature) read(list tags) error {
	for _, name := range []string{"v", "a", "b", "bh", "d", "h", "s"} {
		if !list.has(name) || list[name] == "" {
			return permanent("tag " + name + "= is missing")
		}
	}
	switch {
	case list["v"] != "1":
		return permanent("not version 1")
	case s.keyName == "" || !strings.Contains(s.domain, "."):
		return permanent("d= and s= are not the name of a key")
	case s.algorithm == "rsa-sha1":
		return permanent("rsa-sha1 proves nothing any more") // RFC 8301 §3.1
	case s.algorithm != "rsa-sha256" && s.algorithm != "ed25519-sha256":
		return permanent("a= is not known")
	}
	for _, step := range []func(tags) error{s.readIdentity, s.readHeaders, s.readCanon, s.readNumbers, s.readDigests} {
		if err := step(list); err != nil {
			return err
		}
	}
	if q := list["q"]; list.has("q") && !slices.Contains(rfc6376.SplitList(strings.ToLower(q)), "dns/txt") {
		return permanent("q= is not known")
	}
	return nil
}

// readIdentity reads i=, whose domain is d= or below it.
func (s *signature) readIdentity(list tags) error {
	s.identity = s.domain
	if !list.has("i") {
		return nil
	}
	i := list["i"]
	at := strings.LastIndexByte(i, '@')
	_, d, err := rfc6376.KeyName(i[at+1:], "x")
	if at < 0 || err != nil || d != s.domain && !strings.HasSuffix(d, "."+s.domain) {
		return permanent("i= is not within d=")
	}
	s.identity = d
	return nil
}

func (s *signature) readHeaders(list tags) error {
	s.headers = rfc6376.SplitList(strings.ToLower(list["h"]))
	switch {
	case len(s.headers) > maxSigned:
		return permanent("h= names more than " + strconv.Itoa(maxSigned) + " fields")
	case slices.ContainsFunc(s.headers, func(name string) bool { return name == "" || strings.ContainsAny(name, " \t\r\n") }):
		return permanent("h= is not a list of names")
	case !slices.Contains(s.headers, "from"):
		return permanent("From is not signed")
	}
	return nil
}

func (s *signature) readCanon(list tags) error {
	if !list.has("c") {
		return nil // simple, both
	}
	var ok bool
	s.relaxedHeader, s.relaxedBody, ok = rfc6376.Canonical(strings.ToLower(list["c"]))
	if !ok {
		return permanent("c= is not known")
	}
	return nil
}

func (s *signature) readNumbers(list tags) error {
	for _, n := range []struct {
		name   string
		digits int // RFC 6376 §3.5 lets l= have 76; no body that we take is that long
		to     *int64
	}{{"l", 18, &s.length}, {"t", 12, &s.signed}, {"x", 12, &s.expires}} {
		if !list.has(n.name) {
			continue
		}
		v := list[n.name]
		if v == "" || len(v) > n.digits || strings.Trim(v, "0123456789") != "" {
			return permanent(n.name + "= is not a number")
		}
		*n.to, _ = strconv.ParseInt(v, 10, 64) // digits, and few enough
	}
	if s.expires >= 0 && s.signed >= 0 && s.expires <= s.signed {
		return permanent("x= is before t=")
	}
	return nil
}

func (s *signature) readDigests(list tags) error {
	bh := rfc6376.Squeeze(list["bh"])
	if len(bh) == base64.StdEncoding.EncodedLen(sha256.Size) {
		s.bodyDigest, _ = base64.StdEncoding.DecodeString(bh)
	}
	if len(s.bodyDigest) != sha256.Size {
		return permanent("bh= is not a hash")
	}
	if _, err := base64.StdEncoding.DecodeString(s.value); err != nil || len(s.value) > base64.StdEncoding.EncodedLen(maxValue) {
		return permanent("b= is not a signature")
	}
	return nil
}

// checkTime looks at t= and x=, unless there is no clock.
func (s *signature) checkTime(now func() time.Time) error {
	if now == nil {
		return nil
	}
	t := now()
	switch {
	case s.expires >= 0 && t.Unix() > s.expires:
		return permanent("the signature has expired")
	case s.signed > t.Add(maxAhead).Unix():
		return permanent("the signature is from the future")
	}
	return nil
}

// printable keeps what may go into a log or a field.
func printable(s string) string {
	s = s[:min(len(s), 64)]
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
