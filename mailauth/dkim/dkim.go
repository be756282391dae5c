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
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"

	"homemail/mail"
	"homemail/mailauth/rfc6376"
)

// What a message may ask of us.
const (
	maxSignatures = 8    // each costs a lookup and a public key operation
	maxFields     = 1000 // as many as any header may have here
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
	fields []rfc6376.Field
	sigs   []*signature
	bodies map[bool]*body // by whether they are relaxed
	excess bool           // there are more signatures than we look at
}

// NewVerifier returns a Verifier. Lookups end when ctx does.
func NewVerifier(ctx context.Context, o Options) *Verifier {
	return &Verifier{o: o, ctx: ctx, bodies: make(map[bool]*body)}
}

// SetHeader takes the header, with or without its blank line, finds the
// signatures and starts to look up their keys. It is called once; whole says
// that the header was not cut off. The Verifier keeps a reference to it.
func (v *Verifier) SetHeader(header []byte, whole bool) {
	v.fields = rfc6376.Fields(header)
	var bad error
	switch {
	case !whole || len(v.fields) > maxFields || len(header) > rfc6376.MaxHeader:
		bad = permanent("the header is too long to verify")
	case slices.ContainsFunc(v.fields[min(1, len(v.fields)):], isNoField):
		bad = permanent("the header has a line that is no field")
	}
	for _, f := range v.fields[:min(len(v.fields), maxFields)] {
		if !f.Is("dkim-signature") {
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
		if s.err == nil {
			s.err = bad
		}
		if s.err == nil {
			v.prepare(s)
		}
	}
}

// isNoField reports whether a line is no field. No signature covers it, and
// there are readers that take it for more of the field before it: somebody may
// have put it below From. Only the first may be one, from an mbox.
func isNoField(f rfc6376.Field) bool { return !f.Named() }

// prepare starts the lookup of the key and sees that the body is hashed.
// Signatures with equal demands share a hash.
func (v *Verifier) prepare(s *signature) {
	s.key = make(chan keyAnswer, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // a bug that a stranger's key has found costs him the result
				s.key <- keyAnswer{err: fmt.Errorf("the key broke us: %v", p)}
			}
		}()
		s.key <- lookupKey(v.ctx, v.o.LookupTXT, s.keyName)
	}()
	b := v.bodies[s.relaxedBody]
	if b == nil {
		b = new(body)
		b.canonical = rfc6376.NewBody(b, s.relaxedBody)
		v.bodies[s.relaxedBody] = b
	}
	s.body = b.hash(s.length)
}

// Write takes the next bytes of the body. It never fails.
func (v *Verifier) Write(p []byte) (int, error) {
	for _, b := range v.bodies {
		b.canonical.Write(p) // to a hash, which never fails
	}
	return len(p), nil
}

// Results ends the body and returns a Signature for each DKIM-Signature field,
// in the header's order, and one more if there were more than we look at. Keys
// that have not come when ctx ends are temporary errors.
func (v *Verifier) Results(ctx context.Context) []mail.Signature {
	for _, b := range v.bodies {
		b.canonical.Close()
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
	if key.strict && s.identity != s.domain {
		return false, permanent("the key is not for domains below d=")
	}
	partial, err = s.checkBody()
	if err == nil {
		digest := rfc6376.Digest(rfc6376.Select(v.fields, s.headers), s.field, s.relaxedHeader)
		if wrong := key.public.Verify(s.algorithm, digest, s.value); wrong != nil {
			err = &failure{mail.ResultFail, wrong.Error()}
		}
	}
	if err != nil && key.testing { // RFC 6376 §3.6.1: no worse than unsigned
		return partial, &failure{mail.ResultNeutral, "the domain is testing: " + err.Error()}
	}
	return partial, err
}

// checkBody compares the body with bh=.
func (s *signature) checkBody() (partial bool, err error) {
	h := s.body
	if h.limit > h.total { // RFC 6376 §3.5
		return false, permanent("l= is longer than the body")
	}
	if subtle.ConstantTimeCompare(h.h.Sum(nil), s.bodyDigest) != 1 {
		return false, &failure{mail.ResultFail, "the body was changed"}
	}
	return h.limit >= 0 && h.limit < h.total, nil
}

// A body hashes a body in one canonical form, up to each limit that is asked
// for.
type body struct {
	canonical *rfc6376.Body
	hashes    []*bodyHash
}

// A bodyHash is the hash of a canonical body up to a limit.
type bodyHash struct {
	h     hash.Hash
	limit int64 // l=; -1 without
	total int64 // bytes seen
}

// hash returns the hash with that limit.
func (b *body) hash(limit int64) *bodyHash {
	for _, h := range b.hashes {
		if h.limit == limit {
			return h
		}
	}
	h := &bodyHash{h: sha256.New(), limit: limit}
	b.hashes = append(b.hashes, h)
	return h
}

// Write takes bytes of the canonical form.
func (b *body) Write(p []byte) (int, error) {
	for _, h := range b.hashes {
		take := int64(len(p))
		if h.limit >= 0 {
			take = min(take, max(0, h.limit-h.total))
		}
		h.h.Write(p[:take])
		h.total += int64(len(p))
	}
	return len(p), nil
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
