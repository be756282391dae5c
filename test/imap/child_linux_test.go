package imap

import "syscall"

// child ends a process whose test has died without ending it.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
