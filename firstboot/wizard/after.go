package wizard

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/dnsplan"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/web/page"
)

// moreSwitchView is where the mail goes now, and where it will.
type moreSwitchView struct {
	Domain   string
	Now, New []string
	Known    bool
	Checks   []waiting
	Changes  []stepDiff
	Digest   string
	Untested bool // nobody could look from outside
	ByHand   bool
	CanUndo  bool
	Here     bool
}

// waiting is one thing that the switch needs.
type waiting struct {
	Label page.Message
	State page.State
}

// switchNeeds are what the switch waits for, in order, by the reasons that the
// step has meanwhile.
func switchNeeds() []struct {
	label   string
	reasons []string
} {
	return []struct {
		label   string
		reasons []string
	}{
		{"first.switch.records", []string{"wait.records", "wait.internet"}},
		{"first.switch.certificate", []string{"wait.agree-ca", "wait.certificate"}},
		{"first.switch.in25", []string{"wait.in25", "wait.in25-untested"}},
		{"first.switch.mx", []string{"wait.confirm", "wait.publish", "wait.mx-seen", "wait.mx-by-hand", "failed.publish"}},
	}
}

// moreSwitch shows what is needed. When the page is opened first, the engine
// begins to look; it changes nothing before the change was shown and confirmed.
func moreSwitch(z *Wizard, _ *http.Request, v *stepView) error {
	if v.Is(firstboot.Todo) && len(v.Step.Blocked) == 0 && v.Step.Since.IsZero() {
		z.jobs.once(string(firstboot.Switch), func(ctx context.Context) {
			if _, err := z.o.Engine.Submit(ctx, firstboot.Switch, nil); err != nil && ctx.Err() == nil {
				z.log.Warn("whether the mail may be switched could not be seen", "err", err)
			}
		})
		v.Busy = true
	}
	domain := mail.Path(v.Owner).Domain()
	m := moreSwitchView{Domain: domain, New: []string{"mail." + domain}, Here: v.Is(firstboot.Done), Untested: v.Because("wait.in25-untested"), ByHand: v.Because("wait.mx-by-hand")}
	if mx := v.Step.Found.MX; mx != nil {
		m.Known, m.Now, m.CanUndo = true, hosts(mx.Now), mx.Former != nil && len(mx.Former.Values) > 0
		if m.Here && mx.Former != nil {
			m.Now = hosts(mx.Former.Values)
		}
	}
	if f := v.Step.Found; f.Changes != nil && v.Because("wait.confirm") {
		m.Changes, m.Digest = diffs(f.Changes.Changes), f.Digest
	}
	state := page.Good
	for _, need := range switchNeeds() {
		w := waiting{page.Say(need.label), state}
		if !m.Here && state == page.Good && slices.ContainsFunc(need.reasons, v.Because) {
			w.State, state = page.Waiting, page.Off
			if v.Because("wait.in25") || v.Is(firstboot.Failed) {
				w.State = page.Bad
			}
		}
		m.Checks = append(m.Checks, w)
	}
	if !m.Here && state == page.Good { // it was not looked yet
		for i := range m.Checks {
			m.Checks[i].State = page.Off
		}
	}
	if !v.Is(firstboot.Failed) {
		v.Asking = v.Asking && v.Is(firstboot.Skipped)
	}
	if v.Is(firstboot.Todo) && !v.Step.Since.IsZero() {
		v.Asking = true // it was undone: only somebody's word begins it again
	}
	v.More = m
	return nil
}

// hosts are the servers of an MX without their preference, which says nothing to
// people.
func hosts(mx []string) (list []string) {
	for _, v := range mx {
		_, host, ok := strings.Cut(v, " ")
		if !ok {
			host = v
		}
		list = append(list, host)
	}
	return list
}

// undo lets the mail go where it went before.
func (z *Wizard) undo(w http.ResponseWriter, r *http.Request) {
	done, err := z.o.Engine.Undo(r.Context())
	switch {
	case err != nil:
		z.log.Warn("the switch of the mail could not be undone", "err", err)
		z.set.Flash(w, r, page.Bad, page.Say("first.switch.undo-failed"))
	case slices.ContainsFunc(done, func(p admin.Pushed) bool { return p.Error != "" }):
		z.set.Flash(w, r, page.Bad, page.Say("first.switch.undo-failed"))
	default:
		z.set.Flash(w, r, page.Good, page.Say("first.switch.undone"))
	}
	z.set.Redirect(w, r, path(firstboot.Switch))
}

// moreFirstMailView is the letters.
type moreFirstMailView struct {
	Address  string
	Arrived  *firstboot.Letter
	Left     *firstboot.Letter
	Verdicts []verdict
	Reply    string // where a program for mail writes the reply
}

type verdict struct {
	Label page.Message
	State page.State
	Word  page.Message
}

