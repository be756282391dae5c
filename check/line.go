package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"homemail/check/probe"
)

func (c *Checker) route(_ context.Context, _ results) found {
	v4, v6, err := c.o.Routes()
	f := found{data: map[string]string{"v4": yes(v4), "v6": yes(v6)}}
	switch {
	case err != nil:
		return found{code: codeUnknown, detail: err.Error()}
	case v4 && v6:
		f.code = "both"
	case v4:
		f.code = "v4"
	case v6:
		f.code = "v6"
	default:
		f.code = "none"
	}
	return f
}

func yes(b bool) string { return strconv.FormatBool(b) }

// router asks the router of the house what it knows.
func (c *Checker) router(ctx context.Context, _ results) found {
	if c.o.Router == nil {
		return found{code: codeUnset}
	}
	r, err := c.o.Router(ctx)
	switch {
	case errors.Is(err, ErrNoRouter):
		return found{code: codeUnset, detail: err.Error()}
	case err != nil:
		return found{code: "silent", detail: err.Error()}
	}
	data := map[string]string{"model": r.Model}
	if r.External.IsValid() {
		data["external"] = r.External.Unmap().String()
	}
	var moved []string
	for inner, outer := range r.Mapped {
		if outer != 0 && outer != inner {
			moved = append(moved, fmt.Sprintf("%d-%d", inner, outer))
		}
	}
	slices.Sort(moved)
	data["moved"] = strings.Join(moved, " ")
	return found{code: "answers", data: data}
}

// address4 puts together what is known of the public IPv4 address. What the
// world sees counts most.
func (c *Checker) address4(_ context.Context, r results) found {
	data := map[string]string{"seen": r.data(prober, "echo4"), "router": r.data(router, "external")}
	own, err := c.o.Addresses()
	if err != nil {
		return found{code: codeUnknown, detail: err.Error()}
	}
	var all []string
	var public string
	for _, a := range own {
		if !a.Is4() || a.IsLoopback() || a.IsLinkLocalUnicast() {
			continue
		}
		all = append(all, a.String())
		if probe.Public(a) && public == "" {
			public = a.String()
		}
	}
	data["own"] = strings.Join(all, " ")
	routed, _ := netip.ParseAddr(data["router"])
	switch {
	case data["seen"] != "":
		public = data["seen"]
	case public != "":
	case probe.Public(routed) && routed.Is4():
		public = routed.String()
	case len(all) == 0 || r.data(route, "v4") == "false":
		return found{code: "none", data: data}
	default:
		return found{code: codeUnknown, data: data, detail: "own: " + data["own"]}
	}
	data["address"] = public
	return found{code: "public", data: data}
}

// address6 is the same for IPv6, where the address of an interface is public by
// itself. A temporary one (RFC 8981) may be among them: the one that the world
// sees is the one that we connect from.
func (c *Checker) address6(_ context.Context, r results) found {
	own, err := c.o.Addresses()
	if err != nil {
		return found{code: codeUnknown, detail: err.Error()}
	}
	var all []string
	for _, a := range own {
		if a.Is6() && probe.Public(a) {
			all = append(all, a.String())
		}
	}
	data := map[string]string{"seen": r.data(prober, "echo6"), "own": strings.Join(all, " ")}
	switch {
	case data["seen"] != "":
		data["address"] = data["seen"]
	case len(all) > 0 && r.data(route, "v6") == "true":
		data["address"] = all[0]
	default:
		return found{code: "none", data: data}
	}
	return found{code: "public", data: data}
}

// The networks that say what a line is.
var (
	carrier = netip.MustParsePrefix("100.64.0.0/10") // carrier-grade NAT, RFC 6598
	dsLite  = netip.MustParsePrefix("192.0.0.0/29")  // between B4 and AFTR, RFC 6333 §5.7
)

// nat says whether the public address is this house's own. What came in proves
// it; then the networks of the line tell; the rest are heuristics, and their
// words say "seems".
func (c *Checker) nat(_ context.Context, r results) found {
	var own []netip.Addr
	for _, w := range strings.Fields(r.data(address4, "own")) {
		if a, err := netip.ParseAddr(w); err == nil {
			own = append(own, a)
		}
	}
	seen, _ := netip.ParseAddr(r.data(prober, "echo4"))
	external, _ := netip.ParseAddr(r.data(router, "external"))
	within := func(p netip.Prefix) bool { return p.Contains(external) || slices.ContainsFunc(own, p.Contains) }
	public := slices.ContainsFunc(own, probe.Public) && (!seen.IsValid() || slices.Contains(own, seen))
	share := ""
	if ports, ok := parsePorts(r.data(prober, "ports4")); ok {
		share = mapE(ports)
	}
	f := found{data: map[string]string{"address": r.data(address4, "address"), "external": r.data(router, "external"), "ports": r.data(prober, "ports4")}}
	switch {
	case r.data(prober, "4/25") == ours || r.data(prober, "4/443") == ours:
		f.code = "reached"
	case within(dsLite):
		f.code = "ds-lite"
	case within(carrier):
		f.code = "cgnat"
	case !seen.IsValid() && r.data(address4, "address") == "":
		f.code = codeUnknown
	case share != "":
		f.code, f.detail = "map-e", share
	case public:
		f.code = "none"
	case !external.IsValid():
		f.code = codeUnknown
	case !probe.Public(external):
		f.code = "double"
	case seen.IsValid() && seen != external:
		f.code = "shared"
	case r.data(router, "moved") != "":
		f.code, f.detail = "map-e", "the router gives other ports than those asked for: "+r.data(router, "moved")
	default:
		f.code = "router"
	}
	return f
}

func parsePorts(s string) (list []uint16, ok bool) {
	for _, w := range strings.Fields(s) {
		n, err := strconv.ParseUint(w, 10, 16)
		if err != nil {
			return nil, false
		}
		list = append(list, uint16(n))
	}
	return list, true
}

// mapE reports in words, "" if not, whether the ports that a line was seen to
// use are those of one share of MAP-E (RFC 7597 §5.1): 16 bits are an index, the
// PSID of the house, and the place in a block. The widths are those in use in
// Japan: 4-8-4 (240 ports) and 6-6-4 (1,008 ports). The PSID is in all of them,
// while the index differs: with four ports by chance that is one in 200,000.
func mapE(ports []uint16) string {
	const least = 4
	if len(ports) < least {
		return ""
	}
	for _, w := range []struct{ index, psid uint }{{4, 8}, {6, 6}} {
		low := 16 - w.index - w.psid
		psid := func(p uint16) uint16 { return p >> low & (1<<w.psid - 1) }
		indexes := make(map[uint16]bool)
		same := true
		for _, p := range ports {
			same = same && psid(p) == psid(ports[0])
			indexes[p>>(16-w.index)] = true
		}
		if same && len(indexes) > 1 && !indexes[0] { // the ports of index 0 are nobody's
			return fmt.Sprintf("ports %v are all of share %d of %d", ports, psid(ports[0]), 1<<w.psid)
		}
	}
	return ""
}
