package dash

import (
	"net/http"

	"homemail/admin"
	"homemail/web/page"
)

type nameView struct{ Form page.Form }

// newName is the form for a name at a service that follows our address.
type newName struct {
	Host     string `form:"host,required,max=253"`
	Service  string `form:"service,required,max=253"`
	User     string `form:"user,required,max=254"`
	Password string `form:"password,required,secret,max=500"`
}

func (d *Dash) dyndns(w http.ResponseWriter, r *http.Request) {
	d.showDyndns(w, r, page.Fill(newName{}))
}

func (d *Dash) showDyndns(w http.ResponseWriter, r *http.Request, form page.Form) {
	d.show(w, r, "dash.dyndns", nameView{form}, form)
}

func (d *Dash) addDyndns(w http.ResponseWriter, r *http.Request) {
	var in newName
	form := page.Read(r, &in)
	if d.did(w, r, &form, "/dns", page.Say("dash.dyndns.added", "host", in.Host), "dyndns.add", admin.AddDyndns{Host: in.Host, Service: in.Service, User: in.User, Password: in.Password}) {
		return
	}
	d.showDyndns(w, r, form)
}

func (d *Dash) askRemoveDyndns(w http.ResponseWriter, r *http.Request) {
	host := page.Line(r, "host")
	d.confirm(w, r, confirm{
		What: page.Say("dash.dyndns.remove.what", "host", host), Why: page.Say("dash.dyndns.remove.why"),
		Action: "/dns/name/remove", Fields: []field{{"host", host}}, Do: page.Say("dash.remove"), Back: "/dns",
	})
}

func (d *Dash) removeDyndns(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/dns", page.Say("dash.dyndns.removed"), "dyndns.remove", admin.Name{Name: page.Line(r, "host")})
}
