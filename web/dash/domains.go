package dash

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"homemail/admin"
	"homemail/dnsplan"
	"homemail/mail"
	"homemail/web/page"
)

type domainsView struct {
	Domains []domainRow
	Zones   []admin.ZoneState
	Follow  bool              // dyndns2 services can be told our address
	Names   []admin.NameState // at those
}

// A domainRow is a domain, as it was when somebody looked last.
type domainRow struct {
	Name, Shown string
	State       page.State
	Wrong       int
	At          time.Time
}

// newDomain is the form for a domain.
type newDomain struct {
	Domain string `form:"domain,required,max=253"`
}

func (d *Dash) domains(w http.ResponseWriter, r *http.Request) {
	list, err := ask[[]string](d, r, "domain.list", admin.Empty{})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := domainsView{}
	for _, name := range list {
		row := domainRow{Name: name, Shown: dnsplan.Display(name), State: page.Unknown}
		if j := d.jobs.last("dns " + name); j != nil {
			if look, err, ok := of[looked](j); ok && err == nil {
				row.At, row.Wrong = j.ended, look.wrong()
				row.State = page.Good
				if row.Wrong > 0 {
					row.State = page.Bad
				}
			}
		}
		v.Domains = append(v.Domains, row)
	}
	v.Zones, _ = ask[[]admin.ZoneState](d, r, "zone.list", admin.Empty{}) // none, where nobody can publish
	v.Names, err = ask[[]admin.NameState](d, r, "dyndns.list", admin.Empty{})
	v.Follow = err == nil
	d.set.Render(w, r, "dash.domains", v, http.StatusOK)
}

type newDomainView struct{ Form page.Form }

// Title is what the button says that leads here.
func (newDomainView) Title() page.Message { return page.Say("dash.domains.add") }

func (d *Dash) newDomain(w http.ResponseWriter, r *http.Request) {
	d.show(w, r, "dash.newdomain", newDomainView{page.Fill(newDomain{})}, page.Form{})
}

func (d *Dash) addDomain(w http.ResponseWriter, r *http.Request) {
	var in newDomain
	form := page.Read(r, &in)
	if d.did(w, r, &form, "/dns", page.Say("dash.domains.added", "domain", in.Domain), "domain.add", map[string]string{"address": in.Domain}) {
		return
	}
	d.show(w, r, "dash.newdomain", newDomainView{form}, form)
}

