package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

const (
	maxPolicy    = 64 << 10         // octets of a policy file, §3.3
	checkTime    = 60 * time.Second // for all of a check, §3.3: a minute
	dialTime     = 10 * time.Second // for one address, so that the next has its turn
	maxAddresses = 6                // of a policy host that are tried
)

// newClient returns a client that speaks HTTP/1.1, follows no redirect, uses no
// proxy, keeps no connection and connects to public addresses only.
func newClient(o Options) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // §3.3
		Transport: &http.Transport{
			DialContext:            guard{o}.dial,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    20 * time.Second,
			DisableKeepAlives:      true, // a policy host is asked once a day
			DisableCompression:     true, // no bombs
			MaxResponseHeaderBytes: 32 << 10,
		},
	}
}

// fetch gets the policy file over HTTPS, §3.3. No cache of HTTP is in the way.
func (c *Cache) fetch(ctx context.Context, domain string) (Policy, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return Policy{}, err
	}
	req.Header.Set("User-Agent", "homemail")
	resp, err := c.client.Do(req)
	if err != nil {
		return Policy{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Policy{}, fmt.Errorf("the policy host answers %d", resp.StatusCode)
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != "text/plain" {
		return Policy{}, fmt.Errorf("the policy is %.40q, not text/plain", resp.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPolicy+1))
	if err != nil {
		return Policy{}, err
	}
	if len(body) > maxPolicy {
		return Policy{}, fmt.Errorf("the policy is longer than %d bytes", maxPolicy)
	}
	return parsePolicy(string(body))
}

// A guard connects to public addresses only: a stranger's DNS must not make us
// talk to the router or the printer. It looks at the address that is dialled,
// not at a name that may have another a moment later.
type guard struct{ o Options }

var errNotPublic = errors.New("the address of the policy host is not public")

func (g guard) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs, err := g.o.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("%s has no address", host)
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		if !g.allowed(a) {
			err = fmt.Errorf("%w: %s", errNotPublic, a)
			continue
		}
		var conn net.Conn
		if conn, err = g.dialOne(ctx, network, a.Unmap(), port); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (g guard) dialOne(ctx context.Context, network string, a netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return g.o.Dial(ctx, network, net.JoinHostPort(a.String(), port))
}

func (g guard) allowed(a netip.Addr) bool {
	a = a.Unmap()
	return public(a) || slices.ContainsFunc(g.o.Allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// special are the networks that lead inside or nowhere and that netip has no
// word for, RFC 6890.
var special = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this network
	netip.MustParsePrefix("100.64.0.0/10"),  // carrier-grade NAT, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),   // DS-Lite and its kin
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved, broadcast
	netip.MustParsePrefix("::/96"),          // IPv4-compatible
	netip.MustParsePrefix("64:ff9b:1::/48"), // local NAT64, RFC 8215
	netip.MustParsePrefix("fec0::/10"),      // site-local, RFC 3879
	netip.MustParsePrefix("2001::/32"),      // Teredo: hides an IPv4 address
	netip.MustParsePrefix("2002::/16"),      // 6to4: hides an IPv4 address
}

// nat64 stands for all of IPv4, RFC 6052 §2.1.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// public reports whether an address is one of the Internet.
func public(a netip.Addr) bool {
	if nat64.Contains(a) {
		b := a.As16()
		return public(netip.AddrFrom4([4]byte(b[12:])))
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == "" &&
		!slices.ContainsFunc(special[:], func(p netip.Prefix) bool { return p.Contains(a) })
}
