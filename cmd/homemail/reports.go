package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"homemail/admin"
	"homemail/certs"
	"homemail/dnsplan"
	"homemail/reports"
)

// reportCommands are about what the world says of our mail. They stand before
// "dns" in the list of commands, as that is the beginning of one of them.
func reportCommands() []command {
	return []command{
		{"dns policy", "DOMAIN", "show or set how strict a domain's DMARC and MTA-STS are, and what is safe now", 1, 1, dnsPolicy},
		{"reports trust", "REPORTER believed|ignored|default", "say whether a reporter counts", 2, 2, trustReporter},
		{"reports mine", "DOMAIN SOURCE", "say that an address or network that sends in a domain's name is yours", 2, 2, mySource},
		{"reports", "[DOMAIN]", "show what the world says of your mail", 0, 1, showReports},
	}
}

func dnsPolicy(in *invocation, f *flag.FlagSet) action {
	dmarc := f.String("dmarc", "", "set DMARC to `POLICY`: none, quarantine or reject")
	sts := f.String("sts", "", "set MTA-STS to `MODE`: none, testing or enforce")
	return func(ctx context.Context, args []string) error {
		var p admin.DomainPolicy
		if err := in.ask(ctx, "dns.policy", admin.SetPolicy{Domain: args[0], DMARC: *dmarc, STS: *sts}, &p); err != nil {
			return err
		}
		if in.global.json {
			return in.print(p)
		}
		in.tellProposal("DMARC", p.DMARC, "dns policy "+p.Domain+" -dmarc")
		in.tellProposal("MTA-STS", p.STS, "dns policy "+p.Domain+" -sts")
		if *dmarc+*sts != "" {
			fmt.Fprintf(in.stdout, "%s homemail dns %s\n", in.say("reports.changed"), p.Domain)
		}
		return nil
	}
}

func (in *invocation) tellProposal(name string, p reports.Proposal, command string) {
	fmt.Fprintf(in.stdout, "%s: %s\n    %s\n", name, p.Now, p.Why.In(in.lang()))
	if p.Ready {
		fmt.Fprintf(in.stdout, "    %s homemail %s %s\n", in.say("reports.do"), command, p.Next)
	}
}

func trustReporter(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		word := args[1]
		if word == "default" {
			word = ""
		} else if word != reports.Believed && word != reports.Ignored {
			return refuse("trust", "text", word)
		}
		return in.ask(ctx, "reports.trust", admin.Reporter{Reporter: args[0], Trust: word}, &admin.Empty{})
	}
}

func mySource(in *invocation, f *flag.FlagSet) action {
	not := f.Bool("not", false, "it is not")
	return func(ctx context.Context, args []string) error {
		return in.ask(ctx, "reports.mine", admin.MySource{Domain: args[0], Source: args[1], Mine: !*not}, &admin.Empty{})
	}
}

