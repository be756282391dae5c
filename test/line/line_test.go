package line

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"homemail/check"
	"homemail/test/need"
)

const ports = "{ 25, 80, 443, 465, 993 }"

// What routers and carriers do, as nftables say it.
const (
	hides   = `add rule ip nat post oifname "wan" masquerade`
	opens   = `add rule ip nat pre iifname "wan" tcp dport ` + ports + ` dnat to ` + homeAddr
	turns   = `add rule ip nat pre ip daddr ` + realAddr + ` tcp dport ` + ports + ` dnat to ` + homeAddr + "\n" + `add rule ip nat post ip saddr 192.168.1.0/24 ip daddr ` + homeAddr + ` masquerade`
	guards6 = `add rule ip6 filter forward iifname "wan" ct state new drop`
	op25b   = `add rule ip filter forward iifname "down" tcp dport 25 drop` + "\n" + `add rule ip6 filter forward iifname "down" tcp dport 25 drop`
	shares  = `add rule ip nat post oifname "core" snat to ` + sharedAddr
)

// mapE gives a house the ports of share 0xa5 of 256 (4-8-4), and the carrier
// passes on those alone. Its router has no more blocks than needed here.
const (
	mapEHides = `add rule ip nat post oifname "wan" meta l4proto tcp numgen inc mod 4 == 0 snat to ` + mapAddr + `:6736-6751
add rule ip nat post oifname "wan" meta l4proto tcp numgen inc mod 3 == 0 snat to ` + mapAddr + `:10832-10847
add rule ip nat post oifname "wan" meta l4proto tcp numgen inc mod 2 == 0 snat to ` + mapAddr + `:47696-47711
add rule ip nat post oifname "wan" meta l4proto tcp snat to ` + mapAddr + `:64080-64095`
	mapEShares = `add rule ip filter forward ip daddr ` + mapAddr + ` tcp dport != { 6736-6751, 10832-10847, 47696-47711, 64080-64095 } drop`
)

// A line is what is between a house and the world.
type line struct {
	name    string
	wan     string // the router's address, with the length of its prefix; the carrier has that of gate
	gate    string
	b4      bool   // the router hides nobody, the carrier does (RFC 6333 §4.2); a cable stands for the tunnel
	no4     bool   // the house has no IPv4
	with6   bool   // and has IPv6
	router  string // rules
	carrier string
	says    string // what the router says its address is

	mode check.Mode
	why  string
	want map[string]string // codes of checks
}

const real, gateway = realAddr + "/24", "203.0.113.1/24"

