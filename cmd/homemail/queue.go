package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"homemail/admin"
	"homemail/mail"
	"homemail/queue"
	"homemail/store"
)

// queueCommands are about mail that has not left the house yet.
func queueCommands() []command {
	return []command{
		{"queue list", "", "list the messages that wait to leave, and why", 0, 0, listQueue},
		{"queue show", "ID", "show all that is known of a message: every try, and what the other server said", 1, 1, showQueue},
		{"queue retry", "ID|all|@DOMAIN", "try again now, whatever the schedule says", 1, 1, retryQueue},
		{"queue hold", "ID", "keep a message until it is released", 1, 1, holdQueue},
		{"queue release", "ID", "let a message go on that was held", 1, 1, changeQueue("queue.release", "queue.released")},
		{"queue remove", "ID", "take a message out of the queue for good", 1, 1, removeQueue},
	}
}

func listQueue(in *invocation, f *flag.FlagSet) action {
	var q admin.ListQueue
	f.StringVar(&q.Domain, "domain", "", "only what goes to this `DOMAIN`")
	f.BoolVar(&q.Held, "held", false, "only what is held")
	f.BoolVar(&q.Done, "done", false, "also what has left or failed in the last seven days")
	f.IntVar(&q.Limit, "limit", 0, "at most `N` messages")
	from := f.String("account", "", "only what this `ADDRESS` wrote")
	return func(ctx context.Context, _ []string) error {
		q.Account, q.Language = mail.Path(*from), in.lang()
		var list []queue.Summary
		if err := in.ask(ctx, "queue.list", q, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		if len(list) == 0 {
			in.line("queue.empty")
			return nil
		}
		var rows [][]string
		for _, s := range list {
			rows = append(rows, []string{s.ID, sender(s.From), recipients(s), megabytes(s.Size), age(s.Age), next(s.Next, s.Waiting, s.Held), why(s)})
		}
		return in.table("ID FROM TO SIZE AGE NEXT WHY", rows)
	}
}

// why says what a message waits for: who holds it, or what went wrong.
func why(s queue.Summary) string {
	if s.Hold != "" && s.Held == s.Waiting {
		return s.Hold
	}
	return s.Why
}

func sender(p mail.Path) string {
	if p.IsNull() {
		return "<>"
	}
	return string(p)
}

func recipients(s queue.Summary) string {
	if len(s.To) == 0 {
		return "-"
	}
	if more := max(s.Waiting, len(s.To)) - 1; more > 0 {
		return fmt.Sprintf("%s +%d", s.To[0], more)
	}
	return string(s.To[0])
}

func age(d time.Duration) string { return d.Round(time.Second).String() }

// next says when a message goes on.
func next(at time.Time, waiting, held int) string {
	switch {
	case waiting == 0:
		return "done"
	case held == waiting:
		return "held"
	case at.IsZero() || !at.After(time.Now()):
		return "now"
	}
	return at.Local().Format("Mon 15:04:05")
}

func showQueue(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		var list []queue.Detail
		if err := in.ask(ctx, "queue.show", admin.QueueID{ID: args[0], Language: in.lang()}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		for _, d := range list {
			in.line("queue.head", "id", d.ID, "n", d.Number, "origin", d.Origin, "sender", sender(d.From), "size", megabytes(d.Size), "time", d.Queued.Local().Format(time.DateTime))
			for _, r := range d.Recipients {
				in.tellRecipient(r)
			}
		}
		return nil
	}
}

func (in *invocation) tellRecipient(r queue.Recipient) {
	state := in.say("queue.state." + string(r.State))
	switch {
	case r.Hold != "":
		state = in.say("queue.state.held", "why", r.Hold)
	case r.State == store.Queued:
		state = in.say("queue.state.next", "state", state, "next", next(r.Next, 1, 0))
	case !r.Ended.IsZero():
		state += " " + r.Ended.Local().Format(time.DateTime)
	}
	fmt.Fprintf(in.stdout, "\n  %s\n", in.say("queue.to", "address", r.To, "state", state))
	for _, t := range r.Tries {
		words := strings.TrimSpace(strings.Join([]string{t.What, t.Why, t.Todo}, " "))
		fmt.Fprintf(in.stdout, "    %s  %s\n", t.At.Local().Format(time.DateTime), words)
		if said := t.Reply.String(); said != "" {
			fmt.Fprintf(in.stdout, "        %s\n", in.say("queue.said", "remote", orUnknown(t.Remote), "said", strings.ReplaceAll(said, "\n", "\n        ")))
		}
		if t.TLS != "" {
			fmt.Fprintf(in.stdout, "        %s\n", t.TLS)
		}
	}
}

func orUnknown(remote string) string {
	if remote == "" {
		return "homemail"
	}
	return remote
}

func retryQueue(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		if domain, ok := strings.CutPrefix(args[0], "@"); ok {
			return in.askCount(ctx, "queue.retry-domain", admin.Domain{Domain: domain}, "queue.domains")
		}
		return in.askCount(ctx, "queue.retry", admin.QueueID{ID: args[0]}, "queue.trying")
	}
}

// askCount asks for something that answers with a number.
func (in *invocation) askCount(ctx context.Context, name string, request any, key string) error {
	var n admin.Count
	if err := in.ask(ctx, name, request, &n); err != nil {
		return err
	}
	if in.global.json {
		return in.print(n)
	}
	in.line(key, "n", n.Count)
	return nil
}

func holdQueue(in *invocation, f *flag.FlagSet) action {
	reason := f.String("reason", "", "`WORDS` to remember why")
	return func(ctx context.Context, args []string) error {
		return in.askCount(ctx, "queue.hold", admin.QueueID{ID: args[0], Reason: *reason}, "queue.held")
	}
}

func removeQueue(in *invocation, f *flag.FlagSet) action {
	tell := f.Bool("tell", false, "tell the sender by a delivery report")
	return func(ctx context.Context, args []string) error {
		return in.askCount(ctx, "queue.remove", admin.QueueID{ID: args[0], Tell: *tell}, "queue.removed")
	}
}

func changeQueue(name, key string) func(*invocation, *flag.FlagSet) action {
	return func(in *invocation, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			return in.askCount(ctx, name, admin.QueueID{ID: args[0]}, key)
		}
	}
}
