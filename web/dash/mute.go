package dash

import (
	"net/http"
	"slices"

	"homemail/admin"
	"homemail/check"
	"homemail/web/page"
)

// muteView asks how long a check is to be quiet.
type muteView struct {
	Name, Titled, Means string
	Form                page.Form
}

// newMute is the form for that.
type newMute struct {
	For    string `form:"for,required,one=change|30"`
	Reason string `form:"reason,max=200"`
}

// Title names the check.
func (v muteView) Title() page.Message { return page.Say("dash.mute.title", "check", v.Titled) }

func (d *Dash) mute(w http.ResponseWriter, r *http.Request) {
	d.showMute(w, r, page.Fill(newMute{For: "change"}))
}

func (d *Dash) showMute(w http.ResponseWriter, r *http.Request, form page.Form) {
	name := page.Line(r, "name")
	line, err := d.lastLine(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	i := slices.IndexFunc(line.Results, func(res check.Result) bool { return res.Name == name })
	if i < 0 {
		d.fail(w, r, notFound("check", name))
		return
	}
	res, lang := line.Results[i], d.lang(r)
	d.show(w, r, "dash.mute", muteView{name, res.Title.In(lang), res.Means.In(lang), form}, form)
}

func (d *Dash) setMute(w http.ResponseWriter, r *http.Request) {
	var in newMute
	form := page.Read(r, &in)
	q := admin.MuteCheck{Name: page.Line(r, "name"), Reason: in.Reason}
	if in.For == "30" {
		q.Days = 30
	}
	if d.did(w, r, &form, "/network", page.Say("dash.mute.done"), "line.mute", q) {
		return
	}
	d.showMute(w, r, form)
}

func (d *Dash) endMute(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/network", page.Say("dash.mute.ended"), "line.mute", admin.MuteCheck{Name: page.Line(r, "name"), Off: true})
}
