package main

import (
	"context"
	"flag"
	"strconv"
	"strings"

	"homemail/admin"
	"homemail/bridge"
	"homemail/mail"
)

// bridgeCommands are about accounts that people have elsewhere.
func bridgeCommands() []command {
	return []command{
		{"bridge add", "ADDRESS FOR", "fetch mail from an account elsewhere for an account here; the password is asked for", 2, 2, addBridge},
		{"bridge list", "", "list the accounts elsewhere and how they are doing", 0, 0, listBridges},
		{"bridge password", "ADDRESS", "keep a new password for an account elsewhere; it is asked for", 1, 1, setBridgePassword},
		{"bridge fetch", "ADDRESS", "look for mail there now", 1, 1, changeBridge("bridge.fetch")},
		{"bridge pause", "ADDRESS", "fetch no more mail from there for the time being", 1, 1, changeBridge("bridge.pause")},
		{"bridge resume", "ADDRESS", "fetch mail from there again", 1, 1, changeBridge("bridge.resume")},
		{"bridge remove", "ADDRESS", "forget an account elsewhere; its mail stays, here and there", 1, 1, changeBridge("bridge.remove")},
	}
}

func addBridge(in *invocation, f *flag.FlagSet) action {
	var a bridge.Account
	f.StringVar((*string)(&a.Kind), "kind", "imap", "imap, or pop3 where there is nothing better")
	f.StringVar(&a.Host, "host", "", "`HOST` name of the server there")
	f.IntVar(&a.Port, "port", 0, "`PORT`; 993 or 995 if the connection is secure from the start, 143 or 110 if not")
	f.StringVar((*string)(&a.TLS), "tls", string(bridge.Implicit), "implicit or starttls")
	f.StringVar(&a.User, "user", "", "`NAME` to sign in with, if it is not the address")
	f.StringVar(&a.Mailbox, "mailbox", "", "`NAME` of the mailbox here; else INBOX")
	f.StringVar(&a.Junk, "junk", "", "`NAME` of the folder there whose mail comes into Junk here")
	f.IntVar(&a.KeepDays, "keep", bridge.Forever, "leave mail there for so many `DAYS` after it was fetched; -1 for ever, 0 deletes it at once")
	f.StringVar(&a.SendVia, "send-via", "", "send mail from this address through this smarthost `NAME`")
	folders := f.String("folders", "", "fetch these folders too, with commas between")
	untried := f.Bool("untried", false, "keep it without trying it")
	file := f.String("password-file", "", "read the password from a `FILE` instead of asking")
	return func(ctx context.Context, args []string) error {
		a.Address = mail.Path(args[0])
		if a.User == "" {
			a.User = args[0]
		}
		if a.Port == 0 {
			a.Port = bridgePort(a)
		}
		if *folders != "" {
			a.Folders = []bridge.Folder{{There: "INBOX"}}
			for _, name := range strings.Split(*folders, ",") {
				a.Folders = append(a.Folders, bridge.Folder{There: name, Here: name})
			}
		}
		q := admin.AddBridge{Account: a, For: mail.Path(args[1]), Untried: *untried}
		var err error
		if q.Password, err = in.secret(in.say("ask.password", "user", a.User, "host", a.Host), *file); err != nil {
			return err
		}
		var out admin.NewBridge
		if err := in.ask(ctx, "bridge.add", q, &out); err != nil {
			return err
		}
		if in.global.json {
			return in.print(out)
		}
		if !*untried {
			in.line("bridge.works", "n", out.Report.Messages)
		}
		in.line("bridge.comes", "address", a.Address, "to", args[1])
		if a.SendVia == "" {
			in.line("bridge.write", "address", a.Address, "again", a.Address)
		}
		return nil
	}
}

// bridgePort is where the servers of a kind usually are.
func bridgePort(a bridge.Account) int {
	switch {
	case a.Kind == bridge.POP3 && a.TLS == bridge.Implicit:
		return 995
	case a.Kind == bridge.POP3:
		return 110
	case a.TLS == bridge.Implicit:
		return 993
	}
	return 143
}

func listBridges(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.Bridge
		if err := in.ask(ctx, "bridge.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, b := range list {
			rows = append(rows, []string{string(b.Address), string(b.For), string(b.Kind) + " " + b.Host, string(b.Status.State),
				strconv.Itoa(b.Status.Fetched), b.Status.Told.In(in.lang())})
		}
		return in.table("ADDRESS FOR SERVER STATE FETCHED PROBLEM", rows)
	}
}

func setBridgePassword(in *invocation, f *flag.FlagSet) action {
	untried := f.Bool("untried", false, "keep it without trying it")
	file := f.String("password-file", "", "read the password from a `FILE` instead of asking")
	return func(ctx context.Context, args []string) error {
		password, err := in.secret(in.say("ask.new-there", "address", args[0]), *file)
		if err != nil {
			return err
		}
		return in.ask(ctx, "bridge.password", admin.BridgePassword{ID: args[0], Password: password, Untried: *untried}, &admin.Empty{})
	}
}

func changeBridge(name string) func(*invocation, *flag.FlagSet) action {
	return func(in *invocation, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			return in.ask(ctx, name, admin.BridgeID{ID: args[0]}, &admin.Empty{})
		}
	}
}
