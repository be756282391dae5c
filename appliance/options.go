//go:build linux

// Package appliance is PID 1 of the box: it makes a bare board fit to run homemail
// and keeps it running. It mounts, connects, sets the clock, feeds the watchdog,
// starts homemail as a user without rights and stops everything in order. What
// strangers say is read by processes that it confines, never by itself.
//
// docs/appliance.md tells what runs as whom.
package appliance

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	"homemail/appliance/volume"
)

// The users of the box, who have no names.
const (
	mailUser = 100 // homemail, and the console, which asks it
	netUser  = 101 // who asks the network for addresses
	timeUser = 102 // who asks for the time
)

// Directories and files of the box.
const (
	bootDir    = "/boot"
	dataDir    = "/data"
	runDir     = "/run/homemail"
	letterDir  = runDir + "/letters" // of homemail's user: what is to be seen on the boot partition
	serversDir = runDir + "/net"
	mailDir    = dataDir + "/homemail"
	resolver   = "/run/resolv.conf"
	controls   = runDir + "/box.sock"
	noticeFile = runDir + "/notice" // a trouble that the console shows
)

// bootPart and dataPart are the numbers of partitions, docs/appliance.md.
const (
	bootPart = 1
	dataPart = 4
)

// Options are what PID 1 has to know of the program that it is.
type Options struct {
	Log   *slog.Logger
	Err   *os.File  // where programs write what goes wrong
	Built time.Time // of this program
	// Slot runs what watches over an update for as long as the box runs: healthy
	// says whether homemail works. Nil for none.
	Slot func(ctx context.Context, l net.Listener, healthy func(context.Context) error) error
	// SlotSocket is where Slot's listener is, "" for none.
	SlotSocket string
}

// enter are the words by which this program confines itself.
func enter() []string { return []string{"init", "confine"} }

func host() volume.Host { return volume.Host{Sys: "/sys", Dev: "/dev"} }

func tools() volume.Tools { return volume.Tools{Make: "/sbin/mke2fs", Check: "/sbin/e2fsck"} }
