package dash

import (
	"net/http"

	"homemail/admin"
	"homemail/certs"
	"homemail/web/page"
)

func (d *Dash) setPolicy(w http.ResponseWriter, r *http.Request) {
	q := admin.SetPolicy{Domain: page.Line(r, "domain"), DMARC: page.Line(r, "dmarc"), STS: page.Line(r, "sts")}
	d.jobs.forget("dns " + q.Domain)
	d.act(w, r, domainPath(q.Domain), page.Say("dash.saved"), "dns.policy", q)
}

type reportsView struct {
	Domains []domainReports
	Off     bool
}

type domainReports struct {
	admin.DomainReports
	Sources  []source
	Failures []failure
	DMARC    string // what comes next, in words
	STS      string
}

type source struct {
	IP, Kind       string
	Mine, Stranger bool // an owner may change what it is
	Passed, Failed int64
	Last           string
}

type failure struct {
	Type, MX, Do string
	Count        int64
}

const rowsShown = 20 // of sources and reporters: strangers make as many as they like

func (d *Dash) reports(w http.ResponseWriter, r *http.Request) {
	list, err := ask[[]admin.DomainReports](d, r, "reports.show", admin.ReportedDomain{})
	v := reportsView{Off: err != nil}
	for _, one := range list {
		out := domainReports{DomainReports: one, DMARC: d.pick(r, one.NextDMARC.Why.EN, one.NextDMARC.Why.JA), STS: d.pick(r, one.NextSTS.Why.EN, one.NextSTS.Why.JA)}
		for _, s := range one.Sources[:min(len(one.Sources), rowsShown)] {
			kind := s.Kind.Text()
			out.Sources = append(out.Sources, source{s.IP, d.pick(r, kind.EN, kind.JA), s.Kind == "mine", s.Kind == "stranger", s.Passed, s.Failed, s.Last})
		}
		for _, f := range one.Failures[:min(len(one.Failures), rowsShown)] {
			do := f.Remedy()
			out.Failures = append(out.Failures, failure{f.Type, f.MX, d.pick(r, do.EN, do.JA), f.Count})
		}
		out.Days = out.Days[:min(len(out.Days), 14)]
		out.Overview.DMARC = out.Overview.DMARC[:min(len(out.Overview.DMARC), rowsShown)]
		v.Domains = append(v.Domains, out)
	}
	d.set.Render(w, r, "dash.reports", v, http.StatusOK)
}

func (d *Dash) trust(w http.ResponseWriter, r *http.Request) {
	q := admin.Reporter{Reporter: page.Line(r, "reporter"), Trust: page.Line(r, "trust")}
	d.act(w, r, "/dns/reports", page.Say("dash.saved"), "reports.trust", q)
}

// mine says that what sends in a domain's name is the owner's, or is not.
func (d *Dash) mine(w http.ResponseWriter, r *http.Request) {
	q := admin.MySource{Domain: page.Line(r, "domain"), Source: page.Line(r, "source"), Mine: page.Line(r, "mine") != ""}
	d.act(w, r, "/dns/reports", page.Say("dash.saved"), "reports.mine", q)
}

type certificatesView struct {
	admin.Certificates
	Rows []certificate
	Form page.Form
}

type certificate struct {
	certs.Status
	State   page.State
	Word    string // key
	Trouble string // in the reader's language
}

// agreement is the form of the owner's word to ask the CA.
type agreement struct {
	Email string `form:"email,max=254"`
}

func (d *Dash) certificates(w http.ResponseWriter, r *http.Request) {
	d.showCertificates(w, r, page.Fill(agreement{}))
}

func (d *Dash) showCertificates(w http.ResponseWriter, r *http.Request, form page.Form) {
	list, err := ask[admin.Certificates](d, r, "certificate.list", admin.Empty{})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := certificatesView{Certificates: list, Form: form}
	for _, c := range list.Names {
		row := certificate{c, page.Unknown, "dash.certificate." + string(c.Shown), d.pick(r, c.Trouble.EN, c.Trouble.JA)}
		switch {
		case c.Shown == certs.Valid:
			row.State = page.Good
		case c.Shown == certs.Expired, c.Doing == certs.Failed:
			row.State = page.Bad
		case c.Doing == certs.Ordering, c.Doing == certs.Waiting:
			row.State = page.Waiting
		}
		v.Rows = append(v.Rows, row)
	}
	d.show(w, r, "dash.certificates", v, form)
}

func (d *Dash) agree(w http.ResponseWriter, r *http.Request) {
	var in agreement
	form := page.Read(r, &in)
	if form.OK() {
		_, err := ask[admin.Certificates](d, r, "certificate.agree", admin.AgreeCA{Email: in.Email})
		if err == nil {
			d.set.Done(w, r, "/dns/certificates", page.Say("dash.certificates.agreed"))
			return
		}
		form = form.Fail("email", d.why(r, err))
	}
	d.showCertificates(w, r, form)
}

func (d *Dash) retryCertificates(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/dns/certificates", page.Say("dash.certificates.retried"), "certificate.retry", admin.Empty{})
}

func (d *Dash) withdraw(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/dns/certificates", page.Say("dash.certificates.withdrawn"), "certificate.withdraw", admin.Empty{})
}
