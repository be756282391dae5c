package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"homemail/admin"
	"homemail/mail"
	"homemail/store"
)

// machineCommands are about accounts that send very much, and machines that
// send at all.
func machineCommands() []command {
	return []command{
		{"sending list", "", "show how many people outside each account has written to, and which are paused", 0, 0, listSending},
		{"sending pause", "ADDRESS", "let nothing more of an account leave; what it sends waits", 1, 1, pauseSending},
		{"sending resume", "ADDRESS", "let an account send again, and what waits", 1, 1, resumeSending},
		{"machine add", "NAME IP-ADDRESS FOR", "let a scanner or the like send without a password, for an account", 3, 3, addMachine},
		{"machine list", "", "list the machines that may send without a password", 0, 0, listMachines},
		{"machine remove", "NAME", "end that", 1, 1, removeMachine},
	}
}

func listSending(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.Sending
		if err := in.ask(ctx, "sending.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, s := range list {
			state := "may send"
			if s.Pause != nil {
				state = s.Pause.Reason
			}
			rows = append(rows, []string{string(s.Address), strconv.Itoa(s.Hour), strconv.Itoa(s.Day), strconv.Itoa(s.New), state})
		}
		return in.table("ADDRESS HOUR DAY NEW STATE", rows)
	}
}

func pauseSending(in *invocation, f *flag.FlagSet) action {
	reason := f.String("reason", "the owner wants it so", "`WORDS` to remember why")
	return func(ctx context.Context, args []string) error {
		return in.askCount(ctx, "sending.pause", admin.PauseSending{Address: mail.Path(args[0]), Reason: *reason}, "paused; mail to %d recipients waits\n")
	}
}

func resumeSending(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		return in.askCount(ctx, "sending.resume", admin.Address{Address: mail.Path(args[0])}, "sending again; mail to %d recipients goes on\n")
	}
}

func addMachine(in *invocation, f *flag.FlagSet) action {
	rewrite := f.Bool("rewrite", false, "make the account the author of what claims to be from somebody else, instead of refusing it")
	local := f.Bool("local", false, "let it write to addresses of this house only")
	return func(ctx context.Context, args []string) error {
		q := admin.Machine{Name: args[0], Address: args[1], For: mail.Path(args[2]), From: store.RefuseFrom, Local: *local}
		if *rewrite {
			q.From = store.RewriteFrom
		}
		var c admin.Caution
		if err := in.ask(ctx, "machine.add", q, &c); err != nil {
			return err
		}
		if c.Caution != "" {
			fmt.Fprintf(in.stderr, "homemail: %s\n", c.Caution)
		}
		if !in.global.json {
			in.line("machine.may", "name", q.Name, "address", q.Address, "owner", q.For)
		}
		return nil
	}
}

func listMachines(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.Machine
		if err := in.ask(ctx, "machine.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, m := range list {
			to := "everybody"
			if m.Local {
				to = "this house"
			}
			rows = append(rows, []string{m.Name, m.Address, string(m.For), m.From, to})
		}
		return in.table("NAME ADDRESS FOR OTHERS-FROM WRITES-TO", rows)
	}
}

func removeMachine(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		return in.ask(ctx, "machine.remove", admin.Name{Name: args[0]}, &admin.Empty{})
	}
}
