package slots

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Restart starts the box again, at once: everything is to be stopped, synced and
// unmounted before. The argument, as of Try, reaches the firmware. It needs
// CAP_SYS_BOOT, and does not return if it works.
func Restart(argument string) error {
	if argument == "" {
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	text, err := unix.BytePtrFromString(argument)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2,
		unix.LINUX_REBOOT_CMD_RESTART2, uintptr(unsafe.Pointer(text)), 0, 0)
	return errno
}
