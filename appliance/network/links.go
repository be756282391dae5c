//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// A Link is a network card.
type Link struct {
	Index   int
	Name    string
	MAC     net.HardwareAddr
	Up      bool // turned on
	Carrier bool // and a cable is in it
}

// kernel is what this package asks of the kernel's tables.
type kernel struct{ c *rtnetlink.Conn }

func openKernel() (kernel, error) {
	c, err := rtnetlink.Dial(nil)
	return kernel{c}, err
}

// links are all cards of Ethernet's kind, Wi-Fi among them.
func (k kernel) links() (list []Link, err error) {
	all, err := k.c.Link.List()
	for _, m := range all {
		if m.Type != unix.ARPHRD_ETHER || m.Attributes == nil || len(m.Attributes.Address) != 6 {
			continue
		}
		list = append(list, Link{
			Index: int(m.Index), Name: m.Attributes.Name, MAC: m.Attributes.Address,
			Up: m.Flags&unix.IFF_UP != 0, Carrier: m.Flags&unix.IFF_LOWER_UP != 0,
		})
	}
	return list, err
}

func (k kernel) up(index int) error {
	return k.c.Link.Set(&rtnetlink.LinkMessage{Index: uint32(index), Flags: unix.IFF_UP, Change: unix.IFF_UP})
}

// add gives a card an address, and its router. Of two cards with a router the one
// with the lower number is taken first.
func (k kernel) add(index int, l Lease) error {
	err := k.c.Address.New(address(index, l.Address))
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("address %s: %w", l.Address, err)
	}
	if !l.Router.IsValid() {
		return nil
	}
	if err := k.c.Route.Replace(route(index, l)); err != nil {
		return fmt.Errorf("route by %s: %w", l.Router, err)
	}
	return nil
}

// remove takes an address away; the kernel takes the routes that need it.
func (k kernel) remove(index int, l Lease) error {
	err := k.c.Address.Delete(address(index, l.Address))
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func address(index int, p netip.Prefix) *rtnetlink.AddressMessage {
	ip := p.Addr().As4()
	last := ip // of the network: the address of all
	for bit := p.Bits(); bit < 32; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	return &rtnetlink.AddressMessage{
		Family: unix.AF_INET, PrefixLength: uint8(p.Bits()), Index: uint32(index),
		Attributes: &rtnetlink.AddressAttributes{Address: ip[:], Local: ip[:], Broadcast: last[:]},
	}
}

func route(index int, l Lease) *rtnetlink.RouteMessage {
	return &rtnetlink.RouteMessage{
		Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_DHCP, Scope: unix.RT_SCOPE_UNIVERSE, Type: unix.RTN_UNICAST,
		Attributes: rtnetlink.RouteAttributes{Gateway: l.Router.AsSlice(), OutIface: uint32(index), Priority: uint32(100 + index)},
	}
}

// news calls told whenever a card has come, gone or changed, until ctx ends. What
// the kernel says is not read: whoever is told looks for himself.
func news(ctx context.Context, told func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "links")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV6_IFADDR}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for buf := make([]byte, 1<<16); ; {
		if _, err := f.Read(buf); ctx.Err() != nil {
			return nil
		} else if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		told()
	}
}
