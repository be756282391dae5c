package dash

import (
	"net/http"
	"slices"
	"strings"

	"homemail/admin"
	"homemail/config"
	"homemail/mail"
	"homemail/web/page"
)

type addressesView struct {
	Aliases   []admin.Alias
	CatchAlls []admin.Alias
	Forwards  []admin.Account // who forwards mail
	Anybody   bool
	Separator string
	Example   mail.Path // of plus addressing; "" if there is nobody yet
}

// newAlias is the form for an address that leads to others.
type newAlias struct {
	Address string `form:"address,required,max=254"`
	To      string `form:"to,required,lines,max=4000"`
}

// newCatchAll is the form for who gets mail for addresses that nobody has.
type newCatchAll struct {
	Domain string `form:"domain,required,max=253"`
	To     string `form:"catcher,required,max=254"`
}

// newForward is the form for mail that goes elsewhere, too.
type newForward struct {
	Of   string `form:"of,required,max=254"`
	To   string `form:"forward_to,lines,max=4000"`
	Only bool   `form:"only"`
}

func (d *Dash) addresses(w http.ResponseWriter, r *http.Request) {
	aliases, err := ask[[]admin.Alias](d, r, "alias.list", admin.Empty{})
	var people []admin.Account
	if err == nil {
		people, err = ask[[]admin.Account](d, r, "account.list", admin.Empty{})
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := addressesView{Separator: d.separator(r), Anybody: len(people) > 0}
	for _, a := range aliases {
		if strings.HasPrefix(string(a.Address), "@") {
			v.CatchAlls = append(v.CatchAlls, a)
		} else {
			v.Aliases = append(v.Aliases, a)
		}
	}
	for _, a := range people {
		if len(a.Forward) > 0 {
			v.Forwards = append(v.Forwards, a)
		}
	}
	if v.Anybody {
		v.Example = people[0].Address
	}
	d.set.Render(w, r, "dash.addresses", v, http.StatusOK)
}

// separator is what plus addressing goes by, "" if it is off.
func (d *Dash) separator(r *http.Request) string {
	list, _ := ask[[]config.Setting](d, r, "setting.list", admin.Empty{})
	for _, s := range list {
		if s.Name == "separator" {
			return strings.Trim(s.Value, `"`)
		}
	}
	return ""
}

// paths are addresses, a line or a comma apart.
func paths(s string) (list []mail.Path) {
	for _, one := range strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ' ' || r == '　' || r == '、' }) {
		list = append(list, mail.Path(one))
	}
	return list
}

type aliasView struct{ Form page.Form }

// Title is what the button says that leads here.
func (aliasView) Title() page.Message { return page.Say("dash.addresses.add") }

func (d *Dash) newAlias(w http.ResponseWriter, r *http.Request) {
	d.show(w, r, "dash.alias", aliasView{page.Fill(newAlias{})}, page.Form{})
}

func (d *Dash) addAlias(w http.ResponseWriter, r *http.Request) {
	var in newAlias
	form := page.Read(r, &in)
	if d.did(w, r, &form, "/addresses", page.Say("dash.addresses.added"), "alias.add", admin.Alias{Address: mail.Path(in.Address), To: paths(in.To)}) {
		return
	}
	d.show(w, r, "dash.alias", aliasView{form}, form)
}

type catchAllView struct {
	Form            page.Form
	People, Domains []page.Option
}

// Title is what the button says that leads here.
func (catchAllView) Title() page.Message { return page.Say("dash.addresses.all.add") }

func (d *Dash) newCatchAll(w http.ResponseWriter, r *http.Request) {
	d.showCatchAll(w, r, page.Fill(newCatchAll{}))
}

func (d *Dash) showCatchAll(w http.ResponseWriter, r *http.Request, form page.Form) {
	people, err := d.everybody(r)
	var domains []string
	if err == nil {
		domains, err = ask[[]string](d, r, "domain.list", admin.Empty{})
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := catchAllView{Form: form, People: people}
	for _, name := range domains {
		v.Domains = append(v.Domains, page.Option{Value: name, Label: page.Say("dash.text", "text", name)})
	}
	d.show(w, r, "dash.catchall", v, form)
}

func (d *Dash) addCatchAll(w http.ResponseWriter, r *http.Request) {
	var in newCatchAll
	form := page.Read(r, &in)
	if d.did(w, r, &form, "/addresses", page.Say("dash.addresses.added"), "alias.add", admin.Alias{Address: mail.Path("@" + in.Domain), To: paths(in.To)}) {
		return
	}
	d.showCatchAll(w, r, form)
}

func (d *Dash) askRemoveAlias(w http.ResponseWriter, r *http.Request) {
	list, err := ask[[]admin.Alias](d, r, "alias.list", admin.Empty{})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	i := slices.IndexFunc(list, func(a admin.Alias) bool { return a.Address == address(r) })
	if i < 0 {
		d.set.Error(w, r, http.StatusNotFound)
		return
	}
	d.confirm(w, r, confirm{
		What: page.Say("dash.addresses.remove.what", "address", string(list[i].Address)), Why: page.Say("dash.addresses.remove.why"),
		Action: "/addresses/remove", Fields: []field{{"address", string(list[i].Address)}},
		Do: page.Say("dash.addresses.remove.do"), Back: "/addresses",
	})
}

func (d *Dash) removeAlias(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/addresses", page.Say("dash.addresses.removed"), "alias.remove", admin.Address{Address: address(r)})
}

type forwardView struct {
	Form   page.Form
	People []page.Option
}

// Title is what the button says that leads here.
func (forwardView) Title() page.Message { return page.Say("dash.addresses.forward.add") }

func (d *Dash) newForward(w http.ResponseWriter, r *http.Request) {
	d.showForward(w, r, page.Fill(newForward{}))
}

func (d *Dash) showForward(w http.ResponseWriter, r *http.Request, form page.Form) {
	people, err := d.everybody(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.show(w, r, "dash.forward", forwardView{form, people}, form)
}

// forward sets where somebody's mail goes, too; nowhere ends it.
func (d *Dash) forward(w http.ResponseWriter, r *http.Request) {
	var in newForward
	form := page.Read(r, &in)
	if d.did(w, r, &form, "/addresses", page.Say("dash.saved"), "forward", admin.Forward{Address: mail.Path(in.Of), To: paths(in.To), Only: in.Only}) {
		return
	}
	d.showForward(w, r, form)
}
