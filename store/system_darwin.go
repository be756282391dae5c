package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// hasten does nothing: macOS knows no such hint.
func hasten(*os.File, int64, int64) {}

// flushData makes what was written to a file stable. Go's Sync is F_FULLFSYNC,
// which reaches the disk; macOS's fsync does not.
func flushData(f *os.File) error { return f.Sync() }

// allocate returns EOPNOTSUPP.
func allocate(*os.File, int64) error { return unix.EOPNOTSUPP }
