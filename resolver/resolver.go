// Package resolver asks the DNS for what mail needs: MX, TXT, addresses, TLSA
// and PTR records. It is a stub: it asks the recursive servers it is given,
// keeps their answers for as long as these live, and says of each answer
// whether DNSSEC vouches for it. It validates no signature itself and never
// reads /etc/hosts or a search list: names are absolute.
package resolver

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// An Answer is what the DNS says about a name. With an error that says that
// there is no such record, List is empty and the rest still holds: Secure then
// means that DNSSEC proves that there is none.
type Answer[T any] struct {
	List   []T
	Secure bool          // DNSSEC: the AD bit, from a validating resolver that we may trust
	Name   string        // canonical name after CNAMEs, lower case, no final dot
	TTL    time.Duration // that is left of it
}

// TLSA is a TLSA record, RFC 6698 §2.1.
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// Options are the settings of a Resolver; the zero value is the system's DNS.
type Options struct {
	// Server is asked: "ip" or "ip:port". "" means those of ResolvConf, which
	// is read again when it changes.
	Server     string
	ResolvConf string // "" means /etc/resolv.conf

	// Trust says that the AD bit of the servers may be believed though they are
	// not on this machine: the network to them is safe from forgers.
	Trust bool

	// CacheSize is how many answers are kept, 0 means defaultCacheSize, and a
	// negative number none.
	CacheSize int

	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil means net.Dialer
	Log  *slog.Logger                                                      // nil means nowhere
}

// Resolver asks the DNS. Its methods may be called at the same time; their
// errors are *net.DNSError with IsNotFound, or with IsTemporary and IsTimeout.
type Resolver struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	log     *slog.Logger
	servers *servers
	cache   *cache
	asking  chan struct{} // holds one for each question that is out

	mu      sync.Mutex
	flights map[trip]*flight
}

