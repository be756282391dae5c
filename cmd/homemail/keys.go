package main

import (
	"context"
	"flag"
	"fmt"

	"homemail/admin"
)

// keyCommands are about the keys that mail is signed with.
func keyCommands() []command {
	return []command{
		{"dkim list", "[DOMAIN]", "show the keys that mail is signed with, as the records that the DNS needs", 0, 1, listKeys},
		{"dkim rotate", "DOMAIN", "make new keys, to be published before they are used", 1, 1, changeKeys("dkim.rotate", "keys.publish")},
		{"dkim activate", "DOMAIN", "sign with the new keys from now on", 1, 1, activateKeys("keys.stay")},
	}
}

func listKeys(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		q := admin.Domain{}
		if len(args) > 0 {
			q.Domain = args[0]
		}
		var list []admin.DKIMKey
		if err := in.ask(ctx, "dkim.list", q, &list); err != nil {
			return err
		}
		return in.tellKeys(list)
	}
}

func changeKeys(name, next string) func(*invocation, *flag.FlagSet) action {
	return func(in *invocation, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			var list []admin.DKIMKey
			if err := in.ask(ctx, name, admin.Domain{Domain: args[0]}, &list); err != nil {
				return err
			}
			if err := in.tellKeys(list); err != nil || in.global.json {
				return err
			}
			in.line(next, "domain", args[0])
			return nil
		}
	}
}

func activateKeys(next string) func(*invocation, *flag.FlagSet) action {
	return func(in *invocation, f *flag.FlagSet) action {
		now := f.Bool("now", false, "although they were made less than two days ago")
		return func(ctx context.Context, args []string) error {
			var list []admin.DKIMKey
			if err := in.ask(ctx, "dkim.activate", admin.ActivateKeys{Domain: args[0], Now: *now}, &list); err != nil {
				return err
			}
			if err := in.tellKeys(list); err != nil || in.global.json {
				return err
			}
			in.line(next, "domain", args[0])
			return nil
		}
	}
}

func (in *invocation) tellKeys(list []admin.DKIMKey) error {
	if in.global.json {
		return in.print(list)
	}
	for _, k := range list {
		fmt.Fprintf(in.stdout, "%s  (%s, %s)\n    TXT  %s\n\n", k.Name, k.Algorithm, k.State, k.Value)
	}
	return nil
}
