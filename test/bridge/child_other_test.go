//go:build !linux

package bridge

import "syscall"

func child() *syscall.SysProcAttr { return nil }
