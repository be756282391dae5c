//go:build !linux

package clients

import "syscall"

func child() *syscall.SysProcAttr { return nil }
