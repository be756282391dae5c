package dash

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"homemail/admin"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/web/page"
)

// A kindOf says which operations plan and do a change of the DNS.
type kindOf struct{ plan, apply string }

// kinds are the changes: of the records, of the MX, which moves the mail and is
// a step of its own, and back.
func kinds() map[string]kindOf {
	return map[string]kindOf{
		"records": {"publish.plan", "publish.apply"},
		"mx":      {"mx.plan", "mx.switch"},
		"undo":    {"mx.restore-plan", "mx.restore"},
	}
}

type planView struct {
	Domain, Shown, Kind string
	Self                string // the address of this page
	Running             bool
	Applying            bool
	Wrong               page.Message
	Steps               []step
	ByHand              []byHand
	Elsewhere           []card
	Notes               []string
	Nothing             bool
	Made                string // which plan this is
	Done                []pushed
}

// Title names the change.
func (v planView) Title() page.Message { return page.Say("dash.plan.title." + v.Kind) }

// Underway reports whether there is nothing to see yet.
func (v planView) Underway() bool { return v.Running || v.Applying }

// A step is one change, exactly.
type step struct {
	Zone, Name, Type string
	Action           string // key
	Del, Add, Keep   []string
}

type byHand struct{ Name, Type, Why string }

// pushed is what came of the changes in one zone.
type pushed struct {
	Zone          string
	Done, NotDone []step
	Error         string
	Changed       bool
}

func planPath(domain, kind string) string {
	return "/dns/plan?" + url.Values{"domain": {domain}, "kind": {kind}}.Encode()
}

// change is what a request is about.
func (d *Dash) change(w http.ResponseWriter, r *http.Request) (domain, kind string, ops kindOf, ok bool) {
	kind = page.Line(r, "kind")
	ops, ok = kinds()[kind]
	if !ok {
		d.set.Error(w, r, http.StatusNotFound)
		return
	}
	domain, err := d.findDomain(r)
	if err != nil {
		d.fail(w, r, err)
		return "", "", ops, false
	}
	return domain, kind, ops, true
}

// startPlan asks the provider what stands there and what would change.
func (d *Dash) startPlan(w http.ResponseWriter, r *http.Request) {
	domain, kind, ops, ok := d.change(w, r)
	if !ok {
		return
	}
	d.startPlanning(r, domain, kind, ops)
	d.set.Redirect(w, r, planPath(domain, kind))
}

func (d *Dash) startPlanning(r *http.Request, domain, kind string, ops kindOf) *job {
	d.jobs.forget("apply " + kind + " " + domain)
	return d.jobs.start(d.actor(r), "plan "+kind+" "+domain, 0, func(ctx context.Context) (any, error) {
		return askFor[admin.Push](d, ctx, ops.plan, map[string]string{"domain": domain})
	})
}

func (d *Dash) plan(w http.ResponseWriter, r *http.Request) {
	domain, kind, ops, ok := d.change(w, r)
	if !ok {
		return
	}
	v := planView{Domain: domain, Shown: dnsplan.Display(domain), Kind: kind, Self: planPath(domain, kind)}
	if j := d.jobs.last("apply " + kind + " " + domain); j != nil {
		done, err, ok := of[[]admin.Pushed](j)
		v.Applying = !ok
		for _, p := range done {
			v.Done = append(v.Done, pushed{p.Zone, steps(p.Zone, p.Report.Done), steps(p.Zone, p.Report.NotDone), cmp.Or(p.Wrong.In(d.lang(r)), p.Error), p.Changed})
		}
		if err != nil {
			v.Wrong = d.why(r, err)
		}
		d.set.Render(w, r, "dash.plan", v, http.StatusOK)
		return
	}
	j := d.jobs.last("plan " + kind + " " + domain)
	if j == nil {
		j = d.startPlanning(r, domain, kind, ops)
	}
	push, err, ok := of[admin.Push](j)
	v.Running, v.Made, v.Notes = !ok, made(j), in(d.lang(r), push.Told)
	if err != nil {
		v.Wrong = d.why(r, err)
	}
	for _, c := range push.Changes {
		v.Steps = append(v.Steps, steps(c.Zone, slices.Concat(c.Steps, c.MX))...)
		for _, res := range c.ByHand {
			v.ByHand = append(v.ByHand, byHand{dnsplan.Display(res.Record.Name), res.Record.Type, d.pick(r, res.Why.EN, res.Why.JA)})
		}
		for _, rec := range c.Unable {
			v.ByHand = append(v.ByHand, byHand{dnsplan.Display(rec.Name), rec.Type, d.set.Words().Say(d.set.Lang(r), "dash.plan.unable")})
		}
	}
	for _, rec := range push.Elsewhere {
		v.Elsewhere = append(v.Elsewhere, card{Name: rec.Name, Type: rec.Type, Values: rec.Values})
	}
	v.Nothing = ok && err == nil && len(v.Steps) == 0
	d.set.Render(w, r, "dash.plan", v, http.StatusOK)
}

