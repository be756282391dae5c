package check

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// A List is a block list in the DNS, RFC 5782.
type List struct {
	Zone    string
	Leave   string                // where one asks to be taken off
	Codes   map[netip.Addr]string // what it answers: codePolicy or codeListed
	Refused netip.Prefix          // answers that mean it does not want to be asked by us
	V6      bool                  // it knows IPv6 addresses too
}

// What an answer of a list means.
const (
	codeListed = "listed"
	codePolicy = "policy" // a range that its provider says no mail comes from: every home line
)

// test is the address that every list lists for tests, RFC 5782 §5.
var test = netip.MustParseAddr("127.0.0.2")

// An entry is what one list says of one address.
type entry struct {
	list   *List
	addr   netip.Addr
	listed []string // codes
	err    error    // it could not be asked, or refused
	said   []netip.Addr
}

var errRefused = errors.New("the list refuses to answer this resolver")

// errBlind is said of a list that does not list its own test address: whoever
// answers is not the list.
var errBlind = errors.New("the list does not answer as itself here")

// blocklist asks each list for our addresses, and for the test address: a list
// that does not know that one cannot say that we are not on it.
func (c *Checker) blocklist(ctx context.Context, r results) found {
	addr, err := netip.ParseAddr(r.data(address4, "address"))
	if err != nil {
		return found{code: codeUnknown}
	}
	addrs := []netip.Addr{addr}
	if a, err := netip.ParseAddr(r.data(address6, "address")); err == nil {
		addrs = append(addrs, a)
	}
	var entries []*entry
	for i := range c.known.Lists {
		for _, a := range addrs {
			if l := &c.known.Lists[i]; a.Is4() || l.V6 {
				entries = append(entries, &entry{list: l, addr: a})
			}
		}
	}
	var wg sync.WaitGroup
	for _, e := range entries {
		wg.Go(func() { c.entry(ctx, e) })
	}
	wg.Wait()
	return listFound(addr, entries)
}

func listFound(addr netip.Addr, entries []*entry) found {
	f := found{data: map[string]string{"address": addr.String()}}
	var lines, refused, leave []string
	at := map[string][]string{}
	for _, e := range entries {
		switch {
		case e.err != nil:
			refused = append(refused, e.list.Zone)
			lines = append(lines, fmt.Sprintf("%s of %s: %v", e.addr, e.list.Zone, e.err))
		case len(e.listed) > 0:
			lines = append(lines, fmt.Sprintf("%s: %s is listed as %v", e.list.Zone, e.addr, e.said))
			if slices.Contains(e.listed, codeListed) {
				at[codeListed] = append(at[codeListed], e.list.Zone)
				f.data["address"] = e.addr.String()
				leave = append(leave, e.list.Leave)
			} else {
				at[codePolicy] = append(at[codePolicy], e.list.Zone)
			}
		default:
			lines = append(lines, fmt.Sprintf("%s: %s is not listed", e.list.Zone, e.addr))
		}
	}
	f.detail = strings.Join(lines, "\n")
	switch {
	case len(at[codeListed]) > 0:
		f.code = codeListed
	case len(at[codePolicy]) > 0:
		f.code = codePolicy
	case len(refused) > 0 && (len(refused) == len(entries) || entries[0].err != nil): // the first is the one that counts
		f.code = "refused"
	case len(entries) == 0:
		f.code = codeUnset
	default:
		f.code = "clean"
	}
	f.data["lists"] = strings.Join(append(at[codeListed], at[codePolicy]...), ", ")
	f.data["refused"], f.data["leave"] = strings.Join(refused, ", "), strings.Join(leave, " ")
	return f
}

// entry asks one list for one address.
func (c *Checker) entry(ctx context.Context, e *entry) {
	l := e.list
	if e.said, e.err = c.lookup(ctx, l, e.addr); e.err != nil {
		return
	}
	for _, a := range e.said {
		if code := l.Codes[a]; code != "" {
			e.listed = append(e.listed, code)
		}
	}
	switch {
	case len(e.listed) > 0:
	case len(e.said) > 0: // some other answer: a resolver's, or of a list that has changed
		e.err = fmt.Errorf("an answer that is not known: %v", e.said)
	default:
		var proof []netip.Addr
		if proof, e.err = c.lookup(ctx, l, test); e.err == nil && !slices.ContainsFunc(proof, func(a netip.Addr) bool { return l.Codes[a] != "" }) {
			e.err = errBlind
		}
	}
}

// lookup returns what a list says of an address; no such name is nothing.
func (c *Checker) lookup(ctx context.Context, l *List, addr netip.Addr) (said []netip.Addr, err error) {
	got, err := c.o.DNS.IP(ctx, reversed(addr)+"."+l.Zone)
	if err != nil && !notFound(err) {
		return nil, err
	}
	for _, a := range got.List {
		if a.Is4() {
			said = append(said, a)
		}
	}
	if slices.ContainsFunc(said, func(a netip.Addr) bool { return l.Refused.IsValid() && l.Refused.Contains(a) }) {
		return said, fmt.Errorf("%w: %v", errRefused, said)
	}
	return said, nil
}

// reversed is an address as lists have it in names, RFC 5782 §2.1 and §2.4.
func reversed(addr netip.Addr) string {
	var parts []string
	if addr.Is4() {
		for _, b := range addr.As4() {
			parts = append(parts, fmt.Sprint(b))
		}
	} else {
		b := addr.As16()
		parts = strings.Split(hex.EncodeToString(b[:]), "")
	}
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}
