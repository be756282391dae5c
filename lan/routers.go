package lan

import (
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"strings"
)

// maxRoutes is how much of a routing table is read.
const maxRoutes = 256 << 10

// Routers returns the routers that this machine's routing tables name. Where
// the system does not say, there are none.
func Routers() []netip.Addr {
	return append(routes4(read("/proc/net/route")), routes6(read("/proc/net/ipv6_route"))...)
}

func read(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return "" // not Linux, or no IPv6
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, maxRoutes))
	return string(b)
}

// routes4 reads the gateways of /proc/net/route: numbers as this machine has
// them in memory, in hexadecimal.
func routes4(table string) (list []netip.Addr) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		b, err := hex.DecodeString(f[2])
		if err != nil || len(b) != 4 {
			continue
		}
		var raw [4]byte
		binary.NativeEndian.PutUint32(raw[:], binary.BigEndian.Uint32(b))
		if a := netip.AddrFrom4(raw); !a.IsUnspecified() {
			list = append(list, a)
		}
	}
	return list
}

// routes6 reads the next hops of /proc/net/ipv6_route.
func routes6(table string) (list []netip.Addr) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		b, err := hex.DecodeString(f[4])
		if err != nil || len(b) != 16 {
			continue
		}
		if a := netip.AddrFrom16([16]byte(b)); !a.IsUnspecified() {
			list = append(list, a)
		}
	}
	return list
}