// made names a plan, so that what is done is what was shown.
func made(j *job) string { return strconv.FormatInt(j.started.UnixNano(), 36) }

func steps(zone string, list []publish.Step) (out []step) {
	for _, s := range list {
		out = append(out, step{zone, dnsplan.Display(s.Name), s.Type, "dash.plan.action." + string(s.Action), s.Del, s.Add, s.Keep})
	}
	return out
}

// apply does what was shown, and nothing else.
func (d *Dash) apply(w http.ResponseWriter, r *http.Request) {
	domain, kind, ops, ok := d.change(w, r)
	if !ok {
		return
	}
	j := d.jobs.last("plan " + kind + " " + domain)
	push, err, ok := of[admin.Push](j)
	if !ok || err != nil || page.Line(r, "made") != made(j) {
		d.set.Flash(w, r, page.Unknown, page.Say("dash.plan.again"))
		d.startPlanning(r, domain, kind, ops)
		d.set.Redirect(w, r, planPath(domain, kind))
		return
	}
	d.jobs.start(d.actor(r), "apply "+kind+" "+domain, time.Hour, func(ctx context.Context) (any, error) {
		out, err := askFor[[]admin.Pushed](d, ctx, ops.apply, admin.ApplyPush{Changes: push.Changes})
		d.jobs.forget("plan " + kind + " " + domain) // a second click must not do it again
		d.jobs.forget("dns " + domain)
		return out, err
	})
	d.set.Redirect(w, r, planPath(domain, kind))
}

type providerView struct {
	Domain, Zone string
	Providers    []page.Option
	Chosen       *chosen
	Wrong        page.Message
	Follow       bool
	Known        bool // there is a way already
}

// chosen is a provider and what it wants to know.
type chosen struct {
	ID, Name, Where, URL string
	Fields               []credential
}

type credential struct {
	Name, Label string
	Secret      bool
	Optional    bool
	Value       string
}

func (d *Dash) provider(w http.ResponseWriter, r *http.Request) {
	d.showProvider(w, r, page.Message{})
}

func (d *Dash) showProvider(w http.ResponseWriter, r *http.Request, wrong page.Message) {
	domain, err := d.findDomain(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := providerView{Domain: domain, Zone: domain, Wrong: wrong, Follow: r.Method == http.MethodGet || page.Line(r, "follow") != ""}
	if z := d.zoneOf(r, domain); z != nil {
		v.Zone, v.Known, v.Follow = z.Name, true, z.Follow
	} else if look, err, ok := of[looked](d.jobs.last("dns " + domain)); ok && err == nil && look.Plan.Host.Zone != "" {
		v.Zone = look.Plan.Host.Zone
	}
	if zone := page.Line(r, "zone"); zone != "" {
		v.Zone = zone
	}
	for _, p := range publish.Providers() {
		v.Providers = append(v.Providers, page.Option{Value: p.ID, Label: page.Say("dash.text", "text", p.Name)})
		if p.ID != page.Line(r, "provider") {
			continue
		}
		v.Chosen = &chosen{ID: p.ID, Name: p.Name, Where: d.pick(r, p.Where.EN, p.Where.JA), URL: p.URL}
		for _, c := range p.Credentials {
			f := credential{Name: "c-" + c.Name, Label: d.pick(r, c.Label.EN, c.Label.JA), Secret: c.Secret, Optional: c.Optional}
			if !c.Secret {
				f.Value = page.Line(r, f.Name)
			}
			v.Chosen.Fields = append(v.Chosen.Fields, f)
		}
	}
	status := http.StatusOK
	if !wrong.IsZero() {
		status = http.StatusUnprocessableEntity
	}
	d.set.Render(w, r, "dash.provider", v, status)
}

func (d *Dash) setProvider(w http.ResponseWriter, r *http.Request) {
	q := admin.SetZone{Zone: page.Line(r, "zone"), Provider: page.Line(r, "provider"), Follow: page.Line(r, "follow") != "", Credentials: map[string]string{}}
	for _, p := range publish.Providers() {
		if p.ID != q.Provider {
			continue
		}
		for _, c := range p.Credentials {
			if value := page.Line(r, "c-"+c.Name); value != "" {
				q.Credentials[c.Name] = value
			}
		}
	}
	if _, err := ask[admin.Notes](d, r, "zone.set", q); err != nil {
		d.showProvider(w, r, d.why(r, err))
		return
	}
	d.set.Done(w, r, domainPath(page.Line(r, "domain")), page.Say("dash.provider.saved"))
}

func (d *Dash) askRemoveZone(w http.ResponseWriter, r *http.Request) {
	zone := page.Line(r, "zone")
	d.confirm(w, r, confirm{
		What: page.Say("dash.provider.remove.what", "zone", zone), Why: page.Say("dash.provider.remove.why"),
		Action: "/dns/provider/remove", Fields: []field{{"zone", zone}}, Do: page.Say("dash.provider.remove.do"), Back: "/dns",
	})
}

func (d *Dash) removeZone(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/dns", page.Say("dash.provider.removed"), "zone.remove", admin.Name{Name: page.Line(r, "zone")})
}
