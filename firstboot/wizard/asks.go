package wizard

import (
	"context"
	"net/http"
	"strings"
	"time"

	"homemail/check"
	"homemail/dnsplan"
	"homemail/firstboot"
	"homemail/relay/preset"
	"homemail/web/page"
)

// plain is a text that is the same in every language: a name of somebody's, which
// is no key of a catalogue.
func plain(s string) dnsplan.Text { return dnsplan.Text{EN: s, JA: s} }

type moreStartView struct{ Free int64 }

func moreStart(z *Wizard, r *http.Request, v *stepView) error {
	free := v.Step.Found.Free
	if free == 0 {
		if f, err := z.o.Engine.Detect(r.Context(), v.Step.ID); err == nil { // it is only asked how full the disk is
			free = f.Free
		}
	}
	v.More = moreStartView{free}
	return nil
}

// moreYouView has a password that could be taken.
type moreYouView struct{ Words string }

func moreYou(z *Wizard, r *http.Request, v *stepView) error {
	words := r.PostFormValue("words") // the same as before, if the page comes back
	if words == "" && z.o.Password != nil && v.Asking {
		words = z.o.Password()
	}
	v.More = moreYouView{words}
	return nil
}

// moreAddressView is the page of the address, in two questions.
type moreAddressView struct {
	Kind    string // "" while it is being asked for
	Kept    string // an account that was made: it stays
	Unknown string // a domain that nobody seems to have
	Host    dnsplan.Text
	MX      string
}

// moreAddress asks first for the kind. With ?choose= it asks again.
func moreAddress(_ *Wizard, r *http.Request, v *stepView) error {
	m := moreAddressView{Kept: string(v.Step.Found.Owner)}
	if m.Kind = v.Step.Answers["kind"]; r.FormValue("change") == "kind" {
		m.Kind = ""
	}
	if d := v.Step.Found.Domain; d != nil && m.Kind == "own" && isDomain(d.Domain, v.Step.Answers["domain"]) {
		m.Host, m.MX = hostName(d.Host), strings.Join(d.MX, ", ")
		if !d.Registered {
			m.Unknown = dnsplan.Display(d.Domain)
		}
	}
	v.More = m
	return nil
}

// isDomain reports whether what somebody typed is a domain.
func isDomain(domain, typed string) bool {
	typed = strings.TrimSuffix(typed, ".")
	return domain != "" && (strings.EqualFold(domain, typed) || strings.EqualFold(dnsplan.Display(domain), typed))
}

func hostName(h dnsplan.DNSHost) dnsplan.Text {
	switch {
	case h.Name == "":
		return plain(strings.Join(h.NS, ", "))
	case h.Japanese == "":
		return plain(h.Name)
	}
	return dnsplan.Text{EN: h.Name, JA: h.Japanese}
}

// lookTime is how long a page waits for what the DNS says of a domain.
const lookTime = 6 * time.Second

// unsure looks at a domain before an account is made in it: a slip of the pen
// cannot be taken back. It reports whether to ask once more.
func (in *ownForm) unsure(z *Wizard, r *http.Request) bool {
	if r.PostFormValue("sure") == in.Domain {
		return false
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookTime)
	defer cancel()
	f, err := z.o.Engine.Detect(ctx, firstboot.Address)
	return err == nil && f.Domain != nil && f.Domain.Domain != "" && !f.Domain.Registered
}

// settleLine answers how to connect where that follows from the address.
func (z *Wizard) settleLine(ctx context.Context, address firstboot.View) {
	kind := address.Answers["kind"]
	if kind != "keep" && kind != "inside" {
		return
	}
	if v, err := z.o.Engine.Step(ctx, firstboot.Line); err == nil && v.Status == firstboot.Done {
		return
	}
	if _, err := z.o.Engine.Submit(ctx, firstboot.Line, firstboot.Answers{"mode": "auto"}); err != nil {
		z.log.Warn("how to connect could not be answered", "err", err)
	}
}

// moreLineView is what was found about the line, or what is known so far.
type moreLineView struct {
	Checks    []finding
	Total     int
	Running   bool
	Mode      string
	Recommend check.Recommendation
	Others    []page.Option
	Offline   bool
	Direct    bool // is not proven
}

// A finding is what one check has come to.
type finding struct {
	State            page.State
	Title, Means, Do check.Text
}

func findings(list []check.Result) (out []finding) {
	for _, c := range list {
		out = append(out, finding{page.State(c.State), c.Title, c.Means, c.Do})
	}
	return out
}

const lineJob = "detect line"

