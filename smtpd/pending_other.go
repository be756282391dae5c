//go:build !unix

package smtpd

import "net"

// pending cannot look ahead on this system.
func pending(net.Conn) bool { return false }
