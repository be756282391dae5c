package router

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The services that map ports, the best first.
var connections = []string{
	"urn:schemas-upnp-org:service:WANIPConnection:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
	"urn:schemas-upnp-org:service:WANPPPConnection:1",
}

const firewall = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"

// upnpCodes are what the errors of WANIPConnection:2 §2.5 and
// WANIPv6FirewallControl:1 §2.5 mean to us.
var upnpCodes = map[int]Code{
	501: Odd,
	606: Refused,  // not authorised
	718: Conflict, // another machine has it
	724: Refused,  // outer and inner port must be the same
	725: Odd,      // only permanent leases, and then not even such a one
	728: Full,
	729: Conflict, // the router itself, or another language
	701: Full,     // PinholeSpaceExhausted
	702: Refused,  // FirewallDisabled: handled before
	703: Refused,  // InboundPinholeNotAllowed
	708: Refused,
}

func asRefusal(err error) error {
	var e *upnpError
	if !errors.As(err, &e) {
		return err
	}
	code, ok := upnpCodes[e.code]
	if !ok {
		code = Odd
	}
	return &refusal{code, e.Error()}
}

// A upnp maps ports by WANIPConnection or WANPPPConnection.
type upnp struct {
	s        *session
	svc      service
	external netip.Addr
	added    []Port
	forever  bool // the router knows no leases
}

func (c *upnp) name() string { return "UPnP" }

// connect finds the router and which of its lines is connected.
func (c *upnp) connect(ctx context.Context) (err error) {
	if c.s.igd == nil {
		if c.s.igd, err = c.s.r.discover(ctx, c.s.hop); err != nil {
			c.s.igd = nil
			return err
		}
	}
	var found []service
	for _, kind := range connections {
		for _, s := range c.s.igd.services {
			if s.kind == kind {
				found = append(found, s)
			}
		}
	}
	for _, s := range found[:min(len(found), 8)] { // lines that a router may have
		a, e := c.address(ctx, s)
		if e != nil {
			err = e
			continue
		}
		if a.IsValid() || c.svc.control == nil {
			c.svc, c.external = s, a
		}
		if a.IsValid() {
			return nil
		}
	}
	if c.svc.control != nil {
		return nil
	}
	c.s.igd = nil // it may have moved
	if err == nil {
		err = errNoUPnP
	}
	return err
}

