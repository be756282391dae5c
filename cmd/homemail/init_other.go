//go:build !linux

package main

import (
	"context"

	"homemail/listen"
)

// The box runs Linux; elsewhere there is none.
func asInit([]string) ([]string, bool) { return nil, false }

func beInit([]string) (code int, done bool) { return 0, false }

func (h *house) vouch(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func boxCommands() []command { return nil }

func resetFile() string { return "" }

func checkPorts([]listen.Door) error { return nil }
