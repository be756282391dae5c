package dash

import (
	"net/http"
	"slices"
	"strings"

	"homemail/admin"
	"homemail/web/dash/delivery"
	"homemail/web/page"
)

// coachView says how mail of ours arrives at a large provider.
type coachView struct {
	Form   page.Form
	Read   bool
	By     string
	Lines  []coached
	Others bool // the message is not of this house
}

// A coached is one thing that a provider looks at.
type coached struct {
	State page.State
	Name  string // key
	Says  page.Message
	Href  string // where it is put right
}

// header is the form for what was copied at the provider.
type header struct {
	Header string `form:"header,required,lines,max=40000"`
}

func (d *Dash) coach(w http.ResponseWriter, r *http.Request) {
	d.show(w, r, "dash.coach", coachView{Form: page.Fill(header{})}, page.Form{})
}

func (d *Dash) readCoach(w http.ResponseWriter, r *http.Request) {
	var in header
	form := page.Read(r, &in)
	v := coachView{Form: form}
	if form.OK() {
		domains, err := ask[[]string](d, r, "domain.list", admin.Empty{})
		if err != nil {
			d.fail(w, r, err)
			return
		}
		rep := delivery.Read(in.Header)
		v.Lines, v.By = coachLines(rep), rep.By
		v.Read = slices.ContainsFunc(v.Lines, func(l coached) bool { return l.State != page.Unknown })
		v.Others = v.Read && !slices.ContainsFunc(domains, func(name string) bool { return strings.EqualFold(name, rep.From) })
		if !v.Read {
			v.Form = form.Fail("header", page.Say("dash.coach.none"))
		}
	}
	d.show(w, r, "dash.coach", v, v.Form)
}

// coachLines puts a report into words.
func coachLines(r delivery.Report) (list []coached) {
	dns := "/dns"
	if r.From != "" {
		dns = domainPath(r.From)
	}
	for _, of := range []struct {
		name string
		mark delivery.Mark
		href string
	}{{"spf", r.SPF, dns}, {"dkim", r.DKIM, dns}, {"dmarc", r.DMARC, dns}, {"tls", r.TLS, "/sending"}, {"junk", r.Junk, "/network"}} {
		l := coached{State: page.Unknown, Name: "dash.coach." + of.name, Says: page.Say("dash.coach." + of.name + "." + string(of.mark))}
		switch of.mark {
		case delivery.Good:
			l.State = page.Good
		case delivery.Bad, delivery.Without:
			l.State, l.Href = page.Bad, of.href
		}
		list = append(list, l)
	}
	return list
}