func (c *upnp) address(ctx context.Context, s service) (netip.Addr, error) {
	out, err := c.s.igd.call(ctx, s, "GetExternalIPAddress")
	if err != nil {
		var fault *upnpError
		if errors.As(err, &fault) {
			err = nil // it is there, but not connected
		}
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(out["NewExternalIPAddress"])
	if err != nil || !a.Is4() || a.IsUnspecified() {
		return netip.Addr{}, nil
	}
	return a, nil
}

// look sees that what was mapped is still there: UPnP has no epoch.
func (c *upnp) look(ctx context.Context) (seen, error) {
	if c.svc.control == nil {
		err := c.connect(ctx)
		return seen{external: c.external}, err
	}
	a, err := c.address(ctx, c.svc)
	if err != nil {
		c.svc, c.s.igd = service{}, nil // after a start the router may have another port
		if err := c.connect(ctx); err != nil {
			return seen{}, errSilent
		}
		return seen{external: c.external, anew: true}, nil
	}
	c.external = a
	for _, p := range c.added {
		if e, err := c.entry(ctx, p); err == nil && !e.exists {
			return seen{external: a, anew: true}, nil
		}
	}
	return seen{external: a}, nil
}

// An entry is a row of the router's table.
type entry struct {
	exists bool
	client string
	inner  string
	about  string
	dead   bool // there, but turned off
}

func (c *upnp) entry(ctx context.Context, p Port) (entry, error) {
	out, err := c.s.igd.call(ctx, c.svc, "GetSpecificPortMappingEntry",
		"NewRemoteHost", "", "NewExternalPort", decimal(p.External), "NewProtocol", strings.ToUpper(p.Proto))
	if isFault(err, 714) { // NoSuchEntryInArray
		return entry{}, nil
	}
	return entry{err == nil, out["NewInternalClient"], out["NewInternalPort"], out["NewPortMappingDescription"], out["NewEnabled"] == "0"}, err
}

func about(p Port) string { return strings.TrimSpace("homemail " + p.Name) }

func decimal(n uint16) string { return strconv.Itoa(int(n)) }

// add maps a port that no other machine has. Version 1 would let us take it.
func (c *upnp) add(ctx context.Context, p Port) (grant, error) {
	own := c.s.hop.Own.Addr().String()
	e, err := c.entry(ctx, p)
	var fault *upnpError
	switch {
	case err != nil && !errors.As(err, &fault): // who cannot be asked about a row may still add one
		return grant{}, silence(err)
	case e.exists && e.client != own && e.client != "":
		return grant{}, &refusal{Conflict, printable("the port is mapped to "+e.client, 80)}
	case e.exists && !e.dead && e.inner == decimal(p.Internal) && e.about != about(p):
		return grant{external: p.External, theirs: true}, nil // the owner's own
	}
	life := lease
	if c.forever {
		life = 0
	}
	err = c.addMapping(ctx, p, own, life)
	// OnlyPermanentLeasesSupported; some say that an argument is invalid, or that
	// they have failed.
	if life > 0 && (isFault(err, 725) || isFault(err, 402) || isFault(err, 501)) {
		if again := c.addMapping(ctx, p, own, 0); again == nil {
			c.forever, life, err = true, 0, nil
		}
	}
	if errors.As(err, &fault) {
		return grant{}, asRefusal(err)
	}
	if err != nil {
		return grant{}, silence(err)
	}
	c.note(p)
	return grant{external: p.External, life: life, forever: c.forever}, nil
}

// silence is what an error of the connection means.
func silence(err error) error { return fmt.Errorf("%w: %w", errSilent, err) }

func (c *upnp) addMapping(ctx context.Context, p Port, own string, life time.Duration) error {
	_, err := c.s.igd.call(ctx, c.svc, "AddPortMapping",
		"NewRemoteHost", "", "NewExternalPort", decimal(p.External), "NewProtocol", strings.ToUpper(p.Proto),
		"NewInternalPort", decimal(p.Internal), "NewInternalClient", own, "NewEnabled", "1",
		"NewPortMappingDescription", about(p), "NewLeaseDuration", strconv.Itoa(int(life/time.Second)))
	return err
}

func (c *upnp) note(p Port) {
	for _, q := range c.added {
		if q == p {
			return
		}
	}
	c.added = append(c.added, p)
}

func (c *upnp) remove(ctx context.Context, p Port) error {
	if c.svc.control == nil || c.s.igd == nil {
		return errSilent
	}
	_, err := c.s.igd.call(ctx, c.svc, "DeletePortMapping",
		"NewRemoteHost", "", "NewExternalPort", decimal(p.External), "NewProtocol", strings.ToUpper(p.Proto))
	if isFault(err, 714) {
		return nil
	}
	return err
}

// A pinhole opens the firewall of IPv6 by WANIPv6FirewallControl.
type pinhole struct {
	s    *session
	svc  service
	ids  map[Port]string
	open bool // the router lets everything through
}

func (c *pinhole) name() string { return "UPnP" }

// connect finds the router over IPv6, which some want for pinholes of that
// address, or else over IPv4.
func (c *pinhole) connect(ctx context.Context) error {
	hops := []Hop{c.s.hop}
	if c.s.via.Gateway.IsValid() {
		hops = append(hops, c.s.via)
	}
	for _, hop := range hops {
		g, err := c.s.r.discover(ctx, hop)
		if err != nil {
			continue
		}
		for _, s := range g.services {
			if s.kind == firewall {
				c.s.igd, c.svc, c.ids = g, s, map[Port]string{}
				return nil
			}
		}
	}
	return errNoUPnP
}

func (c *pinhole) look(ctx context.Context) (seen, error) {
	if c.svc.control == nil {
		if err := c.connect(ctx); err != nil {
			return seen{}, err
		}
	}
	out, err := c.s.igd.call(ctx, c.svc, "GetFirewallStatus")
	if err != nil {
		c.svc = service{}
		return seen{}, errSilent
	}
	was := c.open
	c.open = out["FirewallEnabled"] == "0"
	switch {
	case out["FirewallEnabled"] == "1" && out["InboundPinholeAllowed"] == "0":
		return seen{}, &refusal{Refused, "the router allows no pinholes"}
	case was && !c.open:
		return seen{anew: true}, nil
	}
	// There is a question for one pinhole's packets, not for its being there
	// that all routers answer: renewing tells (error 704).
	return seen{}, nil
}

func (c *pinhole) add(ctx context.Context, p Port) (grant, error) {
	if c.svc.control == nil {
		return grant{}, errSilent
	}
	if c.open {
		return grant{external: p.External, open: true}, nil
	}
	seconds := strconv.Itoa(int(lease / time.Second))
	if id := c.ids[p]; id != "" {
		_, err := c.s.igd.call(ctx, c.svc, "UpdatePinhole", "UniqueID", id, "NewLeaseTime", seconds)
		if err == nil {
			return grant{external: p.External, life: lease}, nil
		}
		if !isFault(err, 704) { // NoSuchEntry: the router has started anew
			return grant{}, c.failed(err)
		}
		delete(c.ids, p)
		g, err := c.add(ctx, p)
		g.anew = true
		return g, err
	}
	out, err := c.s.igd.call(ctx, c.svc, "AddPinhole", "RemoteHost", "", "RemotePort", "0",
		"InternalClient", c.s.hop.Own.Addr().String(), "InternalPort", decimal(p.Internal),
		"Protocol", strconv.Itoa(int(protocolNumber(p.Proto))), "LeaseTime", seconds)
	if err != nil {
		return grant{}, c.failed(err)
	}
	if _, err := strconv.ParseUint(out["UniqueID"], 10, 16); err != nil {
		return grant{}, &refusal{Odd, "a pinhole without a number"}
	}
	c.ids[p] = out["UniqueID"]
	return grant{external: p.External, life: lease}, nil
}

func (c *pinhole) failed(err error) error {
	if no := asRefusal(err); no != err {
		return no
	}
	return silence(err)
}

func (c *pinhole) remove(ctx context.Context, p Port) error {
	id := c.ids[p]
	if id == "" || c.svc.control == nil {
		return nil
	}
	delete(c.ids, p)
	_, err := c.s.igd.call(ctx, c.svc, "DeletePinhole", "UniqueID", id)
	if isFault(err, 704) {
		return nil
	}
	return err
}
