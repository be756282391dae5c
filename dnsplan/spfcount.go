package dnsplan

import (
	"context"
	"errors"
	"net"
	"strings"
)

// maxSPFQuestions bounds what one record of a stranger can make us ask.
const maxSPFQuestions = 30

// SPFCount is what an SPF record makes receivers ask.
type SPFCount struct {
	Lookups int      `json:"lookups"`           // RFC 7208 §4.6.4 allows ten; counted no further than maxSPFQuestions
	Broken  []string `json:"broken,omitempty"`  // included domains that have no SPF record, which makes the whole void
	Unknown bool     `json:"unknown,omitempty"` // not all could be asked
}

// TooMany reports whether receivers will give up on the record.
func (c SPFCount) TooMany() bool { return c.Lookups > maxSPFLookups }

// countSPF follows the includes of a record. What is included twice counts
// twice, as it does for receivers.
func countSPF(ctx context.Context, dns DNS, text string) SPFCount {
	var c SPFCount
	todo := []string{text}
	for len(todo) > 0 && c.Lookups <= maxSPFQuestions {
		s, err := parseSPF(todo[0])
		todo = todo[1:]
		if err != nil {
			continue
		}
		c.Lookups += s.lookups()
		for _, domain := range s.included() {
			if c.Lookups > maxSPFQuestions || strings.Contains(domain, "%") { // a macro is different for each mail
				continue
			}
			next, err := spfOf(ctx, dns, domain)
			switch {
			case err != nil:
				c.Unknown = true
			case next == "":
				c.Broken = append(c.Broken, domain)
			default:
				todo = append(todo, next)
			}
		}
	}
	return c
}

// included are the domains whose records count as part of this one.
func (s spf) included() []string {
	var out []string
	for _, t := range s.terms {
		if name, rest := termName(t); name == "include" {
			out = append(out, strings.TrimPrefix(rest, ":"))
		}
	}
	if s.to != "" {
		out = append(out, s.to)
	}
	return out
}

// spfOf is "" where there is none, or more than one.
func spfOf(ctx context.Context, dns DNS, domain string) (string, error) {
	a, err := dns.Records(ctx, domain, "TXT")
	if err != nil && !notFound(err) {
		return "", err
	}
	if list := only(a.List, isSPF); len(list) == 1 {
		return list[0], nil
	}
	return "", nil
}

func only(list []string, f func(string) bool) []string {
	var out []string
	for _, s := range list {
		if f(s) {
			out = append(out, s)
		}
	}
	return out
}

func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}
