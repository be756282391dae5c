package dash

import (
	"net/http"
	"slices"
	"strconv"

	"homemail/admin"
	"homemail/events"
	"homemail/web/page"
)

type securityView struct {
	Sessions []admin.WebSession
	Owners   []admin.Person
	SignIns  []happened
	Sending  []admin.Sending
	Bans     []admin.Ban
	Others   bool // there is somebody who is no owner
	Paused   int
}

const (
	signInsShown = 15
	bansShown    = 50 // the longest: a flood can shut out thousands
)

func (d *Dash) security(w http.ResponseWriter, r *http.Request) {
	v := securityView{}
	var err error
	if v.Sending, err = ask[[]admin.Sending](d, r, "sending.list", admin.Empty{}); err != nil {
		d.fail(w, r, err)
		return
	}
	if v.Sessions, err = ask[[]admin.WebSession](d, r, "session.list", admin.Address{}); err != nil {
		d.log.Warn("sessions could not be listed", "err", err)
	}
	if v.Owners, err = ask[[]admin.Person](d, r, "owner.list", admin.Empty{}); err != nil {
		d.log.Warn("owners could not be listed", "err", err)
	}
	if v.Bans, err = ask[[]admin.Ban](d, r, "ban.list", admin.Empty{}); err != nil {
		d.log.Warn("who is shut out could not be listed", "err", err)
	}
	v.Bans = v.Bans[:min(len(v.Bans), bansShown)]
	for _, s := range v.Sending {
		if s.Pause != nil {
			v.Paused++
		}
	}
	v.Others = len(v.Sending) > len(v.Owners)
	q := admin.FindEvents{Kinds: []events.Kind{events.SignedIn, events.SignInFailed, events.Omitted}, Limit: signInsShown, Language: d.lang(r)}
	found, err := ask[admin.Events](d, r, "events.find", q)
	if err != nil {
		d.log.Warn("events could not be read", "err", err)
	}
	v.SignIns = happenings(found.Events)
	d.set.Render(w, r, "dash.security", v, http.StatusOK)
}

type auditView struct {
	List []audited
	More string
}

// audited is something that an owner did.
type audited struct {
	happened
	Who, Remote, Door, Detail string
}

const auditShown = 50

func (d *Dash) audit(w http.ResponseWriter, r *http.Request) {
	q := admin.FindEvents{Kinds: []events.Kind{events.Changed}, Limit: auditShown, Language: d.lang(r)}
	q.Before, _ = strconv.ParseUint(page.Line(r, "before"), 10, 64)
	found, err := ask[admin.Events](d, r, "events.find", q)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := auditView{}
	shown := happenings(found.Events)
	for i, e := range found.Events {
		v.List = append(v.List, audited{shown[i], e.Who, e.Remote, e.Door, e.Detail})
	}
	if found.Next > 0 {
		v.More = with("/security/audit", "before", strconv.FormatUint(found.Next, 10))
	}
	d.set.Render(w, r, "dash.audit", v, http.StatusOK)
}

func (d *Dash) endSession(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/security", page.Say("dash.security.ended"), "session.end", admin.EndSessions{Address: address(r), ID: page.Line(r, "id")})
}

func (d *Dash) liftBan(w http.ResponseWriter, r *http.Request) {
	from := page.Line(r, "from")
	d.act(w, r, "/security", page.Say("dash.security.ban.lifted", "address", from), "ban.lift", admin.BanAddress{Address: from})
}

func (d *Dash) pauseSending(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/security", page.Say("dash.security.paused"), "sending.pause", admin.PauseSending{Address: address(r), Reason: "paused by the owner"})
}

func (d *Dash) resumeSending(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/security", page.Say("dash.security.resumed"), "sending.resume", admin.Address{Address: address(r)})
}

type newOwnerView struct{ People []page.Option }

// Title is what the button says that leads here.
func (newOwnerView) Title() page.Message { return page.Say("dash.security.owner.add") }

// newOwner asks who, of those who are none.
func (d *Dash) newOwner(w http.ResponseWriter, r *http.Request) {
	owners, err := ask[[]admin.Person](d, r, "owner.list", admin.Empty{})
	var people []page.Option
	if err == nil {
		people, err = d.everybody(r)
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	people = slices.DeleteFunc(people, func(p page.Option) bool {
		return slices.ContainsFunc(owners, func(o admin.Person) bool { return string(o.Address) == p.Value })
	})
	d.set.Render(w, r, "dash.newowner", newOwnerView{people}, http.StatusOK)
}

func (d *Dash) addOwner(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/security", page.Say("dash.security.owner.added"), "owner.add", admin.Address{Address: address(r)})
}

func (d *Dash) askRemoveOwner(w http.ResponseWriter, r *http.Request) {
	d.confirm(w, r, confirm{
		What: page.Say("dash.security.owner.remove.what", "address", string(address(r))), Why: page.Say("dash.security.owner.remove.why"),
		Action: "/security/owner/remove", Fields: []field{{"address", string(address(r))}},
		Do: page.Say("dash.security.owner.remove.do"), Back: "/security",
	})
}

func (d *Dash) removeOwner(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/security", page.Say("dash.security.owner.removed"), "owner.remove", admin.Address{Address: address(r)})
}
