package router

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Discovery, UPnP Device Architecture 2.0 §1.
const (
	ssdpPort = 1900
	igd2     = "urn:schemas-upnp-org:device:InternetGatewayDevice:2"
	igd1     = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
)

var (
	ssdp4 = netip.MustParseAddr("239.255.255.250")
	ssdp6 = netip.MustParseAddr("ff02::c")
)

// short are the waits for version 2, which is asked for first: some routers
// describe themselves differently for each version.
var short = []time.Duration{time.Second, 1500 * time.Millisecond}

var errNoUPnP = errors.New("the router does not speak UPnP")

// discover finds the router's description. Only the gateway is listened to, and
// only to itself may it send us.
func (r *Router) discover(ctx context.Context, hop Hop) (*igd, error) {
	for _, q := range []struct {
		target string
		waits  []time.Duration
	}{{igd2, short}, {igd1, waits[:]}} {
		at, err := r.search(ctx, hop, q.target, q.waits)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		}
		g := &igd{r: r, hop: hop, at: at}
		if err := g.read(ctx); err == nil {
			return g, nil
		} else {
			r.log.Debug("router", "description", at.String(), "err", err)
		}
	}
	return nil, errNoUPnP
}

func (r *Router) search(ctx context.Context, hop Hop, target string, waits []time.Duration) (at *url.URL, err error) {
	group := ssdp4
	if hop.Own.Addr().Is6() {
		group = ssdp6.WithZone(hop.Gateway.Zone())
	}
	var send []packet
	for _, to := range []netip.Addr{group, hop.Gateway} { // the gateway last: its error counts
		to := netip.AddrPortFrom(to, ssdpPort)
		host := netip.AddrPortFrom(to.Addr().WithZone(""), ssdpPort)
		q := fmt.Sprintf("M-SEARCH * HTTP/1.1\r\nHOST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: %s\r\n\r\n", host, target)
		send = append(send, packet{to, []byte(q)})
	}
	// Some answer from another port than they listen on.
	err = r.exchange(ctx, hop, send, waits, 0, func(b []byte) bool {
		at, err = location(b, target, hop)
		return err == nil
	})
	return at, err
}

// location reads the answer to a search for target.
func location(b []byte, target string, hop Hop) (*url.URL, error) {
	if len(b) > maxPacket {
		return nil, errors.New("SSDP: too long")
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("ST") != target {
		return nil, errors.New("SSDP: not what was asked for")
	}
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	return u, hop.allows(u)
}

// allows reports why a URL does not lead to the gateway. In IPv6 a router has
// several addresses; there, one in our own network will do, but not ours.
func (h Hop) allows(u *url.URL) error {
	_, err := h.target(net.JoinHostPort(u.Hostname(), portOf(u)))
	if u.Scheme != "http" || u.User != nil || err != nil {
		return fmt.Errorf("%q does not lead to the router", u.Redacted())
	}
	return nil
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return "80"
}

// target is where to connect to for a host and port that allows has let through.
// It has no names: nothing is looked up.
func (h Hop) target(hostport string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return netip.AddrPort{}, err
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("port %q", port)
	}
	a = a.WithZone("")
	switch own := h.Own.Addr(); {
	case a == h.Gateway.WithZone(""):
		return netip.AddrPortFrom(h.Gateway, uint16(n)), nil
	case a.Is6() && own.Is6() && a != own && h.Own.Masked().Contains(a):
		return netip.AddrPortFrom(a, uint16(n)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%s is not the router", a)
}