// New returns a Resolver. It opens nothing before it is asked something.
func New(o Options) *Resolver {
	r := &Resolver{dial: o.Dial, log: o.Log, asking: make(chan struct{}, maxAsking), flights: map[trip]*flight{}}
	if r.dial == nil {
		r.dial = (&net.Dialer{}).DialContext
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.servers = &servers{fixed: o.Server, file: cmp.Or(o.ResolvConf, "/etc/resolv.conf"), trust: o.Trust, log: r.log}
	r.cache = newCache(cmp.Or(o.CacheSize, defaultCacheSize))
	return r
}

// MX returns the mail exchangers of a domain, the most preferred first. Hosts
// are lower case and without a final dot, but for that of a null MX, which is
// "." (RFC 7505).
func (r *Resolver) MX(ctx context.Context, domain string) (Answer[*net.MX], error) {
	a, err := lookup(ctx, r, domain, dns.TypeMX, func(rr *dns.MX) (*net.MX, bool) {
		return &net.MX{Host: cmp.Or(plain(rr.Mx), "."), Pref: rr.Preference}, true
	})
	slices.SortStableFunc(a.List, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	return a, err
}

// TXT returns the texts of a name; the strings of one record are joined.
func (r *Resolver) TXT(ctx context.Context, name string) (Answer[string], error) {
	return lookup(ctx, r, name, dns.TypeTXT, func(rr *dns.TXT) (string, bool) {
		return unescape(strings.Join(rr.Txt, "")), true
	})
}

// IP returns the addresses of a host, IPv6 first. One family that fails is let
// pass if the other has addresses. An address is its own answer.
func (r *Resolver) IP(ctx context.Context, host string) (Answer[netip.Addr], error) {
	if addr, ok := literal(host); ok {
		return Answer[netip.Addr]{List: []netip.Addr{addr}, Name: addr.String(), TTL: maxTTL}, nil
	}
	type result struct {
		Answer[netip.Addr]
		err error
	}
	four := make(chan result, 1)
	go func() {
		a, err := r.ip4(ctx, host)
		four <- result{a, err}
	}()
	a6, err6 := r.ip6(ctx, host)
	v4 := <-four
	return merge(a6, err6, v4.Answer, v4.err)
}

func (r *Resolver) ip4(ctx context.Context, host string) (Answer[netip.Addr], error) {
	return lookup(ctx, r, host, dns.TypeA, func(rr *dns.A) (netip.Addr, bool) {
		addr, ok := netip.AddrFromSlice(rr.A)
		return addr.Unmap(), ok
	})
}

func (r *Resolver) ip6(ctx context.Context, host string) (Answer[netip.Addr], error) {
	return lookup(ctx, r, host, dns.TypeAAAA, func(rr *dns.AAAA) (netip.Addr, bool) {
		addr, ok := netip.AddrFromSlice(rr.AAAA)
		return addr.Unmap(), ok
	})
}

// merge makes one answer of those about the two families. What is temporary
// wins over what is not there.
func merge(a6 Answer[netip.Addr], err6 error, a4 Answer[netip.Addr], err4 error) (Answer[netip.Addr], error) {
	switch {
	case err6 == nil && err4 == nil:
		a6.List = append(a6.List, a4.List...)
		a6.Secure = a6.Secure && a4.Secure
		a6.TTL = min(a6.TTL, a4.TTL)
		return a6, nil
	case err6 == nil:
		a6.Secure = a6.Secure && (a4.Secure || !notFound(err4))
		return a6, nil
	case err4 == nil:
		a4.Secure = a4.Secure && (a6.Secure || !notFound(err6))
		return a4, nil
	case !notFound(err6):
		return a6, err6
	}
	return a4, err4
}

// TLSA returns the TLSA records of a name such as _25._tcp.mx.example.test.
func (r *Resolver) TLSA(ctx context.Context, name string) (Answer[TLSA], error) {
	return lookup(ctx, r, name, dns.TypeTLSA, func(rr *dns.TLSA) (TLSA, bool) {
		data, err := hex.DecodeString(rr.Certificate)
		return TLSA{rr.Usage, rr.Selector, rr.MatchingType, data}, err == nil
	})
}

// PTR returns the names of an address, lower case and without final dots. What
// they say is only a claim until IP of the name gives the address.
func (r *Resolver) PTR(ctx context.Context, addr netip.Addr) (Answer[string], error) {
	name, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return Answer[string]{}, noSuch(textNoName, addr.String())
	}
	return lookup(ctx, r, name, dns.TypePTR, func(rr *dns.PTR) (string, bool) {
		host := plain(rr.Ptr)
		return host, host != ""
	})
}

// lookup asks for the records of one type and makes of each what pick makes.
func lookup[R dns.RR, T any](ctx context.Context, r *Resolver, name string, qtype uint16, pick func(R) (T, bool)) (Answer[T], error) {
	rep := r.ask(ctx, name, qtype)
	a := Answer[T]{Secure: rep.secure, Name: plain(rep.name), TTL: rep.ttl}
	if rep.err != nil {
		err := *rep.err // the caller's own
		return a, &err
	}
	a.List = make([]T, 0, len(rep.rrs))
	for _, rr := range rep.rrs {
		if rr, ok := rr.(R); ok {
			if v, ok := pick(rr); ok {
				a.List = append(a.List, v)
			}
		}
	}
	return a, nil
}

// ask answers a question from what needs no asking, from the cache, or from a
// server. Those who ask the same at the same time share one answer, and none of
// them can spoil it for the others by going away.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) reply {
	q, ok := newQuestion(name, qtype)
	if !ok { // no server could say anything else
		return reply{name: name, err: noSuch(textNoName, name)}
	}
	if rep, ok := special(q); ok {
		return rep
	}
	rep, ok, gen := r.cache.get(q)
	if ok {
		return rep
	}
	gone := func() reply {
		return reply{name: q.name, err: temporary(ctx.Err().Error(), q, "", errors.Is(ctx.Err(), context.DeadlineExceeded))}
	}
	if ctx.Err() != nil {
		return gone()
	}
	t := trip{q, gen}
	f := r.board(t)
	select {
	case <-f.done:
		return f.reply
	case <-ctx.Done():
		r.leave(t, f)
		return gone()
	}
}

// Validates reports whether our servers validate and may be trusted to: whether
// the root zone, which is signed, comes as secure. The answer is kept for ten
// minutes.
func (r *Resolver) Validates(ctx context.Context) bool {
	rep := r.ask(ctx, ".", dns.TypeSOA)
	return rep.err == nil && rep.secure
}

// Flush forgets what is known of a name and of the names below it, "" of all:
// the next question goes to a server. That may have a cache of its own.
func (r *Resolver) Flush(name string) { r.cache.flush(name) }

// plain is a name as the rest of us writes it: lower case, no final dot.
func plain(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