func showReports(in *invocation, f *flag.FlagSet) action {
	all := f.Bool("all", false, "list every source, not only those that sent most")
	return func(ctx context.Context, args []string) error {
		var q admin.ReportedDomain
		if len(args) > 0 {
			q.Domain = args[0]
		}
		var list []admin.DomainReports
		if err := in.ask(ctx, "reports.show", q, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		for i, r := range list {
			if i > 0 {
				fmt.Fprintln(in.stdout)
			}
			if err := in.tellReports(r, *all); err != nil {
				return err
			}
		}
		return nil
	}
}

// fewSources is how many sources are listed.
const fewSources = 15

// tellReports writes what is known about a domain.
func (in *invocation) tellReports(r admin.DomainReports, all bool) error {
	fmt.Fprintln(in.stdout, r.Domain)
	in.tellProposal("DMARC", r.NextDMARC, "dns policy "+r.Domain+" -dmarc")
	in.tellProposal("MTA-STS", r.NextSTS, "dns policy "+r.Domain+" -sts")
	var day reports.Day
	for _, d := range r.Days {
		day.Passed += d.Passed
		day.Failed += d.Failed
		day.Forged += d.Forged
		day.Sessions += d.Sessions
		day.Broken += d.Broken
	}
	if len(r.DMARC) > 0 {
		fmt.Fprintln(in.stdout)
		in.line("reports.messages", "passed", day.Passed, "failed", day.Failed, "forged", day.Forged)
		if err := in.tellReporters(r.DMARC); err != nil {
			return err
		}
		if err := in.tellSources(r, all); err != nil {
			return err
		}
	}
	if len(r.TLS) > 0 {
		fmt.Fprintln(in.stdout)
		in.line("reports.deliveries", "encrypted", day.Sessions, "failed", day.Broken)
		if err := in.tellReporters(r.TLS); err != nil {
			return err
		}
	}
	for _, f := range r.Failures {
		fmt.Fprintf(in.stdout, "%s  %d  %s %s\n    %s\n", f.Last, f.Count, f.Type, f.MX, f.Remedy().In(in.lang()))
	}
	if o := r.Odd; o.Unread+o.Unproven+o.Foreign > 0 {
		fmt.Fprintln(in.stdout)
		in.line("reports.odd", "unread", o.Unread, "unproven", o.Unproven, "foreign", o.Foreign)
	}
	return nil
}

func (in *invocation) tellReporters(list []reports.Reporter) error {
	var rows [][]string
	for _, r := range list {
		counts := in.say("reports.counts.yes")
		if !r.Counts {
			counts = in.say("reports.counts.no")
		}
		switch r.Trust {
		case reports.Believed:
			counts = in.say("reports.counts.believed")
		case reports.Ignored:
			counts = in.say("reports.counts.ignored")
		}
		rows = append(rows, []string{r.Domain, strconv.Itoa(r.Reports), strconv.FormatInt(r.Passed, 10), strconv.FormatInt(r.Failed, 10), r.Last, counts})
	}
	return in.table("REPORTER REPORTS PASSED FAILED LAST COUNTS", rows)
}

func (in *invocation) tellSources(r admin.DomainReports, all bool) error {
	var rows [][]string
	left := 0
	for _, s := range r.Sources {
		if !all && len(rows) >= fewSources && (s.Kind == reports.Stranger || s.Failed == 0) {
			left++
			continue
		}
		ip := s.IP
		if ip == "" {
			ip = "..."
		}
		rows = append(rows, []string{ip, strconv.FormatInt(s.Passed, 10), strconv.FormatInt(s.Failed, 10), s.Last, s.Kind.Text().In(in.lang())})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(in.stdout)
	if err := in.table("SOURCE PASSED FAILED LAST WHOSE", rows); err != nil {
		return err
	}
	if left > 0 {
		in.line("reports.more", "n", left)
	}
	if !slices.ContainsFunc(r.Sources, func(s reports.Source) bool { return s.Kind == reports.Stranger }) {
		return nil
	}
	fmt.Fprintf(in.stdout, "%s homemail reports mine %s %s\n", in.say("reports.strangers"), r.Domain, in.say("reports.source"))
	return nil
}

// newReports makes the book of what the world says of our mail.
func (h *house) newReports() *reports.Book {
	return reports.NewBook(h.store, reports.Options{Log: h.log, Addresses: func() []netip.Addr {
		return slices.DeleteFunc(h.known(), inside)
	}})
}

// newReader makes who reads the reports that come in.
func (h *house) newReader(b *reports.Book) *reports.Reader {
	return reports.NewReader(b, reports.ReaderOptions{
		Host: h.config.Host(), Owns: h.agent.Owns, Healthy: h.stsHealthy, Trusted: h.clock.Trusted, Log: h.log,
	})
}

// stsHealthy reports whether a domain's mail comes here, and we show certificates
// that are good for the mail host and for the name that its policy is at.
func (h *house) stsHealthy(ctx context.Context, domain string) bool {
	if !h.helpers() || h.elsewhere(ctx, domain) {
		return false
	}
	names := []string{h.config.Host(), "mta-sts." + domain}
	return !slices.ContainsFunc(names, func(name string) bool { return !shows(h.certs.Status(), h.certs.Leaf(), name, time.Now()) })
}

// elsewhere reports whether a domain's mail is known to go to others, from whom a
// policy that names us alone would keep it.
func (h *house) elsewhere(ctx context.Context, domain string) bool {
	if h.dns == nil {
		return true
	}
	others, err := dnsplan.NewComparer(dnsplan.Options{DNS: h.dns, Log: h.log}).Elsewhere(ctx, domain, h.config.Host())
	return err == nil && len(others) > 0
}

// shows reports whether a good certificate is shown for a name. The owner's own
// one may be for more names than the status tells about.
func shows(list []certs.Status, leaf *x509.Certificate, name string, now time.Time) bool {
	for _, s := range list {
		if s.Name == name && s.Shown == certs.Valid && now.Before(s.NotAfter) {
			return true
		}
		if s.Own && leaf != nil && now.Before(leaf.NotAfter) && leaf.VerifyHostname(name) == nil && !selfSigned(leaf) {
			return true
		}
	}
	return false
}
