//go:build linux

package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/net/bpf"
)

// A cable is a packet socket whose other end is a server of the test.
type cable struct {
	in     chan []byte
	server func(*dhcpv4.DHCPv4) *dhcpv4.DHCPv4
	close  sync.Once
	closed chan struct{}
}

func (c *cable) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p), &net.UDPAddr{}, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

const headers = 28 // of IPv4 and UDP

func (c *cable) WriteTo(b []byte, _ net.Addr) (int, error) {
	q, err := dhcpv4.FromBytes(b[headers:])
	if err != nil {
		return 0, err
	}
	if a := c.server(q); a != nil {
		c.in <- datagram(67, 68, a.ToBytes())
	}
	return len(b), nil
}

func datagram(from, to uint16, data []byte) []byte {
	b := make([]byte, headers, headers+len(data))
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(headers+len(data)))
	copy(b[12:], []byte{10, 0, 2, 2})
	copy(b[16:], []byte{255, 255, 255, 255})
	binary.BigEndian.PutUint16(b[20:], from)
	binary.BigEndian.PutUint16(b[22:], to)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(data)))
	return append(b, data...)
}

func (c *cable) Close() error                     { c.close.Do(func() { close(c.closed) }); return nil }
func (c *cable) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (c *cable) SetDeadline(time.Time) error      { return nil }
func (c *cable) SetReadDeadline(time.Time) error  { return nil }
func (c *cable) SetWriteDeadline(time.Time) error { return nil }

// A server gives one address for an hour, while it is there.
type server struct {
	names []string
	mute  atomic.Bool
	more  dhcpv4.Modifier
}

func (s *server) answer(q *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	if s.mute.Load() {
		return nil
	}
	s.names = append(s.names, q.MessageType().String()+" "+q.HostName())
	kind := dhcpv4.MessageTypeOffer
	if q.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
	}
	a, _ := dhcpv4.NewReplyFromRequest(q, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.IP{10, 0, 2, 15}),
		dhcpv4.WithServerIP(net.IP{10, 0, 2, 2}), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithRouter(net.IP{10, 0, 2, 2}), dhcpv4.WithDNS(net.IP{10, 0, 2, 3}, net.IP{127, 0, 0, 1}),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 0, 2, 2})), dhcpv4.WithOption(dhcpv4.OptNTPServers(net.IP{10, 0, 2, 4})))
	if s.more != nil {
		s.more(a)
	}
	return a
}

// lines has the lines of Ask, and when they came.
type lines struct {
	start time.Time
	b     bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.b.WriteString(time.Since(l.start).Round(time.Minute).String() + " ")
	return l.b.Write(b)
}

func ask(t *testing.T, s *server, d time.Duration, during func()) string {
	c := &cable{in: make(chan []byte, 8), server: s.answer, closed: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	out := &lines{start: time.Now()}
	done := make(chan error, 1)
	go func() { done <- Ask(ctx, c, net.HardwareAddr{2, 0, 0, 0, 0, 1}, "homemail", out) }()
	time.Sleep(d)
	during()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return out.b.String()
}

const wantLease = "lease 10.0.2.15/24 10.0.2.2 3600 10.0.2.3 10.0.2.4\n"

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		got := ask(t, s, 65*time.Minute, func() {})
		if want := "0s " + wantLease + "30m0s " + wantLease + "1h0m0s " + wantLease; !strings.HasPrefix(got, want) {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if want := []string{"DISCOVER homemail", "REQUEST homemail", "REQUEST homemail", "REQUEST homemail"}; !slices.Equal(s.names, want) {
			t.Error(s.names)
		}
	})
}

// TestRunsOut: a server that is gone is asked until the lease is over; then the
// address is given up, and a new one is asked for.
func TestRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		got := ask(t, s, time.Minute, func() {
			s.mute.Store(true)
			time.Sleep(2 * time.Hour)
			s.mute.Store(false)
			time.Sleep(3 * time.Minute)
		})
		if want := "0s " + wantLease + "1h0m0s gone\n2h"; !strings.HasPrefix(got, want) || strings.Count(got, wantLease) != 2 {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

// TestOddAnswers: nothing is said of an answer that cannot be right, and a router
// of another network is left out.
func TestOddAnswers(t *testing.T) {
	for name, more := range map[string]dhcpv4.Modifier{
		"loopback": dhcpv4.WithYourIP(net.IP{127, 0, 0, 1}),
		"all":      dhcpv4.WithYourIP(net.IP{255, 255, 255, 255}),
		"none":     dhcpv4.WithYourIP(net.IPv4zero),
		"too wide": dhcpv4.WithNetmask(net.CIDRMask(0, 32)),
		"holes":    dhcpv4.WithNetmask(net.IPMask{255, 0, 255, 0}),
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := ask(t, &server{more: more}, time.Minute, func() {}); got != "" {
				t.Errorf("%s: %s", name, got)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		got := ask(t, &server{more: dhcpv4.WithRouter(net.IP{10, 9, 9, 9})}, time.Second, func() {})
		if want := "0s lease 10.0.2.15/24 - 3600 10.0.2.3 10.0.2.4\n"; !strings.HasPrefix(got, want) {
			t.Error(got)
		}
	})
}

// TestNobodyListens: the client ends with whom it tells.
func TestNobodyListens(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	c := &cable{in: make(chan []byte, 8), server: (&server{}).answer, closed: make(chan struct{})}
	if err := Ask(t.Context(), c, net.HardwareAddr{2, 0, 0, 0, 0, 1}, "", io.Writer(w)); err == nil {
		t.Error("no error")
	}
}

func TestFilter(t *testing.T) {
	vm, err := bpf.NewVM(dhcpOnly())
	if err != nil {
		t.Fatal(err)
	}
	good := datagram(67, 68, make([]byte, 300))
	change := func(i int, v byte) []byte { b := slices.Clone(good); b[i] = v; return b }
	for name, tt := range map[string]struct {
		packet []byte
		pass   bool
	}{
		"dhcp": {good, true}, "dns": {datagram(53, 5353, nil), false}, "tcp": {change(9, 6), false}, "fragment": {change(7, 9), false},
		"short": {good[:21], false}, "empty": {nil, false},
	} {
		if n, err := vm.Run(tt.packet); err != nil || (n > 0) != tt.pass {
			t.Error(name, n, err)
		}
	}
}
