package reports

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A State says how a day was.
type State string

// The states of a day.
const (
	Clean   State = "clean"   // reported, and all well
	Unclean State = "unclean" // something of ours failed
	Silent  State = "silent"  // nobody who counts said anything of ours: it neither adds a day nor breaks the run
)

// A Day is how a day was for a domain.
type Day struct {
	Date     string `json:"date"` // in UTC
	DMARC    State  `json:"dmarc"`
	Passed   int64  `json:"passed"`
	Failed   int64  `json:"failed"`   // from us
	Forged   int64  `json:"forged"`   // from others, in our name
	TLS      State  `json:"tls"`      // for MTA-STS
	Sessions int64  `json:"sessions"` // that were encrypted
	Broken   int64  `json:"broken"`   // that were not
}

// Kind says whose a source is.
type Kind string

// The kinds of sources.
const (
	Own       Kind = "own"       // ours by its address, or it stands in our SPF record
	Mine      Kind = "mine"      // the owner says so
	Forwarder Kind = "forwarder" // passed on what we had signed
	Stranger  Kind = "stranger"
)

// A Source is who sent mail in a domain's name.
type Source struct {
	IP        string   `json:"ip"` // "" stands for many
	Kind      Kind     `json:"kind"`
	Passed    int64    `json:"passed"`
	Failed    int64    `json:"failed"`
	Reporters []string `json:"reporters"`
	Last      string   `json:"last"` // day
}

// A Reporter is who sent reports.
type Reporter struct {
	Domain  string `json:"domain"` // that the reports are proven to come from
	Org     string `json:"org,omitempty"`
	Counts  bool   `json:"counts"`
	Trust   string `json:"trust,omitempty"` // the owner's word: believed, ignored
	Reports int    `json:"reports"`
	Passed  int64  `json:"passed"` // messages of DMARC, sessions of TLS
	Failed  int64  `json:"failed"`
	Last    string `json:"last"` // day
}

// A Failure is one way in which encryption to us failed.
type Failure struct {
	Type   string `json:"type"` // RFC 8460 §4.3
	MX     string `json:"mx,omitempty"`
	Reason string `json:"reason,omitempty"`
	Count  int64  `json:"count"`
	Last   string `json:"last"`
}

// Overview is what the world says about a domain.
type Overview struct {
	Domain    string     `json:"domain"`
	Policy    Policy     `json:"policy"`
	Days      []Day      `json:"days"` // the newest first
	Sources   []Source   `json:"sources"`
	DMARC     []Reporter `json:"dmarc_reporters"`
	TLS       []Reporter `json:"tls_reporters"`
	Failures  []Failure  `json:"tls_failures"`
	CleanDays int        `json:"clean_days"` // for DMARC, see dnsplan.ProposeDMARC
	GoodDays  int        `json:"good_days"`  // for MTA-STS, see dnsplan.ProposeSTS
	Odd       Odd        `json:"odd"`
}

// Look tells what the world says about a domain, as far back as it is kept.
func (b *Book) Look(domain string, now time.Time) (o Overview, err error) {
	o = Overview{Domain: domain, Odd: b.Odd(), Days: []Day{}, Sources: []Source{}, DMARC: []Reporter{}, TLS: []Reporter{}, Failures: []Failure{}}
	if o.Policy, err = b.Policy(domain); err != nil {
		return o, err
	}
	j := judge{today: now.UTC().Format(dateLayout), sources: map[netip.Addr]*Source{}, kinds: map[string]*Failure{}, o: &o}
	if j.trust, err = b.trust(); err != nil {
		return o, err
	}
	if j.mine, err = b.mine(domain); err != nil {
		return o, err
	}
	err = b.s.States(daysAt+domain+"/", func(path string, v []byte) bool {
		_, date := cutDay(path)
		j.days = append(j.days, dated{date, decodeDay(v)})
		return true
	})
	if err != nil {
		return o, err
	}
	slices.SortFunc(j.days, func(a, b dated) int { return strings.Compare(b.date, a.date) })
	j.run()
	return o, nil
}

type dated struct {
	date string
	day
}

// A judge works an Overview out.
type judge struct {
	today   string
	trust   map[string]string
	mine    []netip.Prefix
	days    []dated
	sources map[netip.Addr]*Source
	kinds   map[string]*Failure
	o       *Overview
}

func (j *judge) run() {
	for _, d := range j.days {
		for who, t := range d.DMARC {
			if t != nil {
				j.gather(d.date, who, t)
			}
		}
		for who, t := range d.TLS {
			if t != nil {
				j.gatherTLS(d.date, who, t)
			}
		}
	}
	for _, d := range j.days { // only now it is known whose a source is
		j.o.Days = append(j.o.Days, j.day(d))
	}
	j.o.CleanDays = count(j.o.Days, j.o.Policy.DMARCSince, func(d Day) State { return d.DMARC })
	j.o.GoodDays = count(j.o.Days, j.o.Policy.STSSince, func(d Day) State { return d.TLS })
	j.sort()
}

// count is the length of the run of clean days up to now, after the day on
// which the policy was set.
func count(days []Day, since time.Time, state func(Day) State) (n int) {
	from := ""
	if !since.IsZero() {
		from = since.UTC().Format(dateLayout)
	}
	for _, d := range days {
		if d.Date <= from || state(d) == Unclean {
			break
		}
		if state(d) == Clean {
			n++
		}
	}
	return n
}

