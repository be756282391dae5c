package router

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	maxPacket = 1100 // RFC 6887 §7
	maxStray  = 256  // packets that are no answer to one question; then the router counts as silent
)

// waits are between the times that a question is sent. RFC 6887 §8.1.1 begins
// with 3 s for servers far away, RFC 6886 §3.1 with 250 ms: this one is in the
// house.
var waits = [...]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}

// errSilent means that the router did not answer.
var errSilent = errors.New("the router does not answer")

func listen(ctx context.Context, own netip.Addr) (net.PacketConn, error) {
	var c net.ListenConfig
	return c.ListenPacket(ctx, "udp", netip.AddrPortFrom(own, 0).String())
}

func dial(ctx context.Context, own netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(own, 0))}
	return d.DialContext(ctx, "tcp", to.String())
}

func hear(context.Context) (net.PacketConn, error) {
	return net.ListenMulticastUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 1), Port: 5350})
}

// addr is the address of a packet without a zone, which not all systems give.
func addr(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := u.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}

// A packet is one to send.
type packet struct {
	to netip.AddrPort
	b  []byte
}

// exchange sends packets, after each of the waits anew, until take has taken an
// answer. What is not from the gateway, and from that port of it unless that is
// 0, is not even shown to it.
func (r *Router) exchange(ctx context.Context, hop Hop, send []packet, waits []time.Duration, port uint16, take func([]byte) bool) error {
	c, err := r.o.Listen(ctx, hop.Own.Addr())
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()

	buf := make([]byte, maxPacket+1) // one more, to see what is too long
	strays := 0
	for _, wait := range waits {
		for _, p := range send {
			_, err = c.WriteTo(p.b, net.UDPAddrFromAddrPort(p.to))
		}
		if err != nil { // the last one, which is the gateway itself
			return err
		}
		c.SetReadDeadline(time.Now().Add(wait))
		for {
			n, a, err := c.ReadFrom(buf)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, os.ErrDeadlineExceeded):
			case err != nil:
				return err
			case fromGateway(a, hop, port) && take(buf[:n]):
				return nil
			}
			if err != nil {
				break
			}
			if strays++; strays == maxStray {
				return errSilent
			}
		}
	}
	return errSilent
}

func fromGateway(a net.Addr, hop Hop, port uint16) bool {
	p := addr(a)
	return p.Addr() == hop.Gateway.WithZone("") && (port == 0 || p.Port() == port)
}

// question sends one packet to a port of the gateway.
func (r *Router) question(ctx context.Context, hop Hop, port uint16, q []byte, take func([]byte) bool) error {
	return r.exchange(ctx, hop, []packet{{netip.AddrPortFrom(hop.Gateway, port), q}}, waits[:], port, take)
}
