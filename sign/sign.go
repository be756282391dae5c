// Package sign puts DKIM signatures, RFC 6376, on mail that leaves, and makes
// and rotates the keys for it. It never changes a message and keeps none of
// its body: one pass hashes it for all keys.
//
// It is our own because go-msgauth v0.7.0 hashes a body once for each key,
// each behind a pipe and a goroutine, keeps every blank line at a body's end
// until something follows, and refuses a message without a body. Our tests
// hold the two against each other.
package sign

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"homemail/mail"
	"homemail/mail/message"
	"homemail/mailauth/rfc6376"
)

const (
	// validity is how long a signature may be used: a message may wait five
	// days in our queue, and a replay should not work for ever.
	validity = 7 * 24 * time.Hour
	// maxSigned is how many fields h= names. Verifiers such as ours take no
	// more.
	maxSigned = 50
	// maxParsed is how many private keys are kept ready.
	maxParsed = 64
)

// What Begin and Fields can say. With any of them the message may leave
// unsigned.
var (
	ErrNoKey      = errors.New("domain has no key to sign with")
	ErrNotAligned = errors.New("author is not of the signing domain")
	ErrTooMany    = errors.New("too many fields to sign")
	ErrHeader     = rfc6376.ErrHeader // longer than 256 KiB
)

// Keys is where the keys are. The domain is in A-labels and lower case; one
// without keys is no error.
type Keys interface {
	Get(domain string) ([]Key, error)
}

// Options say how to sign.
type Options struct {
	Keys Keys
	// ClockTrusted tells whether the time is known; else a signature bears
	// none. A nil one is never.
	ClockTrusted func() bool
}

// A Signer signs for all domains. It may be used by many at once.
type Signer struct {
	o Options

	mu     sync.Mutex
	parsed map[[sha256.Size]byte]crypto.Signer // by the hash of the PKCS #8
}

// New returns a Signer.
func New(o Options) *Signer {
	return &Signer{o: o, parsed: make(map[[sha256.Size]byte]crypto.Signer)}
}

// A Signing is the signing of one message.
type Signing struct {
	domain  string
	keys    []signingKey
	trusted bool
	divider rfc6376.Divider
	body    *rfc6376.Body
	hash    hash.Hash
}

type signingKey struct {
	selector string
	key      crypto.Signer
}

// Begin begins to sign a message for the domain of its From. The error is
// ErrNoKey if the domain has no active key.
func (s *Signer) Begin(domain string) (*Signing, error) {
	domain = normal(domain)
	keys, err := s.o.Keys.Get(domain)
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", domain, err)
	}
	g := &Signing{domain: domain, hash: sha256.New(), trusted: s.o.ClockTrusted != nil && s.o.ClockTrusted()}
	for _, k := range keys {
		if k.State != Active {
			continue
		}
		key, err := s.parse(k)
		if err != nil {
			return nil, err
		}
		g.keys = append(g.keys, signingKey{k.Selector, key})
	}
	if len(g.keys) == 0 {
		return nil, ErrNoKey
	}
	g.body = rfc6376.NewBody(g.hash, true)
	g.divider.Body = func([]byte) io.Writer { return g.body }
	return g, nil
}

// parse remembers what it has parsed: checking an RSA key takes longer than to
// sign with it.
func (s *Signer) parse(k Key) (crypto.Signer, error) {
	at := sha256.Sum256(k.Private)
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.parsed[at]; ok {
		return key, nil
	}
	key, err := k.Signer()
	if err != nil {
		return nil, err
	}
	if len(s.parsed) >= maxParsed {
		clear(s.parsed)
	}
	s.parsed[at] = key
	return key, nil
}

