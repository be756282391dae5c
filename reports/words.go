package reports

import (
	"slices"
	"time"

	"homemail/dnsplan"
	"homemail/words"
)

// Text is something said in the languages that we speak.
type Text = words.Text

// A Proposal is what we think of a policy: what could be next, and why.
type Proposal struct {
	Now   string `json:"now"`
	Next  string `json:"next"`
	Ready bool   `json:"ready"` // to set Next now
	Why   Text   `json:"why"`
}

// recent is how long after something of ours failed under a strict policy a
// milder one is proposed.
const recent = 7 * 24 * time.Hour

// ProposeDMARC says which DMARC policy is right now.
func (o Overview) ProposeDMARC(now time.Time) Proposal {
	p := Proposal{Now: o.Policy.DMARC}
	p.Next, p.Ready = dnsplan.ProposeDMARC(p.Now, o.CleanDays)
	days := o.since(o.Policy.DMARCSince)
	bad, failed := last(days, func(d Day) bool { return d.DMARC == Unclean })
	passed := sum(days, o.CleanDays, func(d Day) (bool, int64) { return d.DMARC == Clean, d.Passed })
	switch {
	case p.Ready:
		p.Why = words.Say("reports.dmarc.ready", "passed", passed, "days", o.CleanDays, "next", p.Next).Text()
	case failed && p.Now != "none" && fresh(bad, now):
		p.Next, p.Ready = milder(dmarcPolicies, p.Now), true
		p.Why = words.Say("reports.dmarc.milder", "date", bad.Date, "failed", bad.Failed, "total", bad.Failed+bad.Passed, "next", p.Next).Text()
	case o.CleanDays == 0 && !failed && !o.Policy.DMARCSince.IsZero():
		p.Why = words.Say("reports.dmarc.silent-since", "now", p.Now).Text()
	case p.Now == "reject":
		p.Why = words.Say("reports.dmarc.strictest").Text()
	case failed:
		p.Why = words.Say("reports.dmarc.failed", "days", o.CleanDays, "need", needDMARC(p.Now), "date", bad.Date, "failed", bad.Failed, "total", bad.Failed+bad.Passed).Text()
	case o.CleanDays == 0:
		p.Why = words.Say("reports.dmarc.silent").Text()
	default:
		p.Why = words.Say("reports.dmarc.clean", "days", o.CleanDays, "need", needDMARC(p.Now), "passed", passed, "now", p.Now).Text()
	}
	return p
}

// ProposeSTS says which mode of MTA-STS is right now.
func (o Overview) ProposeSTS(now time.Time) Proposal {
	p := Proposal{Now: o.Policy.STS}
	p.Next, p.Ready = dnsplan.ProposeSTS(p.Now, o.GoodDays)
	days := o.since(o.Policy.STSSince)
	bad, failed := last(days, func(d Day) bool { return d.TLS == Unclean })
	switch {
	case p.Ready:
		n := sum(days, o.GoodDays, func(d Day) (bool, int64) { return d.TLS == Clean, d.Sessions })
		p.Why = words.Say("reports.sts.ready", "days", o.GoodDays, "sessions", n).Text()
	case failed && p.Now == "enforce" && fresh(bad, now):
		p.Next, p.Ready = "testing", true
		p.Why = words.Say("reports.sts.back", "date", bad.Date).Text()
	case p.Now == "enforce":
		p.Why = words.Say("reports.sts.strictest").Text()
	case p.Now == "none":
		p.Why = words.Say("reports.sts.off").Text()
	case failed:
		p.Why = words.Say("reports.sts.failed", "days", o.GoodDays, "need", needSTS(p.Now), "date", bad.Date).Text()
	default:
		p.Why = words.Say("reports.sts.clean", "days", o.GoodDays, "need", needSTS(p.Now)).Text()
	}
	return p
}

// since returns the days after the one on which a policy was set.
func (o Overview) since(set time.Time) []Day {
	if set.IsZero() {
		return o.Days
	}
	from := set.UTC().Format(dateLayout)
	return slices.DeleteFunc(slices.Clone(o.Days), func(d Day) bool { return d.Date <= from })
}

// last returns the newest of the days that are so.
func last(days []Day, is func(Day) bool) (Day, bool) {
	if i := slices.IndexFunc(days, is); i >= 0 {
		return days[i], true
	}
	return Day{}, false
}

// sum adds up the newest days of a run.
func sum(days []Day, most int, of func(Day) (bool, int64)) (total int64) {
	for _, d := range days {
		if ok, n := of(d); ok && most > 0 {
			total += n
			most--
		}
	}
	return total
}

func fresh(d Day, now time.Time) bool {
	return d.Date >= now.Add(-recent).UTC().Format(dateLayout)
}

// milder is the policy before one.
func milder(list []string, policy string) string {
	return list[max(0, slices.Index(list, policy)-1)]
}

// needDMARC and needSTS are the days that package dnsplan asks for.
func needDMARC(policy string) int {
	return need(func(n int) bool { _, ok := dnsplan.ProposeDMARC(policy, n); return ok })
}

func needSTS(mode string) int {
	return need(func(n int) bool { _, ok := dnsplan.ProposeSTS(mode, n); return ok })
}

func need(enough func(int) bool) int {
	for n := range 1000 {
		if enough(n) {
			return n
		}
	}
	return 0
}

// Text says whose a source is.
func (k Kind) Text() Text {
	switch k {
	case Own:
		return words.Say("reports.source.own").Text()
	case Mine:
		return words.Say("reports.source.mine").Text()
	case Forwarder:
		return words.Say("reports.source.forwarder").Text()
	}
	return words.Say("reports.source.stranger").Text()
}

// Remedy says what a failure means and what to do about it.
func (f Failure) Remedy() Text {
	if key := "reports.failure." + f.Type; words.House().Has(key) {
		return words.Say(key).Text()
	}
	return words.Say("reports.failure.unexplained").Text()
}
