package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// hasten lets the disk begin to write what a flush to come would have to wait
// for. It is only a hint, so that its error does not matter.
func hasten(f *os.File, at, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
}

// flushData makes what was written to a file stable.
func flushData(f *os.File) error {
	return retryEINTR(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// allocate makes room for a file on the disk, or returns EOPNOTSUPP.
func allocate(f *os.File, size int64) error {
	return retryEINTR(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
}
