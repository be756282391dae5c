package listen

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// deafen has the kernel drop what comes to a socket, or listen again. Who connects
// finds nobody there, as behind a firewall. To shut a listening socket down cannot
// be undone.
func deafen(fd int, deaf bool) error {
	if deaf {
		drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K} // the filter that takes nothing
		return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop}))
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	if errors.Is(err, unix.ENOENT) { // it heard already
		err = nil
	}
	return os.NewSyscallError("setsockopt", err)
}
