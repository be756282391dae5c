// Package mailauth judges where a message from a stranger comes from: SPF (RFC
// 7208), DKIM (RFC 6376), DMARC (RFC 7489), ARC (RFC 8617) and reverse DNS (RFC
// 8601 §3), and what follows from that for the message. A resolver that fails
// is temporary, never "fail". It never stores a message, never opens a
// connection but for DNS, and never asks what a message is about.
//
// SPF is blitiri.com.ar/go/spf behind a resolver that counts; DKIM is the
// package dkim below this one.
package mailauth

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"homemail/mail"
	"homemail/mailauth/arc"
	"homemail/mailauth/dkim"
)

// How long the checks may take. They overlap with each other and with DATA.
const (
	spfTime   = 20 * time.Second // RFC 7208 §4.6.4: at least 20 s
	iprevTime = 10 * time.Second
	// verdictTime is how long the client waits after its final dot: it gives
	// up after 10 min (RFC 5321 §4.5.3.2.6), impatient ones after 30 s.
	verdictTime = 20 * time.Second
	arcTime     = verdictTime - time.Second // so that it can still say whose seals they are
)

const lateReason = "the resolver did not answer in time"

// maxHeader is how much of a header is looked at, as for every other reader of
// headers here.
const maxHeader = 256 << 10

// A Resolver asks the DNS as *net.Resolver does. An error that is a
// *net.DNSError with IsNotFound means that there is no such record; any other
// is temporary.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// Options are what a Checker needs to know. Host and Resolver are required.
type Options struct {
	Host     string // our authserv-id, RFC 8601 §2.5
	Resolver Resolver
	// Clock reports whether the wall clock is to be trusted, nil if it always
	// is. While it is not, no signature is too old or too new.
	Clock func() bool
	// TrustedForwarders reports whether what a sealer, by its domain, says to
	// have seen is to be believed. Nil trusts nobody.
	TrustedForwarders func(domain string) bool
	// AllowedLists reports whether the owner lets a mailing list, by its
	// List-Id or a domain above it, break the signatures of what it passes on.
	AllowedLists func(list string) bool
	Log          *slog.Logger // of bugs; the door logs the verdicts
}

// A Checker judges messages. It may be used by many at once.
type Checker struct{ o Options }

// New returns a Checker.
func New(o Options) *Checker {
	never := func(string) bool { return false }
	if o.Clock == nil {
		o.Clock = func() bool { return true }
	}
	if o.TrustedForwarders == nil {
		o.TrustedForwarders = never
	}
	if o.AllowedLists == nil {
		o.AllowedLists = never
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Resolver = newShare(o.Resolver)
	return &Checker{o: o}
}

// An Origin is what SMTP says about where a message comes from.
type Origin struct {
	Remote netip.Addr
	Helo   string
	From   mail.Path // the reverse-path
}

// A Check judges one message: Write its bytes, then ask for the Verdict.
type Check struct {
	c      *Checker
	ctx    context.Context
	cancel context.CancelFunc

	spf   *future[mail.Check]
	iprev *future[mail.Check]
	dkim  *dkim.Verifier
	arc   *arc.Verifier

	header []byte
	body   bool // the header has ended
	line   int  // where the line begins that is being written to header
	cut    bool // the header was longer than we look at
	author *asked
}

// asked is what the header says that matters here, and what its author asks for.
type asked struct {
	header  header
	records []*future[policy] // of header.domains
}

// Begin starts to judge a message: the lookups that need no header run at once,
// in the background. Close must be called.
func (c *Checker) Begin(ctx context.Context, o Origin) *Check {
	ctx, cancel := context.WithCancel(ctx)
	k := &Check{c: c, ctx: ctx, cancel: cancel}
	late := mail.Check{Result: mail.ResultTempError, Reason: lateReason}
	k.iprev = begin(ctx, c.o.Log, iprevTime, late, func(ctx context.Context) mail.Check { return c.checkIPRev(ctx, o.Remote) })
	late.Domain = spfDomain(o)
	k.spf = begin(ctx, c.o.Log, spfTime, late, func(ctx context.Context) mail.Check { return c.checkSPF(ctx, o) })
	trusted := c.o.Clock()
	opts := dkim.Options{LookupTXT: c.o.Resolver.LookupTXT}
	if trusted {
		opts.Now = time.Now
	}
	k.dkim = dkim.NewVerifier(ctx, opts)
	k.arc = arc.NewVerifier(arc.Options{LookupTXT: c.o.Resolver.LookupTXT, ClockTrusted: trusted})
	return k
}

// Write takes the next bytes of the message, as they came in: dots unstuffed,
// lines ended by CRLF. It never fails and never waits.
func (k *Check) Write(p []byte) (int, error) {
	n := len(p)
	k.arc.Write(p)
	if !k.body {
		p = k.writeHeader(p)
	}
	if len(p) > 0 {
		k.dkim.Write(p)
	}
	return n, nil
}

// writeHeader takes bytes up to and with the blank line and returns the rest.
func (k *Check) writeHeader(p []byte) []byte {
	for len(p) > 0 {
		n, whole := len(p), false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			n, whole = i+1, true
		}
		if room := maxHeader - len(k.header); n > room {
			k.cut = true
			k.endHeader()
			return nil // no signature is looked at: its body does not matter
		}
		k.header = append(k.header, p[:n]...)
		p = p[n:]
		if !whole {
			continue
		}
		if blank := len(bytes.TrimRight(k.header[k.line:], "\r\n")) == 0; blank {
			k.endHeader()
			return p
		}
		k.line = len(k.header)
	}
	return nil
}