func (j *judge) counts(who string, known bool) bool {
	switch j.trust[who] {
	case Believed:
		return true
	case Ignored:
		return false
	}
	return known
}

// gather notes who said what of which source.
func (j *judge) gather(date, who string, t *tally) {
	counts := j.counts(who, t.Counts)
	r := j.reporter(&j.o.DMARC, Reporter{Domain: who, Org: t.Org, Counts: counts, Last: date})
	r.Reports += t.Reports
	for _, s := range append(t.Sources, &t.More) {
		if s == nil {
			continue
		}
		r.Passed += s.Passed
		r.Failed += s.Failed
		if counts && s.Passed+s.Failed > 0 {
			j.source(date, who, s)
		}
	}
}

func (j *judge) source(date, who string, s *source) {
	out := j.sources[s.IP]
	if out == nil {
		out = &Source{Kind: Stranger, Last: date}
		if s.IP.IsValid() {
			out.IP = s.IP.String()
		}
		j.sources[s.IP] = out
	}
	out.Passed += s.Passed
	out.Failed += s.Failed
	if !slices.Contains(out.Reporters, who) {
		out.Reporters = append(out.Reporters, who)
	}
	switch {
	case !s.IP.IsValid(): // many: what surely is ours is counted with the day
	case slices.ContainsFunc(j.mine, func(p netip.Prefix) bool { return p.Contains(s.IP) }):
		out.Kind = Mine
	case s.Host || s.SPF > 0:
		out.Kind = Own
	case (s.Passed > 0 || s.Broken > 0) && out.Kind == Stranger:
		out.Kind = Forwarder
	}
}

// gatherTLS notes who said what of sessions.
func (j *judge) gatherTLS(date, who string, t *tlsTally) {
	counts := j.counts(who, t.Counts)
	r := j.reporter(&j.o.TLS, Reporter{Domain: who, Org: t.Org, Counts: counts, Last: date})
	r.Reports += t.Reports
	r.Passed += t.Successes
	r.Failed += t.Failed
	if !counts {
		return
	}
	for _, k := range t.Kinds {
		if k == nil {
			continue
		}
		f := j.kinds[k.Type+" "+k.MX]
		if f == nil { // days come newest first
			f = &Failure{Type: k.Type, MX: k.MX, Reason: k.Reason, Last: date}
			j.kinds[k.Type+" "+k.MX] = f
		}
		f.Count += k.Count
	}
}

// reporter returns the entry of a reporter in a list, where its newest day has
// put it.
func (j *judge) reporter(list *[]Reporter, newest Reporter) *Reporter {
	for i := range *list {
		if (*list)[i].Domain == newest.Domain {
			return &(*list)[i]
		}
	}
	newest.Trust = j.trust[newest.Domain]
	*list = append(*list, newest)
	return &(*list)[len(*list)-1]
}

// day judges a day by those who count.
func (j *judge) day(d dated) Day {
	out := Day{Date: d.date, DMARC: Silent, TLS: Silent}
	for who, t := range d.DMARC {
		if t == nil || !j.counts(who, t.Counts) {
			continue
		}
		for _, s := range append(t.Sources, &t.More) {
			if s != nil {
				failed := s.Ours
				if src := j.sources[s.IP]; s.IP.IsValid() && src != nil && (src.Kind == Own || src.Kind == Mine) {
					failed = s.Failed
				}
				out.Passed += s.Passed
				out.Failed += failed
				out.Forged += s.Failed - failed
			}
		}
	}
	switch {
	case out.Failed > 0:
		out.DMARC = Unclean
	case out.Passed > 0:
		out.DMARC = Clean
	}
	j.dayTLS(d, &out)
	return out
}

// dayTLS judges the sessions of a day, and what we saw ourselves. Our own look
// makes a day good only when it is over.
func (j *judge) dayTLS(d dated, out *Day) {
	good, bad := d.Well && d.date < j.today, d.Ill
	for who, t := range d.TLS {
		if t == nil || !j.counts(who, t.Counts) {
			continue
		}
		out.Sessions += t.Successes
		out.Broken += t.Failed
		good = good || t.STS > 0
		for _, k := range t.Kinds {
			bad = bad || k != nil && k.Count > 0 && !onlyDANE(k.Type)
		}
	}
	switch {
	case bad:
		out.TLS = Unclean
	case good:
		out.TLS = Clean
	}
}

// onlyDANE reports whether a failure is of those that MTA-STS has nothing to do
// with.
func onlyDANE(kind string) bool {
	return kind == "tlsa-invalid" || kind == "dnssec-invalid" || kind == "dane-required"
}

func (j *judge) sort() {
	for _, s := range j.sources {
		slices.Sort(s.Reporters)
		j.o.Sources = append(j.o.Sources, *s)
	}
	slices.SortFunc(j.o.Sources, func(a, b Source) int {
		if n := (b.Passed + b.Failed) - (a.Passed + a.Failed); n != 0 {
			return int(max(-1, min(n, 1)))
		}
		return strings.Compare(a.IP, b.IP)
	})
	for _, f := range j.kinds {
		j.o.Failures = append(j.o.Failures, *f)
	}
	slices.SortFunc(j.o.Failures, func(a, b Failure) int {
		return strings.Compare(b.Last+a.Type+a.MX, a.Last+b.Type+b.MX)
	})
	for _, list := range [][]Reporter{j.o.DMARC, j.o.TLS} {
		slices.SortFunc(list, func(a, b Reporter) int { return strings.Compare(a.Domain, b.Domain) })
	}
}
