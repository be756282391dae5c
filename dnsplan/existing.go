package dnsplan

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Existing finds what a plan has to keep of what is there. With an error
// nothing is known: to plan as if nothing were there could lose others' records.
func (c *Comparer) Existing(ctx context.Context, domain string) (Existing, error) {
	domain, err := toASCII(domain)
	if err != nil {
		return Existing{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, allTime)
	defer cancel()
	r := c.newRun()
	var ex Existing
	for _, want := range []struct {
		name string
		to   *[]string
		like func(string) bool
	}{
		{domain, &ex.SPF, isSPF},
		{"_dmarc." + domain, &ex.DMARC, func(t string) bool { return isTagged(t, "DMARC1") }},
		{"_smtp._tls." + domain, &ex.TLSRPT, func(t string) bool { return isTagged(t, "TLSRPTv1") }},
	} {
		list, err := r.there(ctx, want.name, "TXT")
		if err != nil {
			return Existing{}, err
		}
		*want.to = only(list, want.like)
	}
	if len(ex.SPF) == 1 {
		ex.SPFLookups = countSPF(ctx, c.o.DNS, ex.SPF[0]).Lookups
	}
	return ex, nil
}

// MX is where a domain's mail goes now: by the zone's own servers, which remember
// nothing of before.
func (c *Comparer) MX(ctx context.Context, domain string) ([]string, error) {
	domain, err := toASCII(domain)
	if err != nil {
		return nil, err
	}
	c.o.DNS.Flush(domain)
	return c.newRun().there(ctx, domain, "MX")
}

// Elsewhere are the servers, beside a host, that a domain's mail goes to: those of
// its MX, or the domain itself if it has none (RFC 5321 §5.1).
func (c *Comparer) Elsewhere(ctx context.Context, domain, host string) (others []string, err error) {
	list, err := c.MX(ctx, domain)
	if err != nil {
		return nil, err
	}
	if host, err = toASCII(host); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		list = []string{"0 " + domain}
	}
	for _, v := range list {
		_, at, _ := strings.Cut(v, " ")
		if canonicalDomain(at) != host {
			others = append(others, at)
		}
	}
	return others, nil
}

// there are the records at a name, by the first of the zone's servers that
// answers.
func (r *run) there(ctx context.Context, name, rtype string) ([]string, error) {
	z := r.zone(ctx, name)
	if errors.Is(z.err, ErrNoZone) {
		return nil, nil
	}
	for _, sv := range z.servers {
		if a, err := r.ask(ctx, sv, name, rtype); err == nil || notFound(err) && a.Name == name {
			return a.List, nil
		}
	}
	a, err := r.c.o.DNS.Records(ctx, name, rtype)
	if notFound(err) {
		err = nil
	}
	return a.List, err
}

// Signed reports whether DNSSEC is on for a name's zone: whether the zone above
// vouches for its keys.
func (c *Comparer) Signed(ctx context.Context, name string) (bool, error) {
	name, err := toASCII(name)
	if err != nil {
		return false, err
	}
	z := c.newRun().zone(ctx, name)
	if z.err != nil {
		return false, z.err
	}
	a, err := c.o.DNS.Records(ctx, z.name, "DS")
	if notFound(err) {
		return false, nil
	}
	return len(a.List) > 0, err
}

// MayIssue reports whether the DNS lets a CA make certificates for a host: by
// the CAA records of the host, or if it has none by those of the closest domain
// above that has (RFC 8659 §3). at is where these stand, "" if there are none.
func (c *Comparer) MayIssue(ctx context.Context, host string, ca CA) (ok bool, at string, err error) {
	host, err = toASCII(host)
	if err != nil {
		return false, "", err
	}
	for at = host; strings.Contains(at, "."); _, at, _ = strings.Cut(at, ".") {
		a, err := c.o.DNS.Records(ctx, at, "CAA")
		if err != nil && !notFound(err) {
			return false, at, err
		}
		if len(a.List) > 0 {
			return permits(a.List, ca), at, nil
		}
	}
	return true, "", nil
}

// permits reads the CAA records of one name, RFC 8659 §4.2: without an "issue"
// all may.
func permits(list []string, ca CA) bool {
	restricted := false
	for _, v := range list {
		k := caaKey(v)
		if k.tag != "issue" {
			continue
		}
		restricted = true
		account, bound := strings.CutPrefix(k.params, "accounturi=")
		account, _, _ = strings.Cut(account, ";")
		if k.domain == canonicalDomain(ca.Domain) && (!bound || ca.Account == "" || account == ca.Account) {
			return true
		}
	}
	return !restricted
}

const maxAliases = 4 // that one name leads over

// Addresses are those that the DNS has for a host now: by the zone's own
// servers, which do not remember that there was nothing, or else by the DNS that
// we always ask.
func (c *Comparer) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	host, err := toASCII(host)
	if err != nil {
		return nil, err
	}
	r := c.newRun()
	for range maxAliases {
		addrs, name, err := r.hostAddrs(ctx, host)
		if err != nil || len(addrs) > 0 || name == host {
			return addrs, err
		}
		host = name
	}
	return nil, errors.New(host + " leads over too many aliases")
}

// hostAddrs returns also where an alias leads to, for it may be to another zone.
func (r *run) hostAddrs(ctx context.Context, host string) (addrs []netip.Addr, name string, err error) {
	z := r.zone(ctx, host)
	if errors.Is(z.err, ErrNoZone) {
		return nil, host, nil
	}
	for _, sv := range z.servers {
		name = host
		for _, rtype := range []string{"A", "AAAA"} {
			a, err := r.ask(ctx, sv, host, rtype)
			if err != nil && !notFound(err) {
				addrs, name = nil, ""
				break
			}
			for _, v := range a.List {
				if addr, err := netip.ParseAddr(v); err == nil {
					addrs = append(addrs, addr)
				}
			}
			if a.Name != "" {
				name = a.Name
			}
		}
		if name != "" {
			return addrs, name, nil
		}
	}
	r.c.o.DNS.Flush(host)
	a, err := r.c.o.DNS.IP(ctx, host)
	if notFound(err) {
		err = nil
	}
	return a.List, host, err
}

// Shows reports whether all of a zone's own servers that can be asked show a TXT
// record, as that of a CA's challenge: nobody knows which of them the CA will ask.
// It is an error if none of them can be asked.
func (c *Comparer) Shows(ctx context.Context, name, value string) (bool, error) {
	r := c.newRun()
	z := r.zone(ctx, canonicalDomain(name))
	if z.err != nil {
		return false, z.err
	}
	err := errors.New("the name servers of " + z.name + " cannot be asked")
	for _, sv := range z.servers {
		a, bad := r.ask(ctx, sv, name, "TXT")
		if bad != nil && !notFound(bad) {
			continue
		}
		if err = nil; !slices.Contains(a.List, value) {
			return false, nil
		}
	}
	return err == nil, err
}
