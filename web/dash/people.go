package dash

import (
	"net/http"
	"strings"

	"homemail/admin"
	"homemail/mail"
	"homemail/web/page"
)

type peopleView struct {
	People []admin.Account
	Form   page.Form
	Domain string // of the example
}

// newPerson is the form for an account.
type newPerson struct {
	Address  string `form:"address,required,max=254"`
	Name     string `form:"name,required,max=100"`
	Language string `form:"language,one=en|ja"`
	Quota    int    `form:"quota,min=0,max=100000"` // GB; 0 is no limit
}

const gigabyte = 1_000_000_000 // as disks are sold in

func (d *Dash) people(w http.ResponseWriter, r *http.Request) {
	d.showPeople(w, r, page.Fill(newPerson{Language: d.lang(r)}))
}

func (d *Dash) showPeople(w http.ResponseWriter, r *http.Request, form page.Form) {
	list, err := ask[[]admin.Account](d, r, "account.list", admin.Empty{})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := peopleView{People: list, Form: form}
	if domains, err := ask[[]string](d, r, "domain.list", admin.Empty{}); err == nil && len(domains) > 0 {
		v.Domain = domains[0]
	}
	d.show(w, r, "dash.people", v, form)
}

func (d *Dash) addPerson(w http.ResponseWriter, r *http.Request) {
	var in newPerson
	form := page.Read(r, &in)
	if form.OK() {
		q := admin.AddAccount{Address: mail.Path(in.Address), Name: in.Name, Language: in.Language, Quota: int64(in.Quota) * gigabyte}
		a, err := ask[admin.Account](d, r, "account.add", q)
		if err == nil {
			d.set.Done(w, r, personPath(a.Address), page.Say("dash.people.added", "name", named(a)))
			return
		}
		form = form.Fail("", d.why(r, err))
	}
	d.showPeople(w, r, form)
}

func personPath(a mail.Path) string { return with("/people/show", "address", string(a)) }

// named is what to call somebody.
func named(a admin.Account) string {
	if a.Name != "" {
		return a.Name
	}
	return string(a.Address)
}

type personView struct {
	Account admin.Account
	Named   string
	Percent int // of the quota
	Form    page.Form
	Owner   bool
}

// Title is the person's name, which is theirs and not a key.
func (v personView) Title() page.Message { return page.Say("dash.person.title", "name", v.Named) }

// person is the form of what may change about somebody.
type person struct {
	Name     string `form:"name,max=100"`
	Language string `form:"language,one=en|ja"`
	Quota    int    `form:"quota,min=0,max=100000"`
	KeepDays int    `form:"keep_days,min=0,max=36500"`
}

// aDevice is the form for a device password.
type aDevice struct {
	Name    string `form:"device,required,max=64"`
	Rewrite bool   `form:"rewrite"`
}

func (d *Dash) findPerson(r *http.Request) (admin.Account, error) {
	list, err := ask[[]admin.Account](d, r, "account.list", admin.Empty{})
	if err != nil {
		return admin.Account{}, err
	}
	for _, a := range list {
		if a.Address.Key() == address(r).Key() {
			return a, nil
		}
	}
	return admin.Account{}, notFound("account", string(address(r)))
}

func (d *Dash) person(w http.ResponseWriter, r *http.Request) {
	d.showPerson(w, r, page.Form{})
}

// showPerson shows somebody; the zero Form is filled with what is so now.
func (d *Dash) showPerson(w http.ResponseWriter, r *http.Request, form page.Form) {
	a, err := d.findPerson(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := personView{Account: a, Named: named(a), Form: form}
	if form.Errors == nil {
		v.Form = page.Fill(person{Name: a.Name, Language: language(a.Language), Quota: int(a.Quota / gigabyte), KeepDays: a.KeepDays})
	}
	if a.Quota > 0 {
		v.Percent = int(min(a.Used*100/a.Quota, 100))
	}
	if owners, err := ask[[]admin.Person](d, r, "owner.list", admin.Empty{}); err == nil {
		for _, o := range owners {
			v.Owner = v.Owner || o.Address == a.Address
		}
	}
	d.show(w, r, "dash.person", v, v.Form)
}

// language is that of the two which an account's is nearest to.
func language(tag string) string {
	if strings.HasPrefix(tag, "ja") {
		return "ja"
	}
	return "en"
}

func (d *Dash) changePerson(w http.ResponseWriter, r *http.Request) {
	var in person
	form := page.Read(r, &in)
	quota := int64(in.Quota) * gigabyte
	q := admin.Change{Address: address(r), Name: &in.Name, Language: &in.Language, Quota: &quota, KeepDays: &in.KeepDays}
	if d.did(w, r, &form, personPath(address(r)), page.Say("dash.saved"), "account.change", q) {
		return
	}
	d.showPerson(w, r, form)
}

func (d *Dash) disablePerson(w http.ResponseWriter, r *http.Request) {
	off := page.Line(r, "off") != ""
	done := page.Say("dash.person.enabled")
	if off {
		done = page.Say("dash.person.disabled")
	}
	d.act(w, r, personPath(address(r)), done, "account.change", admin.Change{Address: address(r), Disabled: &off})
}

func (d *Dash) askRemovePerson(w http.ResponseWriter, r *http.Request) {
	a, err := d.findPerson(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.confirm(w, r, confirm{
		What:   page.Say("dash.person.remove.what", "name", named(a)),
		Why:    page.Say("dash.person.remove.why", "address", string(a.Address), "n", a.Messages, "size", page.Bytes(a.Used)),
		Action: "/people/remove", Fields: []field{{"address", string(a.Address)}},
		Do: page.Say("dash.person.remove.do"), Back: personPath(a.Address),
	})
}

func (d *Dash) removePerson(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/people", page.Say("dash.person.removed", "address", string(address(r))), "account.remove", admin.Address{Address: address(r)})
}

type passwordView struct {
	Address  mail.Path
	Password string
	Back     string
}

type newPasswordView struct {
	Address mail.Path
	Named   string
}

// Title says whose password it is.
func (v newPasswordView) Title() page.Message {
	return page.Say("dash.newpassword.title", "name", v.Named)
}

func (d *Dash) newPassword(w http.ResponseWriter, r *http.Request) {
	a, err := d.findPerson(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.set.Render(w, r, "dash.newpassword", newPasswordView{a.Address, named(a)}, http.StatusOK)
}

// resetPassword shows the new password in its answer: it is nowhere else.
func (d *Dash) resetPassword(w http.ResponseWriter, r *http.Request) {
	p, err := ask[admin.NewPassword](d, r, "password.reset", admin.Reset{Address: address(r), SecondFactor: page.Line(r, "second") != ""})
	if err != nil {
		d.set.Flash(w, r, page.Bad, d.why(r, err))
		d.set.Redirect(w, r, personPath(address(r)))
		return
	}
	d.set.Render(w, r, "dash.password", passwordView{p.Address, p.Password, personPath(p.Address)}, http.StatusOK)
}
