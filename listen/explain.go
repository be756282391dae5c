package listen

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// explain says which door could not be opened, why, and what to do about it.
func explain(d Door, err error) error {
	why := err
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		why = op.Err
		if sys := (*os.SyscallError)(nil); errors.As(op.Err, &sys) {
			why = sys.Err // "permission denied" without "listen tcp :25: bind:"
		}
	}
	return &bindError{err: err, text: fmt.Sprintf("%s: cannot listen on %s: %v; %s", d.Name, d.Addr, why, remedy(d, err))}
}

// A bindError is text for people over the system's error.
type bindError struct {
	text string
	err  error
}

func (e *bindError) Error() string { return e.text }
func (e *bindError) Unwrap() error { return e.err }

func remedy(d Door, err error) string {
	_, port, _ := net.SplitHostPort(d.Addr)
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		exe, err := os.Executable()
		if err != nil {
			exe = "/path/to/homemail"
		}
		return fmt.Sprintf("ports below 1024 need a right: run \"sudo setcap cap_net_bind_service=+ep %s\", "+
			"or put AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or set listen.%s to a higher port", exe, d.Name)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("%s; stop it, or set listen.%s to another port", holder("/proc", port), d.Name)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("this computer has no such address (\"ip addr\" shows those that it has); mend listen.%s", d.Name)
	}
	return fmt.Sprintf("mend listen.%s", d.Name)
}

// holder says which process listens on a port, as far as the system lets us
// see, or how to find out.
func holder(proc, port string) string {
	ask := fmt.Sprintf("another program has the port (\"sudo ss -ltnp sport = :%s\" shows which)", port)
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ask
	}
	inodes := map[string]bool{}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		listening(filepath.Join(proc, table), uint16(n), inodes)
	}
	pid := ownerOf(proc, inodes)
	switch {
	case pid == "":
		return ask
	case pid == strconv.Itoa(os.Getpid()):
		return "another door of homemail has the port"
	}
	name, err := os.ReadFile(filepath.Join(proc, pid, "comm"))
	if err != nil {
		return "process " + pid + " has the port"
	}
	return fmt.Sprintf("%s (process %s) has the port", strings.TrimSpace(string(name)), pid)
}

// listening collects the inodes of the sockets in a table of proc(5)'s
// net/tcp form that listen on the port.
func listening(table string, port uint16, inodes map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	const stateListen = "0A" // include/net/tcp_states.h: TCP_LISTEN
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text()) // sl local remote state queues timer retransmits uid timeout inode
		if len(w) > 9 && strings.HasSuffix(w[1], suffix) && w[3] == stateListen {
			inodes["socket:["+w[9]+"]"] = true
		}
	}
}

// ownerOf returns the first process that holds one of the sockets, among those
// that we may look into.
func ownerOf(proc string, sockets map[string]bool) string {
	if len(sockets) == 0 {
		return ""
	}
	fds, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && sockets[to] {
			return filepath.Base(filepath.Dir(filepath.Dir(fd)))
		}
	}
	return ""
}