var lines = []line{
	{name: "real IPv4", wan: real, gate: gateway, router: hides + "\n" + opens + "\n" + turns, says: realAddr,
		mode: check.Direct, why: "all-green", want: map[string]string{"in25": "open", "in443": "open", "nat": "reached", "hairpin": "works", "out25": "open", "ptr": "confirmed"}},
	{name: "hairpin missing", wan: real, gate: gateway, router: hides + "\n" + opens, says: realAddr,
		mode: check.Direct, why: "all-green", want: map[string]string{"in25": "open", "hairpin": "missing"}},
	{name: "OP25B", wan: real, gate: gateway, router: hides + "\n" + opens + "\n" + turns, carrier: op25b, says: realAddr,
		mode: check.Smarthost, why: "out-blocked", want: map[string]string{"out25": "blocked", "out465": "open", "in25": "open"}},
	{name: "router closed", wan: real, gate: gateway, router: hides, says: realAddr,
		mode: check.Bridge, why: "closed", want: map[string]string{"in25": "closed", "nat": "router"}},
	{name: "CGNAT", wan: "100.64.0.7/10", gate: "100.64.0.1/10", router: hides + "\n" + opens, carrier: shares, says: "100.64.0.7",
		mode: check.Bridge, why: "shared", want: map[string]string{"in25": "closed", "nat": "cgnat", "ptr": "because"}},
	{name: "two routers, the outer one of the carrier", wan: "10.0.0.7/24", gate: "10.0.0.1/24", router: hides + "\n" + opens, carrier: shares, says: "10.0.0.7",
		mode: check.Bridge, why: "shared", want: map[string]string{"nat": "double"}},
	{name: "DS-Lite", b4: true, wan: "192.0.0.2/29", gate: "192.0.0.1/29", with6: true, router: guards6, carrier: shares, says: "192.0.0.2",
		mode: check.Bridge, why: "shared", want: map[string]string{"nat": "ds-lite", "in25": "closed", "address6": "public"}},
	{name: "DS-Lite, router silent, OP25B", b4: true, wan: "192.0.0.2/29", gate: "192.0.0.1/29", with6: true, router: guards6, carrier: shares + "\n" + op25b,
		mode: check.Bridge, why: "closed", want: map[string]string{"nat": "unknown", "in25": "closed", "out25": "blocked"}},
	{name: "DS-Lite, open over IPv6", b4: true, wan: "192.0.0.2/29", gate: "192.0.0.1/29", with6: true, carrier: shares, says: "192.0.0.2",
		mode: check.Bridge, why: "shared", want: map[string]string{"nat": "ds-lite", "in25": "open6", "in993": "open6"}},
	{name: "MAP-E", wan: mapAddr + "/24", gate: gateway, router: mapEHides + "\n" + opens, carrier: mapEShares,
		mode: check.Bridge, why: "shared", want: map[string]string{"nat": "map-e", "in25": "closed", "router": "unset"}},
	{name: "real IPv4, IPv6 with inbound blocked", wan: real, gate: gateway, with6: true, router: hides + "\n" + opens + "\n" + turns + "\n" + guards6, says: realAddr,
		mode: check.Direct, why: "all-green", want: map[string]string{"in25": "open4", "ptr": "confirmed4"}},
	{name: "IPv6 only, inbound blocked", no4: true, with6: true, wan: real, gate: gateway, router: guards6,
		mode: check.Bridge, why: "closed", want: map[string]string{"address4": "none", "in25": "closed", "out25": "open6", "out465": "open6"}},
}

func TestLines(t *testing.T) {
	need.Root(t)
	need.Tools(t, "ip", "nft", "sysctl")
	for i, l := range lines {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			s := &street{t: t, prefix: fmt.Sprintf("l%d-", i)}
			s.build(l)
			got := s.check(l)
			t.Logf("%s because of %s, after %v", got.Mode.Mode, got.Mode.Code, got.Took.Round(time.Millisecond))
			if got.Mode.Mode != l.mode || got.Mode.Code != l.why {
				t.Errorf("%s because of %s, want %s because of %s\n%s", got.Mode.Mode, got.Mode.Code, l.mode, l.why, got.brief())
			}
			for _, r := range got.Results {
				if want := l.want[r.Name]; want != "" && r.Code != want {
					t.Errorf("%s: %s %s, want %s: %s %v", r.Name, r.State, r.Code, want, r.Detail, r.Data)
				}
			}
			if got.Took > time.Minute {
				t.Errorf("took %v", got.Took)
			}
		})
	}
}

// A street is the namespaces of one line.
type street struct {
	t      *testing.T
	prefix string
}

// ip runs ip with words, in which @name is a namespace of ours.
func (s *street) ip(words string) {
	s.t.Helper()
	args := strings.Fields(strings.ReplaceAll(words, "@", s.prefix))
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("ip %s: %v: %s", words, err, out)
	}
}

// nft loads rules into a namespace that has the usual chains.
func (s *street) nft(ns, rules string) {
	s.t.Helper()
	s.more(ns, `add table ip nat
add chain ip nat pre { type nat hook prerouting priority -100; }
add chain ip nat post { type nat hook postrouting priority 100; }
add table ip filter
add chain ip filter forward { type filter hook forward priority 0; }
add table ip6 filter
add chain ip6 filter forward { type filter hook forward priority 0; }
`+rules)
}

