package router

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// The NAT Port Mapping Protocol, RFC 6886.
const (
	pmpAddress = 0
	pmpUDP     = 1
	pmpTCP     = 2
)

// pmpResults are what the result codes of RFC 6886 §3.5 mean to us.
var pmpResults = map[uint16]Code{
	2: Refused, // not authorised, or turned off
	3: Offline,
	4: Full,
	5: Refused, // unsupported opcode
}

// A pmpAnswer is a response. The address is there for pmpAddress, the rest for
// the others.
type pmpAnswer struct {
	op       uint8
	result   uint16
	epoch    uint32
	addr     netip.Addr
	internal uint16
	external uint16
	life     time.Duration
}

func parsePMP(b []byte) (a pmpAnswer, err error) {
	if len(b) < 8 || len(b) > 16 || b[0] != 0 || b[1]&response == 0 {
		return a, fmt.Errorf("NAT-PMP: no answer, %d bytes", len(b))
	}
	a.op, a.result = b[1]&^response, binary.BigEndian.Uint16(b[2:])
	a.epoch = binary.BigEndian.Uint32(b[4:])
	switch {
	case a.result != 0: // the rest is undefined, §3.5
	case a.op == pmpAddress && len(b) == 12:
		a.addr = netip.AddrFrom4([4]byte(b[8:]))
	case (a.op == pmpUDP || a.op == pmpTCP) && len(b) == 16:
		a.internal, a.external = binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:])
		a.life = time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Second
	default:
		return a, fmt.Errorf("NAT-PMP: opcode %d with %d bytes", a.op, len(b))
	}
	return a, nil
}

// A natpmp speaks NAT-PMP to one gateway.
type natpmp struct {
	r    *Router
	hop  Hop
	when epoch
}

func (c *natpmp) name() string { return "NAT-PMP" }

func (c *natpmp) ask(ctx context.Context, question []byte, mine func(pmpAnswer) bool) (a pmpAnswer, err error) {
	err = c.r.question(ctx, c.hop, pcpPort, question, func(b []byte) bool {
		var said error
		a, said = parsePMP(b)
		return said == nil && a.op == question[1] && (a.result != 0 || mine(a))
	})
	if err == nil && a.result != 0 {
		code, ok := pmpResults[a.result]
		if !ok {
			code = Odd
		}
		err = &refusal{code, fmt.Sprintf("NAT-PMP result %d", a.result)}
	}
	return a, err
}

func (c *natpmp) look(ctx context.Context) (seen, error) {
	a, err := c.ask(ctx, []byte{0, pmpAddress}, func(pmpAnswer) bool { return true })
	if err != nil {
		return seen{}, err
	}
	s := seen{anew: c.when.lost(a.epoch)}
	if !a.addr.IsUnspecified() {
		s.external = a.addr
	}
	return s, nil
}

func (c *natpmp) mapPort(ctx context.Context, p Port, external uint16, life time.Duration) (pmpAnswer, error) {
	op := byte(pmpTCP)
	if p.Proto == "udp" {
		op = pmpUDP
	}
	q := []byte{0, op, 0, 0}
	q = binary.BigEndian.AppendUint16(q, p.Internal)
	q = binary.BigEndian.AppendUint16(q, external)
	q = binary.BigEndian.AppendUint32(q, uint32(life/time.Second))
	return c.ask(ctx, q, func(a pmpAnswer) bool { return a.internal == p.Internal })
}

func (c *natpmp) add(ctx context.Context, p Port) (grant, error) {
	a, err := c.mapPort(ctx, p, p.External, lease)
	if err != nil {
		return grant{}, err
	}
	return grant{external: a.external, life: a.life, anew: c.when.lost(a.epoch)}, nil
}

// remove gives a port back: both numbers are zero, RFC 6886 §3.4.
func (c *natpmp) remove(ctx context.Context, p Port) error {
	_, err := c.mapPort(ctx, p, 0, 0)
	return err
}
