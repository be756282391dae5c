package me

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/store"
	"homemail/web/page"
)

type devicesView struct{ Devices []admin.Device }

func (p *Pages) devices(v visit) {
	mine, err := v.mine.Show()
	if err != nil {
		p.fail(v, err)
		return
	}
	p.set.Render(v.ResponseWriter, v.Request, "me.devices", devicesView{mine.Devices}, http.StatusOK)
}

type deviceForm struct {
	Name string `form:"name,required,max=60"`
	Kind string `form:"kind,required,one=apple|other"`
}

type deviceAddView struct {
	Form  page.Form
	Kinds []page.Option
}

func (p *Pages) newDevice(v visit) { p.showNewDevice(v, page.Fill(deviceForm{Kind: "apple"})) }

func (p *Pages) showNewDevice(v visit, form page.Form) {
	p.show(v, "me.device-add", deviceAddView{form, []page.Option{
		{Value: "apple", Label: "me.device-add.apple"},
		{Value: "other", Label: "me.device-add.other"},
	}}, form)
}

// A deviceView shows a password, this once.
type deviceView struct {
	Name     string
	Password string
	Facts    autoconfig.Facts // for who types them in
	Known    bool             // the facts are
	Profile  string           // where a phone of Apple's finds all of it; "" for none
}

func (p *Pages) addDevice(v visit) {
	var in deviceForm
	form := page.Read(v.Request, &in)
	if !form.OK() {
		p.showNewDevice(v, form)
		return
	}
	d, err := v.mine.AddDevice(v.ctx, in.Name)
	if errors.Is(err, store.ErrInvalid) {
		p.showNewDevice(v, form.Fail("name", page.Say("me.device-add.refused")))
		return
	}
	if err != nil {
		p.fail(v, err)
		return
	}
	view := deviceView{Name: in.Name, Password: d.Password, Facts: autoconfig.Facts{User: string(d.Address)}}
	if p.o.Server != nil {
		if facts, err := autoconfig.AccountFacts(p.o.Server(d.Address.Domain()), d.Address); err == nil {
			view.Facts, view.Known = facts, true
		}
	}
	if in.Kind == "apple" && v.TLS != nil && view.Known { // a password never goes over an open connection
		view.Profile = "https://" + v.Host + profilePath + p.tickets.add(ticket{
			device: autoconfig.Device{Address: d.Address, Name: v.who.Name, Lang: string(p.set.Lang(v.Request)), Password: d.Password},
			until:  time.Now().Add(ticketFor), left: ticketUses,
		})
	}
	p.set.Render(v.ResponseWriter, v.Request, "me.device-new", view, http.StatusOK)
}

func (p *Pages) askRevoke(v visit) {
	d, err := p.device(v)
	if err != nil {
		p.fail(v, err)
		return
	}
	p.ask(v, question{
		What: page.Say("me.devices.remove.title", "name", d.Name), Why: page.Say("me.devices.remove.why"),
		Action: "/me/devices/remove", Fields: []field{{"id", d.ID}}, Do: page.Say("me.devices.remove.do"), Danger: true, Back: "/me/devices",
	})
}

func (p *Pages) revoke(v visit) {
	d, err := p.device(v)
	if err == nil {
		err = v.mine.RevokeDevice(v.ctx, d.ID)
	}
	if err != nil {
		p.fail(v, err)
		return
	}
	p.done(v, "/me/devices", page.Say("me.devices.removed", "name", d.Name))
}

// device is the one that a request names.
func (p *Pages) device(v visit) (admin.Device, error) {
	mine, err := v.mine.Show()
	if err != nil {
		return admin.Device{}, err
	}
	for _, d := range mine.Devices {
		if d.ID == page.Line(v.Request, "id") {
			return d, nil
		}
	}
	return admin.Device{}, store.ErrNotFound
}

const profilePath = "/me/profile/"

// The limits of tickets. A phone looks at a link before it asks whether to load
// it, so that once would be too seldom.
const (
	ticketFor   = 10 * time.Minute
	ticketUses  = 3
	ticketsMost = 50
)

// A ticket is what the link to a profile stands for. Only memory has it.
type ticket struct {
	device autoconfig.Device
	until  time.Time
	left   int
}

type tickets struct {
	mu   sync.Mutex
	list map[string]ticket
}

func newTickets() *tickets { return &tickets{list: map[string]ticket{}} }

// add returns a name that nobody guesses.
func (t *tickets) add(one ticket) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(time.Now())
	if len(t.list) >= ticketsMost {
		clear(t.list) // a household has no fifty phones in hand
	}
	name := strings.ToLower(rand.Text())
	t.list[name] = one
	time.AfterFunc(ticketFor, func() { // the password goes from memory, whoever comes or not
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.list, name)
	})
	return name
}

func (t *tickets) use(name string) (autoconfig.Device, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(time.Now())
	one, ok := t.list[name]
	if one.left--; one.left > 0 {
		t.list[name] = one
	} else {
		delete(t.list, name)
	}
	return one.device, ok
}

func (t *tickets) sweep(now time.Time) {
	for name, one := range t.list {
		if now.After(one.until) {
			delete(t.list, name)
		}
	}
}

// profile gives a phone its settings with the password in them. It is made for
// this answer, and kept nowhere.
func (p *Pages) profile(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil || p.o.Server == nil {
		p.set.Error(w, r, http.StatusNotFound)
		return
	}
	d, ok := p.tickets.use(r.PathValue("ticket"))
	if !ok {
		p.set.Refuse(w, r, page.Refusal{Status: http.StatusGone, What: page.Say("me.profile.gone"), Why: page.Say("me.profile.gone.why"), Href: "/me/devices", Do: page.Say("me.devices.title")})
		return
	}
	b, err := p.appleProfile(d)
	if err != nil {
		p.o.Log.Error("a profile could not be made", "address", d.Address, "err", err)
		p.set.Error(w, r, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", autoconfig.AppleType)
	w.Header().Set("Content-Disposition", `attachment; filename="mail.mobileconfig"`)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(b)
}

func (p *Pages) appleProfile(d autoconfig.Device) ([]byte, error) {
	b, err := autoconfig.Apple(p.o.Server(d.Address.Domain()), d)
	if err != nil || p.o.Sign == nil {
		return b, err
	}
	signed, err := p.o.Sign(b)
	if err != nil { // it works without
		p.o.Log.Warn("a profile is not signed", "err", err)
		return b, nil
	}
	return signed, nil
}
