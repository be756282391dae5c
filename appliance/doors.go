//go:build linux

package appliance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// Ports are those of a house as it is without settings, which PID 1 opens. Others
// are open to homemail, too, if they are above 1023.
func Ports() []int { return []int{25, 587, 465, 143, 993, 110, 995, 80, 443} }

// A door is a socket that listens, and stays open while homemail is started again:
// who comes meanwhile waits.
type door struct {
	port int
	file *os.File
}

// openDoors binds all ports for IPv6 and IPv4 together.
func openDoors(ctx context.Context) (list []door, err error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // Landlock's rules do not bind it, and filters do not work on it
	var errs []error
	for _, p := range Ports() {
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(p)))
		if err != nil {
			errs = append(errs, fmt.Errorf("port %d: %w", p, err))
			continue
		}
		f, err := l.(*net.TCPListener).File()
		l.Close()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, door{p, f})
	}
	return list, errors.Join(errs...)
}

// files are those of some doors, or of all.
func files(list []door, only ...int) (fs []*os.File) {
	for _, d := range list {
		wanted := len(only) == 0
		for _, p := range only {
			wanted = wanted || p == d.port
		}
		if wanted {
			fs = append(fs, d.file)
		}
	}
	return fs
}
