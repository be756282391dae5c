//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"
)

const (
	answerTime = 3 * time.Second // for a server to answer, before it is asked again
	tries      = 4
	clientPort = 68          // RFC 2131 §4.1
	usualLease = time.Hour   // where a server says nothing
	retryAfter = time.Second // doubled up to retryMost
	retryMost  = time.Minute
)

// Ask gets an address and keeps it: it writes a line for each lease, and "gone"
// when it has none any more. It is what runs confined; conn is a packet socket.
func Ask(ctx context.Context, conn net.PacketConn, mac net.HardwareAddr, host string, out io.Writer) error {
	c, err := nclient4.NewWithConn(nclient4.NewBroadcastUDPConn(conn, &net.UDPAddr{Port: clientPort}), mac,
		nclient4.WithTimeout(answerTime), nclient4.WithRetry(tries))
	if err != nil {
		return err
	}
	defer c.Close()
	for pause := retryAfter; ; pause = min(2*pause, retryMost) {
		got, err := c.Request(ctx, wishes(host))
		if err == nil {
			if err = keep(ctx, c, got, host, out); err == nil {
				pause = retryAfter
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errOutput) {
			return err
		}
		if !wait(ctx, pause) {
			return nil
		}
	}
}

// wishes are what a server is asked for besides an address.
func wishes(host string) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) {
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionNTPServers)(d)
		if host != "" {
			d.UpdateOption(dhcpv4.OptHostName(host))
		}
	}
}

// errOutput ends the process: nobody hears it any more.
var errOutput = errors.New("nobody listens")

// keep tells of a lease and renews it, RFC 2131 §4.4.5, until it has run out.
func keep(ctx context.Context, c *nclient4.Client, got *nclient4.Lease, host string, out io.Writer) error {
	for {
		l, err := leaseOf(got.ACK)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, l); err != nil {
			return errors.Join(errOutput, err)
		}
		next, err := renew(ctx, c, got, l.For, host)
		if ctx.Err() != nil { // we stop, and the address stays: others still say goodbye
			return ctx.Err()
		}
		if err != nil {
			if _, err := fmt.Fprintln(out, "gone"); err != nil {
				return errors.Join(errOutput, err)
			}
			return err
		}
		got = next
	}
}

// renew waits for half of the lease, and then asks until there is another or it
// has run out. Our requests are broadcast, which also finds another server: so
// there is no difference between renewing and rebinding.
func renew(ctx context.Context, c *nclient4.Client, got *nclient4.Lease, left time.Duration, host string) (*nclient4.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	for end := time.Now().Add(left); ; {
		if !wait(ctx, max(time.Until(end)/2, answerTime)) {
			return nil, ctx.Err()
		}
		next, err := c.Renew(ctx, got, wishes(host))
		var nak *nclient4.ErrNak
		if err == nil || errors.As(err, &nak) || ctx.Err() != nil {
			return next, err
		}
	}
}

// leaseOf takes from an answer what we use of it, and nothing that is odd.
func leaseOf(ack *dhcpv4.DHCPv4) (l Lease, err error) {
	ip, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok {
		return l, errors.New("the answer has no address")
	}
	bits := 24
	if mask := ack.SubnetMask(); mask != nil {
		ones, size := mask.Size()
		if size != 32 {
			return l, errors.New("the answer's mask has holes")
		}
		bits = ones
	}
	l.Address = netip.PrefixFrom(ip, bits)
	l.For = min(max(ack.IPAddressLeaseTime(usualLease), shortest), longest)
	for _, a := range known(ack.Router(), 1) {
		if l.Address.Contains(a) && a != ip {
			l.Router = a
		}
	}
	l.DNS, l.NTP = known(ack.DNS(), maxServers), known(ack.NTPServers(), maxServers)
	return l, l.check()
}

// known are the first n addresses that a server can have.
func known(ips []net.IP, n int) (list []netip.Addr) {
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && unicast(a) && len(list) < n {
			list = append(list, a)
		}
	}
	return list
}

// wait reports whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A packets is a packet socket that was opened by somebody with the right to: it
// sends IPv4 to everybody on one network, and gets what its filter lets through.
type packets struct {
	*os.File
	index int
}

// Packets is the socket that OpenPackets made, in the process that it was given to.
func Packets(f *os.File, index int) net.PacketConn { return packets{f, index} }

func (p packets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, &net.UDPAddr{}, err
}

// WriteTo sends to all, whatever the address: who has no IP address can neither ask
// for a neighbour's nor be asked.
func (p packets) WriteTo(b []byte, _ net.Addr) (int, error) {
	raw, err := p.SyscallConn()
	if err != nil {
		return 0, err
	}
	to := &unix.SockaddrLinklayer{Protocol: network16(unix.ETH_P_IP), Ifindex: p.index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), b, 0, to)
		return !errors.Is(sent, unix.EAGAIN)
	})
	return len(b), errors.Join(err, sent)
}

func (p packets) LocalAddr() net.Addr { return &net.UDPAddr{} }

// network16 is a number of 16 bits as it stands in a packet.
func network16(v uint16) uint16 { return v<<8 | v>>8 } // all machines that we are built for are little-endian
