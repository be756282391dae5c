package main

import (
	"context"
	"flag"
	"fmt"

	"homemail/admin"
)

// lineCommands find out what the house can do.
func lineCommands() []command {
	return []command{
		{"check", "[NAME...]", "find out whether this line and this house can do mail, and what to do about what they cannot", 0, 40, checkLine},
		{"check mute", "NAME", "show a finding that is known without telling anybody of it, until it changes or for some days", 1, 1, muteCheck},
		{"check unmute", "NAME", "tell of a check again", 1, 1, unmuteCheck},
		{"probe", "", "look at the houses of friends from outside, when they ask; keeps nothing", 0, 0, serveProbe},
	}
}

// An exitCode is an error that has been told already.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func checkLine(in *invocation, f *flag.FlagSet) action {
	last := f.Bool("last", false, "show what is known, without asking anybody")
	detail := f.Bool("v", false, "show everything that was found, for those who know networks")
	return func(ctx context.Context, args []string) error {
		var l admin.Line
		if err := in.ask(ctx, "line.check", admin.CheckLine{Names: args, Last: *last}, &l); err != nil {
			return err
		}
		if in.global.json {
			if err := in.print(l); err != nil {
				return err
			}
		} else {
			fmt.Fprint(in.stdout, lineText{lang: in.lang(), detail: *detail, all: len(args) == 0, last: *last}.of(l))
		}
		if code := l.Worst.ExitCode(); code != 0 {
			return exitCode(code)
		}
		return nil
	}
}
