package arc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"homemail/mail"
	"homemail/mailauth/rfc6376"
)

const (
	maxSigned  = 50 // fields in h=, as for DKIM
	maxLookups = 8  // keys asked for at once
)

// What is wrong with a signature of a chain.
var (
	errTag      = errors.New("a tag is missing or not valid")
	errSeals    = errors.New("h= includes a seal or leaves out From")
	errSigned   = errors.New("too many fields in h=")
	errPartial  = errors.New("l= is not accepted")
	errExpired  = errors.New("signature has expired")
	errBodyHash = errors.New("body has changed")
	errSealH    = errors.New("a seal has h=")
	errClone    = errors.New("hash cannot be cloned")
)

// A Verifier takes one message and verifies its chain, RFC 8617 §5.2.
type Verifier struct {
	o       Options
	divider rfc6376.Divider
	body    *rfc6376.Body
	hash    hash.Hash

	fields []rfc6376.Field
	sets   []set
	newest signature // AMS of the newest set
	err    error     // the first thing that is wrong
}

// NewVerifier returns a Verifier for one message.
func NewVerifier(o Options) *Verifier {
	v := &Verifier{o: o, hash: sha256.New()}
	v.divider.Body = v.begin
	return v
}

// Write takes the next bytes of the message. It never fails.
func (v *Verifier) Write(p []byte) (int, error) { return v.divider.Write(p) }

// begin reads the header. The newest message signature says how to hash the
// body; with none to verify, nothing is hashed.
func (v *Verifier) begin(header []byte) io.Writer {
	v.fields = rfc6376.Fields(header)
	if v.sets, v.err = collect(v.fields); v.err == nil {
		v.err = checkCV(v.sets)
	}
	if v.err != nil || len(v.sets) == 0 {
		return nil
	}
	if v.newest, v.err = v.readMessage(v.sets[len(v.sets)-1].message); v.err != nil {
		return nil
	}
	v.body = rfc6376.NewBody(v.hash, v.newest.relaxedBody)
	return v.body
}

// Verify ends the message and asks for the keys.
func (v *Verifier) Verify(ctx context.Context) Chain {
	if err := v.divider.Close(); err != nil {
		return Chain{Result: mail.ResultFail, Reason: err.Error()}
	}
	c := Chain{Result: mail.ResultNone, Sets: len(v.sets)}
	if len(v.sets) == 0 && v.err == nil {
		return c
	}
	err := v.err
	if err == nil {
		err = v.verify(ctx, &c)
	}
	switch {
	case err == nil:
		c.Result = mail.ResultPass
	case errors.Is(err, rfc6376.ErrTemporary):
		c.Result, c.Reason = mail.ResultTempError, err.Error()
	default:
		c.Result, c.Reason = mail.ResultFail, err.Error()
	}
	return c
}

func (v *Verifier) verify(ctx context.Context, c *Chain) error {
	seals, sealers := make([]signature, len(v.sets)), make([]string, len(v.sets))
	for i, s := range v.sets {
		var err error
		if seals[i], err = readSeal(s.sealTags); err != nil {
			return fmt.Errorf("seal i=%d: %w", i+1, err)
		}
		sealers[i] = seals[i].domain
	}
	c.Sealers, c.First, c.Newest = sealers, v.sets[0].results.Value(), v.sets[len(v.sets)-1].results.Value()
	if err := v.body.Close(); err != nil {
		return err
	}
	if !bytes.Equal(v.hash.Sum(nil), v.newest.bodyHash) {
		return errBodyHash
	}
	keys := v.lookUp(ctx, append(slices.Clone(seals), v.newest))
	message := v.sets[len(v.sets)-1].message
	chosen := rfc6376.Select(without(v.fields, message), v.newest.signed)
	digest := rfc6376.Digest(chosen, message, v.newest.relaxedHeader)
	var temporary error
	if err := v.newest.verify(keys, digest); err != nil {
		err = fmt.Errorf("message signature i=%d: %w", len(v.sets), err)
		if !errors.Is(err, rfc6376.ErrTemporary) {
			return err
		}
		temporary = err
	}
	if err := v.verifySeals(seals, keys); err != nil && (temporary == nil || !errors.Is(err, rfc6376.ErrTemporary)) {
		return err
	}
	return temporary // only if nothing is wrong for good
}

// without leaves out a field: no signature signs itself, RFC 6376 §3.7.
func without(fields []rfc6376.Field, f rfc6376.Field) []rfc6376.Field {
	return slices.DeleteFunc(slices.Clone(fields), func(g rfc6376.Field) bool { return &g[0] == &f[0] })
}

