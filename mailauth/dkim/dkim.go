// Package dkim verifies DKIM signatures, RFC 6376, RFC 8301 and RFC 8463, as
// the bytes of a message pass by. It keeps the header and never the body, its
// work is bounded for whatever a stranger signs with, and keys are looked up
// while the body is still coming in. What a result means for the message is
// decided elsewhere.
//
// It is our own because go-msgauth v0.7.0 cannot be held to our limits from
// outside: x= is measured by a clock that cannot be turned off, any l= fails,
// a body of blank lines costs memory and quadratic time, and the body waits
// for the resolver. Our tests hold the two against each other.
package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"time"

	"homemail/mail"
)

// What a message may ask of us.
const (
	maxSignatures = 8         // each costs a lookup and a public key operation
	maxHeader     = 256 << 10 // as for every other reader of headers here
	maxFields     = 1000
)

// maxAhead is how far in the future t= may lie: clocks of senders differ by
// hours where somebody chose the wrong time zone.
const maxAhead = 24 * time.Hour

// Options are what a Verifier needs to know.
type Options struct {
	// LookupTXT answers with the TXT records of a name, the strings of each
	// joined. A *net.DNSError with IsNotFound means that there are none; any
	// other error is temporary.
	LookupTXT func(ctx context.Context, name string) ([]string, error)
	// Now is the wall clock, nil if it is not to be trusted: then t= and x=
	// are not looked at.
	Now func() time.Time
}

// A Verifier takes one message and verifies its signatures. Write the header
// by SetHeader, then the body by Write, then ask for the Results.
type Verifier struct {
	o      Options
	ctx    context.Context
	fields []field
	sigs   []*signature
	body   [2]*body // by canonicalization; nil if nobody asks for it
	excess bool     // there are more signatures than we look at
	long   bool     // the header is longer than we look at
}

// NewVerifier returns a Verifier. Lookups end when ctx does.
func NewVerifier(ctx context.Context, o Options) *Verifier {
	return &Verifier{o: o, ctx: ctx}
}

// SetHeader takes the header, with or without its blank line, finds the
// signatures and starts to look up their keys. It is called once; whole says
// that the header was not cut off. The Verifier keeps a reference to it.
func (v *Verifier) SetHeader(header []byte, whole bool) {
	v.fields, v.long = splitFields(header)
	v.long = v.long || !whole
	for _, f := range v.fields {
		if f.name != "dkim-signature" {
			continue
		}
		if len(v.sigs) == maxSignatures {
			v.excess = true
			break
		}
		s := parseSignature(f)
		v.sigs = append(v.sigs, s)
		if s.err == nil {
			s.err = s.checkTime(v.o.Now)
		}
		if s.err == nil && v.long {
			s.err = permanent("the header is too long to verify")
		}
		if s.err == nil {
			v.prepare(s)
		}
	}
}

// prepare starts the lookup of the key and sees that the body is hashed.
// Signatures with equal demands share a hash.
func (v *Verifier) prepare(s *signature) {
	s.key = make(chan keyAnswer, 1)
	go func() { s.key <- lookupKey(v.ctx, v.o.LookupTXT, s.selector+"._domainkey."+s.domain) }()
	b := &v.body[s.bodyCanon]
	if *b == nil {
		*b = newBody(s.bodyCanon)
	}
	s.bodyHash = (*b).hash(s.length)
}

// Write takes the next bytes of the body. It never fails.
func (v *Verifier) Write(p []byte) (int, error) {
	for _, b := range v.body {
		if b != nil {
			b.Write(p)
		}
	}
	return len(p), nil
}

