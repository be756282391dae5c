package mdns

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Limits of what we say, so that it is one packet.
const (
	maxLinks    = 8
	maxAddrs    = 8 // of a link
	maxServices = 8
	maxLabel    = 63
)

// How long others may keep what we say, RFC 6762 §10.
const (
	hostTTL   = 120
	otherTTL  = 4500
	legacyTTL = 10 // for those who do not speak multicast DNS, §6.7
)

const (
	typeNSEC   dnsmessage.Type  = 47
	classFlush dnsmessage.Class = 1 << 15 // "this is all there is", §10.2; in a question: answer to me alone, §5.4
	domain                      = ".local."
	browse                      = "_services._dns-sd._udp.local." // RFC 6763 §9
)

// A record is a resource record. Names within its data are not compressed.
type record struct {
	name   string // with its final dot
	typ    dnsmessage.Type
	unique bool // nobody else may have one of this name
	ttl    uint32
	data   []byte
}

func (r record) is(name string) bool { return strings.EqualFold(r.name, name) }

func (r record) equal(o record) bool { return r.typ == o.typ && r.is(o.name) && r.same(o.data) }

// same compares data; the names in it whatever their case.
func (r record) same(data []byte) bool {
	switch {
	case r.typ == dnsmessage.TypeSRV && compressed(data): // our own, by a repeater between two of our links
		return bytes.Equal(r.data[:srvFixed], data[:srvFixed])
	case r.typ == dnsmessage.TypePTR || r.typ == dnsmessage.TypeSRV:
		return bytes.EqualFold(r.data, data)
	}
	return bytes.Equal(r.data, data)
}

const srvFixed = 6 // priority, weight, port

// compressed reports whether the name in the data of an SRV record ends in a
// pointer (RFC 1035 §4.1.4), which others may write (RFC 6762 §18.14).
func compressed(data []byte) bool {
	for i := srvFixed; i < len(data); i += 1 + int(data[i]) {
		if data[i] >= 0xc0 {
			return true
		}
	}
	return false
}

// wire is a name as bytes, RFC 1035 §3.1.
func wire(name string) (b []byte) {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		label = label[:min(len(label), maxLabel)]
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// instance is the label that people see. A dot would end it.
func instance(label string, s Service) string {
	l := strings.ReplaceAll(label+s.Note, ".", " ")
	return strings.ToValidUTF8(l[:min(len(l), maxLabel)], "")
}

// records are all that we say on one link.
func records(label string, addrs []netip.Prefix, services []Service) (set []record) {
	host := label + domain
	for _, a := range published(addrs) {
		t := dnsmessage.TypeAAAA
		if a.Is4() {
			t = dnsmessage.TypeA
		}
		set = append(set, record{host, t, true, hostTTL, a.AsSlice()})
	}
	for _, s := range services {
		kind := s.Type + domain
		name := instance(label, s) + "." + kind
		srv := append([]byte{0, 0, 0, 0, byte(s.Port >> 8), byte(s.Port)}, wire(host)...)
		set = append(set,
			record{browse, dnsmessage.TypePTR, false, otherTTL, wire(kind)},
			record{kind, dnsmessage.TypePTR, false, otherTTL, wire(name)},
			record{name, dnsmessage.TypeSRV, true, hostTTL, srv},
			record{name, dnsmessage.TypeTXT, true, otherTTL, text(s.TXT)})
	}
	return set
}

// text is the data of a TXT record; never empty, RFC 6763 §6.1.
func text(list []string) (b []byte) {
	for _, s := range list {
		s = s[:min(len(s), 255)]
		if len(b)+len(s) < 400 { // "200 bytes or less", §6.2, and room for more
			b = append(append(b, byte(len(s))), s...)
		}
	}
	if b == nil {
		return []byte{0}
	}
	return b
}

// published are the addresses that others can use without knowing the link:
// link-local ones of IPv6 only where there are no others of it.
func published(addrs []netip.Prefix) (list []netip.Addr) {
	six := slices.ContainsFunc(addrs, func(p netip.Prefix) bool { return p.Addr().Is6() && p.Addr().IsGlobalUnicast() })
	for _, p := range addrs {
		a := p.Addr().Unmap().WithZone("")
		if a.Is6() && a.IsLinkLocalUnicast() && six || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || len(list) == maxAddrs {
			continue
		}
		list = append(list, a)
	}
	return list
}

// nsec says that a name of ours has no records but those of the set, §6.1.
func nsec(name string, set []record) record {
	var bits [32]byte
	last := 0
	ttl := uint32(hostTTL)
	for _, r := range set {
		if r.is(name) && r.typ < 256 {
			bits[r.typ/8] |= 0x80 >> (r.typ % 8)
			last = max(last, int(r.typ/8))
			name = r.name
		}
	}
	data := append(wire(name), 0, byte(last+1))
	return record{name, typeNSEC, true, ttl, append(data, bits[:last+1]...)}
}

// gone are records with the lifetime of a goodbye.
func gone(set []record) (list []record) {
	for _, r := range set {
		r.ttl = 0
		list = append(list, r)
	}
	return list
}

// without are the records of a that are not in b.
func without(a, b []record) (list []record) {
	for _, r := range a {
		if !slices.ContainsFunc(b, r.equal) {
			list = append(list, r)
		}
	}
	return list
}

// newNames reports whether records of our own alone have names that old has not.
func newNames(list, old []record) bool {
	return slices.ContainsFunc(list, func(r record) bool {
		return r.unique && !slices.ContainsFunc(old, func(o record) bool { return o.is(r.name) })
	})
}

// answers are the records of a set that answer a question, and those that are
// asked for next.
func answers(q question, set []record) (list, more []record) {
	ours := false
	for _, r := range set {
		if !r.is(q.name) {
			continue
		}
		ours = ours || r.unique
		if q.typ == r.typ || q.typ == dnsmessage.TypeALL {
			list = append(list, r)
		}
	}
	if len(list) == 0 && ours {
		return []record{nsec(q.name, set)}, nil
	}
	for _, r := range list {
		more = append(more, follows(r, set)...)
	}
	return list, without(more, list)
}

// follows are the records that who gets r will want, RFC 6763 §12.
func follows(r record, set []record) (list []record) {
	var host string
	for _, o := range set {
		host = o.name
		break
	}
	for _, o := range set {
		address := o.typ == dnsmessage.TypeA || o.typ == dnsmessage.TypeAAAA
		switch r.typ {
		case dnsmessage.TypePTR:
			if r.is(browse) {
				return nil
			}
			if (o.typ == dnsmessage.TypeSRV || o.typ == dnsmessage.TypeTXT) && bytes.EqualFold(wire(o.name), r.data) || address {
				list = append(list, o)
			}
		case dnsmessage.TypeSRV, dnsmessage.TypeA, dnsmessage.TypeAAAA:
			if address {
				list = append(list, o)
			}
		}
	}
	if r.typ == dnsmessage.TypeA || r.typ == dnsmessage.TypeAAAA {
		list = append(list, nsec(host, set)) // no need to ask for the other version of IP
	}
	return list
}
