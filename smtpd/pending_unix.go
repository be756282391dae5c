//go:build unix

package smtpd

import (
	"net"
	"syscall"
)

// pending reports whether the client has sent something already. It never
// waits, and knows nothing about connections that are no sockets.
func pending(nc net.Conn) bool {
	sc, ok := innermost(nc).(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var n int
	rc.Control(func(fd uintptr) {
		var b [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return n > 0
}
