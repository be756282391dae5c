package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"homemail/admin"
	"homemail/mail"
)

// vacationCommands are about who is away.
func vacationCommands() []command {
	return []command{
		{"vacation", "ADDRESS", "show or set what an account replies while its person is away", 1, 1, setVacation},
	}
}

func setVacation(in *invocation, f *flag.FlagSet) action {
	on := f.Bool("on", false, "reply from now on")
	off := f.Bool("off", false, "reply no more")
	file := f.String("text", "", "`FILE` with the text, in UTF-8; - reads it from the standard input")
	subject := f.String("subject", "", "`SUBJECT` of the reply; \"\" takes that of the message")
	from := f.String("from", "", "first `DAY`, such as 2026-12-24; \"\" is at once")
	until := f.String("until", "", "last `DAY`; \"\" is until it is switched off")
	days := f.Int("days", 0, "`DAYS` before the same correspondent gets another reply")
	return func(ctx context.Context, args []string) error {
		q := admin.SetVacation{Address: mail.Path(args[0])}
		given := map[string]bool{}
		f.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if *on && *off {
			return refuse("on-and-off")
		}
		if *on || *off {
			q.On = on
		}
		for name, set := range map[string]func(){
			"subject": func() { q.Subject = subject }, "from": func() { q.From = from },
			"until": func() { q.Until = until }, "days": func() { q.Days = days },
		} {
			if given[name] {
				set()
			}
		}
		if given["text"] {
			text, err := in.readText(*file)
			if err != nil {
				return err
			}
			q.Text = &text
		}
		var v admin.Vacation
		var err error
		if q == (admin.SetVacation{Address: q.Address}) {
			err = in.ask(ctx, "vacation.show", admin.Address{Address: q.Address}, &v)
		} else {
			err = in.ask(ctx, "vacation.set", q, &v)
		}
		if err != nil {
			return err
		}
		if in.global.json {
			return in.print(v)
		}
		io.WriteString(in.stdout, in.vacationText(v))
		return nil
	}
}

const textMost = 64 << 10 // octets that are read; the operation takes less

func (in *invocation) readText(file string) (string, error) {
	r := in.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, textMost))
	return string(b), err
}

func (in *invocation) vacationText(v admin.Vacation) string {
	if !v.On {
		return in.say("vacation.off", "address", v.Address) + "\n"
	}
	var b strings.Builder
	b.WriteString(in.say("vacation.on", "address", v.Address, "n", v.Days) + "\n")
	if v.From != "" {
		b.WriteString(in.say("vacation.from", "day", v.From) + "\n")
	}
	if v.Until != "" {
		b.WriteString(in.say("vacation.until", "day", v.Until) + "\n")
	}
	if v.Subject != "" {
		fmt.Fprintf(&b, "\n%s\n", in.say("vacation.subject", "subject", v.Subject))
	}
	fmt.Fprintf(&b, "\n%s\n", v.Text)
	return b.String()
}
