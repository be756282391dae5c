package acme

import "syscall"

// child ends a server whose test has died without ending it.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
