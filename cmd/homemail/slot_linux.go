package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"homemail/appliance/slots"
	"homemail/update"
)

// Where the box has what updates are about. The roots are partitions of the disk
// that it runs from.
const (
	slotBoot    = "/boot"
	slotState   = "/data/update"
	rootAPart   = 2
	rootBPart   = 3
	releaseFile = "/etc/homemail-release" // of the image
)

// A slotKeeper is PID 1's part of updates, for appliance.Options.Slot. The zero
// slotKeeper is ready.
type slotKeeper struct {
	argument atomic.Pointer[string] // of the restart that was asked for
}

// run answers at the socket l, and keeps or leaves a version that is being tried,
// for as long as the box runs.
func (k *slotKeeper) run(log *slog.Logger) func(ctx context.Context, l net.Listener, healthy func(context.Context) error) error {
	return func(ctx context.Context, l net.Listener, healthy func(context.Context) error) error {
		box, err := newSlots(log, k.restart)
		if err != nil {
			l.Close()
			return err
		}
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return box.Serve(ctx, l) })
		g.Go(func() error { box.Run(ctx, healthy); return nil })
		return g.Wait()
	}
}

// restart asks the box to stop in order and to start again, as Ctrl-Alt-Del does.
func (k *slotKeeper) restart(argument string) {
	k.argument.Store(&argument)
	_ = unix.Kill(os.Getpid(), unix.SIGINT)
}

// again restarts the machine if an update asked for that, when all has been
// stopped. Otherwise it returns nil, and the machine ends in another way.
func (k *slotKeeper) again() error {
	a := k.argument.Load()
	if a == nil {
		return nil
	}
	unix.Sync()
	return slots.Restart(*a)
}

func newSlots(log *slog.Logger, restart func(string)) (*update.Box, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	boot, err := slots.Open(slotBoot, string(line))
	if err != nil {
		return nil, err
	}
	target, err := imageTarget()
	if err != nil {
		return nil, err
	}
	number := rootAPart
	if boot.Running() == slots.A {
		number = rootBPart
	}
	root, err := sibling("/", number)
	if err != nil {
		return nil, fmt.Errorf("the other root: %w", err)
	}
	keys, err := update.Keys()
	if err != nil {
		return nil, fmt.Errorf("keys of updates: %w", err)
	}
	return update.New(update.Options{
		Boot: boot, BootDir: slotBoot, Root: root, State: slotState, Keys: keys, Log: log, Restart: restart,
		Running: update.Running{Version: update.Release(), Target: target, Schema: schema()},
	}), nil
}

// imageTarget is which image the root is from: "amd64" or "pi".
func imageTarget() (string, error) {
	b, err := os.ReadFile(releaseFile)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if target, ok := strings.CutPrefix(line, "target="); ok {
			return strings.TrimSpace(target), nil
		}
	}
	return "", errors.New(releaseFile + " does not say which image this is")
}

// sibling returns the device of another partition of the disk that a mount is
// on, by its number.
func sibling(mount string, number int) (string, error) {
	var s unix.Stat_t
	if err := unix.Stat(mount, &s); err != nil {
		return "", err
	}
	own, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(uint64(s.Dev)), unix.Minor(uint64(s.Dev))))
	if err != nil {
		return "", err
	}
	list, err := filepath.Glob(filepath.Join(filepath.Dir(own), "*", "partition"))
	if err != nil {
		return "", err
	}
	for _, p := range list {
		b, err := os.ReadFile(p)
		if err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(number) && filepath.Dir(p) != own {
			return "/dev/" + filepath.Base(filepath.Dir(p)), nil
		}
	}
	return "", errors.New("the disk of " + mount + " has no other partition " + strconv.Itoa(number))
}
