package mdns

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

var (
	group4 = netip.MustParseAddr("224.0.0.251")
	group6 = netip.MustParseAddr("ff02::fb")
)

// listen opens the port together with whoever has it too (avahi,
// systemd-resolved), RFC 6762 §15.1. That is what net does for an address of a
// group.
func listen(six bool) (Conn, error) {
	var lc net.ListenConfig
	if six {
		c, err := lc.ListenPacket(context.Background(), "udp6", netip.AddrPortFrom(group6, Port).String())
		if err != nil {
			return nil, err
		}
		p := ipv6.NewPacketConn(c)
		return &conn6{p}, closeOn(p, p.SetControlMessage(ipv6.FlagInterface, true), p.SetHopLimit(255), p.SetMulticastHopLimit(255), p.SetMulticastLoopback(true))
	}
	c, err := lc.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(group4, Port).String())
	if err != nil {
		return nil, err
	}
	p := ipv4.NewPacketConn(c)
	return &conn4{p}, closeOn(p, p.SetControlMessage(ipv4.FlagInterface, true), p.SetTTL(255), p.SetMulticastTTL(255), p.SetMulticastLoopback(true))
}

func closeOn(c interface{ Close() error }, errs ...error) error {
	for _, err := range errs {
		if err != nil {
			c.Close()
			return err
		}
	}
	return nil
}

type conn4 struct{ *ipv4.PacketConn }

func (c *conn4) Join(link int) error {
	return c.JoinGroup(&net.Interface{Index: link}, &net.UDPAddr{IP: group4.AsSlice()})
}

func (c *conn4) Leave(link int) error {
	return c.LeaveGroup(&net.Interface{Index: link}, &net.UDPAddr{IP: group4.AsSlice()})
}

func (c *conn4) ReadFrom(b []byte) (int, netip.AddrPort, int, error) {
	n, cm, from, err := c.PacketConn.ReadFrom(b)
	if err != nil || cm == nil {
		return n, netip.AddrPort{}, 0, err
	}
	return n, source(from), cm.IfIndex, nil
}

func (c *conn4) WriteTo(b []byte, link int, to netip.AddrPort) error {
	if !to.IsValid() {
		to = netip.AddrPortFrom(group4, Port)
	}
	_, err := c.PacketConn.WriteTo(b, &ipv4.ControlMessage{IfIndex: link}, net.UDPAddrFromAddrPort(to))
	return err
}

type conn6 struct{ *ipv6.PacketConn }

func (c *conn6) Join(link int) error {
	return c.JoinGroup(&net.Interface{Index: link}, &net.UDPAddr{IP: group6.AsSlice()})
}

func (c *conn6) Leave(link int) error {
	return c.LeaveGroup(&net.Interface{Index: link}, &net.UDPAddr{IP: group6.AsSlice()})
}

func (c *conn6) ReadFrom(b []byte) (int, netip.AddrPort, int, error) {
	n, cm, from, err := c.PacketConn.ReadFrom(b)
	if err != nil || cm == nil {
		return n, netip.AddrPort{}, 0, err
	}
	return n, source(from), cm.IfIndex, nil
}

func (c *conn6) WriteTo(b []byte, link int, to netip.AddrPort) error {
	if !to.IsValid() {
		to = netip.AddrPortFrom(group6.WithZone(strconv.Itoa(link)), Port)
	}
	_, err := c.PacketConn.WriteTo(b, &ipv6.ControlMessage{IfIndex: link}, net.UDPAddrFromAddrPort(to))
	return err
}

func source(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := u.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// notHouse are the names by which the interfaces of containers, machines within
// this one, and tunnels begin: nobody sits there who looks for us.
var notHouse = []string{"docker", "br-", "veth", "virbr", "vnet", "tun", "tap", "wg", "tailscale", "zt", "podman", "cni", "flannel", "cali", "lxc", "lxd", "incus", "utun", "awdl", "llw"}

// systemLinks are the networks of the house.
func systemLinks() (list []Link, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		l := Link{Index: i.Index, Name: i.Name}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l.Addrs = append(l.Addrs, p)
			}
		}
		if i.Flags&(net.FlagUp|net.FlagMulticast|net.FlagLoopback|net.FlagPointToPoint) == net.FlagUp|net.FlagMulticast && l.house() {
			list = append(list, l)
		}
	}
	return list, nil
}

// house reports whether a link looks like one of a house: a data centre's has
// public addresses, and neighbours whom our name does not concern.
func (l Link) house() bool {
	for _, p := range notHouse {
		if strings.HasPrefix(l.Name, p) {
			return false
		}
	}
	for _, p := range l.Addrs {
		if a := p.Addr(); a.IsPrivate() || a.Is4() && a.IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}
