package router

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// The Port Control Protocol, RFC 6887.
const (
	pcpPort     = 5351 // of NAT-PMP too
	pcpVersion  = 2
	opAnnounce  = 0
	opMap       = 1
	response    = 0x80
	pcpHeader   = 24
	pcpMapBytes = 36
)

// errVersion means that a server answered that it does not speak PCP.
var errVersion = errors.New("the router does not speak this version of PCP")

// pcpResults are what the result codes of RFC 6887 §7.4 mean to us. Those that
// are missing are Odd.
var pcpResults = map[uint8]Code{
	2:  Refused,  // NOT_AUTHORIZED
	4:  Refused,  // UNSUPP_OPCODE: MAP is turned off
	7:  Offline,  // NETWORK_FAILURE
	8:  Full,     // NO_RESOURCES
	9:  Refused,  // UNSUPP_PROTOCOL
	10: Full,     // USER_EX_QUOTA
	11: Conflict, // CANNOT_PROVIDE_EXTERNAL
	12: Refused,  // ADDRESS_MISMATCH: there is a translator between us and the server
}

// A pcpMap is the part of a packet that opcode MAP has, RFC 6887 §11.1.
type pcpMap struct {
	nonce    [12]byte
	proto    uint8
	internal uint16
	external uint16
	addr     netip.Addr // IPv4 as it is
}

func (m pcpMap) append(b []byte) []byte {
	b = append(b, m.nonce[:]...)
	b = append(b, m.proto, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, m.internal)
	b = binary.BigEndian.AppendUint16(b, m.external)
	a := m.addr.As16() // IPv4 as ::ffff:0:0/96, §5
	return append(b, a[:]...)
}

func pcpQuestion(op uint8, life time.Duration, own netip.Addr) []byte {
	b := []byte{pcpVersion, op, 0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(life/time.Second))
	a := own.As16()
	return append(b, a[:]...)
}

// A pcpAnswer is a response, RFC 6887 §7.2. The map is there if the opcode is MAP.
type pcpAnswer struct {
	op, result uint8
	life       time.Duration
	epoch      uint32
	m          pcpMap
}

// parsePCP reads a response. errVersion if it is one that says that PCP is not
// spoken here, which also a server of NAT-PMP says (RFC 6887 §9, appendix A).
func parsePCP(b []byte) (a pcpAnswer, err error) {
	switch {
	case len(b) >= 4 && b[0] != pcpVersion && b[1]&response != 0:
		return a, errVersion
	case len(b) < pcpHeader || len(b) > maxPacket || len(b)%4 != 0: // §8.3
		return a, fmt.Errorf("PCP: %d bytes", len(b))
	case b[0] != pcpVersion || b[1]&response == 0:
		return a, fmt.Errorf("PCP: version %d, opcode %d", b[0], b[1])
	}
	a.op, a.result = b[1]&^response, b[3]
	a.life = time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Second
	a.epoch = binary.BigEndian.Uint32(b[8:])
	if a.op != opMap {
		return a, nil
	}
	p := b[pcpHeader:]
	if len(p) < pcpMapBytes {
		return a, fmt.Errorf("PCP: a MAP of %d bytes", len(p))
	}
	copy(a.m.nonce[:], p)
	a.m.proto = p[12]
	a.m.internal = binary.BigEndian.Uint16(p[16:])
	a.m.external = binary.BigEndian.Uint16(p[18:])
	a.m.addr = netip.AddrFrom16([16]byte(p[20:36])).Unmap()
	return a, nil
}

// announces reports whether a packet is what a router says when it has started:
// ANNOUNCE of PCP, or the outer address by NAT-PMP.
func announces(b []byte) bool {
	if a, err := parsePCP(b); err == nil {
		return a.op == opAnnounce && a.result == 0
	}
	a, err := parsePMP(b)
	return err == nil && a.op == pmpAddress && a.result == 0
}

