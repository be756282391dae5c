package wizard

import (
	"net/http"
	"strings"

	"homemail/firstboot"
	"homemail/web/page"
)

// frame is what is around each page.
func (z *Wizard) frame(r *http.Request) page.Frame {
	f := page.Frame{Home: "/first", Steps: true}
	if !z.mayShow(r) {
		return f
	}
	o, err := z.o.Engine.Show(r.Context())
	if err != nil {
		return f
	}
	for _, v := range o.Steps {
		if v.ID == firstboot.Claiming || v.Reason.Key == "firstboot.skip.not-needed" {
			continue
		}
		l := page.Link{Href: path(v.ID), Label: page.Say("firstboot.step." + string(v.ID)), State: stateOf(v.Status), Current: r.URL.Path == path(v.ID)}
		if v.Status == firstboot.Todo {
			l.State = ""
			if len(v.Blocked) > 0 {
				l.Href = ""
			}
		}
		f.Nav = append(f.Nav, l)
	}
	return f
}

// mayShow reports whether the steps are for whoever asks.
func (z *Wizard) mayShow(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/share/") {
		return false
	}
	token, _ := page.Cookie(r, claimCookie)
	return z.owner(r) || z.o.Claim.Holds(token)
}

// finished is the end, or what is still under way.
func (z *Wizard) finished(w http.ResponseWriter, r *http.Request) {
	o, err := z.o.Engine.Show(r.Context())
	if err != nil {
		z.fail(w, r, err)
		return
	}
	v := endView{Owner: owner(o), All: o.Finished}
	for _, s := range o.Steps {
		if s.Status != firstboot.Done && s.Reason.Key != "firstboot.skip.not-needed" && s.ID != firstboot.Claiming {
			v.Open = append(v.Open, openStep{Href: path(s.ID), Label: page.Say("firstboot.step." + string(s.ID)), State: stateOf(s.Status), Says: stepView{Step: s}.Says(), Todo: s.Status == firstboot.Todo})
		}
	}
	z.set.Render(w, r, "first.done", v, http.StatusOK)
}

// endView is the last page.
type endView struct {
	Owner string
	All   bool
	Open  []openStep
}

type openStep struct {
	Href  string
	Label page.Message
	State page.State
	Says  page.Message
	Todo  bool
}
