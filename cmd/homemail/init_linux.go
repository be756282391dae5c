package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"homemail/appliance"
	"homemail/appliance/client"
	"homemail/appliance/letters"
	"homemail/appliance/network"
	"homemail/appliance/sandbox"
	"homemail/appliance/timekeeper"
	"homemail/listen"
	"homemail/store"
)

// asInit reports whether this process is a part of the box: PID 1, or what it
// starts for one task. Nobody types these at a command line.
func asInit(args []string) (words []string, ok bool) {
	if os.Getpid() == 1 && filepath.Base(args[0]) == "init" {
		return nil, true // what the kernel adds is not for us
	}
	if len(args) < 2 || args[1] != "init" {
		return nil, false
	}
	return args[2:], len(args) > 2 || os.Getpid() == 1
}

// beInit does one task of the box, and returns the exit code; done is false if this
// process is homemail itself, confined, which goes on with os.Args. PID 1 never ends.
func beInit(words []string) (code int, done bool) {
	if len(words) == 0 {
		return pidOne(), true
	}
	if words[0] == "confine" && len(words) > 2 {
		if err := sandbox.Enter(words[1]); err != nil {
			fmt.Fprintln(os.Stderr, "homemail init:", err)
			return 1, true
		}
		if words = words[2:]; words[0] != "init" {
			os.Args = append([]string{"homemail"}, words...)
			return 0, false
		}
		words = words[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := task(ctx, words[0], words[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "homemail init %s: %v\n", words[0], err)
		return 1, true
	}
	return 0, true
}

// task is what a confined process does.
func task(ctx context.Context, name string, args []string) error {
	switch {
	case name == "dhcp" && len(args) == 3:
		l, err := network.ParseLink(args[0], args[1])
		if err != nil {
			return err
		}
		return network.Ask(ctx, network.Packets(os.NewFile(3, "socket"), l.Index), l.MAC, args[2], os.Stdout)
	case name == "ntp" && len(args) == 1:
		return timekeeper.Ask(ctx, func() []string { return timeServers(args[0]) }, timekeeper.Query, os.Stdout)
	case name == "trouble" && len(args) == 3:
		return troublePage(ctx, args[0], args[1], args[2])
	case name == "face" && len(args) >= 3:
		return newFace(args[0], args[1], args[2], args[3:]).run(ctx)
	}
	return errors.New("no such task")
}

// timeServers are those that the network names, and then ours.
func timeServers(file string) []string {
	b, err := os.ReadFile(file)
	if err != nil {
		return timekeeper.Servers()
	}
	return append(strings.Fields(string(b)), timekeeper.Servers()...)
}

// pidOne is the life of the box. If all of it fails the kernel panics when we
// return, and starts again ten seconds later.
func pidOne() int {
	out := kernelLog()
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: withoutTime}))
	log.Info("homemail box", "version", version())
	keeper := &slotKeeper{}
	ending := appliance.Run(context.Background(), appliance.Options{Log: log, Err: out.f, Built: built(), Slot: keeper.run(log), SlotSocket: slotSocket})
	if err := errors.Join(keeper.again(), appliance.Finish(ending)); err != nil {
		log.Error("the machine does not end", "err", err)
	}
	time.Sleep(time.Minute)
	return 1
}

// withoutTime leaves the time of a line to the kernel, which knows it before the
// clock is set.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// A kmsg writes lines to the kernel's log, where all that the box says is in one
// order. Its programs' words go the same way.
type kmsg struct{ f *os.File }

// lineMax is what the kernel takes at once, less its own.
const lineMax = 900

func kernelLog() kmsg {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return kmsg{os.Stderr}
	}
	return kmsg{f}
}

func (k kmsg) Write(b []byte) (int, error) {
	line := "<6>homemail: " + strings.TrimRight(string(b), "\n")
	if strings.Contains(line, "level=ERROR") {
		line = "<3>" + line[3:]
	}
	_, err := k.f.WriteString(line[:min(len(line), lineMax)] + "\n")
	return len(b), err
}

// vouch tells the box again and again that homemail works: something was written to
// the disk, and read again. Without the word of it for long the box starts homemail
// anew, and then itself.
func (h *house) vouch(ctx context.Context) error {
	box := client.Client{Socket: os.Getenv("HOMEMAIL_BOX")}
	if box.Socket == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(vouchTime)
	defer tick.Stop()
	for {
		if err := vouchFor(h.store); err != nil {
			h.log.Error("homemail cannot vouch for itself", "err", err)
		} else if err := box.Alive(ctx); err != nil && ctx.Err() == nil {
			h.log.Warn("the box was not told that homemail works", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// vouchTime is between proofs. Each is a write, and a card lives only so many.
const vouchTime = time.Minute

const vouchPath = "box/alive"

// vouchFor writes and reads. A disk that is full, or that is to be read only, works
// as it should as long as it can be read.
func vouchFor(s *store.Store) error {
	now := strconv.AppendInt(nil, time.Now().UnixNano(), 10)
	if s.Room(0) != nil {
		_, err := s.Domains()
		return err
	}
	if err := s.PutState(vouchPath, now); err != nil {
		return err
	}
	got, err := s.State(vouchPath)
	if err == nil && string(got) != string(now) {
		err = errors.New("what was written was not read")
	}
	return err
}

// onBox reports whether this process is the homemail of a box.
func onBox() bool { return os.Getenv("HOMEMAIL_BOX") != "" }

// resetFile is the letter on the boot partition that makes a new password for the
// owner, "" where there is no such partition.
func resetFile() string {
	if onBox() {
		return letters.Reset
	}
	return ""
}

// firstFree is the lowest port that needs no right.
const firstFree = 1024

// checkPorts refuses doors that a box cannot open: homemail has no rights there, and
// of the ports that take one it has those that PID 1 opened for it.
func checkPorts(list []listen.Door) error {
	if !onBox() {
		return nil
	}
	for _, d := range list {
		_, port, err := net.SplitHostPort(d.Addr)
		if err != nil {
			continue // Bind says what is wrong
		}
		if n, err := strconv.Atoi(port); err == nil && n > 0 && n < firstFree && !slices.Contains(appliance.Ports(), n) {
			return fmt.Errorf("listen.%s: on this box port %d cannot be used; of those below %d it has %s; set another of these, or one from %d up",
				d.Name, n, firstFree, strings.Trim(fmt.Sprint(appliance.Ports()), "[]"), firstFree)
		}
	}
	return nil
}

// slotSocket is where homemail asks for updates.
const slotSocket = "/run/homemail/update.sock"