// endHeader starts what can be known after the header: the lookups of the keys
// and of what the author's domain asks for.
func (k *Check) endHeader() {
	k.body = true
	if k.cut {
		k.header = k.header[:k.line] // no half lines
	}
	k.dkim.SetHeader(k.header, !k.cut)
	k.author = &asked{header: readHeader(k.header, k.cut)}
	for _, d := range k.author.header.domains {
		k.author.records = append(k.author.records,
			begin(k.ctx, k.c.o.Log, verdictTime, policy{domain: d, failed: true},
				func(ctx context.Context) policy { return k.c.lookupPolicy(ctx, d) }))
	}
}

// Verdict ends the message and says what is known about it. It waits for the
// resolver, but not for long.
func (k *Check) Verdict() mail.Verdict {
	if !k.body {
		k.endHeader()
	}
	ctx, cancel := context.WithTimeout(k.ctx, verdictTime)
	defer cancel()
	chain := begin(ctx, k.c.o.Log, arcTime, arc.Chain{Result: mail.ResultTempError, Reason: lateReason}, k.arc.Verify)
	v := mail.Verdict{DKIM: k.dkim.Results(ctx)}
	v.SPF = k.spf.wait(ctx)
	v.IPRev = k.iprev.wait(ctx)
	k.judge(ctx, &v, chain.wait(ctx))
	return v
}

// Close gives up what still runs. It is safe after Verdict, and again.
func (k *Check) Close() { k.cancel() }

// A future is an answer that is being worked out in the background.
type future[T any] struct {
	answer chan T
	late   T // the answer if there is none in time
}

// begin works something out in the background, within a time. A panic there is
// a bug that a stranger has found: it costs him the answer, and nobody else
// anything.
func begin[T any](ctx context.Context, log *slog.Logger, limit time.Duration, late T, f func(context.Context) T) *future[T] {
	u := &future[T]{make(chan T, 1), late}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				log.Error("a check of a message's origin broke", "panic", p, "stack", string(debug.Stack()))
				u.answer <- late
			}
		}()
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		u.answer <- f(ctx)
	}()
	return u
}

// wait returns the answer, or that for being late if it has not come when ctx
// ends. It is called once.
func (u *future[T]) wait(ctx context.Context) T {
	select {
	case a := <-u.answer:
		return a
	case <-ctx.Done():
	}
	select {
	case a := <-u.answer: // it may have come with the end
		return a
	default:
		return u.late
	}
}
