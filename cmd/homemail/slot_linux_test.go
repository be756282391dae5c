package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"homemail/appliance/slots"
)

// TestSlotKeeper: a computer that is no box has no part in this, and a restart is
// asked for as Ctrl-Alt-Del does.
func TestSlotKeeper(t *testing.T) {
	var k slotKeeper
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	healthy := func(context.Context) error { return nil }
	if err := k.run(slog.New(slog.DiscardHandler))(t.Context(), l, healthy); !errors.Is(err, slots.ErrState) {
		t.Errorf("%v", err)
	}
	if err := k.again(); err != nil {
		t.Errorf("a restart that nobody asked for: %v", err)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT)
	defer signal.Stop(c)
	k.restart("0 tryboot")
	<-c
	if a := k.argument.Load(); a == nil || *a != "0 tryboot" {
		t.Errorf("%v", a)
	}
	if name, err := sibling("/proc", 2); err == nil {
		t.Errorf("the disk of /proc has %s", name)
	}
}
