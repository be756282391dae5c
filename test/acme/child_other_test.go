//go:build !linux

package acme

import "syscall"

func child() *syscall.SysProcAttr { return nil }
