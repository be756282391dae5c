package publish

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"

	"homemail/resolver"
)

// A snapshot is a zone as its provider shows it. It answers as the zone's own
// server would, so that dnsplan judges it by the same rules as what the world
// sees.
type snapshot struct {
	zone string
	sets map[string][]libdns.RR // by name and type, as the provider gave them
}

func newSnapshot(zone string, list []libdns.Record) *snapshot {
	s := &snapshot{zone, map[string][]libdns.RR{}}
	for _, r := range list {
		rr := r.RR()
		k := key(absolute(rr.Name, zone), rr.Type)
		s.sets[k] = append(s.sets[k], rr)
	}
	return s
}

func key(name, rtype string) string { return name + " " + strings.ToUpper(rtype) }

// values are in the form of dnsplan.Record.
func (s *snapshot) values(name, rtype string) []string {
	var out []string
	for _, rr := range s.sets[key(name, rtype)] {
		if v := plain(rr); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func (s *snapshot) ttl(name, rtype string) time.Duration {
	if set := s.sets[key(name, rtype)]; len(set) > 0 {
		return set[0].TTL
	}
	return 0
}

// record is a value as the provider takes it: the one that it gave, if it has it.
func (s *snapshot) record(name, rtype, value string, ttl time.Duration) libdns.Record {
	for _, rr := range s.sets[key(name, rtype)] {
		if plain(rr) == value {
			rr.TTL = ttl
			return rr
		}
	}
	return libdns.RR{Name: relative(name, s.zone), Type: rtype, TTL: ttl, Data: data(rtype, value)}
}

// holds reports whether a name's records are in this zone, and not in one below
// it that other servers have.
func (s *snapshot) holds(name string) bool {
	for ; name != s.zone; _, name, _ = strings.Cut(name, ".") {
		if name == "" || len(s.sets[key(name, "NS")]) > 0 {
			return false
		}
	}
	return true
}

// server is the one name server of a snapshot. It has an address because
// dnsplan asks by addresses; nothing is sent there.
const server = "provider.invalid"

var serverAt = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Records answers what dnsplan asks of the world: nothing but this zone is.
func (s *snapshot) Records(ctx context.Context, name, rtype string) (resolver.Answer[string], error) {
	if rtype == "NS" && name == s.zone {
		return resolver.Answer[string]{List: []string{server}, Name: name}, nil
	}
	return s.Ask(ctx, netip.AddrPort{}, name, rtype)
}

// Ask answers as the zone's server does, which names an alias' target.
func (s *snapshot) Ask(_ context.Context, _ netip.AddrPort, name, rtype string) (resolver.Answer[string], error) {
	a := resolver.Answer[string]{Name: name, List: s.values(name, rtype), TTL: s.ttl(name, rtype)}
	for range maxAliases {
		to := s.values(a.Name, "CNAME")
		if rtype == "CNAME" || len(to) == 0 {
			break
		}
		a.Name = to[0]
		a.List = s.values(a.Name, rtype)
	}
	if len(a.List) == 0 {
		return a, &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
	}
	return a, nil
}

const maxAliases = 8 // that are followed; a chain of more is a loop

// IP is for hosts of the zone, and the server's own.
func (s *snapshot) IP(ctx context.Context, host string) (resolver.Answer[netip.Addr], error) {
	if host == server {
		return resolver.Answer[netip.Addr]{List: []netip.Addr{serverAt}, Name: host}, nil
	}
	out := resolver.Answer[netip.Addr]{Name: host}
	for _, rtype := range []string{"AAAA", "A"} {
		a, _ := s.Ask(ctx, netip.AddrPort{}, host, rtype)
		for _, v := range a.List {
			if addr, err := netip.ParseAddr(v); err == nil {
				out.List = append(out.List, addr)
			}
		}
	}
	if len(out.List) == 0 {
		return out, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

// Flush forgets nothing: a snapshot stays as it is.
func (s *snapshot) Flush(string) {}

// plain is the data of a record in the form of dnsplan.Record.
func plain(rr libdns.RR) string {
	if rr.Type == "TXT" {
		return rr.Data
	}
	if !targets[rr.Type] && rr.Type != "TLSA" {
		return strings.TrimSpace(rr.Data)
	}
	f := strings.Fields(strings.ToLower(rr.Data))
	if n := len(f); n > 0 && f[n-1] != "." {
		f[n-1] = strings.TrimSuffix(f[n-1], ".")
	}
	return strings.Join(f, " ")
}

// data is the reverse of plain: names are absolute, and say so.
func data(rtype, value string) string {
	if targets[rtype] && !strings.HasSuffix(value, ".") {
		return value + "."
	}
	return value
}

// targets are types whose data ends with a name.
var targets = map[string]bool{"MX": true, "SRV": true, "CNAME": true, "NS": true, "PTR": true}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// absolute is the full name of one that is relative to a zone.
func absolute(name, zone string) string {
	return canonical(libdns.AbsoluteName(name, zone+"."))
}

// relative is the reverse, "@" for the zone itself.
func relative(name, zone string) string {
	if name == zone {
		return "@"
	}
	return strings.TrimSuffix(name, "."+zone)
}
