package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"homemail/admin"
	"homemail/events"
	"homemail/mail"
)

// eventCommands are about what happened.
func eventCommands() []command {
	return []command{
		{"where", "[ID]", "tell where mail is: the whole way of messages that came, went or were refused", 0, 1, where},
		{"events", "", "list what happened: mail, sign-ins, what was changed", 0, 0, listEvents},
	}
}

// since reads a time before now: 90m, 24h, 7d, or a date.
func since(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return time.Now().AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, refuse("no-time", "text", s)
}

func where(in *invocation, f *flag.FlagSet) action {
	q := admin.FindEvents{}
	f.StringVar(&q.To, "to", "", "mail to this `ADDRESS`, or a part of it")
	f.StringVar(&q.From, "from", "", "mail from this `ADDRESS`, or a part of it")
	f.StringVar(&q.Subject, "subject", "", "mail with these `WORDS` in its subject")
	f.IntVar(&q.Limit, "n", 10, "at most `N` messages")
	after := f.String("since", "", "not before `TIME`: 90m, 24h, 7d or a date")
	return func(ctx context.Context, args []string) (err error) {
		q.Language = in.lang()
		if q.Since, err = since(*after); err != nil {
			return err
		}
		var found admin.Ways
		if len(args) > 0 {
			w := admin.Way{}
			err = in.ask(ctx, "events.trace", admin.TraceEvents{ID: args[0], Language: q.Language}, &w)
			found.Ways = []admin.Way{w}
		} else {
			err = in.ask(ctx, "events.where", q, &found)
		}
		if err != nil {
			return err
		}
		if in.global.json {
			return in.print(found)
		}
		if len(found.Ways) == 0 {
			in.line("where.nothing")
		}
		for i, w := range found.Ways {
			if i > 0 {
				fmt.Fprintln(in.stdout)
			}
			in.tellWay(w)
		}
		if found.Next != 0 {
			fmt.Fprintln(in.stdout)
			in.line("where.more")
		}
		return nil
	}
}

// tellWay prints the way of a message, under its subject.
func (in *invocation) tellWay(w admin.Way) {
	subject, id := "", w.ID
	for _, e := range w.Events {
		if subject == "" {
			subject = e.Subject
		}
	}
	if subject == "" {
		subject = in.say("where.no-subject")
	}
	fmt.Fprintf(in.stdout, "%s  %s\n", printable(subject), id)
	for _, e := range w.Events {
		in.tellEvent(e)
	}
}

func (in *invocation) tellEvent(e admin.Event) {
	fmt.Fprintf(in.stdout, "  %s %s\n", when(e.Event), printable(e.Words.What))
	for _, more := range []string{e.Words.Why, e.Words.Todo} {
		if more != "" {
			fmt.Fprintf(in.stdout, "%23s%s\n", "", printable(more))
		}
	}
}

// when is the time of an event, with a mark if the clock was not right.
func when(e events.Event) string {
	s := e.At.Local().Format(time.DateTime)
	if e.Unsure {
		return s + "?"
	}
	return s + " "
}

// printable keeps a stranger's text from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// followEach is how often -follow asks for more.
const followEach = time.Second

func listEvents(in *invocation, f *flag.FlagSet) action {
	q := admin.FindEvents{}
	kinds := f.String("kind", "", "only these `KINDS`, such as refused,failed or mail for all that are about mail")
	f.StringVar(&q.Text, "text", "", "only those with these `WORDS`")
	f.IntVar(&q.Limit, "n", 20, "at most `N` events")
	account := f.String("account", "", "only those of the account with this `ADDRESS`")
	after := f.String("since", "", "not before `TIME`: 90m, 24h, 7d or a date")
	follow := f.Bool("follow", false, "go on with what happens from now on")
	return func(ctx context.Context, _ []string) (err error) {
		q.Account, q.Language = mail.Path(*account), in.lang()
		for _, k := range strings.FieldsFunc(*kinds, func(r rune) bool { return r == ',' }) {
			if k == "mail" {
				q.Kinds = append(q.Kinds, events.Mail()...)
			} else {
				q.Kinds = append(q.Kinds, events.Kind(k))
			}
		}
		if q.Since, err = since(*after); err != nil {
			return err
		}
		list, err := in.findEvents(ctx, q)
		if err != nil {
			return err
		}
		if in.global.json && !*follow {
			return in.print(list)
		}
		if err := in.tellEvents(list); err != nil || !*follow {
			return err
		}
		last := uint64(0)
		if len(list) > 0 {
			last = list[0].Seq
		}
		return in.followEvents(ctx, q, last)
	}
}

// findEvents asks until it has enough: an answer looks at a part of the log.
func (in *invocation) findEvents(ctx context.Context, q admin.FindEvents) (list []admin.Event, err error) {
	list = []admin.Event{}
	for want := q.Limit; ; {
		var page admin.Events
		if err := in.ask(ctx, "events.find", q, &page); err != nil {
			return nil, err
		}
		list = append(list, page.Events...)
		if page.Next == 0 || len(list) >= want {
			return list, nil
		}
		q.Before, q.Limit = page.Next, want-len(list)
	}
}

// tellEvents prints events, the oldest first, as they are read.
func (in *invocation) tellEvents(list []admin.Event) error {
	for i := len(list) - 1; i >= 0; i-- {
		if in.global.json {
			if err := in.print(list[i]); err != nil {
				return err
			}
			continue
		}
		in.tellEvent(list[i])
	}
	return nil
}

func (in *invocation) followEvents(ctx context.Context, q admin.FindEvents, last uint64) error {
	q.Limit, q.Since = 500, time.Time{}
	tick := time.NewTicker(followEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var page admin.Events
		q.After = last
		if err := in.ask(ctx, "events.find", q, &page); err != nil {
			return err
		}
		if len(page.Events) > 0 {
			last = page.Events[0].Seq
		}
		if err := in.tellEvents(page.Events); err != nil {
			return err
		}
	}
}
