package router

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxTable is how much of a table of the system's is read.
const maxTable = 256 << 10

func table(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return "" // not Linux, or no IPv6
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, maxTable))
	return string(b)
}

// systemHops reads the default routes of Linux, and which of our addresses go
// by them.
func systemHops() (list []Hop, err error) {
	if gw, dev := default4(table("/proc/net/route")); gw.IsValid() {
		own, err := addresses(dev)
		if err != nil {
			return nil, err
		}
		for _, p := range own {
			if p.Addr().Is4() && p.Masked().Contains(gw) {
				list = append(list, Hop{gw, p})
				break
			}
		}
	}
	if gw, dev := default6(table("/proc/net/ipv6_route")); gw.IsValid() {
		for _, p := range stable6(table("/proc/net/if_inet6"), dev) {
			list = append(list, Hop{gw, p})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("there is no default route")
	}
	return list[:min(len(list), maxHops)], nil
}

func addresses(dev string) (list []netip.Prefix, err error) {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return nil, err
	}
	all, err := i.Addrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p)
		}
	}
	return list, err
}

// Flags of a route, <linux/route.h>.
const (
	routeUp      = 1
	routeGateway = 2
)

// default4 finds the gateway in /proc/net/route, where numbers are as this
// machine has them in memory.
func default4(table string) (gw netip.Addr, dev string) {
	best := uint64(math.MaxUint64)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		b, err := hex.DecodeString(f[2])
		flags, err2 := strconv.ParseUint(f[3], 16, 32)
		metric, err3 := strconv.ParseUint(f[6], 10, 32)
		if err != nil || err2 != nil || err3 != nil || len(b) != 4 || flags&(routeUp|routeGateway) != routeUp|routeGateway || metric >= best {
			continue
		}
		var raw [4]byte
		binary.NativeEndian.PutUint32(raw[:], binary.BigEndian.Uint32(b))
		gw, dev, best = netip.AddrFrom4(raw), f[0], metric
	}
	return gw, dev
}

// default6 finds the gateway in /proc/net/ipv6_route.
func default6(table string) (gw netip.Addr, dev string) {
	best := uint64(math.MaxUint64)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || f[1] != "00" || strings.Trim(f[0], "0") != "" {
			continue
		}
		b, err := hex.DecodeString(f[4])
		metric, err2 := strconv.ParseUint(f[5], 16, 32)
		flags, err3 := strconv.ParseUint(f[8], 16, 32)
		if err != nil || err2 != nil || err3 != nil || len(b) != 16 || flags&(routeUp|routeGateway) != routeUp|routeGateway || metric >= best {
			continue
		}
		gw, dev, best = netip.AddrFrom16([16]byte(b)), f[9], metric
		if gw.IsLinkLocalUnicast() {
			gw = gw.WithZone(dev)
		}
	}
	return gw, dev
}

// Flags of an address, <linux/if_addr.h>: those that others should not be told
// to come to.
const notStable = 0x01 /* temporary */ | 0x08 /* DAD failed */ | 0x20 /* deprecated */ | 0x40 /* tentative */

var global6 = netip.MustParsePrefix("2000::/3")

// stable6 finds the public addresses of an interface in /proc/net/if_inet6.
func stable6(table, dev string) (list []netip.Prefix) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != dev {
			continue
		}
		b, err := hex.DecodeString(f[0])
		bits, err2 := strconv.ParseUint(f[2], 16, 8)
		flags, err3 := strconv.ParseUint(f[4], 16, 32)
		if err != nil || err2 != nil || err3 != nil || len(b) != 16 || bits > 128 || flags&notStable != 0 {
			continue
		}
		if a := netip.AddrFrom16([16]byte(b)); global6.Contains(a) {
			list = append(list, netip.PrefixFrom(a, int(bits)))
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}
