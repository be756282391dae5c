package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"homemail/admin"
	"homemail/store"
	"homemail/update"
	"homemail/update/agent"
)

// updateCommands are about newer versions, on a box.
func updateCommands() []command {
	return []command{
		{"update", "", "show which version runs and whether there is a newer one", 0, 0, showUpdates},
		{"update check", "", "look for a newer version now", 0, 0, doUpdate("update.check")},
		{"update apply", "", "install the newer version; the box restarts, and goes back if it does not work", 0, 0, doUpdate("update.apply")},
		{"update set", "", "say where newer versions are and whether they are installed at night", 0, 0, setUpdates},
	}
}

func showUpdates(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error { return in.askUpdates(ctx, "update.status", admin.Empty{}) }
}

func doUpdate(operation string) func(*invocation, *flag.FlagSet) action {
	return func(in *invocation, _ *flag.FlagSet) action {
		return func(ctx context.Context, _ []string) error { return in.askUpdates(ctx, operation, admin.Empty{}) }
	}
}

func setUpdates(in *invocation, f *flag.FlagSet) action {
	url := f.String("url", "", "`URL` of the directory that has updates; \"\" asks nobody")
	auto := f.Bool("auto", true, "install at night what was found; -auto=false only tells of it")
	return func(ctx context.Context, _ []string) error {
		var q admin.SetUpdates
		f.Visit(func(f *flag.Flag) {
			switch f.Name {
			case "url":
				q.URL = url
			case "auto":
				q.Auto = auto
			}
		})
		return in.askUpdates(ctx, "update.settings", q)
	}
}

func (in *invocation) askUpdates(ctx context.Context, operation string, q any) error {
	var u admin.Updates
	if err := in.ask(ctx, operation, q, &u); err != nil {
		return err
	}
	if in.global.json {
		return in.print(u)
	}
	tellUpdates(in.stdout, u)
	return nil
}

// tellUpdates writes what an owner wants to know of updates.
func tellUpdates(w io.Writer, u admin.Updates) {
	fmt.Fprintln(w, u.Words.EN)
	if u.Offer != nil {
		fmt.Fprintf(w, "\nNew in %s, from %s:\n%s\n", u.Offer.Version, u.Offer.From, u.Offer.Notes.EN)
		if u.Sent > 0 {
			fmt.Fprintf(w, "%d of %d bytes are on the box.\n", u.Sent, u.Offer.Size)
		}
	}
	list := u.Before
	if u.Last != nil {
		list = append([]agent.Past{*u.Last}, list...)
	}
	if len(list) > 0 {
		fmt.Fprintln(w)
	}
	for _, p := range list {
		fmt.Fprintf(w, "%s  %s to %s: %s %s\n", p.At.Local().Format(time.DateTime), p.From, p.To, p.Stage, p.Reason)
	}
}

// What PID 1 and the server have in common on a box: the socket for updates, and
// where what people bring appears.
const (
	boxSocket = "update.sock"
	boxMedia  = "media"
)

// newUpdates makes the house's Agent. On a box HOMEMAIL_BOX is the path of a
// socket of PID 1, which has that for updates beside it.
func (h *house) newUpdates() (*agent.Agent, error) {
	keys, err := update.Keys()
	if err != nil {
		return nil, fmt.Errorf("keys of updates: %w", err)
	}
	o := agent.Options{Memory: h.store, Schema: schema(), Keys: keys, Log: h.log}
	if box := os.Getenv("HOMEMAIL_BOX"); box != "" {
		dir := filepath.Dir(box)
		o.Box = update.Client{Path: filepath.Join(dir, boxSocket)}
		o.Dirs = []string{filepath.Join(dir, boxMedia)}
	}
	return agent.New(o), nil
}

// schema is what this program can read and writes.
func schema() update.Schema {
	return update.Schema{Schema: store.SchemaReads, ReadableBy: store.SchemaWrites}
}
