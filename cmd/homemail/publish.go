package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"homemail/admin"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
)

// publishCommands change the DNS. They are found before "dns" is, which takes
// any word for a domain.
func publishCommands() []command {
	return []command{
		{"dns push", "DOMAIN", "show what has to be changed at the DNS provider, ask, and do it; never the MX", 1, 1, pushDNS},
		{"dns mx switch", "DOMAIN", "let a domain's mail come here, once all other records are right", 1, 1, switchMX},
		{"dns mx restore", "DOMAIN", "let a domain's mail go where it went before the switch", 1, 1, restoreMX},
		{"dns mx show", "DOMAIN", "show where a domain's mail goes, and where it went before the switch", 1, 1, showMX},
	}
}

// triesPushed is how often changes are planned and shown anew because the zone
// has changed meanwhile.
const triesPushed = 3

// A pushing is one way to plan changes, and to do them once they were shown.
type pushing struct {
	plan, apply string // operations
	nothing     string // key of what to say if nothing is to be done
	question    string // key
}

// errPushed says that something was not done, which was told already.
var errPushed = refuse("push.part")

// push plans, shows, asks, does exactly what was shown, and tells what was done.
func (in *invocation) push(ctx context.Context, p pushing, request any, yes bool) error {
	answers := bufio.NewReader(in.stdin)
	for try := 1; ; try++ {
		var plan admin.Push
		if err := in.ask(ctx, p.plan, request, &plan); err != nil {
			return err
		}
		if in.global.json && !yes {
			return in.print(plan)
		}
		if !in.global.json {
			in.tellPush(plan)
		}
		todo, n := bare(plan.Changes)
		if n == 0 {
			if in.global.json {
				return in.print(plan)
			}
			if slices.ContainsFunc(plan.Changes, func(c publish.Changes) bool { return len(c.ByHand) > 0 }) {
				return refuse("push.by-hand")
			}
			in.line(p.nothing)
			return nil
		}
		if !yes {
			fmt.Fprintf(in.stderr, "\n%s [y/N] ", in.say(p.question))
			line, _ := answers.ReadString('\n')
			if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
				return refuse("nothing-changed")
			}
		}
		var done []admin.Pushed
		if err := in.ask(ctx, p.apply, admin.ApplyPush{Changes: todo}, &done); err != nil {
			return err
		}
		if allChanged(done) && try < triesPushed {
			fmt.Fprintf(in.stderr, "homemail: %s\n", in.say("push.again"))
			continue
		}
		return in.tellPushed(done)
	}
}

// bare are changes without what is only for people, and how many steps they
// have.
func bare(list []publish.Changes) (out []publish.Changes, n int) {
	for _, c := range list {
		if !c.None() {
			out = append(out, publish.Changes{Zone: c.Zone, Steps: c.Steps, MX: c.MX})
			n += len(c.Steps) + len(c.MX)
		}
	}
	return out, n
}

// allChanged reports whether nothing was done anywhere as all has changed.
func allChanged(done []admin.Pushed) bool {
	for _, d := range done {
		if !d.Changed {
			return false
		}
	}
	return len(done) > 0
}

// tellPush shows changes: what is done, and what has to be done by hand.
func (in *invocation) tellPush(p admin.Push) {
	in.warn(p.Told)
	for _, c := range p.Changes {
		if !c.None() {
			fmt.Fprintf(in.stdout, "%s\n%s", in.say("push.changes", "zone", dnsplan.Display(c.Zone)), indent(c.String()))
		}
		for _, r := range c.ByHand {
			in.line("push.only", "name", dnsplan.Display(r.Record.Name), "type", r.Record.Type, "why", r.Why.In(in.lang()))
			for _, v := range r.Now {
				fmt.Fprintf(in.stdout, "    %s\n", in.say("push.now", "value", v))
			}
			for _, v := range r.Should {
				fmt.Fprintf(in.stdout, "    %s\n", in.say("push.should", "value", v))
			}
		}
		in.tellRecords("push.unable", c.Unable)
	}
	in.tellRecords("push.elsewhere", p.Elsewhere)
}

func (in *invocation) tellRecords(key string, list []dnsplan.Record) {
	if len(list) == 0 {
		return
	}
	in.line(key)
	for _, r := range list {
		for _, v := range r.Values {
			fmt.Fprintf(in.stdout, "    %s %s %s\n", dnsplan.Display(r.Name), r.Type, v)
		}
	}
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

// tellPushed tells what was done and what was not.
func (in *invocation) tellPushed(done []admin.Pushed) error {
	failed := false
	for _, d := range done {
		failed = failed || d.Error != ""
	}
	if in.global.json {
		if err := in.print(done); err != nil {
			return err
		}
	} else {
		for _, d := range done {
			fmt.Fprintf(in.stdout, "%s: %s\n", dnsplan.Display(d.Zone), d.Report.Text().In(in.lang()))
			if d.Error != "" {
				fmt.Fprintf(in.stdout, "    %s\n", d.Wrong.In(in.lang()))
			}
		}
	}
	if failed {
		return errPushed
	}
	return nil
}

// pushFlags are those of commands that push.
func pushFlags(f *flag.FlagSet) (yes *bool) {
	return f.Bool("yes", false, "do not ask; without it -json only shows the plan")
}

func pushDNS(in *invocation, f *flag.FlagSet) action {
	yes := pushFlags(f)
	ip := f.String("ip", "", "the house's public `ADDRESSES`, with a comma between; else those that are known")
	return func(ctx context.Context, args []string) error {
		addrs, err := parseAddrs(*ip)
		if err != nil {
			return err
		}
		return in.push(ctx, pushing{"publish.plan", "publish.apply", "push.nothing", "push.question"},
			admin.PlanPush{Domain: args[0], Addresses: addrs}, *yes)
	}
}

// parseAddrs reads addresses with a comma between.
func parseAddrs(list string) (out []netip.Addr, err error) {
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, refuse("no-ip", "text", s)
		}
		out = append(out, a)
	}
	return out, nil
}

func switchMX(in *invocation, f *flag.FlagSet) action {
	yes := pushFlags(f)
	force := f.Bool("force", false, "switch though other records are not right yet")
	return func(ctx context.Context, args []string) error {
		return in.push(ctx, pushing{"mx.plan", "mx.switch", "mx.nothing", "mx.question"},
			admin.PlanPush{Domain: args[0], Force: *force}, *yes)
	}
}

func restoreMX(in *invocation, f *flag.FlagSet) action {
	yes := pushFlags(f)
	return func(ctx context.Context, args []string) error {
		return in.push(ctx, pushing{"mx.restore-plan", "mx.restore", "mx.restored", "mx.back"},
			admin.Domain{Domain: args[0]}, *yes)
	}
}

func showMX(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		var m admin.MX
		if err := in.ask(ctx, "mx.show", admin.Domain{Domain: args[0]}, &m); err != nil {
			return err
		}
		if in.global.json {
			return in.print(m)
		}
		in.line("mx.now", "list", in.orNone(m.Now))
		if m.Error != "" {
			fmt.Fprintf(in.stdout, "        %s\n", m.Error)
		}
		if m.Former == nil {
			in.line("mx.unknown")
			return nil
		}
		in.line("mx.before", "list", in.orNone(m.Former.Values), "until", m.Former.At.Local().Format(time.DateTime))
		return nil
	}
}

func (in *invocation) orNone(list []string) string {
	if len(list) == 0 {
		return in.say("none")
	}
	return strings.Join(list, ", ")
}
