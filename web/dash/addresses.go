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
	People    []page.Option
	Domains   []page.Option
	Separator string
	Example   mail.Path // of plus addressing; "" if there is nobody yet
	Form      page.Form
	All       page.Form
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
	d.showAddresses(w, r, page.Fill(newAlias{}), page.Fill(newCatchAll{}))
}

func (d *Dash) showAddresses(w http.ResponseWriter, r *http.Request, form, all page.Form) {
	aliases, err := ask[[]admin.Alias](d, r, "alias.list", admin.Empty{})
	var people []admin.Account
	if err == nil {
		people, err = ask[[]admin.Account](d, r, "account.list", admin.Empty{})
	}
	var domains []string
	if err == nil {
		domains, err = ask[[]string](d, r, "domain.list", admin.Empty{})
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := addressesView{Form: form, All: all, Separator: d.separator(r)}
	for _, a := range aliases {
		if strings.HasPrefix(string(a.Address), "@") {
			v.CatchAlls = append(v.CatchAlls, a)
		} else {
			v.Aliases = append(v.Aliases, a)
		}
	}
	for _, a := range people {
		v.People = append(v.People, page.Option{Value: string(a.Address), Label: page.Say("dash.text", "text", string(a.Address))})
		if len(a.Forward) > 0 {
			v.Forwards = append(v.Forwards, a)
		}
	}
	for _, name := range domains {
		v.Domains = append(v.Domains, page.Option{Value: name, Label: page.Say("dash.text", "text", name)})
	}
	if len(people) > 0 {
		v.Example = people[0].Address
	}
	bad := form
	if len(all.Errors) > 0 {
		bad = all
	}
	d.show(w, r, "dash.addresses", v, bad)
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

func (d *Dash) addAlias(w http.ResponseWriter, r *http.Request) {
	all := r.PostFormValue("domain") != ""
	var alias newAlias
	var catch newCatchAll
	form, catcher := page.Fill(alias), page.Fill(catch)
	var q admin.Alias
	var bad *page.Form
	if all {
		catcher = page.Read(r, &catch)
		q, bad = admin.Alias{Address: mail.Path("@" + catch.Domain), To: paths(catch.To)}, &catcher
	} else {
		form = page.Read(r, &alias)
		q, bad = admin.Alias{Address: mail.Path(alias.Address), To: paths(alias.To)}, &form
	}
	if bad.OK() {
		_, err := ask[admin.Empty](d, r, "alias.add", q)
		if err == nil {
			d.set.Done(w, r, "/addresses", page.Say("dash.addresses.added"))
			return
		}
		*bad = bad.Fail("", why(err))
	}
	d.showAddresses(w, r, form, catcher)
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
	if form.OK() {
		_, err := ask[admin.Empty](d, r, "forward", admin.Forward{Address: mail.Path(in.Of), To: paths(in.To), Only: in.Only})
		if err == nil {
			d.set.Done(w, r, "/addresses", page.Say("dash.saved"))
			return
		}
		form = form.Fail("", why(err))
	}
	d.showForward(w, r, form)
}
