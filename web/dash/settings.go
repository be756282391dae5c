package dash

import (
	"net/http"
	"strings"

	"homemail/admin"
	"homemail/config"
	"homemail/web/page"
)

type settingsView struct {
	Version  string
	Sections []section
}

// A section is what belongs together, as in the file.
type section struct {
	Name string // key
	Open bool   // some of it is not the default
	List []setting
}

type setting struct {
	config.Setting
	About  string // key of its explanation, "" for none
	Source string // key
	Locked bool   // by the file or a flag, or because it is needed before the store
}

func (d *Dash) listSettings(r *http.Request) ([]setting, error) {
	list, err := ask[[]config.Setting](d, r, "setting.list", admin.Empty{})
	var out []setting
	for _, s := range list {
		one := setting{Setting: s, Source: "dash.settings.from.file", Locked: true}
		if about := "dash.setting." + s.Name; d.set.Words().Has(about) {
			one.About = about
		}
		switch s.From {
		case "default":
			one.Source, one.Locked = "dash.settings.from.default", config.Storable(s.Name) != nil
		case "store":
			one.Source, one.Locked = "dash.settings.from.store", false
		}
		out = append(out, one)
	}
	return out, err
}

func (d *Dash) settings(w http.ResponseWriter, r *http.Request) {
	list, err := d.listSettings(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := settingsView{}
	for _, s := range list {
		name, _, ok := strings.Cut(s.Name, ".")
		if !ok {
			name = "house"
		}
		name = "dash.section." + name
		if n := len(v.Sections); n == 0 || v.Sections[n-1].Name != name {
			v.Sections = append(v.Sections, section{Name: name})
		}
		last := &v.Sections[len(v.Sections)-1]
		last.List = append(last.List, s)
		last.Open = last.Open || s.From != "default" || len(v.Sections) == 1
	}
	if o, err := d.o.House.Overview(r.Context()); err == nil {
		v.Version = o.Version
	}
	d.set.Render(w, r, "dash.settings", v, http.StatusOK)
}

type settingView struct {
	setting
	Form page.Form
}

// Title is the setting's name.
func (v settingView) Title() page.Message { return page.Say("dash.setting-page.title", "name", v.Name) }

// restartView is shown while the server starts again with a setting.
type restartView struct{ Name string }

// newValue is the form of a setting.
type newValue struct {
	Value string `form:"value,max=2000"`
}

func (d *Dash) findSetting(r *http.Request) (setting, error) {
	list, err := d.listSettings(r)
	if err != nil {
		return setting{}, err
	}
	for _, s := range list {
		if s.Name == page.Line(r, "name") {
			return s, nil
		}
	}
	return setting{}, notFound("setting", page.Line(r, "name"))
}

func (d *Dash) setting(w http.ResponseWriter, r *http.Request) {
	s, err := d.findSetting(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.show(w, r, "dash.setting", settingView{s, page.Fill(newValue{bare(s.Value)})}, page.Form{})
}

// bare takes the quotes of a text away, which operation setting.set puts back.
func bare(value string) string {
	if s, ok := strings.CutPrefix(value, `"`); ok && !strings.Contains(value, `\`) {
		return strings.TrimSuffix(s, `"`)
	}
	return value
}

// setSetting keeps a value, or forgets it. The server starts again with it, in
// order.
func (d *Dash) setSetting(w http.ResponseWriter, r *http.Request) {
	s, err := d.findSetting(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	var in newValue
	form := page.Read(r, &in)
	if form.OK() {
		q := admin.Setting{Name: s.Name, Value: &in.Value}
		if page.Line(r, "forget") != "" {
			q.Value = nil
		}
		_, err := ask[[]config.Setting](d, r, "setting.set", q)
		if err == nil {
			// The server starts again at once, and whoever was led on at once would
			// find nobody there: the page says so, and htmx goes on after a moment.
			d.set.Render(w, r, "dash.restart", restartView{s.Name}, http.StatusOK)
			return
		}
		form = form.Fail("value", d.why(r, err))
	}
	d.show(w, r, "dash.setting", settingView{s, form}, form)
}
