package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Given are sockets that whoever started this program has opened for it, because
// it takes rights to open them that this program does not need: sd_listen_fds(3).
// They outlive what is bound to them. The nil Given has none.
type Given struct {
	sockets []givenSocket
}

type givenSocket struct {
	file *os.File
	addr netip.AddrPort
}

const (
	firstGiven = 3   // descriptor
	mostGiven  = 100 // more were given by mistake
)

// TakeGiven takes the sockets over that the environment tells of. It returns nil if
// there are none, or if they are meant for another process.
func TakeGiven(getenv func(string) string) (*Given, error) {
	if pid, err := strconv.Atoi(getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > mostGiven {
		return nil, fmt.Errorf("LISTEN_FDS=%s: not a number of sockets", getenv("LISTEN_FDS"))
	}
	g := &Given{}
	for fd := firstGiven; fd < firstGiven+n; fd++ {
		unix.CloseOnExec(fd)
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return nil, fmt.Errorf("descriptor %d was given as a socket: %w", fd, err)
		}
		g.sockets = append(g.sockets, givenSocket{os.NewFile(uintptr(fd), "given"), addrPort(sa)})
	}
	return g, nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{} // a Unix socket is no door
}

// Bind is Bind, but a door whose address was given is not opened anew. A given
// socket that no door is for is made deaf: nobody is to wait there for an answer.
func (g *Given) Bind(ctx context.Context, doors []Door, log *slog.Logger) ([]*Listener, error) {
	if g == nil {
		return Bind(ctx, doors, log)
	}
	used := make([]bool, len(g.sockets))
	var open []*Listener
	var missing []Door
	var errs []error
	for _, d := range doors {
		i := g.find(d.Addr, used)
		if i < 0 {
			missing = append(missing, d)
			continue
		}
		used[i] = true
		l, err := g.sockets[i].listen()
		if err != nil {
			errs = append(errs, explain(d, err))
			continue
		}
		open = append(open, Wrap(l, d, log))
	}
	for i, s := range g.sockets {
		if !used[i] && s.addr.IsValid() {
			errs = append(errs, deafen(int(s.file.Fd()), true))
		}
	}
	more, err := Bind(ctx, missing, log)
	if err = errors.Join(errors.Join(errs...), err); err != nil {
		for _, l := range append(open, more...) {
			l.Close()
		}
		return nil, err
	}
	return append(open, more...), nil
}

// find returns the socket for an address as doors have it, or -1. All of the
// computer's addresses are those of IPv6 and IPv4 together.
func (g *Given) find(addr string, used []bool) int {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return -1
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return -1
	}
	want := netip.IPv6Unspecified()
	if host != "" {
		if want, err = netip.ParseAddr(host); err != nil {
			return -1
		}
	}
	for i, s := range g.sockets {
		if !used[i] && s.addr == netip.AddrPortFrom(want.Unmap(), uint16(n)) {
			return i
		}
	}
	return -1
}

// listen returns a copy of the socket: the original is for the next who binds.
func (s givenSocket) listen() (net.Listener, error) {
	if err := deafen(int(s.file.Fd()), false); err != nil {
		return nil, err
	}
	return net.FileListener(s.file)
}