// Signer returns the private half.
func (k Key) Signer() (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(k.Private)
	if err != nil {
		return nil, fmt.Errorf("key %s of %s: %w", k.Selector, k.Domain, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok || rfc6376.AlgorithmOf(key) == "" {
		return nil, fmt.Errorf("key %s of %s: not of a kind for DKIM", k.Selector, k.Domain)
	}
	return key, nil
}

// normal returns a domain in A-labels and lower case.
func normal(domain string) string { return mail.Path("x@" + domain).Domain() }

// Write takes the next bytes of the message, as it will leave. It never fails.
func (g *Signing) Write(p []byte) (int, error) { return g.divider.Write(p) }

// Fields ends the message and returns a DKIM-Signature field for each active
// key, to be put above it.
func (g *Signing) Fields() ([]byte, error) {
	if err := errors.Join(g.divider.Close(), g.body.Close()); err != nil {
		return nil, err
	}
	header := g.divider.Header()
	if err := rfc6376.CheckTop(header); err != nil {
		return nil, err
	}
	if !aligned(header, g.domain) {
		return nil, ErrNotAligned
	}
	fields := rfc6376.Fields(header)
	names, err := signedFields(fields)
	if err != nil {
		return nil, err
	}
	chosen := rfc6376.Select(fields, names)
	bh, now := base64.StdEncoding.EncodeToString(g.hash.Sum(nil)), time.Now()
	var out []byte
	for _, k := range g.keys {
		f := g.field(k, strings.Join(names, ":"), bh, now)
		b, err := rfc6376.Sign(k.key, rfc6376.Digest(chosen, f, true))
		if err != nil {
			return nil, err
		}
		out = append(out, f.Sign(b)...)
	}
	return out, nil
}

// field is a DKIM-Signature, RFC 6376 §3.5, with an empty b=. There is never
// an l=, which leaves the end of the body to anybody, and no i=.
func (g *Signing) field(k signingKey, h, bh string, now time.Time) rfc6376.Field {
	tags := []rfc6376.Tag{{Name: "v", Value: "1"}, {Name: "a", Value: rfc6376.AlgorithmOf(k.key)}, {Name: "c", Value: "relaxed/relaxed"},
		{Name: "d", Value: g.domain}, {Name: "s", Value: k.selector}}
	if g.trusted {
		tags = append(tags, rfc6376.Tag{Name: "t", Value: seconds(now)}, rfc6376.Tag{Name: "x", Value: seconds(now.Add(validity))})
	}
	tags = append(tags, rfc6376.Tag{Name: "h", Value: h}, rfc6376.Tag{Name: "bh", Value: bh})
	return rfc6376.Compose("DKIM-Signature", tags)
}

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// aligned reports whether every address of From is of the domain or of one
// below it: DMARC's relaxed alignment (RFC 7489 §3.1.1), and a signature for
// another says nothing.
func aligned(header []byte, domain string) bool {
	p := message.NewParser()
	_, _ = p.Write(header) // never fails
	from := p.Structure().Envelope.From
	return len(from) > 0 && !slices.ContainsFunc(from, func(a message.Address) bool {
		d := normal(a.Host)
		return d != domain && !strings.HasSuffix(d, "."+domain)
	})
}

// Oversigned fields are named once more than they are there, so that none can
// be added on the way; the others as often as they are there.
var (
	oversigned = []string{"from", "to", "cc", "subject", "date", "reply-to"}
	signed     = []string{"message-id", "in-reply-to", "references", "mime-version", "content-type", "content-transfer-encoding",
		"list-id", "list-unsubscribe", "list-unsubscribe-post", "list-post", "list-help", "list-subscribe", "list-owner", "list-archive"}
)

// signedFields lists the names for h=. There is room for all oversigned or
// there is no signature.
func signedFields(fields []rfc6376.Field) ([]string, error) {
	count := make(map[string]int)
	for _, f := range fields {
		count[f.Name()]++
	}
	var names []string
	for _, name := range oversigned {
		names = append(names, slices.Repeat([]string{name}, count[name]+1)...)
	}
	if len(names) > maxSigned {
		return nil, ErrTooMany
	}
	for _, name := range signed {
		names = append(names, slices.Repeat([]string{name}, count[name])...)
	}
	return names[:min(len(names), maxSigned)], nil
}