// Results ends the body and returns a Signature for each DKIM-Signature field,
// in the header's order, and one more if there were more than we look at. Keys
// that have not come when ctx ends are temporary errors.
func (v *Verifier) Results(ctx context.Context) []mail.Signature {
	for _, b := range v.body {
		if b != nil {
			b.Close()
		}
	}
	var list []mail.Signature
	for _, s := range v.sigs {
		r := mail.Signature{Selector: s.selector, Algorithm: s.algorithm, Start: s.start}
		r.Domain = s.domain
		partial, err := v.verify(ctx, s)
		r.Partial = partial
		r.Result, r.Reason = resultOf(err)
		if r.Result == mail.ResultPass && partial {
			r.Result, r.Reason = mail.ResultNeutral, "l= leaves bytes unsigned"
		}
		list = append(list, r)
	}
	if v.excess {
		list = append(list, mail.Signature{Check: mail.Check{
			Result: mail.ResultPermError, Reason: fmt.Sprintf("more than %d signatures", maxSignatures)}})
	}
	return list
}

// verify follows RFC 6376 §6.1.2 and §6.1.3.
func (v *Verifier) verify(ctx context.Context, s *signature) (partial bool, err error) {
	if s.err != nil {
		return false, s.err
	}
	var answer keyAnswer
	select {
	case answer = <-s.key:
	case <-ctx.Done():
		return false, &failure{mail.ResultTempError, "the key could not be looked up in time"}
	}
	if answer.err != nil {
		return false, answer.err
	}
	key := answer.key
	if err := key.allows(s); err != nil {
		return false, err
	}
	partial, err = s.checkBody()
	if err == nil {
		err = key.verify(s, v.headerHash(s))
	}
	if err != nil && key.testing { // RFC 6376 §3.6.1: no worse than unsigned
		return partial, &failure{mail.ResultNeutral, "the domain is testing: " + err.Error()}
	}
	return partial, err
}

// checkBody compares the body with bh=.
func (s *signature) checkBody() (partial bool, err error) {
	h := s.bodyHash
	if h.limit > h.total { // RFC 6376 §3.5
		return false, permanent("l= is longer than the body")
	}
	if subtle.ConstantTimeCompare(h.sum(), s.bodyDigest) != 1 {
		return false, &failure{mail.ResultFail, "the body was changed"}
	}
	return h.limit >= 0 && h.limit < h.total, nil
}

// headerHash is the hash of RFC 6376 §3.7: of each field that is named, the
// last that was not taken yet, and of the signature itself without b=.
func (v *Verifier) headerHash(s *signature) []byte {
	h := sha256.New()
	var buf bytes.Buffer
	left := make(map[string]int, len(s.headers)) // fields of that name from the top that were not taken
	for _, name := range s.headers {
		n, seen := left[name]
		if !seen {
			n = len(v.fields)
		}
		for n--; n >= 0 && v.fields[n].name != name; n-- {
		}
		left[name] = max(n, 0)
		if n < 0 {
			continue // RFC 6376 §3.5: a field that is not there is signed as such
		}
		buf.Reset()
		canonicalField(&buf, s.headerCanon, v.fields[n].raw)
		h.Write(buf.Bytes())
	}
	buf.Reset()
	canonicalField(&buf, s.headerCanon, s.unsigned)
	h.Write(bytes.TrimSuffix(buf.Bytes(), crlf))
	return h.Sum(nil)
}

// verify checks b= against the hash of the header.
func (k *key) verify(s *signature, digest []byte) error {
	ok := false
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest, s.value) == nil
	case ed25519.PublicKey:
		ok = ed25519.Verify(pub, digest, s.value) // RFC 8463 §3
	}
	if !ok {
		return &failure{mail.ResultFail, "the signature does not fit the header"}
	}
	return nil
}

// A failure is why a signature does not pass, and how that is called.
type failure struct {
	result mail.Result
	reason string
}

func (f *failure) Error() string { return f.reason }

func permanent(reason string) error { return &failure{mail.ResultPermError, reason} }

func resultOf(err error) (mail.Result, string) {
	var f *failure
	switch {
	case err == nil:
		return mail.ResultPass, ""
	case errors.As(err, &f):
		return f.result, f.reason
	}
	return mail.ResultTempError, err.Error() // we do not know it: it costs time, never mail
}

// lookupError tells a name without records from a lookup that failed.
func lookupError(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return permanent("there is no key")
	}
	return &failure{mail.ResultTempError, "the key could not be looked up"}
}
