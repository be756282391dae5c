// Package srs rewrites the reverse-path of mail that is forwarded to the
// outside, by the Sender Rewriting Scheme (M. S. Wong, 2003): SPF is asked
// about our domain then, and a bounce finds its way back through us. Nothing
// is stored; what comes back carries its own proof.
//
//	anna@example.org            SRS0=HASH=TIME=example.org=anna@us
//	SRS0=...@forwarder.test     SRS1=HASH=forwarder.test==...@us
//	SRS1=HASH=first==...@second SRS1=HASH=first==...@us
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"homemail/mail"
)

const (
	// maxLocal is what a local part may have, quotes included, RFC 5321
	// §4.5.3.1.1.
	maxLocal = 64
	// hashSize gives 30 bits. To guess one wins no more than to send bounces
	// to one address for three weeks, and each guess is an SMTP command.
	hashSize = 6
	timeSize = 4 // days since 1970 until the year 4840
	// validity is how long a bounce may take: five days in a queue, at each of
	// four hops.
	validity = 21
	// minSecret is in octets.
	minSecret = 16
)

// What Forward and Reverse can say.
var (
	// ErrUnfit says that an address has no rewritten form within the limits.
	// The forwarding account's own address will have to do.
	ErrUnfit = errors.New("address cannot be rewritten")
	// ErrNotSRS says that an address is none of the scheme's.
	ErrNotSRS = errors.New("not a rewritten address")
	// ErrForged says that an address looks rewritten, and not by us.
	ErrForged = errors.New("rewritten address is forged")
	// ErrExpired says that we have rewritten an address too long ago.
	ErrExpired = errors.New("rewritten address has expired")
)

// errSecret is a mistake of the caller.
var errSecret = errors.New("a secret needs 16 octets")

// Options say with what to rewrite.
type Options struct {
	// Secrets are proof against forgery. The first is used, and what the
	// others have proved is accepted.
	Secrets [][]byte
	// ClockTrusted tells whether the time is known; else nothing expires. A
	// nil one is never.
	ClockTrusted func() bool
}

// A Rewriter may be used by many at once.
type Rewriter struct{ o Options }

// New returns a Rewriter. A secret is random and stays the same as long as
// bounces may come.
func New(o Options) (*Rewriter, error) {
	if len(o.Secrets) == 0 {
		return nil, errSecret
	}
	for _, s := range o.Secrets {
		if len(s) < minSecret {
			return nil, errSecret
		}
	}
	return &Rewriter{o}, nil
}

func (r *Rewriter) trusted() bool { return r.o.ClockTrusted != nil && r.o.ClockTrusted() }

// Forward rewrites a reverse-path for a message that leaves for domain, which
// is ours. The null reverse-path and a sender of domain itself stay as they
// are.
func (r *Rewriter) Forward(from mail.Path, domain string) (mail.Path, error) {
	domain = mail.Path("x@" + domain).Domain()
	sender := from.Domain()
	if from.IsNull() || sender == domain {
		return from, nil
	}
	if sender == "" {
		return "", ErrUnfit
	}
	local := unquote(from.Local())
	switch kind, rest := cut(local); kind {
	case '0':
		return build(r.srs1(sender, rest), domain)
	case '1':
		if _, first, rest, ok := split1(rest); ok {
			if _, err := back("SRS0"+rest, first); err == nil {
				return build(r.srs1(first, rest), domain)
			}
		} // else it only looks like it
	}
	at := r.stamp()
	return build("SRS0="+r.hash(0, '0', at, sender, local)+"="+at+"="+sender+"="+local, domain)
}

// srs1 leaves out all forwarders between the first and us.
func (r *Rewriter) srs1(first, rest string) string {
	return "SRS1=" + r.hash(0, '1', first, rest) + "=" + first + "=" + rest
}

// Reverse returns the address that Forward has rewritten to p, for a bounce to
// p. Its case may have been changed on the way; that it is of our domain is for
// the caller to know.
func (r *Rewriter) Reverse(p mail.Path) (mail.Path, error) {
	switch kind, rest := cut(unquote(p.Local())); kind {
	case '0':
		return r.reverse0(rest)
	case '1':
		hash, first, rest, ok := split1(rest)
		if !ok || !r.genuine(hash, '1', first, rest) {
			return "", ErrForged
		}
		return back("SRS0"+rest, first)
	}
	return "", ErrNotSRS
}

