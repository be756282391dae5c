//go:build linux

// Package client asks PID 1 of the box, for homemail and for people at its command
// line. What it may ask is little: the box is not homemail's to command.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"homemail/appliance/move"
	"homemail/appliance/volume"
	"homemail/appliance/wire"
)

// Socket is where the box listens.
const Socket = "/run/homemail/box.sock"

// A Client asks the box.
type Client struct {
	Socket string
}

const clientTime = 10 * time.Second

// ask sends a question and calls fn with each line of the answer.
func (c Client) ask(ctx context.Context, fn func(w []string) error, question ...string) error {
	ctx, cancel := context.WithTimeout(ctx, clientTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(clientTime))
	if _, err := fmt.Fprintln(conn, wire.Line(question...)); err != nil {
		return err
	}
	ended := errors.New("end")
	err = wire.Each(conn, func(line string) error {
		switch w := wire.Words(line); w[0] {
		case "end":
			return ended
		case "error":
			return errors.New(strings.Join(w[1:], " "))
		default:
			return fn(w)
		}
	})
	if errors.Is(err, ended) {
		return nil
	}
	if err == nil {
		err = errors.New("the box gave no answer")
	}
	return err
}

// Disks are those that the mail could move to.
func (c Client) Disks(ctx context.Context) (list []volume.Disk, err error) {
	err = c.ask(ctx, func(w []string) error {
		if len(w) != 4 || w[0] != "disk" {
			return errors.New("not a disk")
		}
		n, err := strconv.ParseInt(w[2], 10, 64)
		list = append(list, volume.Disk{Name: w[1], Size: n, Model: w[3], USB: true})
		return err
	}, "disks")
	return list, err
}

// Move begins to move the mail to a disk, which loses all that is on it.
func (c Client) Move(ctx context.Context, disk string) error {
	return c.ask(ctx, func([]string) error { return nil }, "move", disk)
}

// Progress is how far that is.
func (c Client) Progress(ctx context.Context) (p move.Progress, err error) {
	err = c.ask(ctx, func(w []string) error {
		if len(w) != 6 || w[0] != "progress" {
			return errors.New("no progress")
		}
		done, err := strconv.ParseInt(w[3], 10, 64)
		total, err2 := strconv.ParseInt(w[4], 10, 64)
		p = move.Progress{Stage: move.Stage(w[1]), Disk: w[2], Done: done, Total: total, Why: w[5]}
		return errors.Join(err, err2)
	}, "progress")
	return p, err
}

// State is how the data is.
func (c Client) State(ctx context.Context) (s volume.State, err error) {
	err = c.ask(ctx, func(w []string) error {
		if len(w) != 5 || w[0] != "state" {
			return errors.New("no state")
		}
		s = volume.State{Mode: volume.Mode(w[1]), Trouble: volume.Trouble(w[2]), Disk: w[3], Detail: w[4]}
		return nil
	}, "state")
	return s, err
}

// PowerOff stops the box in order.
func (c Client) PowerOff(ctx context.Context) error {
	return c.ask(ctx, func([]string) error { return nil }, "poweroff")
}

// Restart stops the box in order, and starts it again.
func (c Client) Restart(ctx context.Context) error {
	return c.ask(ctx, func([]string) error { return nil }, "restart")
}

// Alive says that homemail has just written something, and read it again.
func (c Client) Alive(ctx context.Context) error {
	return c.ask(ctx, func([]string) error { return nil }, "alive")
}
