package mailauth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"blitiri.com.ar/go/spf"

	"homemail/mail"
)

// What one SPF check may ask of us, beyond the 10 terms and 2 void lookups of
// RFC 7208 §4.6.4 that the library counts.
const (
	maxQueries   = 111  // 1 record, 10 terms, 10 names for each of them
	maxSPFRecord = 4096 // RFC 7208 §3.4 wants 512; long ones are for macros that blow up
	maxSPFTexts  = 100  // TXT records at one name
	maxDNSName   = 253  // RFC 1035 §2.3.4, as text
	maxDNSLabel  = 63
)

// heloIdentity marks, in the Reason, a check of HELO instead of MAIL FROM.
const heloIdentity = "of HELO"

// checkSPF checks MAIL FROM, or HELO under the null reverse-path (RFC 7208
// §2.4). A pass is no merit: whole clouds share addresses.
func (c *Checker) checkSPF(ctx context.Context, o Origin) mail.Check {
	domain, local, reason := spfDomain(o), o.From.Local(), ""
	if o.From.IsNull() {
		reason = heloIdentity
	}
	check := mail.Check{Result: mail.ResultNone, Domain: domain, Reason: reason}
	if domain == "" || !o.Remote.IsValid() {
		return check
	}
	if local == "" || strings.Contains(local, "@") { // the library would cut at the first
		local = "postmaster" // RFC 7208 §4.3
	}
	r := &countingResolver{r: c.o.Resolver, v4: o.Remote.Unmap().Is4()}
	result, err := spf.CheckHostWithSender(o.Remote.Unmap().AsSlice(), o.Helo, local+"@"+domain,
		spf.WithContext(ctx), spf.WithResolver(r), spf.OverrideLookupLimit(10), spf.OverrideVoidLookupLimit(2))
	check.Result = mail.Result(result)
	if r.over != nil { // the library has seen a temporary error
		check.Result, err = mail.ResultPermError, r.over
	}
	if check.Result == mail.ResultTempError || check.Result == mail.ResultPermError {
		check.Reason = strings.TrimSpace(reason + " " + spfReason(err))
	}
	return check
}

// spfDomain is the domain that is asked; "" for address literals and such, RFC
// 7208 §4.3.
func spfDomain(o Origin) string {
	domain := o.From.Domain()
	if o.From.IsNull() {
		domain = strings.ToLower(strings.TrimSuffix(o.Helo, "."))
	}
	if !isHost(domain) {
		return ""
	}
	return domain
}

// spfReason says why a check came to no result.
func spfReason(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "lookup of " + clean(dns.Name, 100) + " failed"
	}
	if err == nil {
		return ""
	}
	return clean(err.Error(), 100)
}

// Why a check is given up.
var (
	errQueries = errors.New("too many queries")
	errRecord  = errors.New("record too long")
)

// A countingResolver stands between the library and the resolver. It ends a
// check that asks too much, keeps names in bounds, asks only for addresses of
// the family that counts, and knows only two errors: no such record, and
// temporary.
type countingResolver struct {
	r    Resolver
	v4   bool // the client has an IPv4 address
	n    int
	over error // why the check is given up
}

// ask counts a query and prepares its name; an error if it is not to be asked.
func (c *countingResolver) ask(name string) (string, error) {
	if c.n++; c.n > maxQueries {
		c.over = errQueries
	}
	if c.over != nil {
		return "", &net.DNSError{Err: c.over.Error(), Name: name, IsTemporary: true}
	}
	name = strings.TrimSuffix(name, ".")
	for len(name) > maxDNSName { // RFC 7208 §7.3: labels are removed from the left
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = rest
	}
	if !isName(name) { // RFC 7208 §4.8: it does not exist
		return "", &net.DNSError{Err: "not a name", Name: name, IsNotFound: true}
	}
	return name, nil
}

// dnsError makes an error what the library knows.
func dnsError(name string, err error) error {
	if err == nil {
		return nil
	}
	if isNotFound(err) {
		return &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
	}
	return &net.DNSError{Err: "temporary", Name: name, IsTemporary: true}
}

func isNotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

func (c *countingResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	name, err := c.ask(name)
	if err != nil {
		return nil, err
	}
	list, err := c.r.LookupTXT(ctx, name)
	if err != nil {
		return nil, dnsError(name, err)
	}
	var records []string
	for _, s := range list[:min(len(list), maxSPFTexts)] {
		switch {
		case !isSPF(s):
		case len(s) > maxSPFRecord:
			c.over = errRecord
			return nil, &net.DNSError{Err: c.over.Error(), Name: name, IsTemporary: true}
		default:
			records = append(records, s)
		}
	}
	if len(records) == 1 { // several are the library's to refuse
		if err := checkSyntax(records[0]); err != nil {
			c.over = err
			return nil, &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
		}
	}
	return records, nil
}

// isSPF reports whether a TXT record is one of SPF, RFC 7208 §4.5.
func isSPF(s string) bool {
	version, _, _ := strings.Cut(s, " ")
	return strings.EqualFold(version, "v=spf1")
}

func (c *countingResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	name, err := c.ask(name)
	if err != nil {
		return nil, err
	}
	list, err := c.r.LookupMX(ctx, name)
	return list, dnsError(name, err)
}

// LookupIPAddr asks for A only if the client has an IPv4 address. For others
// both are asked for: "exists" is about A whatever the client has (RFC 7208
// §5.7).
func (c *countingResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	name, err := c.ask(host)
	if err != nil {
		return nil, err
	}
	network := "ip4"
	if !c.v4 {
		network = "ip"
		c.n++ // AAAA and A
	}
	list, err := c.r.LookupNetIP(ctx, network, name)
	if err != nil {
		return nil, dnsError(name, err)
	}
	var addrs []net.IPAddr
	for _, a := range list {
		addrs = append(addrs, net.IPAddr{IP: a.Unmap().AsSlice()})
	}
	return addrs, nil
}

func (c *countingResolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if c.n++; c.n > maxQueries {
		c.over = errQueries
		return nil, &net.DNSError{Err: c.over.Error(), Name: addr, IsTemporary: true}
	}
	list, err := c.r.LookupAddr(ctx, addr)
	return list, dnsError(addr, err)
}

// isHost reports whether s is a domain of two labels or more, as hosts and
// domains of mail have them, and no address.
func isHost(s string) bool {
	if !isName(s) || !strings.Contains(s, ".") || strings.Trim(s, hostChars) != "" {
		return false
	}
	_, err := netip.ParseAddr(s)
	return err != nil
}

const hostChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// isName reports whether s can be asked for: labels of printable ASCII.
func isName(s string) bool {
	if s == "" || len(s) > maxDNSName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxDNSLabel {
			return false
		}
		for i := range len(label) {
			if label[i] <= ' ' || label[i] > '~' {
				return false
			}
		}
	}
	return true
}
