package check

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// dns asks for what is surely there. One domain may be broken, all are not.
func (c *Checker) dns(ctx context.Context, _ results) found {
	var errs []error
	code := "silent"
	for _, t := range c.known.Out[25] {
		mx, err := c.o.DNS.MX(ctx, t.Host)
		if err == nil && len(mx.List) > 0 {
			return found{code: "works"}
		}
		if err == nil || notFound(err) {
			code = "wrong"
		}
		errs = append(errs, err)
	}
	return found{code: code, detail: fmt.Sprint(errors.Join(errs...))}
}

// dnsTrue asks for a name that is surely not there: some providers answer with
// a page of their own, and then every name is on every block list.
func (c *Checker) dnsTrue(ctx context.Context, _ results) found {
	name := strings.ToLower(rand.Text()) + "." + c.known.Nowhere
	ips, err := c.o.DNS.IP(ctx, name)
	switch {
	case err == nil && len(ips.List) > 0:
		return found{code: "lies", detail: fmt.Sprintf("%s is %v", name, ips.List), data: map[string]string{"answer": ips.List[0].String()}}
	case err == nil || notFound(err):
		return found{code: "true"}
	}
	return found{code: codeUnknown, detail: err.Error()}
}

func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

func (c *Checker) dnssec(ctx context.Context, _ results) found {
	switch {
	case c.o.DNS.Validates(ctx):
		return found{code: "validates"}
	case ctx.Err() != nil:
		return found{code: codeTimeout}
	}
	return found{code: "plain"}
}

// A reverse is what the DNS says about one of our addresses.
type reverse struct {
	addr      netip.Addr
	names     []string // of the PTR records
	confirmed []string // of them, those that lead back (FCrDNS, RFC 8601 §2.7.3)
	err       error    // that leaves it open
}

const maxNames = 3 // of PTR records that are looked at: more than one is rare

func (c *Checker) reverse(ctx context.Context, addr netip.Addr) (v reverse) {
	v.addr = addr
	got, err := c.o.DNS.PTR(ctx, addr)
	if err != nil && !notFound(err) {
		v.err = err
		return v
	}
	v.names = got.List[:min(len(got.List), maxNames)]
	for _, n := range v.names {
		ips, err := c.o.DNS.IP(ctx, n)
		if err != nil && !notFound(err) {
			v.err = err
		}
		if slices.ContainsFunc(ips.List, func(a netip.Addr) bool { return a.Unmap() == addr.Unmap() }) {
			v.confirmed = append(v.confirmed, strings.ToLower(strings.TrimSuffix(n, ".")))
		}
	}
	return v
}

// code is the finding about one address.
func (v reverse) code() string {
	switch {
	case len(v.confirmed) > 0 && slices.ContainsFunc(v.confirmed, func(n string) bool { return !generic(n, v.addr) }):
		return "confirmed"
	case len(v.confirmed) > 0:
		return "generic"
	case v.err != nil:
		return codeUnknown
	case len(v.names) == 0:
		return "missing"
	}
	return "unconfirmed"
}

// ptr looks at the reverse names of both families. IPv4 decides; where only
// that of IPv6 is missing, mail is to leave by IPv4.
func (c *Checker) ptr(ctx context.Context, r results) found {
	if r[nat].State == Bad {
		return c.because(nat) // the address is the provider's, and so is its name
	}
	a4, _ := netip.ParseAddr(r.data(address4, "address"))
	a6, _ := netip.ParseAddr(r.data(address6, "address"))
	var v4, v6 reverse
	var wg sync.WaitGroup
	wg.Go(func() { v4 = c.reverse(ctx, a4) })
	if a6.IsValid() {
		wg.Go(func() { v6 = c.reverse(ctx, a6) })
	}
	wg.Wait()
	f := found{code: v4.code(), data: map[string]string{
		"address": a4.String(), "host": c.o.Host,
		"name":  strings.Join(v4.names, " "),
		"names": strings.Join(v4.confirmed, " "),
	}}
	f.detail = fmt.Sprintf("%s is %q, of which %q lead back", a4, v4.names, v4.confirmed)
	if v4.err != nil {
		f.detail += "; " + v4.err.Error()
	}
	if a6.IsValid() {
		f.data["address6"] = a6.String()
		f.detail += fmt.Sprintf("\n%s is %q, of which %q lead back", a6, v6.names, v6.confirmed)
		if f.code == "confirmed" && v6.code() != "confirmed" {
			f.code = "confirmed4"
		}
	}
	return f
}

// generic reports whether a reverse name is one that a provider makes for all
// its addresses: it has the numbers of the address in it. A heuristic, as large
// receivers use it.
func generic(name string, addr netip.Addr) bool {
	if !addr.Is4() {
		return false
	}
	b := addr.As4()
	digits := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r < '0' || r > '9' })
	hits := 0
	for _, octet := range b {
		n := fmt.Sprint(octet)
		padded := fmt.Sprintf("%03d", octet)
		if i := slices.IndexFunc(digits, func(d string) bool { return d == n || d == padded }); i >= 0 {
			digits = slices.Delete(digits, i, i+1)
			hits++
		}
	}
	hex := fmt.Sprintf("%02x%02x%02x%02x", b[0], b[1], b[2], b[3])
	long := fmt.Sprintf("%03d%03d%03d%03d", b[0], b[1], b[2], b[3])
	return hits >= 3 || strings.Contains(strings.ToLower(name), hex) || strings.Contains(name, long)
}

// helo compares the name in our greeting with the reverse name, and sees that it
// leads to us (RFC 5321 §4.1.4).
func (c *Checker) helo(ctx context.Context, r results) found {
	host := strings.ToLower(strings.TrimSuffix(c.o.Host, "."))
	names := strings.Fields(r.data(ptr, "names"))
	data := map[string]string{"host": host, "name": strings.Join(names, " "), "address": r.data(address4, "address")}
	if slices.Contains(names, host) {
		return found{code: "same", data: data}
	}
	ips, err := c.o.DNS.IP(ctx, host)
	if err != nil && !notFound(err) {
		return found{code: codeUnknown, data: data, detail: err.Error()}
	}
	detail := fmt.Sprintf("%s is %v; the reverse name is %q", host, ips.List, names)
	if slices.ContainsFunc(ips.List, func(a netip.Addr) bool { return a.Unmap().String() == data["address"] }) {
		return found{code: "differs", data: data, detail: detail}
	}
	return found{code: "elsewhere", data: data, detail: detail}
}