// moreLine has the line looked at once, when its page is opened first.
func moreLine(z *Wizard, _ *http.Request, v *stepView) error {
	line := v.Step.Found.Line
	if line == nil && len(v.Step.Blocked) == 0 {
		z.jobs.once(lineJob, z.detectLine)
	}
	m := moreLineView{Running: z.jobs.has(lineJob)}
	switch {
	case m.Running && z.o.Checks != nil:
		for _, c := range z.o.Checks() {
			m.Total++
			if !c.Tested.IsZero() {
				m.Checks = append(m.Checks, findings([]check.Result{c})...)
			}
		}
	case !m.Running && line != nil:
		m.Checks, m.Recommend, m.Mode = findings(line.Results), line.Recommend, string(line.Recommend.Mode)
		m.Offline = line.Recommend.Code == "no-line"
		m.Direct = line.Recommend.Mode != check.Direct
		m.Others = []page.Option{{Value: "auto", Label: "first.line.auto"}}
		for _, mode := range []check.Mode{check.Direct, check.Smarthost, check.Bridge, check.Inside} {
			if mode != line.Recommend.Mode {
				m.Others = append(m.Others, page.Option{Value: string(mode), Label: page.Say("firstboot.choice.line.mode." + string(mode)), Help: page.Say("first.mode." + string(mode))})
			}
		}
	}
	v.More, v.Busy = m, v.Busy || m.Running
	return nil
}

// Why says what a mode means for people.
func (m moreLineView) Why() page.Message { return page.Say("first.mode." + m.Mode) }

// Name is what the mode is called.
func (m moreLineView) Name() page.Message { return page.Say("firstboot.choice.line.mode." + m.Mode) }

// Done is how many checks have come in.
func (m moreLineView) Done() int { return len(m.Checks) }

func (z *Wizard) detectLine(ctx context.Context) {
	if _, err := z.o.Engine.Detect(ctx, firstboot.Line); err != nil && ctx.Err() == nil {
		z.log.Warn("the line could not be looked at", "err", err)
	}
}

// lineAgain has the line looked at once more.
func (z *Wizard) lineAgain(w http.ResponseWriter, r *http.Request) {
	z.jobs.once(lineJob, z.detectLine)
	z.set.Redirect(w, r, path(firstboot.Line))
}

// moreConnectionView asks for what the mode needs, and nothing else.
type moreConnectionView struct {
	Mode    string
	Preset  *preset.Preset // that was chosen; nil while it is being asked for
	Custom  bool
	Presets []presetGroup
	Ports   []finding // that have to be open for mail to come in
	Present string
	Mailbox *preset.Preset // that mail is fetched at; nil while it is being asked for
	Known   bool           // its server is
	Typed   bool           // it is none of the table
}

// A presetGroup is the smarthosts of one kind.
type presetGroup struct {
	Label page.Message
	List  []preset.Preset
}

func moreConnection(z *Wizard, r *http.Request, v *stepView) error {
	o, err := z.o.Engine.Show(r.Context())
	if err != nil {
		return err
	}
	line, address := find(o, firstboot.Line), find(o, firstboot.Address)
	m := moreConnectionView{Mode: string(o.Mode), Present: address.Answers["present"]}
	if p, ok := preset.Find(v.Step.Answers["preset"]); ok && r.FormValue("change") != "preset" {
		m.Preset, m.Custom = &p, p.Group == preset.Custom
	}
	list := preset.All()
	if o.Mode == check.Bridge {
		list = preset.Mailboxes()
		id := fetchPreset(o, v.Step.Answers["fetch_preset"])
		if p, ok := preset.Find(id); ok && r.FormValue("change") != "preset" {
			in, _ := preset.FindMailbox(id)
			m.Mailbox, m.Known, m.Typed = &p, in.Host != "", p.Group == preset.Custom
		}
	}
	for _, p := range list {
		if n := len(m.Presets); n == 0 || m.Presets[n-1].List[0].Group != p.Group {
			m.Presets = append(m.Presets, presetGroup{Label: page.Say("first.preset." + string(p.Group))})
		}
		last := &m.Presets[len(m.Presets)-1]
		last.List = append(last.List, p)
	}
	if line.Found.Line != nil {
		for _, c := range line.Found.Line.Results {
			if strings.HasPrefix(c.Name, "in") && c.State != check.Good && (m.Mode == string(check.Direct) || m.Mode == string(check.Smarthost)) {
				m.Ports = append(m.Ports, findings([]check.Result{c})...)
			}
		}
	}
	v.More = m
	return nil
}

// UserLabel is what a provider calls the user name.
func (m moreConnectionView) UserLabel() string {
	if m.Preset == nil {
		return "first.connection.user"
	}
	return "first.login." + string(m.Preset.Login)
}
