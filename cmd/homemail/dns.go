package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"homemail/admin"
	"homemail/dnsplan"
)

// dnsCommands are about the records that a domain needs.
func dnsCommands() []command {
	return slices.Concat(publishCommands(), providerCommands(), []command{
		{"dns", "DOMAIN", "show the DNS records that a domain needs, and how they are", 1, 1, showDNS},
	})
}

func showDNS(in *invocation, f *flag.FlagSet) action {
	zone := f.Bool("zone", false, "print the records as lines of a zone file, and nothing else")
	watch := f.Bool("watch", false, "look again until all of them are right")
	ip := f.String("ip", "", "the house's public `ADDRESSES`, with a comma between; else what the DNS says now")
	return func(ctx context.Context, args []string) error {
		if !strings.Contains(args[0], ".") && isDNSCommand(args[0]) {
			return exitCode(in.misunderstood([]string{"dns", args[0]}))
		}
		addrs, err := parseAddrs(*ip)
		if err != nil {
			return err
		}
		q := admin.PlanDNS{Domain: args[0], Addresses: addrs, Compare: !*zone}
		for {
			var p admin.DNSPlan
			if err := in.ask(ctx, "dns.plan", q, &p); err != nil {
				return err
			}
			wrong := notRight(p)
			switch {
			case in.global.json: // also has the lines of -zone
				if err := in.print(p); err != nil {
					return err
				}
			case *zone:
				fmt.Fprint(in.stdout, p.Zone)
			default:
				in.tellDNS(p)
			}
			in.warn(p.Told)
			if *zone || wrong == 0 {
				return nil
			}
			if !*watch && !*zone && !in.global.json && len(p.Changes) > 0 {
				fmt.Fprintln(in.stdout)
				in.line("dns.push", "domain", p.Domain)
			}
			if !*watch {
				return refuse("dns.wrong", "wrong", wrong, "all", len(p.Records))
			}
			select {
			case <-ctx.Done():
				return refuse("dns.not-yet")
			case <-time.After(dnsEach):
			}
		}
	}
}

// isDNSCommand reports whether a word begins a command after "dns", so that it
// is no domain that was meant.
func isDNSCommand(word string) bool {
	return slices.ContainsFunc(dnsCommands(), func(c command) bool {
		words := strings.Fields(c.name)
		return len(words) > 1 && words[0] == "dns" && words[1] == word
	})
}

// dnsEach is how often -watch looks.
const dnsEach = 15 * time.Second

func notRight(p admin.DNSPlan) (n int) {
	for _, r := range p.Results {
		if r.State != dnsplan.Correct {
			n++
		}
	}
	return n
}

func (in *invocation) tellDNS(p admin.DNSPlan) {
	if len(p.Records) == 0 {
		in.line("dns.none", "domain", p.Domain, "mode", p.Mode)
		return
	}
	if p.Host.Name != "" {
		in.line("dns.host", "domain", p.Domain, "host", p.Host.Name, "url", p.Host.URL)
	}
	text := func(t dnsplan.Text) string { return t.In(in.lang()) }
	for _, r := range p.Results {
		rec := r.Record
		fmt.Fprintf(in.stdout, "\n%s  %s %s (%s)\n    %s\n", text(r.State.Text()), p.Host.TypedName(rec.Name), rec.Type, text(rec.Rank.Text()), text(rec.Purpose))
		should := r.Should
		if len(should) == 0 {
			should = rec.Values
		}
		for _, v := range should {
			fmt.Fprintf(in.stdout, "    %s\n", p.Host.TypedValue(rec.Type, v))
		}
		if r.State == dnsplan.Correct {
			continue
		}
		for _, v := range r.Now {
			fmt.Fprintf(in.stdout, "    %s\n", in.say("dns.now", "value", v))
		}
		if why := text(r.Why); why != "" {
			fmt.Fprintf(in.stdout, "    %s\n", why)
		}
	}
}

// dnsPorts are where mail programs find the doors that are open to everybody.
func (h *house) dnsPorts() dnsplan.Ports {
	l := h.config.Listen
	port := func(door string, addrs []string) uint16 {
		if len(addrs) == 0 || contains(h.config.Listen.LANOnly, door) {
			return 0
		}
		_, p, err := net.SplitHostPort(addrs[0])
		n, bad := strconv.ParseUint(p, 10, 16)
		if err != nil || bad != nil {
			return 0
		}
		return uint16(n)
	}
	return dnsplan.Ports{
		Submissions: port("submissions", l.Submissions), Submission: port("submission", l.Submission),
		IMAPS: port("imaps", l.IMAPS), IMAP: port("imap", l.IMAP), POP3S: port("pop3s", l.POP3S), POP3: port("pop3", l.POP3),
		HTTPS: port("https", l.HTTPS),
	}
}
