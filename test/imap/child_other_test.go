//go:build !linux

package imap

import "syscall"

func child() *syscall.SysProcAttr { return nil }
