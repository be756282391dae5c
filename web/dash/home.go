package dash

import (
	"net/http"
	"net/url"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/events"
	"homemail/web/page"
)

// A light is one of the five, with its button.
type light struct {
	State page.State
	Name  string // key
	Says  page.Message
	Href  string
	Do    string // key; "" for no button
}

type homeView struct {
	Lights []light
	Worst  page.State
	News   []happened
	admin.Overview
}

// A happened is an event in words.
type happened struct {
	At              time.Time
	State           page.State
	What, Why, Todo string
	ID              string // of the message, to look at its way
}

// newest are what the first page tells of.
const newest = 6

// newsKinds are what an owner wants to hear of without asking: each message
// once, and what changes.
func newsKinds() []events.Kind {
	return []events.Kind{events.Received, events.Submitted, events.Fetched, events.Failed, events.Held, events.Changed,
		events.Checked, events.Started, events.Updated, events.SignedIn}
}

func (d *Dash) home(w http.ResponseWriter, r *http.Request) {
	o, err := d.o.House.Overview(d.actor(r))
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := homeView{Overview: o, Worst: page.Good}
	for _, l := range o.Lights {
		shown := d.lightOf(r, l)
		v.Lights = append(v.Lights, shown)
		if shown.State == page.Bad || shown.State == page.Unknown && v.Worst == page.Good {
			v.Worst = shown.State
		}
	}
	found, err := ask[admin.Events](d, r, "events.find", admin.FindEvents{Kinds: newsKinds(), Limit: newest, Language: d.lang(r)})
	if err != nil {
		d.log.Warn("events could not be read", "err", err) // the lights matter more
	}
	v.News = happenings(found.Events)
	d.set.Render(w, r, "dash.home", v, http.StatusOK)
}

// lightOf gives a light its words. Whatever is not good leads to where it can be
// looked at.
func (d *Dash) lightOf(r *http.Request, l admin.Light) light {
	out := light{State: page.State(l.State), Name: "dash.light." + l.Name}
	says := "dash.light." + l.Name + "." + l.Code
	if says == "dash.light.receiving.good" && l.At.IsZero() || says == "dash.light.receiving.bridge" && l.At.IsZero() {
		says += ".first" // nothing has come yet
	}
	out.Says = page.Say(says, "n", l.Count, "who", l.Who, "when", d.set.Words().Ago(d.set.Lang(r), l.At))
	switch l.Name + "." + l.Code {
	case "receiving.no-domain":
		out.Href = "/dns"
	case "receiving.bridge-failing", "receiving.inside", "sending.off":
		out.Href = "/sending"
	case "receiving.shut", "receiving.unseen", "sending.blocked", "safe.listed", "safe.hidden", "receiving.full", "safe.clock":
		out.Href = "/network"
	case "receiving.broken", "safe.damage":
		out.Href = "/logs"
	case "sending.paused", "safe.guessed":
		out.Href = "/security"
	case "sending.late", "sending.waiting":
		out.Href = "/queue"
	case "safe.expired", "safe.no-certificate", "safe.self-signed":
		out.Href = "/dns/certificates"
	default:
		switch l.Name {
		case "receiving":
			out.Href = "/network"
		case "sending":
			out.Href = "/sending"
		case "safe":
			out.Href = "/security"
		case "backup":
			out.Href = "/settings"
		case "update":
			out.Href = "/updates"
		}
	}
	out.Do = "dash.look"
	if l.State == check.Bad {
		out.Do = "dash.repair"
	}
	return out
}

func happenings(list []admin.Event) (out []happened) {
	for i := range list {
		e := &list[i]
		out = append(out, happened{At: e.At, State: stateOf(&e.Event), What: e.Words.What, Why: e.Words.Why, Todo: e.Words.Todo, ID: e.ID})
	}
	return out
}

// stateOf is how an event looks.
func stateOf(e *events.Event) page.State {
	switch e.Kind {
	case events.Failed, events.Lost:
		return page.Bad
	case events.Refused, events.SignInFailed, events.Omitted:
		return page.Off
	case events.Deferred, events.Held, events.Submitted, events.Forwarded, events.Stopped:
		return page.Waiting
	case events.Updated:
		switch e.Reason {
		case events.Ready:
			return page.Waiting
		case events.WentBack:
			return page.Bad
		}
	case events.Changed:
		if e.Reason == events.NotDone {
			return page.Off
		}
	}
	return page.Good
}

func urlQuery(name, value string) string { return url.Values{name: {value}}.Encode() }
