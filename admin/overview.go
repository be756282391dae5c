package admin

import (
	"context"
	"time"

	"homemail/certs"
	"homemail/check"
	"homemail/dnsplan"
	"homemail/events"
)

// A Light is one of the things that an owner looks at first. Its words are the
// faces' own, by its name and code.
type Light struct {
	Name  string      `json:"name"` // "receiving", "sending", "safe", "backup" or "update"
	State check.State `json:"state"`
	Code  string      `json:"code"` // why it has this state
	Count int         `json:"count,omitempty"`
	Who   string      `json:"who,omitempty"` // an address, a name or a version that the code is about
	At    time.Time   `json:"at,omitzero"`
}

// LightOff is the state of a light for what is not there, or not wanted.
const LightOff check.State = "off"

// Overview is how the house is, at a glance. It asks nobody outside and reads
// no mailbox.
type Overview struct {
	Version  string       `json:"version"`
	Started  time.Time    `json:"started,omitzero"`
	Mode     dnsplan.Mode `json:"mode"`
	Lights   []Light      `json:"lights"`
	Accounts int          `json:"accounts"`
	Messages int64        `json:"messages"`
	Used     int64        `json:"used"`
	Free     int64        `json:"free"`             // for mail
	Months   int          `json:"months,omitempty"` // until that is full, if it goes on like this; 0 if nobody can tell
	Waiting  int          `json:"waiting"`          // recipients in the queue
	Held     int          `json:"held"`             // accounts that may not send
}

// overviewOperations are those of the first page.
func overviewOperations() map[string]operation {
	return map[string]operation{
		"overview":  op(func(h *House, ctx context.Context, _ Empty) (Overview, error) { return h.Overview(ctx) }),
		"line.mute": op((*House).muteCheck),
	}
}

// Overview gathers what is known of the house.
func (h *House) Overview(ctx context.Context) (o Overview, err error) {
	o = Overview{Version: h.Version, Started: h.Started, Mode: h.mode()}
	first, err := h.usage(&o)
	if err != nil {
		return o, err
	}
	disk := h.Store.Stats()
	o.Free = max(disk.Free-disk.Reserve, 0)
	o.Months = monthsLeft(o.Used, o.Free, time.Since(first))
	o.Waiting = h.Queue.Stats().Queued
	checks := h.lastChecks()
	var receiving, sending, safe Light
	if receiving, err = h.receiving(o.Mode, checks); err != nil {
		return o, err
	}
	if sending, err = h.sending(o.Mode, checks); err != nil {
		return o, err
	}
	if sending.Code == "paused" {
		o.Held = sending.Count
	}
	if safe, err = h.safe(checks); err != nil {
		return o, err
	}
	o.Lights = []Light{
		receiving, sending, safe,
		{Name: "backup", State: LightOff, Code: "later"},
		h.updateLight(ctx),
	}
	return o, nil
}

// usage adds the accounts up and returns when the first was made.
func (h *House) usage(o *Overview) (first time.Time, err error) {
	profiles, err := h.Store.Accounts()
	if err != nil {
		return first, err
	}
	first = time.Now()
	for _, p := range profiles {
		a, err := h.Store.AccountByID(p.ID)
		if err != nil {
			return first, err
		}
		u, err := a.Usage()
		if err != nil {
			return first, err
		}
		o.Accounts++
		o.Messages += u.Messages
		o.Used += u.Bytes
		if p.Created.Before(first) {
			first = p.Created
		}
	}
	return first, nil
}

const (
	month      = 30 * 24 * time.Hour
	mostMonths = 120 // further nobody can see
)

// monthsLeft is how long there is room, if mail comes as it did so far.
func monthsLeft(used, free int64, since time.Duration) int {
	if since < month || used < 1<<20 {
		return 0 // too little to tell
	}
	each := float64(used) / (float64(since) / float64(month))
	return max(int(min(float64(free)/each, mostMonths)), 1)
}

// lastChecks are the results of the checks as they are known, by name.
func (h *House) lastChecks() map[string]check.Result {
	out := map[string]check.Result{}
	if h.Checker != nil {
		for _, r := range h.Checker.Results() {
			if r.Muted != nil {
				r.State = check.CouldNotTest // it is to make no light red
			}
			out[r.Name] = r
		}
	}
	return out
}

// recently is how long mail that came in proves that it does.
const recently = 24 * time.Hour

