package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"homemail/admin"
	tty "homemail/appliance/console"
	"homemail/appliance/letters"
	"homemail/firstboot"
)

// headless does what letters on the boot partition ask for, once homemail runs: it
// sets the house up, or makes a new password for its owner.
func (c *face) headless(ctx context.Context) {
	a := waitForServer(ctx)
	if a == nil {
		return
	}
	reset := filepath.Join(boxLetters, letters.Reset)
	if _, err := os.Stat(reset); err == nil {
		w := tty.Load(c.view.Lang)
		c.told(c.newOwner(ctx, w))
		time.Sleep(2 * faceLater) // what came of it is on the boot partition before the request is gone
		if err := os.Remove(reset); err != nil {
			fmt.Fprintln(os.Stderr, "reset-owner:", err)
		}
		return
	}
	name := filepath.Join(boxLetters, letters.Setup)
	if _, err := os.Stat(name); err != nil {
		return
	}
	var o admin.Overview
	if err := a.Do(ctx, "overview", admin.Empty{}, &o); err != nil || o.Accounts > 0 { // it is somebody's: a file is applied once
		return
	}
	file, err := firstboot.ReadFile(name)
	if err != nil {
		c.told("homemail.toml: " + err.Error())
		return
	}
	var out bytes.Buffer
	in := &invocation{stdout: &out, stderr: os.Stderr}
	if err := in.applySetup(ctx, a, file, true, ""); err != nil {
		fmt.Fprintf(&out, "homemail.toml: %v\n", err)
	}
	c.told(out.String())
}

// told has the status letter tell what came of a letter, until the next start.
func (c *face) told(text string) {
	c.results <- text
}

// waitForServer waits until homemail answers, and returns nil if ctx ends before.
func waitForServer(ctx context.Context) *admin.Client {
	for {
		if a, err := admin.Dial(boxData); err == nil {
			return a
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
