package mdns

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestSystemConn sends a packet to everybody on the loopback interface over real
// sockets, two of which share the port.
func TestSystemConn(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip(err) // not Linux
	}
	for _, six := range []bool{false, true} {
		a, err := listen(six)
		if err != nil {
			t.Skip(err) // somebody has the port for himself, or there is no IPv6
		}
		defer a.Close()
		b, err := listen(six)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if err := b.Join(lo.Index); err != nil {
			t.Skip(err)
		}
		if err := a.WriteTo([]byte("hello"), lo.Index, netip.AddrPort{}); err != nil {
			t.Skip(err) // no way for groups on this interface
		}
		time.AfterFunc(2*time.Second, func() { b.Close() })
		buf := make([]byte, 10)
		n, from, link, err := b.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "hello" || link != lo.Index || from.Port() != Port {
			t.Errorf("IPv6 %v: %q from %s on link %d, %v", six, buf[:n], from, link, err)
		}
		if err := b.Leave(lo.Index); err != nil {
			t.Error(err)
		}
	}
}
