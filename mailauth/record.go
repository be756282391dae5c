package mailauth

import (
	"context"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// What a DMARC record may hold.
const (
	maxDMARCRecord = 4096 // bytes
	maxDMARCTexts  = 100  // TXT records at one name
	maxDMARCTags   = 40
)

// A record is what a domain asks for, RFC 7489 §6.3.
type record struct {
	policy, sub, missing string // p=, sp= and np= (RFC 9091 §3.2)
	strictDKIM           bool   // adkim=s
	strictSPF            bool   // aspf=s
	percent              int    // pct=
}

// parseRecord reads a DMARC record; false if it is none. A record that is
// broken but wants reports is one that asks for nothing, RFC 7489 §6.6.3.
func parseRecord(s string) (record, bool) {
	if len(s) > maxDMARCRecord {
		return record{}, false
	}
	r := record{percent: 100}
	reports, bad := false, false
	n := 0
	for spec := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(spec, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		if n++; n == 1 {
			if !ok || name != "v" || value != "DMARC1" { // first, and in this case: §6.3
				return record{}, false
			}
			continue
		}
		if n > maxDMARCTags {
			break
		}
		switch value := strings.ToLower(value); name {
		case "p":
			r.policy = value
			bad = bad || !isPolicy(value)
		case "sp":
			r.sub = value
			bad = bad || !isPolicy(value)
		case "np":
			if isPolicy(value) {
				r.missing = value
			}
		case "adkim":
			r.strictDKIM = value == "s"
		case "aspf":
			r.strictSPF = value == "s"
		case "pct":
			if p, err := strconv.Atoi(value); err == nil && p >= 0 && p <= 100 {
				r.percent = p
			}
		case "rua":
			reports = strings.Contains(value, ":")
		}
	}
	if bad || r.policy == "" {
		return record{policy: "none", percent: 100}, reports
	}
	return r, true
}

func isPolicy(s string) bool { return s == "none" || s == "quarantine" || s == "reject" }

// A policy is what applies to a domain in From.
type policy struct {
	domain string // of From
	record record
	asks   string // none, quarantine or reject; "" without a record
	failed bool   // the lookup did, for now
}

// lookupPolicy finds the record of a domain or of its organizational domain,
// RFC 7489 §6.6.3.
func (c *Checker) lookupPolicy(ctx context.Context, domain string) policy {
	p := policy{domain: domain}
	r, found, err := c.lookupRecord(ctx, domain)
	org := orgDomain(domain)
	below := !found && err == nil && org != domain
	if below {
		r, found, err = c.lookupRecord(ctx, org)
	}
	switch {
	case err != nil:
		p.failed = true
	case found:
		p.record, p.asks = r, r.policy
	}
	if found && below {
		if r.sub != "" {
			p.asks = r.sub
		}
		if r.missing != "" && r.missing != p.asks && c.isMissing(ctx, domain) {
			p.asks = r.missing
		}
	}
	return p
}

// lookupRecord asks for the record at one domain. Several are none: which one
// counts would be luck.
func (c *Checker) lookupRecord(ctx context.Context, domain string) (r record, found bool, err error) {
	name := "_dmarc." + domain
	if !isName(name) {
		return record{}, false, nil
	}
	texts, err := c.o.Resolver.LookupTXT(ctx, name)
	if err != nil {
		if isNotFound(err) {
			err = nil
		}
		return record{}, false, err
	}
	n := 0
	for _, s := range texts[:min(len(texts), maxDMARCTexts)] {
		if one, ok := parseRecord(s); ok {
			r = one
			n++
		}
	}
	return r, n == 1, nil
}

// isMissing reports whether a domain is non-existent in the sense of RFC 9091
// §2.7: it has neither addresses nor MX.
func (c *Checker) isMissing(ctx context.Context, domain string) bool {
	if _, err := c.o.Resolver.LookupNetIP(ctx, "ip", domain); !isNotFound(err) {
		return false
	}
	_, err := c.o.Resolver.LookupMX(ctx, domain)
	return isNotFound(err)
}

// orgDomain returns the organizational domain, RFC 7489 §3.2: one label below
// the public suffix. A public suffix is its own.
func orgDomain(domain string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return domain
	}
	return org
}

// aligned reports identifier alignment, RFC 7489 §3.1.
func aligned(a, b string, strict bool) bool {
	if a == "" || b == "" {
		return false
	}
	return a == b || !strict && orgDomain(a) == orgDomain(b)
}
