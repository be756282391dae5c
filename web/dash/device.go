package dash

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/mail"
	"homemail/store"
	"homemail/web/page"
)

// deviceView shows a device password, once.
type deviceView struct {
	Address  mail.Path
	Device   string
	Password string
	Profile  bool              // there can be one for Apple's devices
	URL      string            // where a phone's camera leads; "" for none
	Facts    *autoconfig.Facts // to type in
	Back     string
}

type newDeviceView struct {
	Address mail.Path
	Named   string
	Form    page.Form
}

// Title says whose device it is.
func (v newDeviceView) Title() page.Message { return page.Say("dash.newdevice.title", "name", v.Named) }

func (d *Dash) newDevice(w http.ResponseWriter, r *http.Request) {
	d.showNewDevice(w, r, page.Fill(aDevice{}))
}

func (d *Dash) showNewDevice(w http.ResponseWriter, r *http.Request, form page.Form) {
	a, err := d.findPerson(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.show(w, r, "dash.newdevice", newDeviceView{a.Address, named(a), form}, form)
}

// addDevice shows the password in its answer: it is nowhere else.
func (d *Dash) addDevice(w http.ResponseWriter, r *http.Request) {
	var in aDevice
	form := page.Read(r, &in)
	if !form.OK() {
		d.showNewDevice(w, r, form)
		return
	}
	q := admin.AddDevice{Address: address(r), Name: in.Name}
	if in.Rewrite {
		q.From = store.RewriteFrom
	}
	p, err := ask[admin.NewDevice](d, r, "device.add", q)
	if err != nil {
		d.showNewDevice(w, r, form.Fail("", d.why(r, err)))
		return
	}
	v := deviceView{Address: p.Address, Device: in.Name, Password: p.Password, Back: personPath(p.Address)}
	if d.o.Server != nil {
		server := d.o.Server(p.Address.Domain())
		if facts, err := autoconfig.AccountFacts(server, p.Address); err == nil {
			v.Facts, v.Profile = &facts, true
		}
		if url, err := autoconfig.ProfileURL(server, p.Address); err == nil {
			v.URL = url
		}
	}
	d.set.Render(w, r, "dash.device", v, http.StatusOK)
}

// Service is what people call a door.
func (deviceView) Service(d autoconfig.Door) string {
	if d.Protocol == "SMTP" {
		return "dash.device.out"
	}
	return "dash.device.in"
}

// Secure is how a door is encrypted, as programs call it.
func (deviceView) Secure(d autoconfig.Door) string {
	if d.TLS == autoconfig.StartTLS {
		return "dash.tls.starttls"
	}
	return "dash.tls.implicit"
}

// profile answers with a profile for Apple's devices. The password comes from
// the page that showed it, as nobody else has it.
func (d *Dash) profile(w http.ResponseWriter, r *http.Request) {
	if d.o.Server == nil {
		d.set.Error(w, r, http.StatusNotFound)
		return
	}
	p, err := mail.ParsePath(string(address(r)))
	if err != nil {
		d.set.Error(w, r, http.StatusBadRequest)
		return
	}
	a, err := d.findPerson(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	b, err := autoconfig.Apple(d.o.Server(p.Domain()), autoconfig.Device{Address: a.Address, Name: a.Name, Lang: d.lang(r), Password: page.Line(r, "password")})
	if err == nil && d.o.Sign != nil {
		b, err = d.o.Sign(b)
	}
	if err != nil {
		d.fail(w, r, fmt.Errorf("a profile: %w", err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", autoconfig.AppleType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "homemail.mobileconfig"}))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

func (d *Dash) askRemoveDevice(w http.ResponseWriter, r *http.Request) {
	a, err := d.findPerson(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	for _, dev := range a.Devices {
		if dev.ID != page.Line(r, "device") {
			continue
		}
		d.confirm(w, r, confirm{
			What: page.Say("dash.device.remove.what", "device", dev.Name), Why: page.Say("dash.device.remove.why", "address", string(a.Address)),
			Action: "/people/device/remove", Fields: []field{{"address", string(a.Address)}, {"device", dev.ID}},
			Do: page.Say("dash.device.remove.do"), Back: personPath(a.Address),
		})
		return
	}
	d.set.Error(w, r, http.StatusNotFound)
}

func (d *Dash) removeDevice(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, personPath(address(r)), page.Say("dash.device.removed"), "device.revoke", admin.RevokeDevice{Address: address(r), Device: page.Line(r, "device")})
}

func notFound(what, name string) error { return fmt.Errorf("%s %q: %w", what, name, store.ErrNotFound) }
