package dash

import (
	"net/http"

	"homemail/admin"
	"homemail/mail"
	"homemail/outbound"
	"homemail/relay"
	"homemail/relay/preset"
	"homemail/web/page"
)

type sendingView struct {
	Default    admin.Route
	Way        string // key
	Domains    []admin.Route
	Senders    []admin.SenderRoute
	Smarthosts []outbound.Smarthost
	Bridges    []bridged
}

// newRoute is the form of the way out.
type newRoute struct {
	Domain    string `form:"domain,max=253"` // "" for all others
	Way       string `form:"way,required,one=direct|smarthost|direct-then-smarthost|off"`
	Smarthost string `form:"smarthost,max=64"`
	Force     bool   `form:"force"`
}

const afterTries = 2 // that go direct before the smarthost is asked

func (d *Dash) sending(w http.ResponseWriter, r *http.Request) {
	routes, err := ask[admin.Routes](d, r, "route.list", admin.Empty{})
	v := sendingView{Senders: routes.Senders}
	if err == nil {
		v.Smarthosts, err = ask[[]outbound.Smarthost](d, r, "smarthost.list", admin.Empty{})
	}
	var bridges []admin.Bridge
	if err == nil {
		bridges, err = ask[[]admin.Bridge](d, r, "bridge.list", admin.Empty{})
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	for _, b := range bridges {
		v.Bridges = append(v.Bridges, bridgedOf(b, d.lang(r)))
	}
	for i, route := range routes.Domains {
		if i == 0 {
			v.Default, v.Way = route, wayKey(route.Way)
			continue
		}
		v.Domains = append(v.Domains, route)
	}
	d.set.Render(w, r, "dash.sending", v, http.StatusOK)
}

func smarthostChoices(list []outbound.Smarthost) []page.Option {
	out := []page.Option{{Value: "", Label: "dash.sending.none"}}
	for _, s := range list {
		out = append(out, page.Option{Value: s.Name, Label: page.Say("dash.text", "text", s.Name)})
	}
	return out
}

func wayName(w relay.Way) string {
	if w == relay.Off {
		return "off"
	}
	return string(w)
}

func wayKey(w relay.Way) string { return "dash.way." + wayName(w) }

// WayKey is the words for a way out.
func (sendingView) WayKey(w relay.Way) string { return wayKey(w) }

type routeView struct {
	Form    page.Form
	Choices []page.Option // of smarthosts
	Force   bool          // it is done only if the owner insists
}

// Title is the heading that the button stands under that leads here.
func (routeView) Title() page.Message { return page.Say("dash.sending.way") }

// route asks how mail leaves: all of it, as it does now.
func (d *Dash) route(w http.ResponseWriter, r *http.Request) {
	routes, err := ask[admin.Routes](d, r, "route.list", admin.Empty{})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	in := newRoute{Way: wayName(relay.Off)}
	if len(routes.Domains) > 0 {
		in = newRoute{Way: wayName(routes.Domains[0].Way), Smarthost: routes.Domains[0].Smarthost}
	}
	d.showRoute(w, r, page.Fill(in), false)
}

func (d *Dash) showRoute(w http.ResponseWriter, r *http.Request, form page.Form, force bool) {
	hosts, err := ask[[]outbound.Smarthost](d, r, "smarthost.list", admin.Empty{})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.show(w, r, "dash.route", routeView{form, smarthostChoices(hosts), force}, form)
}

func (d *Dash) setRoute(w http.ResponseWriter, r *http.Request) {
	var in newRoute
	form, force := page.Read(r, &in), false
	if form.OK() {
		q := admin.SetRoute{Route: admin.Route{Domain: in.Domain, Way: relay.Way(in.Way), Smarthost: in.Smarthost}, Force: in.Force}
		switch {
		case in.Way == "off" || in.Way == string(relay.Direct):
			q.Smarthost = ""
		case in.Way == string(relay.DirectThenVia):
			q.After = afterTries
		}
		if in.Way == "off" {
			q.Way = relay.Off
		}
		if q.Domain == "" {
			q.Domain = "default"
		}
		_, err := ask[admin.Empty](d, r, "route.set", q)
		if err == nil {
			d.set.Done(w, r, "/sending", page.Say("dash.saved"))
			return
		}
		form, force = form.Fail("", d.why(r, err)), mustForce(err)
	}
	d.showRoute(w, r, form, force)
}

func (d *Dash) askRemoveRoute(w http.ResponseWriter, r *http.Request) {
	domain := page.Line(r, "domain")
	d.confirm(w, r, confirm{
		What: page.Say("dash.sending.route.remove.what", "domain", domain), Why: page.Say("dash.sending.route.remove.why"),
		Action: "/sending/route/remove", Fields: []field{{"domain", domain}}, Do: page.Say("dash.remove"), Back: "/sending",
	})
}

func (d *Dash) removeRoute(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/sending", page.Say("dash.saved"), "route.remove", admin.Domain{Domain: page.Line(r, "domain")})
}

type senderView struct {
	Form    page.Form
	Choices []page.Option // of smarthosts
}

// newSender is the form for an address that is at home elsewhere, and sends
// through a smarthost of its own.
type newSender struct {
	Address string `form:"address,required,max=254"`
	Through string `form:"through,required,max=64"`
}

// Title is what the button says that leads here.
func (senderView) Title() page.Message { return page.Say("dash.sending.sender.add") }

func (d *Dash) sender(w http.ResponseWriter, r *http.Request) {
	d.showSender(w, r, page.Fill(newSender{}))
}

func (d *Dash) showSender(w http.ResponseWriter, r *http.Request, form page.Form) {
	hosts, err := ask[[]outbound.Smarthost](d, r, "smarthost.list", admin.Empty{})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.show(w, r, "dash.sender", senderView{form, smarthostChoices(hosts)[1:]}, form)
}

func (d *Dash) setSender(w http.ResponseWriter, r *http.Request) {
	var in newSender
	form := page.Read(r, &in)
	if d.did(w, r, &form, "/sending", page.Say("dash.saved"), "route.sender", admin.SenderRoute{Address: mail.Path(in.Address), Smarthost: in.Through}) {
		return
	}
	d.showSender(w, r, form)
}

func (d *Dash) askRemoveSender(w http.ResponseWriter, r *http.Request) {
	of := string(address(r))
	d.confirm(w, r, confirm{
		What: page.Say("dash.sending.sender.remove.what", "address", of), Why: page.Say("dash.sending.sender.remove.why"),
		Action: "/sending/sender/remove", Fields: []field{{"address", of}}, Do: page.Say("dash.remove"), Back: "/sending",
	})
}

// removeSender has an address go the way of all others.
func (d *Dash) removeSender(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/sending", page.Say("dash.saved"), "route.sender", admin.SenderRoute{Address: address(r)})
}

type smarthostView struct {
	Presets []presetGroup
	Form    page.Form
	Note    string
	Free    string
	Help    string
	Hint    string
	Known   bool // a preset was chosen
}

type presetGroup struct {
	Name string // key
	List []presetLink
}

type presetLink struct{ Name, Href string }

// newSmarthost is the form for a server that takes our mail.
type newSmarthost struct {
	Preset   string `form:"preset,max=64"`
	Name     string `form:"name,required,max=64"`
	Host     string `form:"host,required,max=253"`
	Port     int    `form:"port,required,min=1,max=65535"`
	TLS      string `form:"tls,required,one=implicit|starttls"`
	User     string `form:"user,max=254"`
	Password string `form:"password,secret,max=500"`
	Sender   string `form:"sender,max=254"`
	Default  bool   `form:"default"`
}

func (d *Dash) smarthost(w http.ResponseWriter, r *http.Request) {
	in := newSmarthost{Preset: page.Line(r, "preset"), Port: 465, TLS: relay.TLSImplicit, Default: true}
	if p, ok := preset.Find(in.Preset); ok {
		in.Name, in.Host, in.Port, in.TLS, in.User = p.ID, p.Host, int(p.Port), tlsOf(p.TLS), p.User
	}
	d.showSmarthost(w, r, in.Preset, page.Fill(in))
}

func tlsOf(t preset.TLS) string {
	if t == preset.StartTLS {
		return relay.TLSStart
	}
	return relay.TLSImplicit
}

func (d *Dash) showSmarthost(w http.ResponseWriter, r *http.Request, id string, form page.Form) {
	v := smarthostView{Form: form}
	lang := d.lang(r)
	for _, p := range preset.All() {
		name := "dash.preset." + string(p.Group)
		if n := len(v.Presets); n == 0 || v.Presets[n-1].Name != name {
			v.Presets = append(v.Presets, presetGroup{Name: name})
		}
		last := &v.Presets[len(v.Presets)-1]
		last.List = append(last.List, presetLink{p.Name.In(lang), with("/sending/smarthost", "preset", p.ID)})
	}
	if p, ok := preset.Find(id); ok {
		v.Known, v.Note, v.Free, v.Help, v.Hint = true, p.Note.In(lang), p.Free.In(lang), p.Help, p.HostHint
	}
	d.show(w, r, "dash.smarthost", v, form)
}

// saveSmarthost tries a smarthost and keeps what works.
func (d *Dash) saveSmarthost(w http.ResponseWriter, r *http.Request) {
	var in newSmarthost
	form := page.Read(r, &in)
	q := admin.SaveSmarthost{
		Smarthost: outbound.Smarthost{Name: in.Name, Preset: in.Preset, Host: in.Host, Port: in.Port, TLS: in.TLS, User: in.User},
		Password:  in.Password, Sender: mail.Path(in.Sender), Default: in.Default,
	}
	if d.did(w, r, &form, "/sending", page.Say("dash.smarthost.saved", "name", in.Name), "smarthost.save", q) {
		return
	}
	d.showSmarthost(w, r, in.Preset, form)
}

func (d *Dash) trySmarthost(w http.ResponseWriter, r *http.Request) {
	name := page.Line(r, "name")
	d.act(w, r, "/sending", page.Say("dash.smarthost.works", "name", name), "smarthost.test", admin.TrySmarthost{Name: name, Sender: mail.Path(page.Line(r, "sender"))})
}

func (d *Dash) askRemoveSmarthost(w http.ResponseWriter, r *http.Request) {
	name := page.Line(r, "name")
	d.confirm(w, r, confirm{
		What: page.Say("dash.smarthost.remove.what", "name", name), Why: page.Say("dash.smarthost.remove.why"),
		Action: "/sending/smarthost/remove", Fields: []field{{"name", name}}, Do: page.Say("dash.smarthost.remove.do"), Back: "/sending",
	})
}

func (d *Dash) removeSmarthost(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/sending", page.Say("dash.smarthost.removed"), "smarthost.remove", admin.Name{Name: page.Line(r, "name")})
}