// moreFirstMail begins to watch when the page is opened: who sends the mail before
// pressing a button is to see it arrive, too.
func moreFirstMail(z *Wizard, r *http.Request, v *stepView) error {
	if v.Is(firstboot.Todo) && len(v.Step.Blocked) == 0 {
		after, err := z.o.Engine.Submit(r.Context(), firstboot.FirstMail, nil)
		if err != nil && !errors.Is(err, firstboot.ErrBlocked) {
			return err
		}
		v.Step, v.Asking = after, false
		v.Later = v.Path + "/skip"
	}
	m := moreFirstMailView{Address: v.Owner, Arrived: v.Step.Found.Arrived, Left: v.Step.Found.Left}
	if a := m.Arrived; a != nil {
		m.Reply = "mailto:" + url.PathEscape(string(a.From)) // a ? in it would begin header fields, RFC 6068 §2
		for _, one := range []struct{ label, result string }{{"first.verdict.spf", a.SPF}, {"first.verdict.dkim", a.DKIM}, {"first.verdict.dmarc", a.DMARC}} {
			if one.result == "" {
				continue
			}
			x := verdict{page.Say(one.label), page.Unknown, page.Say("first.verdict.other")}
			switch one.result {
			case "pass":
				x.State, x.Word = page.Good, page.Say("first.verdict.pass")
			case "fail":
				x.State, x.Word = page.Bad, page.Say("first.verdict.fail")
			case "none":
				x.State, x.Word = page.Off, page.Say("first.verdict.none")
			}
			m.Verdicts = append(m.Verdicts, x)
		}
		tls := verdict{page.Say("first.verdict.tls"), page.Unknown, page.Say("first.verdict.open")}
		if a.TLS {
			tls.State, tls.Word = page.Good, page.Say("first.verdict.sealed")
		}
		m.Verdicts = append(m.Verdicts, tls)
	}
	v.More = m
	return nil
}

// moreSafeView has the recovery codes in the one answer that shows them.
type moreSafeView struct {
	Codes []string
	None  bool // this house has none
	Made  bool
}

func moreSafe(_ *Wizard, _ *http.Request, v *stepView) error {
	v.More = moreSafeView{Made: v.Step.Found.Codes}
	return nil
}

// codes makes new codes and shows them: they are nowhere else.
func (z *Wizard) codes(w http.ResponseWriter, r *http.Request) {
	codes, err := z.o.Engine.Codes(r.Context())
	if err != nil && !errors.Is(err, firstboot.ErrNoCodes) {
		z.log.Error("recovery codes could not be made", "err", err)
		z.set.Flash(w, r, page.Bad, page.Say("first.safe.no-codes"))
		z.set.Redirect(w, r, path(firstboot.Safe))
		return
	}
	v, verr := z.view(r, firstboot.Safe, nil)
	if verr != nil {
		z.fail(w, r, verr)
		return
	}
	v.Asking, v.More = true, moreSafeView{Codes: codes, None: err != nil, Made: err == nil}
	z.set.Render(w, r, "first.safe", v, http.StatusOK)
}

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

type deviceForm struct {
	Device string `form:"device,required,max=60"`
}

func morePeople(z *Wizard, _ *http.Request, v *stepView) error {
	m := morePeopleView{Domain: dnsplan.Display(mail.Path(v.Owner).Domain()), Person: page.Fill(personForm{}), Device: page.Fill(deviceForm{}), Names: lines(v.Answer("devices"))}
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
	v.Asking, v.More = false, m
	return nil
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
	z.addLine(w, r, "people", strings.TrimSpace(in.Local+" "+in.Name), form, func(m *morePeopleView, f page.Form) { m.Person = f }, "local")
}

// addDevice makes a password for a device.
func (z *Wizard) addDevice(w http.ResponseWriter, r *http.Request) {
	var in deviceForm
	form := page.Read(r, &in)
	z.addLine(w, r, "devices", in.Device, form, func(m *morePeopleView, f page.Form) { m.Device = f }, "device")
}

// addLine adds to one of the lists of the last step, and does it.
func (z *Wizard) addLine(w http.ResponseWriter, r *http.Request, list, line string, form page.Form, put func(*morePeopleView, page.Form), field string) {
	v, err := z.view(r, firstboot.People, nil)
	if err != nil {
		z.fail(w, r, err)
		return
	}
	all := lines(v.Answer(list))
	if len(all) >= peopleMost {
		form = form.Fail(field, page.Say("first.people.many"))
	}
	if form.OK() && !slices.Contains(all, line) {
		was := v.Answer(list)
		problems, err := z.o.Engine.Save(r.Context(), firstboot.People, firstboot.Answers{list: strings.Join(append(all, line), "\n")})
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
	if err := z.o.Engine.Forget(); err != nil {
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