// verifySeals verifies them oldest first, so that each hash goes on from the
// one before and fifty sets cost no more than their length.
func (v *Verifier) verifySeals(seals []signature, keys map[string]found) error {
	h := sha256.New()
	var temporary error
	var buf []byte
	for i, s := range v.sets {
		buf = s.results.AppendCanonical(buf[:0], true)
		buf = s.message.AppendCanonical(buf, true)
		h.Write(buf)
		digest, err := sumWith(h, s.seal.AppendUnsigned(buf[:0], true))
		if err != nil {
			return err
		}
		if err := seals[i].verify(keys, digest); err != nil {
			err = fmt.Errorf("seal i=%d: %w", i+1, err)
			if !errors.Is(err, rfc6376.ErrTemporary) {
				return err
			}
			temporary = err
		}
		h.Write(s.seal.AppendCanonical(buf[:0], true))
	}
	return temporary
}

// sumWith returns the sum of h after p, and leaves h as it is.
func sumWith(h hash.Hash, p []byte) ([]byte, error) {
	c, ok := h.(hash.Cloner)
	if !ok {
		return nil, errClone
	}
	branch, err := c.Clone()
	if err != nil {
		return nil, err
	}
	branch.Write(p)
	return branch.Sum(nil), nil
}

// found is what the DNS said of a name.
type found struct {
	key rfc6376.Key
	err error
}

// lookUp asks once for each key.
func (v *Verifier) lookUp(ctx context.Context, sigs []signature) map[string]found {
	keys := make(map[string]found)
	for _, s := range sigs {
		keys[s.keyName] = found{}
	}
	answers := make([]found, len(keys))
	names := make([]string, 0, len(keys))
	var g errgroup.Group
	g.SetLimit(maxLookups)
	for name := range keys {
		at := len(names)
		names = append(names, name)
		g.Go(func() error {
			answers[at].key, answers[at].err = rfc6376.LookUp(ctx, v.o.LookupTXT, name)
			return nil
		})
	}
	_ = g.Wait() // none fails
	for i, name := range names {
		keys[name] = answers[i]
	}
	return keys
}

// A signature is what the tags of a message signature or a seal say.
type signature struct {
	algorithm string // a=
	b         string
	domain    string // d= in A-labels
	keyName   string

	relaxedHeader, relaxedBody bool
	bodyHash                   []byte
	signed                     []string // h=
}

func (s signature) verify(keys map[string]found, digest []byte) error {
	k := keys[s.keyName]
	if k.err != nil {
		return k.err
	}
	return k.key.Verify(s.algorithm, digest, s.b)
}

// readCommon reads the tags that both kinds have.
func readCommon(tags map[string]string) (s signature, err error) {
	s.algorithm, s.b = tags["a"], tags["b"]
	if s.algorithm != rfc6376.RSA && s.algorithm != rfc6376.Ed25519 || s.b == "" {
		return s, errTag
	}
	if t, ok := tags["t"]; ok && !isNumber(t) {
		return s, errTag
	}
	s.keyName, s.domain, err = rfc6376.KeyName(tags["d"], tags["s"])
	return s, err
}

// readMessage reads an ARC-Message-Signature, RFC 8617 §4.1.2.
func (v *Verifier) readMessage(f rfc6376.Field) (signature, error) {
	tags, err := rfc6376.ParseTags(f.Value())
	if err != nil {
		return signature{}, err
	}
	s, err := readCommon(tags)
	if err != nil {
		return s, fmt.Errorf("message signature: %w", err)
	}
	if c, named := tags["c"]; named {
		var ok bool
		if s.relaxedHeader, s.relaxedBody, ok = rfc6376.Canonical(c); !ok {
			return s, errTag
		}
	}
	if s.bodyHash, err = base64.StdEncoding.DecodeString(rfc6376.Squeeze(tags["bh"])); err != nil || len(s.bodyHash) != sha256.Size {
		return s, errTag
	}
	if _, partial := tags["l"]; partial {
		return s, errPartial // what it leaves out could be anybody's
	}
	if err := v.checkExpiry(tags); err != nil {
		return s, err
	}
	s.signed = rfc6376.SplitList(strings.ToLower(tags["h"]))
	if len(s.signed) > maxSigned {
		return s, errSigned
	}
	if slices.Contains(s.signed, fieldSeal) || !slices.Contains(s.signed, "from") {
		return s, errSeals
	}
	return s, nil
}

func (v *Verifier) checkExpiry(tags map[string]string) error {
	x, ok := tags["x"]
	if !ok {
		return nil
	}
	if !isNumber(x) {
		return errTag
	}
	// A number that overflows is far in the future.
	if at, err := strconv.ParseInt(x, 10, 64); err == nil && v.o.ClockTrusted && time.Now().Unix() > at {
		return errExpired
	}
	return nil
}

// readSeal reads an ARC-Seal, RFC 8617 §4.1.3.
func readSeal(tags map[string]string) (signature, error) {
	if _, ok := tags["h"]; ok {
		return signature{}, errSealH
	}
	return readCommon(tags)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
