package main

import (
	"context"
	"flag"
	"strconv"
	"strings"
	"time"

	"homemail/admin"
	"homemail/check"
)

func muteCheck(in *invocation, f *flag.FlagSet) action {
	lasts := f.String("for", "", "`DAYS` that it is quiet, such as 30d, which is the most; without it until it finds something else")
	reason := f.String("reason", "", "`TEXT` for who looks at it later")
	return func(ctx context.Context, args []string) error {
		days, err := parseDays(*lasts)
		if err != nil {
			return err
		}
		q := admin.MuteCheck{Name: args[0], Days: days, Reason: *reason}
		if err := in.ask(ctx, "line.mute", q, &admin.Empty{}); err != nil || in.global.json {
			return err
		}
		m := check.Mute{}
		if days > 0 {
			m.Until = time.Now().AddDate(0, 0, days)
		}
		in.line("mute.done", "name", args[0], "until", mutedUntil(in.lang(), m))
		return nil
	}
}

func unmuteCheck(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		if err := in.ask(ctx, "line.mute", admin.MuteCheck{Name: args[0], Off: true}, &admin.Empty{}); err != nil || in.global.json {
			return err
		}
		in.line("mute.heard", "name", args[0])
		return nil
	}
}

// parseDays reads a number of days, such as 30d; "" is none.
func parseDays(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(s, "d"))
	if err != nil || n < 1 {
		return 0, refuse("mute.days", "text", s)
	}
	return n, nil
}
