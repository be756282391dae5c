package wizard

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"homemail/autoconfig"
	"homemail/dnsplan"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/web/page"
)

// peopleMost is how many people and devices are added here; more of a club than a
// house has its own page for that.
const peopleMost = 50

// morePeopleView is who is there, and the passwords that were just made.
type morePeopleView struct {
	Domain  string
	Devices []deviceView
	People  []string
	Names   []string
	Person  page.Form
	Device  page.Form
	List    page.Form
	Invites []inviteView
}

// inviteView is what a person has to be given.
type inviteView struct {
	Name, Address, Password string
	URL                     string // where to sign in
}

// deviceView is what a phone or a computer has to be given.
type deviceView struct {
	Name, Address, Password string
	URL                     string
	Profile                 bool
	Facts                   *autoconfig.Facts
}

// Service is what people call a door.
func (deviceView) Service(d autoconfig.Door) page.Message {
	if d.Protocol == "SMTP" {
		return page.Say("first.people.out")
	}
	return page.Say("first.people.in", "protocol", d.Protocol)
}

type personForm struct {
	Local string `form:"local,required,max=64"`
	Name  string `form:"name,max=100"`
}

type listForm struct {
	List string `form:"list,required,lines,max=16000"`
}

type deviceForm struct {
	Device string `form:"device,required,max=60"`
}

func morePeople(z *Wizard, r *http.Request, v *stepView) error {
	m := morePeopleView{Domain: dnsplan.Display(mail.Path(v.Owner).Domain()), Person: page.Fill(personForm{}), Device: page.Fill(deviceForm{}), List: page.Fill(listForm{}), Names: lines(v.Answer("devices"))}
	for _, line := range lines(v.Answer("people")) {
		local, name, _ := strings.Cut(line, " ")
		m.People = append(m.People, strings.TrimSpace(name+" <"+local+"@"+m.Domain+">"))
	}
	made, err := z.o.Engine.Devices()
	if err != nil {
		return err
	}
	for _, d := range made {
		m.Devices = append(m.Devices, z.device(d))
	}
	invites, err := z.o.Engine.Invites()
	for _, i := range invites {
		m.Invites = append(m.Invites, inviteView{i.Name, string(i.Address), i.Password, origin(r) + z.o.SignInAt})
	}
	v.Asking, v.More = false, m
	return err
}

func (z *Wizard) device(d firstboot.NewDevice) deviceView {
	v := deviceView{Name: d.Name, Address: string(d.Address), Password: d.Password}
	if z.o.Server == nil {
		return v
	}
	server := z.o.Server(d.Address.Domain())
	if facts, err := autoconfig.AccountFacts(server, d.Address); err == nil {
		v.Facts, v.Profile = &facts, true
	}
	if url, err := autoconfig.ProfileURL(server, d.Address); err == nil {
		v.URL = url
	}
	return v
}

func lines(s string) (list []string) {
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// addPerson adds a line to the list of people.
func (z *Wizard) addPerson(w http.ResponseWriter, r *http.Request) {
	var in personForm
	form := page.Read(r, &in)
	if form.OK() && strings.Contains(in.Local, " ") {
		form = form.Fail("local", page.Say("first.people.wrong"))
	}
	line := strings.TrimSpace(in.Local + " " + in.Name)
	z.addLines(w, r, "people", []string{line}, form, func(m *morePeopleView, f page.Form) { m.Person = f }, "local")
}

// addList adds people from a list that another program has made.
func (z *Wizard) addList(w http.ResponseWriter, r *http.Request) {
	var in listForm
	form := page.Read(r, &in)
	o, err := z.o.Engine.Show(r.Context())
	if err != nil {
		z.fail(w, r, err)
		return
	}
	all := lines(firstboot.ReadPeople(in.List, o.Domain))
	if form.OK() && len(all) == 0 {
		form = form.Fail("list", page.Say("first.people.list.empty"))
	}
	z.addLines(w, r, "people", all, form, func(m *morePeopleView, f page.Form) { m.List = f }, "list")
}

// addDevice makes a password for a device.
func (z *Wizard) addDevice(w http.ResponseWriter, r *http.Request) {
	var in deviceForm
	form := page.Read(r, &in)
	z.addLines(w, r, "devices", []string{in.Device}, form, func(m *morePeopleView, f page.Form) { m.Device = f }, "device")
}

// addLines adds to one of the lists of the last step, and does it.
func (z *Wizard) addLines(w http.ResponseWriter, r *http.Request, list string, more []string, form page.Form, put func(*morePeopleView, page.Form), field string) {
	v, err := z.view(r, firstboot.People, nil)
	if err != nil {
		z.fail(w, r, err)
		return
	}
	all := lines(v.Answer(list))
	for _, line := range more {
		if !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	if len(all) > peopleMost {
		form = form.Fail(field, page.Say("first.people.many"))
	}
	if form.OK() {
		was := v.Answer(list)
		problems, err := z.o.Engine.Save(r.Context(), firstboot.People, firstboot.Answers{list: strings.Join(all, "\n")})
		if err != nil {
			z.refuse(w, r, firstboot.People, err)
			return
		}
		for _, word := range problems {
			form = form.Fail(field, say(word))
		}
		if problems != nil {
			_, err = z.o.Engine.Save(r.Context(), firstboot.People, firstboot.Answers{list: was})
			if err != nil {
				z.refuse(w, r, firstboot.People, err)
				return
			}
		}
	}
	if !form.OK() {
		if m, ok := v.More.(morePeopleView); ok {
			put(&m, form)
			v.More = m
		}
		z.set.Render(w, r, "first.people", v, http.StatusUnprocessableEntity)
		return
	}
	wait(r.Context(), z.start(firstboot.People), patience)
	z.set.Redirect(w, r, path(firstboot.People))
}

// forget drops the passwords: they were shown.
func (z *Wizard) forget(w http.ResponseWriter, r *http.Request) {
	forget := z.o.Engine.ForgetDevices
	if r.PostFormValue("what") == "invites" {
		forget = z.o.Engine.ForgetInvites
	}
	if err := forget(); err != nil {
		z.fail(w, r, err)
		return
	}
	z.set.Redirect(w, r, path(firstboot.People))
}

// profile answers with a profile for Apple's devices, with the password that was
// made for this one.
func (z *Wizard) profile(w http.ResponseWriter, r *http.Request) {
	made, err := z.o.Engine.Devices()
	i := slices.IndexFunc(made, func(d firstboot.NewDevice) bool { return d.Name == r.PostFormValue("device") })
	if err != nil || i < 0 || z.o.Server == nil {
		z.set.Error(w, r, http.StatusNotFound)
		return
	}
	you, err := z.o.Engine.Step(r.Context(), firstboot.You)
	if err != nil {
		z.fail(w, r, err)
		return
	}
	d := made[i]
	b, err := autoconfig.Apple(z.o.Server(d.Address.Domain()), autoconfig.Device{Address: d.Address, Name: you.Answers["name"], Lang: string(z.set.Lang(r)), Password: d.Password})
	if err == nil && z.o.Sign != nil {
		b, err = z.o.Sign(b)
	}
	if err != nil {
		z.fail(w, r, fmt.Errorf("a profile: %w", err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", autoconfig.AppleType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "homemail.mobileconfig"}))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}
