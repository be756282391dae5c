package dash

import (
	"net/http"

	"homemail/admin"
	"homemail/bridge"
	"homemail/mail"
	"homemail/outbound"
	"homemail/web/page"
)

// A bridged is an account elsewhere and how it is doing.
type bridged struct {
	admin.Bridge
	Shown   page.State
	Word    string // key
	Problem string // in the reader's language
}

func bridgedOf(b admin.Bridge, lang string) bridged {
	out := bridged{Bridge: b, Shown: page.Good, Word: "dash.bridge.state.good", Problem: b.Status.Told.In(lang)}
	switch {
	case b.Paused:
		out.Shown, out.Word = page.Off, "dash.bridge.state.paused"
	case b.Status.Problem != "":
		out.Shown, out.Word = page.Bad, "dash.bridge.state.bad"
	case b.Status.State == bridge.Connecting || b.Status.State == bridge.Fetching:
		out.Shown, out.Word = page.Waiting, "dash.bridge.state.busy"
	}
	return out
}

type bridgeView struct {
	Form    page.Form
	People  []page.Option
	Choices []page.Option // of smarthosts
}

// newBridge is the form for an account elsewhere.
type newBridge struct {
	For      string `form:"for,required,max=254"`
	Address  string `form:"address,required,max=254"`
	Kind     string `form:"kind,required,one=imap|pop3"`
	Host     string `form:"host,required,max=253"`
	Port     int    `form:"port,required,min=1,max=65535"`
	TLS      string `form:"tls,required,one=implicit|starttls"`
	User     string `form:"user,required,max=254"`
	Password string `form:"password,required,secret,max=500"`
	Keep     bool   `form:"keep"`
	SendVia  string `form:"send_via,max=64"`
}

func (d *Dash) bridge(w http.ResponseWriter, r *http.Request) {
	d.showBridge(w, r, page.Fill(newBridge{Kind: string(bridge.IMAP), Port: 993, TLS: string(bridge.Implicit), Keep: true}))
}

func (d *Dash) showBridge(w http.ResponseWriter, r *http.Request, form page.Form) {
	people, err := d.everybody(r)
	v := bridgeView{Form: form, People: people}
	var hosts []outbound.Smarthost
	if err == nil {
		hosts, err = ask[[]outbound.Smarthost](d, r, "smarthost.list", admin.Empty{})
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v.Choices = smarthostChoices(hosts)
	d.show(w, r, "dash.bridge", v, form)
}

// addBridge tries an account elsewhere and keeps what works.
func (d *Dash) addBridge(w http.ResponseWriter, r *http.Request) {
	var in newBridge
	form := page.Read(r, &in)
	q := admin.AddBridge{
		Account: bridge.Account{
			Address: mail.Path(in.Address), Kind: bridge.Kind(in.Kind), Host: in.Host, Port: in.Port,
			TLS: bridge.Security(in.TLS), User: in.User, SendVia: in.SendVia,
		},
		For: mail.Path(in.For), Password: in.Password,
	}
	if in.Keep {
		q.KeepDays = bridge.Forever
	}
	if d.did(w, r, &form, "/sending", page.Say("dash.bridge.added", "address", in.Address), "bridge.add", q) {
		return
	}
	d.showBridge(w, r, form)
}

// actBridge is a button of an account elsewhere.
func (d *Dash) actBridge(w http.ResponseWriter, r *http.Request) {
	operation := map[string]string{"fetch": "bridge.fetch", "pause": "bridge.pause", "resume": "bridge.resume"}[page.Line(r, "do")]
	if operation == "" {
		d.set.Error(w, r, http.StatusBadRequest)
		return
	}
	d.act(w, r, "/sending", page.Say("dash.bridge.done."+page.Line(r, "do")), operation, admin.BridgeID{ID: page.Line(r, "id")})
}

type bridgePasswordView struct {
	ID, Address string
	Form        page.Form
}

// Title says of which account.
func (v bridgePasswordView) Title() page.Message {
	return page.Say("dash.bridge.password.title", "address", v.Address)
}

// newSecret is the form for another password of an account elsewhere.
type newSecret struct {
	Password string `form:"password,required,secret,max=500"`
}

func (d *Dash) bridgePassword(w http.ResponseWriter, r *http.Request) {
	d.show(w, r, "dash.bridgepassword", bridgePasswordView{page.Line(r, "id"), string(address(r)), page.Fill(newSecret{})}, page.Form{})
}

// setBridgePassword tries a password, and keeps it if it works.
func (d *Dash) setBridgePassword(w http.ResponseWriter, r *http.Request) {
	var in newSecret
	form := page.Read(r, &in)
	if d.did(w, r, &form, "/sending", page.Say("dash.bridge.password.saved", "address", string(address(r))), "bridge.password", admin.BridgePassword{ID: page.Line(r, "id"), Password: in.Password}) {
		return
	}
	d.show(w, r, "dash.bridgepassword", bridgePasswordView{page.Line(r, "id"), string(address(r)), form}, form)
}

func (d *Dash) askRemoveBridge(w http.ResponseWriter, r *http.Request) {
	d.confirm(w, r, confirm{
		What: page.Say("dash.bridge.remove.what", "address", string(address(r))), Why: page.Say("dash.bridge.remove.why"),
		Action: "/sending/bridge/remove", Fields: []field{{"id", page.Line(r, "id")}}, Do: page.Say("dash.bridge.remove.do"), Back: "/sending",
	})
}

func (d *Dash) removeBridge(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/sending", page.Say("dash.bridge.removed"), "bridge.remove", admin.BridgeID{ID: page.Line(r, "id")})
}
