package wizard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"homemail/admin"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/web/page"
)

// dnsEach is how often the DNS is asked while somebody looks at the records, be
// it ten people with the link.
const dnsEach = 5 * time.Second

// looks are what the DNS said last of a domain.
type looks struct {
	mu   sync.Mutex
	last map[string]look
}

// A look is what the DNS said, and when.
type look struct {
	at   time.Time
	plan admin.DNSPlan
	err  error
}

func newLooks() *looks { return &looks{last: map[string]look{}} }

// forget has all looked at again: the records were changed.
func (l *looks) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.last)
}

// look returns what is known of a domain's records, and has them looked at again
// if that is old. It waits for nothing.
func (z *Wizard) look(domain string) (l look, ok bool) {
	z.looks.mu.Lock()
	l, ok = z.looks.last[domain]
	z.looks.mu.Unlock()
	if name := "dns " + domain; time.Since(l.at) > dnsEach {
		z.jobs.once(name, func(ctx context.Context) {
			plan, err := ask[admin.DNSPlan](ctx, z, "dns.plan", admin.PlanDNS{Domain: domain, Compare: true})
			if ctx.Err() != nil {
				return
			}
			z.looks.mu.Lock()
			defer z.looks.mu.Unlock()
			z.looks.last[domain] = look{time.Now(), plan, err}
		})
	}
	return l, ok
}

// moreDNSView is the page of the records.
type moreDNSView struct {
	Kind, Domain string
	Free         bool // a free name: we have the access already
	Detected     dnsplan.Text
	Providers    []page.Option
	Provider     *providerView
	Changes      []stepDiff
	Notes        []string
	Digest       string
	Pushed       []pushed
	Agreed       bool
	Status       bool // what the step waits for is not told by the cards already
	Cards        cardsView
	Link         string // to give to somebody else
	Until        time.Time
}

// A providerView is a provider and what it wants to know.
type providerView struct {
	ID, Name, URL string
	Where         dnsplan.Text
	Fields        []credential
}

type credential struct {
	Name     string
	Label    dnsplan.Text
	Secret   bool
	Optional bool
}

// A stepDiff is one change, exactly.
type stepDiff struct {
	Zone, Name, Type string
	Action           page.Message
	Del, Add, Keep   []string
}

// pushed is what came of the changes in one zone.
type pushed struct {
	Zone  string
	N     int
	Error string
}

func moreDNS(z *Wizard, r *http.Request, v *stepView) error {
	address, err := z.o.Engine.Step(r.Context(), firstboot.Address)
	if err != nil {
		return err
	}
	m := moreDNSView{Kind: v.Step.Answers["kind"], Domain: mail.Path(v.Owner).Domain(), Free: address.Answers["kind"] == "free", Agreed: v.Step.Answers["agree_ca"] == "yes"}
	if r.FormValue("change") == "kind" {
		m.Kind = ""
	}
	detected := ""
	if d := address.Found.Domain; d != nil {
		m.Detected, detected = hostName(d.Host), d.Host.Provider
	}
	if m.Kind == "self" && !m.Free {
		m.choose(v, r.FormValue("change") == "provider", detected)
	}
	if f := v.Step.Found; f.Changes != nil && v.Because("wait.confirm") {
		m.Changes, m.Digest, m.Notes = diffs(f.Changes.Changes), f.Digest, f.Changes.Notes
		v.Asking = v.Asking && r.FormValue("change") != ""
	}
	for _, p := range v.Step.Found.Done {
		m.Pushed = append(m.Pushed, pushed{p.Zone, len(p.Report.Done), p.Error})
	}
	if m.Kind != "" && !v.Asking && m.Changes == nil {
		m.Cards = z.cards(r, m.Domain)
		m.Cards.Typed = m.Kind != "self" || slices.ContainsFunc(m.Pushed, func(p pushed) bool { return p.Error != "" })
	}
	if m.Kind == "other" && !v.Asking {
		s, err := z.o.Engine.Share()
		if err != nil {
			return err
		}
		m.Link, m.Until = origin(r)+"/share/"+s.Token, s.Until
	}
	m.Status = !v.Because("wait.records")
	v.More = m
	return nil
}

// choose finds the provider: the one that was answered, or that was found by
// itself.
func (m *moreDNSView) choose(v *stepView, anew bool, detected string) {
	id := v.Step.Answers["provider"]
	if id == "" {
		id = detected
	}
	for _, p := range publish.Providers() {
		m.Providers = append(m.Providers, page.Option{Value: p.ID, Label: plain(p.Name)})
		if p.ID != id || anew {
			continue
		}
		m.Provider = &providerView{ID: p.ID, Name: p.Name, URL: p.URL, Where: p.Where}
		for _, c := range p.Credentials {
			m.Provider.Fields = append(m.Provider.Fields, credential{credentialPrefix + c.Name, c.Label, c.Secret, c.Optional})
		}
	}
	if m.Provider == nil {
		m.Providers = append([]page.Option{{Label: "first.connection.choose"}}, m.Providers...)
		wrong := v.Form.Errors
		v.Form = page.Fill(&providerForm{Provider: id})
		v.Form.Errors = wrong
	}
}

// origin is where this page is, as its reader knows it. The name is one of those
// that the Set lets through.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func diffs(changes []publish.Changes) (list []stepDiff) {
	for _, c := range changes {
		for _, s := range slices.Concat(c.Steps, c.MX) {
			list = append(list, stepDiff{c.Zone, dnsplan.Display(s.Name), s.Type, page.Say("first.change." + string(s.Action)), s.Del, s.Add, s.Keep})
		}
	}
	return list
}