func (h *House) receiving(mode dnsplan.Mode, checks map[string]check.Result) (l Light, err error) {
	l = Light{Name: "receiving", State: check.Bad}
	if h.Store.Broken() != nil {
		l.Code = "broken"
		return l, nil
	}
	if h.Store.Room(0) != nil {
		l.Code = "full"
		return l, nil
	}
	states, err := h.Bridge.Statuses()
	if err != nil {
		return l, err
	}
	for _, s := range states {
		if s.Problem != "" {
			l.Code, l.Who = "bridge-failing", string(s.Address)
			return l, nil
		}
	}
	last, err := h.lastEvent(events.Received, events.Fetched)
	if err != nil {
		return l, err
	}
	l.At = last.At
	domains, err := h.Store.Domains()
	in := checks["in25"]
	switch {
	case mode == dnsplan.Bridge && len(states) > 0:
		l.State, l.Code, l.Count = check.Good, "bridge", len(states)
	case mode == dnsplan.Home:
		l.State, l.Code = LightOff, "inside"
	case len(domains) == 0:
		l.State, l.Code = check.Waiting, "no-domain"
	case in.State == check.Bad:
		l.Code = "shut"
	case in.State == check.Good:
		l.State, l.Code = check.Good, "good"
	case last.Kind == events.Received && time.Since(last.At) < recently:
		l.State, l.Code = check.Good, "came"
	default:
		l.State, l.Code = check.CouldNotTest, "unseen"
	}
	return l, err
}

// lastEvent is the newest event of some kinds, the zero Event if there is none.
func (h *House) lastEvent(kinds ...events.Kind) (events.Event, error) {
	p, err := h.Events.Find(events.Query{Kinds: kinds}, 1, 0)
	if err != nil || len(p.Events) == 0 {
		return events.Event{}, err
	}
	return p.Events[0], nil
}

// overdue is how long mail waits before an owner should look why.
const overdue = time.Hour

func (h *House) sending(mode dnsplan.Mode, checks map[string]check.Result) (l Light, err error) {
	l = Light{Name: "sending", State: check.Bad}
	paused, err := h.Caps.Paused()
	if err != nil {
		return l, err
	}
	q := h.Queue.Stats()
	switch {
	case mode == dnsplan.Home:
		l.State, l.Code = LightOff, "off"
	case len(paused) > 0:
		l.Code, l.Count = "paused", len(paused)
		if p, err := h.profile(paused[0].Account); err == nil {
			l.Who = string(p.Address)
		}
	case mode == dnsplan.Direct && checks["out25"].State == check.Bad:
		l.Code = "blocked"
	case q.Queued > 0 && q.OldestAge > overdue:
		l.Code, l.Count = "late", q.Queued
	case q.Queued > 0:
		l.State, l.Code, l.Count = check.Waiting, "waiting", q.Queued
	default:
		l.State, l.Code = check.Good, "good"
	}
	return l, nil
}

const guessesShown = 100 // of a day, that are counted one by one

func (h *House) safe(checks map[string]check.Result) (l Light, err error) {
	l = Light{Name: "safe", State: check.Bad}
	if len(h.Store.Damage()) > 0 {
		l.Code = "damage"
		return l, nil
	}
	if checks[check.Visitors].State == check.Bad {
		l.Code = "hidden"
		return l, nil
	}
	if checks["blocklist"].State == check.Bad {
		l.Code = "listed"
		return l, nil
	}
	if h.CA.Certs != nil {
		for _, c := range h.CA.Certs.Status() {
			switch {
			case c.Shown == certs.Expired:
				l.Code, l.Who, l.At = "expired", c.Name, c.NotAfter
				return l, nil
			case c.Doing == certs.Failed:
				l.Code, l.Who = "no-certificate", c.Name
			case c.Shown == certs.SelfSigned && c.Name == h.Host && l.Code == "":
				l.State, l.Code = LightOff, "self-signed"
			}
		}
	}
	if h.Clock.Why() != "" {
		l.State, l.Code = check.CouldNotTest, "clock"
	}
	if l.Code != "" {
		return l, nil
	}
	p, err := h.Events.Find(events.Query{Kinds: []events.Kind{events.SignInFailed}, Since: time.Now().Add(-recently)}, guessesShown, 0)
	l.State, l.Code, l.Count = check.Good, "good", len(p.Events)
	if l.Count > 0 {
		l.Code = "guessed"
	}
	return l, err
}
