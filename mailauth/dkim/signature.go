package dkim

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
)

// What one signature may ask of us.
const (
	maxSigned = 50  // names in h=: each is searched for, hashed and may be long
	maxValue  = 512 // bytes of b=: RSA with 4096 bits
	maxName   = 253 // RFC 1035 §2.3.4, as text
	maxLabel  = 63
	startSize = 8 // what RFC 6008 §3 asks for
)

// A signature is a DKIM-Signature field, RFC 6376 §3.5.
type signature struct {
	err       error // why it cannot be verified
	domain    string
	selector  string
	algorithm string
	start     string // of b=
	identity  string // the domain of i=

	headers                []string // h=, lower case
	headerCanon, bodyCanon canon
	length                 int64 // l=; -1 without
	signed, expires        int64 // t= and x=, in seconds; -1 without
	bodyDigest, value      []byte
	unsigned               []byte // the field with the value of b= taken out

	key      chan keyAnswer
	bodyHash *bodyHash
}

// parseSignature reads what it can: a log with d= and s= is of use even if
// something else is wrong.
func parseSignature(f field) *signature {
	s := &signature{length: -1, signed: -1, expires: -1}
	value := f.value()
	list, err := parseTags(value)
	if err != nil {
		s.err = permanent(err.Error())
		return s
	}
	s.algorithm = printable(strings.ToLower(list.get("a")))
	b := withoutSpace(list.get("b"))
	s.start = printable(b[:min(startSize, len(b))])
	if d, ok := domainName(list.get("d")); ok {
		s.domain = d
	}
	if sel, ok := domainName(list.get("s")); ok {
		s.selector = sel
	}
	s.err = s.read(list)
	if s.err != nil {
		return s
	}
	at := len(f.raw) - len(value)
	for _, t := range list {
		if t.name == "b" {
			s.unsigned = slices.Concat(f.raw[:at+t.start], f.raw[at+t.end:])
		}
	}
	return s
}

// read checks the tags as RFC 6376 §6.1.1 says.
func (s *signature) read(list tags) error {
	for _, name := range []string{"v", "a", "b", "bh", "d", "h", "s"} {
		if !list.has(name) {
			return permanent("tag " + name + "= is missing")
		}
	}
	switch {
	case list.get("v") != "1":
		return permanent("not version 1")
	case s.domain == "" || !strings.Contains(s.domain, "."):
		return permanent("d= is not a domain")
	case s.selector == "" || len(s.selector)+len("._domainkey.")+len(s.domain) > maxName:
		return permanent("s= is not a selector")
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
	if q := list.get("q"); list.has("q") && !slices.Contains(splitList(strings.ToLower(q)), "dns/txt") {
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
	i := list.get("i")
	at := strings.LastIndexByte(i, '@')
	d, ok := domainName(i[at+1:])
	if at < 0 || !ok || d != s.domain && !strings.HasSuffix(d, "."+s.domain) {
		return permanent("i= is not within d=")
	}
	s.identity = d
	return nil
}

func (s *signature) readHeaders(list tags) error {
	s.headers = splitList(strings.ToLower(list.get("h")))
	switch {
	case len(s.headers) > maxSigned:
		return permanent("h= names more than " + strconv.Itoa(maxSigned) + " fields")
	case slices.ContainsFunc(s.headers, func(name string) bool { return !isFieldName([]byte(name)) }):
		return permanent("h= is not a list of names")
	case !slices.Contains(s.headers, "from"):
		return permanent("From is not signed")
	}
	return nil
}

func (s *signature) readCanon(list tags) error {
	header, body, _ := strings.Cut(withoutSpace(strings.ToLower(list.get("c"))), "/")
	var ok, ok2 bool
	s.headerCanon, ok = canonOf(header)
	s.bodyCanon, ok2 = canonOf(body)
	if !ok || !ok2 {
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
		v := list.get(n.name)
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
	var err error
	s.bodyDigest, err = decodeBase64(list.get("bh"), sha256.Size)
	if err != nil || len(s.bodyDigest) != sha256.Size {
		return permanent("bh= is not a hash")
	}
	s.value, err = decodeBase64(list.get("b"), maxValue)
	if err != nil || len(s.value) == 0 {
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

// decodeBase64 decodes at most so many bytes.
func decodeBase64(s string, most int) ([]byte, error) {
	s = withoutSpace(s)
	if len(s) > base64.StdEncoding.EncodedLen(most) {
		return nil, base64.CorruptInputError(len(s))
	}
	return base64.StdEncoding.DecodeString(s)
}

// domainName returns a domain in A-labels and lower case. RFC 8616 §5 lets d=
// and s= have U-labels.
func domainName(s string) (string, bool) {
	for i := range len(s) {
		if s[i] >= 0x80 {
			p, err := mail.ParsePath("x@" + s)
			return p.Domain(), err == nil
		}
	}
	if len(s) > maxName {
		return "", false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || strings.Trim(label, nameChars) != "" {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

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