// A pcp speaks PCP to one gateway.
type pcp struct {
	r    *Router
	hop  Hop
	when epoch
	out  netip.Addr // the router's outer address, once a mapping told it
}

func (c *pcp) name() string { return "PCP" }

func protocolNumber(proto string) uint8 {
	if proto == "udp" {
		return 17
	}
	return 6
}

// nonce is the same for a port as long as the seed is.
func (c *pcp) nonce(p Port) (n [12]byte) {
	h := hmac.New(sha256.New, c.r.o.Seed)
	fmt.Fprintf(h, "%s %d %s", p.Proto, p.Internal, c.hop.Own.Addr())
	copy(n[:], h.Sum(nil))
	return n
}

func (c *pcp) ask(ctx context.Context, question []byte, mine func(pcpAnswer) bool) (a pcpAnswer, err error) {
	var said error
	err = c.r.question(ctx, c.hop, pcpPort, question, func(b []byte) bool {
		a, said = parsePCP(b)
		return errors.Is(said, errVersion) || said == nil && mine(a)
	})
	if err == nil {
		err = said
	}
	if err == nil && a.result == 1 { // UNSUPP_VERSION
		err = errVersion
	}
	return a, err
}

// look asks with ANNOUNCE, which every server answers with its epoch (§14.1).
func (c *pcp) look(ctx context.Context) (seen, error) {
	a, err := c.ask(ctx, pcpQuestion(opAnnounce, 0, c.hop.Own.Addr()), func(a pcpAnswer) bool { return a.op == opAnnounce })
	if err != nil {
		return seen{}, err
	}
	return seen{external: c.out, anew: c.when.lost(a.epoch)}, nil
}

func (c *pcp) mapPort(ctx context.Context, p Port, life time.Duration) (pcpAnswer, error) {
	m := pcpMap{nonce: c.nonce(p), proto: protocolNumber(p.Proto), internal: p.Internal, addr: netip.IPv4Unspecified()}
	if c.hop.Own.Addr().Is6() {
		m.addr = netip.IPv6Unspecified()
	}
	if life > 0 { // to remove, both are zero, §15.1
		m.external = p.External
	}
	a, err := c.ask(ctx, m.append(pcpQuestion(opMap, life, c.hop.Own.Addr())), func(a pcpAnswer) bool {
		return a.op == opMap && a.m.nonce == m.nonce && a.m.proto == m.proto && a.m.internal == m.internal // §11.4
	})
	if err != nil {
		return a, err
	}
	if a.result != 0 {
		code, ok := pcpResults[a.result]
		if !ok {
			code = Odd
		}
		return a, &refusal{code, fmt.Sprintf("PCP result %d", a.result)}
	}
	return a, nil
}

func (c *pcp) add(ctx context.Context, p Port) (grant, error) {
	if c.hop.Own.Addr().Is6() {
		p.External = p.Internal // a pinhole translates nothing
	}
	a, err := c.mapPort(ctx, p, lease)
	if err != nil {
		return grant{}, err
	}
	if a.m.addr.Is4() && !a.m.addr.IsUnspecified() {
		c.out = a.m.addr
	}
	return grant{external: a.m.external, addr: c.out, life: a.life, anew: c.when.lost(a.epoch)}, nil
}

func (c *pcp) remove(ctx context.Context, p Port) error {
	_, err := c.mapPort(ctx, p, 0)
	return err
}

// An epoch is a server's count of seconds since it last forgot everything.
type epoch struct {
	last uint32
	at   time.Time
}

// lost reports whether the server has forgotten everything since it was last
// asked, RFC 6887 §8.5.
func (e *epoch) lost(now uint32) bool {
	was, at := e.last, e.at
	e.last, e.at = now, time.Now()
	if at.IsZero() {
		return false
	}
	if int64(now) < int64(was)-1 {
		return true
	}
	client := int64(e.at.Sub(at) / time.Second)
	server := int64(now) - int64(was)
	return client+2 < server-server/16 || server+2 < client-client/16
}
