package dash

import (
	"net/http"
	"strconv"
	"time"

	"homemail/admin"
	"homemail/events"
	"homemail/mail"
	"homemail/web/page"
)

// search is the form of "Where is my mail?".
type search struct {
	Address   string `form:"address,max=254"`
	Subject   string `form:"subject,max=200"`
	Direction string `form:"direction,one=all|in|out"`
	Since     string `form:"since,one=hour|day|week|month"`
}

type whereView struct {
	Form  page.Form
	Ways  []way
	More  string // where to go on, "" if that was all
	Asked bool
}

// A way is what is known of a message, the newest first.
type way struct {
	State    page.State
	Subject  string
	From     mail.Path
	To       []mail.Path
	More     int // recipients that To leaves out
	At       time.Time
	Out      bool
	Last     string
	Steps    []happened
	ID       string
	Expanded bool
}

const waysShown = 6 // each is looked for in the whole log

func (d *Dash) where(w http.ResponseWriter, r *http.Request) {
	if id := page.Line(r, "id"); id != "" {
		d.whereOne(w, r, id)
		return
	}
	in := search{Since: "week", Direction: "all"}
	form := page.Fill(in)
	v := whereView{Form: form}
	q := admin.FindEvents{Limit: waysShown, Language: d.lang(r)}
	if r.URL.RawQuery != "" {
		form = query(r, &in)
		v.Form, v.Asked = form, true
		q.Before, _ = strconv.ParseUint(page.Line(r, "before"), 10, 64)
	}
	q.Address, q.Subject, q.Since = in.Address, in.Subject, before(in.Since)
	if in.Direction != "all" {
		q.Direction = events.Direction(in.Direction)
	}
	if form.OK() {
		found, err := ask[admin.Ways](d, r, "events.where", q)
		if err != nil {
			d.fail(w, r, err)
			return
		}
		for _, one := range found.Ways {
			v.Ways = append(v.Ways, wayOf(one))
		}
		if found.Next > 0 {
			next := r.URL.Query()
			next.Set("before", strconv.FormatUint(found.Next, 10))
			v.More = "/where?" + next.Encode()
		}
	}
	d.show(w, r, "dash.where", v, form)
}

// whereOne shows the way of one message.
func (d *Dash) whereOne(w http.ResponseWriter, r *http.Request, id string) {
	found, err := ask[admin.Way](d, r, "events.trace", admin.TraceEvents{ID: id, Language: d.lang(r)})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	one := wayOf(found)
	one.Expanded = true
	d.set.Render(w, r, "dash.where", whereView{Form: page.Fill(search{Since: "week", Direction: "all"}), Ways: []way{one}, Asked: true}, http.StatusOK)
}

// before is a time by its word.
func before(word string) time.Time {
	spans := map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 31 * 24 * time.Hour}
	if span, ok := spans[word]; ok {
		return time.Now().Add(-span)
	}
	return time.Time{}
}

// wayOf is a message's way: what is known of it is in any of its events, and how
// it stands in the last one.
func wayOf(found admin.Way) way {
	out := way{ID: found.ID, State: page.Unknown, Steps: happenings(found.Events)}
	for i := range found.Events {
		e := &found.Events[i]
		if out.Subject == "" {
			out.Subject = e.Subject
		}
		if out.From == "" {
			out.From = e.From
		}
		if len(out.To) == 0 {
			out.To, out.More = e.To, e.More
		}
		out.Out = out.Out || e.Direction() == events.Out
	}
	if n := len(found.Events); n > 0 {
		last := &found.Events[n-1]
		out.At, out.Last, out.State = last.At, last.Words.What, stateOf(&last.Event)
	}
	return out
}