func (r *Rewriter) reverse0(rest string) (mail.Path, error) {
	parts := strings.SplitN(rest[1:], "=", 4)
	if len(parts) < 4 || !r.genuine(parts[0], '0', parts[1:]...) {
		return "", ErrForged
	}
	if r.expired(parts[1]) {
		return "", ErrExpired
	}
	return back(parts[3], parts[2])
}

func back(local, domain string) (mail.Path, error) {
	p, err := mail.ParsePath(join(local, domain))
	if err != nil {
		return "", ErrForged // we would not have made it
	}
	return p, nil
}

func build(local, domain string) (mail.Path, error) {
	p, err := mail.ParsePath(join(local, domain))
	if err != nil {
		return "", ErrUnfit
	}
	wire := p.Wire()
	if at := strings.LastIndexByte(wire, '@'); at > maxLocal {
		return "", ErrUnfit
	}
	return mail.Path(wire), nil
}

// join quotes a local part where that is needed.
func join(local, domain string) string {
	if s := local + "@" + domain; !strings.HasPrefix(local, `"`) {
		if _, err := mail.ParsePath(s); err == nil {
			return s
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"@` + domain
}

// unquote returns what a local part means, RFC 5321 §4.1.2.
func unquote(local string) string {
	inner, quoted := strings.CutPrefix(local, `"`)
	if !quoted {
		return local
	}
	inner = strings.TrimSuffix(inner, `"`)
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			i++
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

// cut returns the kind of a rewritten local part, '0' or '1', and what follows
// from the separator on, which may be any of three; 0 for any other.
func cut(local string) (kind byte, rest string) {
	const tag = "SRS0="
	if len(local) < len(tag) || !strings.EqualFold(local[:3], tag[:3]) || !strings.ContainsRune("=+-", rune(local[4])) {
		return 0, local
	}
	if kind = local[3]; kind != '0' && kind != '1' {
		return 0, local
	}
	return kind, local[4:]
}

// split1 reads what follows SRS1: a hash, the domain of the first forwarder,
// and what followed its SRS0, from the separator on.
func split1(s string) (hash, first, rest string, ok bool) {
	parts := strings.SplitN(s[1:], "=", 3)
	if len(parts) < 3 || parts[1] == "" || parts[2] == "" || !strings.ContainsRune("=+-", rune(parts[2][0])) {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// digits are of one case only: some hosts change it.
const digits = "abcdefghijklmnopqrstuvwxyz234567"

var encoding = base32.NewEncoding(digits).WithPadding(base32.NoPadding)

// hash proves that we have written the parts, in whatever case they come back.
func (r *Rewriter) hash(secret int, kind byte, parts ...string) string {
	h := hmac.New(sha256.New, r.o.Secrets[secret])
	h.Write([]byte{kind})
	h.Write([]byte(strings.ToLower(strings.Join(parts, "="))))
	return encoding.EncodeToString(h.Sum(nil))[:hashSize]
}

func (r *Rewriter) genuine(hash string, kind byte, parts ...string) bool {
	good := false
	for i := range r.o.Secrets {
		if hmac.Equal([]byte(strings.ToLower(hash)), []byte(r.hash(i, kind, parts...))) {
			good = true
		}
	}
	return good
}

// unknown is the time of an address made without a clock. It never expires:
// a bounce that is lost is worse than one that comes late.
const unknown = "aaaa"

func today() int { return int(time.Now().Unix() / (24 * 60 * 60)) }

// stamp writes today as four digits of five bits.
func (r *Rewriter) stamp() string {
	if !r.trusted() {
		return unknown
	}
	var s [timeSize]byte
	for i, day := timeSize-1, today(); i >= 0; i, day = i-1, day>>5 {
		s[i] = digits[day&31]
	}
	return string(s[:])
}

// expired reads a stamp that is ours.
func (r *Rewriter) expired(stamp string) bool {
	stamp = strings.ToLower(stamp)
	if stamp == unknown || !r.trusted() {
		return false
	}
	day := 0
	for _, c := range stamp {
		day = day<<5 | strings.IndexRune(digits, c)
	}
	return today()-day > validity
}
