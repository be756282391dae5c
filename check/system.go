package check

import (
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
)

// maxRoutes is how much of a routing table is read.
const maxRoutes = 1 << 20

// routes says whether the system has a way to the rest of the world.
func routes() (v4, v6 bool, err error) {
	t4, err4 := procFile("/proc/net/route")
	t6, err6 := procFile("/proc/net/ipv6_route")
	if err4 != nil && err6 != nil {
		return false, false, err4
	}
	return default4(t4), default6(t6), nil
}

func procFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRoutes))
	return string(b), err
}

// The flags of a route, linux/route.h and linux/ipv6_route.h.
const (
	rtfUp     = 1 << 0
	rtfReject = 1 << 9
)

// default4 reads /proc/net/route: interface, destination, gateway, flags, ... ,
// and mask as the eighth.
func default4(table string) bool {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) >= 8 && f[1] == "00000000" && f[7] == "00000000" && usable(f[3]) {
			return true
		}
	}
	return false
}

// default6 reads /proc/net/ipv6_route: destination, its length, ... , flags as
// the ninth and the interface. The kernel keeps a default route to nowhere at lo.
func default6(table string) bool {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) >= 10 && strings.Trim(f[0], "0") == "" && f[1] == "00" && f[9] != "lo" && usable(f[8]) {
			return true
		}
	}
	return false
}

// usable reads the flags of a route, in hexadecimal.
func usable(flags string) bool {
	var n uint64
	for _, r := range strings.ToLower(flags) {
		d := strings.IndexRune("0123456789abcdef", r)
		if d < 0 {
			return false
		}
		n = n<<4 | uint64(d)
	}
	return n&rtfUp != 0 && n&rtfReject == 0
}

// addresses are those of the system's interfaces.
func addresses() (list []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				list = append(list, addr.Unmap())
			}
		}
	}
	return list, err
}
