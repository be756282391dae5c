package dash

import (
	"net/http"

	"homemail/admin"
	"homemail/mail"
	"homemail/store"
	"homemail/web/page"
)

type machineView struct {
	Form   page.Form
	People []page.Option
}

// newMachine is the form for a device of the house that sends without signing in.
type newMachine struct {
	Name    string `form:"name,required,max=64"`
	IP      string `form:"ip,required,max=64"`
	For     string `form:"for,required,max=254"`
	Rewrite bool   `form:"rewrite"`
	Local   bool   `form:"local"`
}

func (d *Dash) machine(w http.ResponseWriter, r *http.Request) {
	d.showMachine(w, r, page.Fill(newMachine{Rewrite: true}))
}

func (d *Dash) showMachine(w http.ResponseWriter, r *http.Request, form page.Form) {
	people, err := d.everybody(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.show(w, r, "dash.machine", machineView{form, people}, form)
}

// everybody is who lives here, to choose from.
func (d *Dash) everybody(r *http.Request) (out []page.Option, err error) {
	list, err := ask[[]admin.Account](d, r, "account.list", admin.Empty{})
	for _, a := range list {
		out = append(out, page.Option{Value: string(a.Address), Label: page.Say("dash.text", "text", string(a.Address))})
	}
	return out, err
}

func (d *Dash) addMachine(w http.ResponseWriter, r *http.Request) {
	var in newMachine
	form := page.Read(r, &in)
	if form.OK() {
		q := admin.Machine{Name: in.Name, Address: in.IP, For: mail.Path(in.For), From: store.RefuseFrom, Local: in.Local}
		if in.Rewrite {
			q.From = store.RewriteFrom
		}
		said, err := ask[admin.Caution](d, r, "machine.add", q)
		if err == nil {
			if said.Caution != "" {
				d.set.Flash(w, r, page.Unknown, page.Say("dash.machine.caution", "name", in.Name, "caution", said.Caution))
				d.set.Redirect(w, r, "/network")
				return
			}
			d.set.Done(w, r, "/network", page.Say("dash.machine.added", "name", in.Name))
			return
		}
		form = form.Fail("", d.why(r, err))
	}
	d.showMachine(w, r, form)
}

func (d *Dash) askRemoveMachine(w http.ResponseWriter, r *http.Request) {
	name := page.Line(r, "name")
	d.confirm(w, r, confirm{
		What: page.Say("dash.machine.remove.what", "name", name), Why: page.Say("dash.machine.remove.why"),
		Action: "/network/machine/remove", Fields: []field{{"name", name}}, Do: page.Say("dash.remove"), Back: "/network",
	})
}

func (d *Dash) removeMachine(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/network", page.Say("dash.machine.removed"), "machine.remove", admin.Name{Name: page.Line(r, "name")})
}