// cardsView is the records of a domain, and how they are.
type cardsView struct {
	Domain, Shown string
	Known         bool
	Wrong         bool // the DNS could not be asked
	Typed         bool // by a person, into a page of the DNS host
	Host          dnsplan.Text
	URL           string
	Groups        []cards
	Missing       int
	Short, Quoted bool   // the form of names, and of texts
	Path          string // of the page, for the switches of the form
	Notes         []string
}

// cards are those of a rank.
type cards struct {
	Label page.Message
	Lead  page.Message
	Open  bool
	Good  bool
	List  []card
}

// A card is a record, in the form that the DNS host wants.
type card struct {
	Purpose   dnsplan.Text
	State     page.State
	Word      dnsplan.Text
	Name      string
	Type      string
	Values    []string
	Now       []string
	Why       dnsplan.Text
	Gone      bool // no such record may stand
	Spreading bool
}

// cards shows what the DNS said last. The MX comes behind all others, for it is
// switched when they are right.
func (z *Wizard) cards(r *http.Request, domain string) cardsView {
	v := cardsView{Domain: domain, Shown: dnsplan.Display(domain), Path: r.URL.Path, Typed: true}
	if r.URL.Path == eventsPath {
		v.Path = path(firstboot.DNS)
	}
	l, ok := z.look(domain)
	if v.Known, v.Wrong = ok, l.err != nil; !ok || v.Wrong {
		return v
	}
	host := l.plan.Host
	v.Host, v.Notes = hostName(host), l.plan.Notes
	if strings.HasPrefix(host.URL, "https://") {
		v.URL = host.URL
	}
	switch r.FormValue("names") {
	case "short":
		host.Names = dnsplan.ShortName
	case "full":
		host.Names = dnsplan.FullName
	}
	switch r.FormValue("texts") {
	case "one":
		host.Texts = dnsplan.OneString
	case "quoted":
		host.Texts = dnsplan.Quoted
	}
	v.Short, v.Quoted = host.Names == dnsplan.ShortName, host.Texts == dnsplan.Quoted
	for _, rank := range []dnsplan.Rank{dnsplan.Required, dnsplan.Recommended, dnsplan.Optional, mxRank} {
		g := cards{Label: page.Say("first.rank." + string(rank)), Lead: page.Say("first.rank." + string(rank) + ".lead"), Open: rank == dnsplan.Required || rank == mxRank, Good: true}
		for _, res := range l.plan.Results {
			if rankOf(res) != rank {
				continue
			}
			c := cardOf(host, res)
			g.Good = g.Good && c.State == page.Good
			if rank == dnsplan.Required && c.State != page.Good {
				v.Missing++
			}
			g.List = append(g.List, c)
		}
		g.Open = g.Open && !g.Good
		if len(g.List) > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	return v
}

// mxRank is the place of the MX in the list.
const mxRank dnsplan.Rank = "mx"

func rankOf(res dnsplan.Result) dnsplan.Rank {
	if res.Record.Kind == dnsplan.KindMX {
		return mxRank
	}
	return res.Record.Rank
}

func cardOf(host dnsplan.DNSHost, res dnsplan.Result) card {
	rec := res.Record
	c := card{
		Purpose: rec.Purpose, State: recordState(res), Word: res.State.Text(), Type: rec.Type, Name: host.TypedName(rec.Name),
		Now: res.Now, Why: res.Why, Gone: len(rec.Values) == 0, Spreading: res.Spreading,
	}
	values := res.Should
	if len(values) == 0 {
		values = rec.Values
	}
	for _, value := range values {
		c.Values = append(c.Values, host.TypedValue(rec.Type, value))
	}
	if res.State == dnsplan.Correct {
		c.Now = nil
	}
	return c
}

// recordState is how a record looks: what mail does not need does not alarm.
func recordState(res dnsplan.Result) page.State {
	switch {
	case res.State == dnsplan.Correct:
		return page.Good
	case res.State == dnsplan.NotSeen:
		return page.Waiting
	case res.State != dnsplan.CouldNotAsk && rankOf(res) == dnsplan.Required:
		return page.Bad
	case rankOf(res) == mxRank:
		return page.Waiting // the mail still goes where it went
	}
	return page.Unknown
}

// zoneFile answers with the records as lines of a zone file.
func (z *Wizard) zoneFile(w http.ResponseWriter, r *http.Request) {
	v, err := z.o.Engine.Step(r.Context(), firstboot.Address)
	if err != nil {
		z.fail(w, r, err)
		return
	}
	domain := v.Found.Owner.Domain()
	l, ok := z.look(domain)
	if !ok || l.err != nil || domain == "" {
		z.set.Redirect(w, r, path(firstboot.DNS)) // which waits for it
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", domain+".zone"))
	_, _ = w.Write([]byte(l.plan.Zone))
}

// endLink ends the link for somebody else, so that another page shows no more.
func (z *Wizard) endLink(w http.ResponseWriter, r *http.Request) {
	if err := z.o.Engine.Unshare(); err != nil {
		z.fail(w, r, err)
		return
	}
	z.set.Flash(w, r, page.Good, page.Say("first.dns.link-ended"))
	z.set.Redirect(w, r, with(path(firstboot.DNS), "change", "kind"))
}
