package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"homemail/appliance/client"
	"homemail/appliance/move"
)

// boxCommands are about the board that homemail runs on, where it is its PID 1.
func boxCommands() []command {
	return []command{
		{"box", "", "tell how the box's disk is, and how far a move of the mail is", 0, 0, showBox},
		{"box disks", "", "list the USB disks that the mail could move to", 0, 0, listDisks},
		{"box move", "DISK", "move the mail to a USB disk, which loses all that is on it; goes on by itself after a power cut", 1, 1, moveMail},
		{"box poweroff", "", "stop the box in order", 0, 0, endBox(client.Client.PowerOff)},
		{"box restart", "", "stop the box in order and start it again", 0, 0, endBox(client.Client.Restart)},
	}
}

// theBox is the box that this is.
func theBox() client.Client { return client.Client{Socket: client.Socket} }

// noBox says in words that there is none.
func noBox(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this computer was not started from homemail's image")
	}
	return err
}

func showBox(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		s, err := theBox().State(ctx)
		if err != nil {
			return noBox(err)
		}
		p, err := theBox().Progress(ctx)
		if err != nil {
			return err
		}
		if in.global.json {
			return in.print(map[string]any{"disk": s.Disk, "mode": s.Mode, "trouble": s.Trouble, "detail": s.Detail, "move": p})
		}
		fmt.Fprintf(in.stdout, "the mail is on %s: %s %s %s\n", s.Disk, s.Mode, s.Trouble, s.Detail)
		if p.Stage != move.Idle {
			fmt.Fprintln(in.stdout, progressText(p))
		}
		return nil
	}
}

func progressText(p move.Progress) string {
	if p.Stage == move.Failed {
		return fmt.Sprintf("the move to %s failed: %s", p.Disk, p.Why)
	}
	return fmt.Sprintf("the move to %s: %s, %d of %d MB", p.Disk, p.Stage, p.Done>>20, p.Total>>20)
}

func listDisks(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		list, err := theBox().Disks(ctx)
		if err != nil {
			return noBox(err)
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, d := range list {
			rows = append(rows, []string{d.Name, strconv.FormatInt(d.Size>>30, 10) + " GiB", d.Model})
		}
		return in.table("DISK SIZE MODEL", rows)
	}
}

// moveMail begins a move and shows how far it is. The box goes on with it also if
// nobody looks.
func moveMail(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		if err := theBox().Move(ctx, args[0]); err != nil {
			return noBox(err)
		}
		for last := ""; ; {
			p, err := theBox().Progress(ctx)
			if err != nil {
				return err
			}
			if text := progressText(p); text != last {
				fmt.Fprintln(in.stdout, text)
				last = text
			}
			switch p.Stage {
			case move.Done:
				return nil
			case move.Failed:
				return errors.New(p.Why)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	}
}

func endBox(end func(client.Client, context.Context) error) func(*invocation, *flag.FlagSet) action {
	return func(*invocation, *flag.FlagSet) action {
		return func(ctx context.Context, _ []string) error { return noBox(end(theBox(), ctx)) }
	}
}