func (d *Dash) askRemoveDomain(w http.ResponseWriter, r *http.Request) {
	name, err := d.findDomain(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.confirm(w, r, confirm{
		What: page.Say("dash.domains.remove.what", "domain", dnsplan.Display(name)), Why: page.Say("dash.domains.remove.why"),
		Action: "/dns/remove", Fields: []field{{"domain", name}}, Do: page.Say("dash.domains.remove.do"), Back: domainPath(name),
	})
}

func (d *Dash) removeDomain(w http.ResponseWriter, r *http.Request) {
	name := page.Line(r, "domain")
	_, err := ask[admin.Empty](d, r, "domain.remove", admin.RemoveDomain{Address: mail.Path(name), Force: page.Line(r, "force") != ""})
	switch {
	case mustForce(err):
		d.confirm(w, r, confirm{
			What: page.Say("dash.domains.remove.what", "domain", dnsplan.Display(name)), Why: d.why(r, err),
			Action: "/dns/remove", Fields: []field{{"domain", name}, {"force", "1"}}, Do: page.Say("dash.force"), Back: domainPath(name),
		})
	case err != nil:
		d.set.Flash(w, r, page.Bad, d.why(r, err))
		d.set.Redirect(w, r, "/dns")
	default:
		d.set.Done(w, r, "/dns", page.Say("dash.domains.removed", "domain", name))
	}
}

func domainPath(name string) string { return with("/dns/domain", "domain", name) }

// findDomain is the domain that a request names, if it is one of ours: others
// must not make us ask the DNS.
func (d *Dash) findDomain(r *http.Request) (string, error) {
	name := page.Line(r, "domain")
	list, err := ask[[]string](d, r, "domain.list", admin.Empty{})
	if err == nil && !slices.Contains(list, name) {
		err = notFound("domain", name)
	}
	return name, err
}

// looked is what the DNS says of a domain.
type looked struct {
	Plan admin.DNSPlan
	MX   admin.MX
}

// wrong counts the records that mail needs and that are not right.
func (l looked) wrong() (n int) {
	for _, res := range l.Plan.Results {
		if res.Record.Rank == dnsplan.Required && res.State != dnsplan.Correct {
			n++
		}
	}
	return n
}

const (
	dnsAge  = time.Minute      // how old what is shown may be before the DNS is asked again
	dnsEach = 10 * time.Second // how often it is asked while somebody looks
)

func (d *Dash) lookDNS(ctx context.Context, name string, age time.Duration) *job {
	return d.jobs.start(ctx, "dns "+name, age, func(ctx context.Context) (any, error) {
		plan, err := askFor[admin.DNSPlan](d, ctx, "dns.plan", admin.PlanDNS{Domain: name, Compare: true})
		if err != nil {
			return looked{}, err
		}
		mx, err := askFor[admin.MX](d, ctx, "mx.show", admin.Domain{Domain: name})
		if err != nil {
			d.log.Debug("where a domain's mail goes is not known", "domain", name, "err", err) // nobody can publish here
		}
		return looked{plan, mx}, nil
	})
}

type domainView struct {
	Domain, Shown string
	Cards         cardsView
	Zone          *admin.ZoneState // where we may change its records
	Policy        *admin.DomainPolicy
	Keys          *keysView // that its mail is signed with
	Running       bool
	Names, Texts  string // forms
	Kept          string // query that keeps them
}

// Title is the domain's name.
func (v domainView) Title() page.Message { return page.Say("dash.domain.title", "domain", v.Shown) }

// Underway reports whether the DNS still has to answer.
func (v domainView) Underway() bool { return v.Running }

// cardsView is the part of the page that changes as the DNS does.
type cardsView struct {
	Domain    string
	Wrong     page.Message
	Notes     []string
	Host      string
	HostURL   string
	Provider  string
	Groups    []cards
	Mode      string
	MXNow     []string
	Former    []string // where the mail went before
	CanUndo   bool
	At        time.Time
	Running   bool
	None      bool // the way of connection needs no records
	Published bool // there is a zone that we may change
	MXHere    bool
}

// seen is all that the cards say but for the time: what has not changed is not
// sent, as it would close what a reader has opened.
func (v cardsView) seen() string {
	v.At = time.Time{}
	return fmt.Sprintf("%+v", v)
}

// cards are those of a rank.
type cards struct {
	Rank string // key
	Open bool
	List []card
}

// A card is a record, in the form that the DNS host wants.
type card struct {
	Purpose   string
	State     page.State
	Word      string
	Name      string
	Type      string
	Values    []string
	Now       []string
	Why       string
	Gone      bool // no such record may stand
	Spreading bool
}

func (d *Dash) domain(w http.ResponseWriter, r *http.Request) {
	name, err := d.findDomain(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := domainView{Domain: name, Shown: dnsplan.Display(name), Names: page.Line(r, "names"), Texts: page.Line(r, "texts"), Zone: d.zoneOf(r, name)}
	v.Kept = r.URL.RawQuery
	v.Cards = d.cards(r, v.Zone != nil, d.lookDNS(d.actor(r), name, dnsAge))
	v.Running = v.Cards.Running
	if p, err := ask[admin.DomainPolicy](d, r, "dns.policy", admin.SetPolicy{Domain: name}); err == nil {
		v.Policy = &p
	}
	v.Keys = d.keys(r, name)
	d.set.Render(w, r, "dash.domain", v, http.StatusOK)
}

// domainLive sends the cards as the DNS changes, as long as somebody looks.
func (d *Dash) domainLive(w http.ResponseWriter, r *http.Request) {
	name, err := d.findDomain(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	published := d.zoneOf(r, name) != nil
	shown := d.cards(r, published, d.jobs.last("dns "+name)).seen()
	d.set.Stream(w, r, func(ctx context.Context, send page.Sender) error {
		for {
			j := d.lookDNS(d.actor(r), name, dnsEach)
			select {
			case <-j.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if v := d.cards(r, published, j); v.seen() != shown {
				if err := send("cards", "dash.cards", v); err != nil {
					return err
				}
				shown = v.seen()
			}
			select {
			case <-time.After(dnsEach):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// zoneOf is the zone of ours at a provider that a domain is in, nil for none.
func (d *Dash) zoneOf(r *http.Request, name string) (found *admin.ZoneState) {
	list, err := ask[[]admin.ZoneState](d, r, "zone.list", admin.Empty{})
	if err != nil {
		return nil
	}
	for i, z := range list {
		if (name == z.Name || strings.HasSuffix(name, "."+z.Name)) && (found == nil || len(z.Name) > len(found.Name)) {
			found = &list[i]
		}
	}
	return found
}

// cards shows what a look has come to, or that of before while it goes on.
func (d *Dash) cards(r *http.Request, published bool, j *job) cardsView {
	v := cardsView{Domain: page.Line(r, "domain"), Running: j.running(), Published: published}
	look, err, ok := of[looked](j)
	if !ok {
		return v
	}
	v.At = j.ended
	if err != nil {
		v.Wrong = d.why(r, err)
		return v
	}
	plan := look.Plan
	host := plan.Host
	if f := dnsplan.Form(page.Line(r, "names")); f == dnsplan.ShortName || f == dnsplan.FullName {
		host.Names = f
	}
	if f := dnsplan.Form(page.Line(r, "texts")); f == dnsplan.OneString || f == dnsplan.Quoted {
		host.Texts = f
	}
	v.Host, v.HostURL, v.Provider = d.pick(r, host.Name, host.Japanese), host.URL, host.Provider
	if v.Host == "" {
		v.Host = strings.Join(host.NS, ", ")
	}
	if !strings.HasPrefix(v.HostURL, "https://") {
		v.HostURL = ""
	}
	v.Notes, v.Mode, v.None = in(d.lang(r), plan.Told), string(plan.Mode), len(plan.Records) == 0
	v.MXNow = look.MX.Now
	if look.MX.Former != nil {
		v.CanUndo, v.Former = true, look.MX.Former.Values
	}
	for _, rank := range []dnsplan.Rank{dnsplan.Required, dnsplan.Recommended, dnsplan.Optional} {
		g := cards{Rank: "dash.rank." + string(rank), Open: rank == dnsplan.Required}
		for _, res := range plan.Results {
			if res.Record.Rank == rank {
				g.List = append(g.List, d.card(r, host, res))
			}
			if res.Record.Kind == dnsplan.KindMX && res.State == dnsplan.Correct {
				v.MXHere = true
			}
		}
		if len(g.List) > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	return v
}

func (d *Dash) card(r *http.Request, host dnsplan.DNSHost, res dnsplan.Result) card {
	rec := res.Record
	c := card{
		Purpose: d.pick(r, rec.Purpose.EN, rec.Purpose.JA), State: recordState(res), Type: rec.Type,
		Name: host.TypedName(rec.Name), Now: res.Now, Why: d.pick(r, res.Why.EN, res.Why.JA),
		Gone: len(rec.Values) == 0, Spreading: res.Spreading,
	}
	word := res.State.Text()
	c.Word = d.pick(r, word.EN, word.JA)
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
	switch res.State {
	case dnsplan.Correct:
		return page.Good
	case dnsplan.NotSeen:
		return page.Waiting
	case dnsplan.CouldNotAsk:
		return page.Unknown
	}
	if res.Record.Rank == dnsplan.Required {
		return page.Bad
	}
	return page.Unknown
}

// zoneFile answers with the records as lines of a zone file.
func (d *Dash) zoneFile(w http.ResponseWriter, r *http.Request) {
	name, err := d.findDomain(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	look, err, ok := of[looked](d.lookDNS(d.actor(r), name, time.Hour))
	if !ok || err != nil {
		d.set.Redirect(w, r, domainPath(name)) // which waits for it, or says why
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name+".zone"))
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(look.Plan.Zone))
}