// build makes house - router - carrier - world.
func (s *street) build(l line) {
	s.t.Helper()
	for _, ns := range []string{"house", "router", "carrier", "world"} {
		s.ip("netns add @" + ns)
		s.ip("-n @" + ns + " link set lo up")
		s.ip("netns exec @" + ns + " sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	}
	for _, w := range [][4]string{{"house", "eth0", "router", "lan"}, {"router", "wan", "carrier", "down"}, {"carrier", "core", "world", "eth0"}} {
		s.ip("link add " + w[1] + " netns @" + w[0] + " type veth peer name " + w[3] + " netns @" + w[2])
		s.ip("-n @" + w[0] + " link set dev " + w[1] + " up")
		s.ip("-n @" + w[2] + " link set dev " + w[3] + " up")
	}
	s.ip("-n @carrier addr add 198.51.100.254/24 dev core")
	for _, a := range []string{mxOne, mxTwo, probe4} {
		s.ip("-n @world addr add " + a + "/24 dev eth0")
	}
	s.ip("-n @world route add default via 198.51.100.254")
	if l.with6 {
		s.build6()
	}
	if !l.no4 {
		s.build4(l)
	}
	s.nft("router", l.router)
	s.nft("carrier", l.carrier)
}

func (s *street) build4(l line) {
	s.ip("-n @house addr add " + homeAddr + "/24 dev eth0")
	s.ip("-n @house route add default via 192.168.1.1")
	s.ip("-n @router addr add 192.168.1.1/24 dev lan")
	s.ip("-n @router addr add " + l.wan + " dev wan")
	s.ip("-n @carrier addr add " + l.gate + " dev down")
	gate, _, _ := strings.Cut(l.gate, "/")
	s.ip("-n @router route add default via " + gate)
	if l.b4 {
		s.ip("-n @carrier route add 192.168.1.0/24 via 192.0.0.2")
	}
	if strings.Contains(l.carrier, shares) {
		s.ip("-n @carrier addr add " + sharedAddr + "/32 dev lo") // where nobody listens
	}
}

func (s *street) build6() {
	for _, a := range [][3]string{
		{"house", homeAddr6, "eth0"}, {"router", "2001:db8:1::1", "lan"}, {"router", "2001:db8:f::2", "wan"},
		{"carrier", "2001:db8:f::1", "down"}, {"carrier", "2001:db8:2::fe", "core"}, {"world", probe6, "eth0"},
	} {
		s.ip("-n @" + a[0] + " addr add " + a[1] + "/64 dev " + a[2] + " nodad")
	}
	for _, a := range []string{mxOne6, mxTwo6} {
		s.ip("-n @world addr add " + a + "/64 dev eth0 nodad")
	}
	s.ip("-n @house -6 route add default via 2001:db8:1::1")
	s.ip("-n @router -6 route add default via 2001:db8:f::1")
	s.ip("-n @carrier -6 route add 2001:db8:1::/64 via 2001:db8:f::2")
	s.ip("-n @world -6 route add default via 2001:db8:2::fe")
}

// check starts the world, and returns what the house finds.
func (s *street) check(l line) (r report) {
	s.t.Helper()
	w := s.play(world)
	out, err := w.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { w.Process.Kill(); w.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		s.t.Fatalf("the world: %q %v", line, err)
	}
	h := s.play(house, says+"="+l.says)
	var b bytes.Buffer
	h.Stdout = &b
	if err := h.Run(); err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &r); err != nil {
		s.t.Fatalf("%v: %s", err, b.Bytes())
	}
	return r
}

// more adds rules to a namespace that has the usual chains.
func (s *street) more(ns, rules string) {
	s.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", s.prefix+ns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("nft: %v: %s\n%s", err, out, rules)
	}
}

// places are the namespaces of the parts that are not called as theirs.
var places = map[string]string{internet: world, knocks: house}

// play is this program in a part, in its namespace.
func (s *street) play(part string, env ...string) *exec.Cmd {
	ns := part
	if at, ok := places[part]; ok {
		ns = at
	}
	cmd := exec.Command("ip", "netns", "exec", s.prefix+ns, os.Args[0])
	cmd.Env = append(append(os.Environ(), role+"="+part), env...)
	cmd.Stderr = os.Stderr
	return cmd
}
