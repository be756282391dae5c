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
	for name, six := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) { exchange(t, lo, six) })
	}
}

func exchange(t *testing.T, lo *net.Interface, six bool) {
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
	defer time.AfterFunc(2*time.Second, func() { b.Close() }).Stop()
	buf := make([]byte, 10)
	n, from, link, err := b.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "hello" || link != lo.Index || from.Port() != Port {
		t.Errorf("%q from %s on link %d, %v", buf[:n], from, link, err)
	}
	if err := b.Leave(lo.Index); err != nil {
		t.Error(err)
	}
}
