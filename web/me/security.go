package me

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"homemail/admin"
	"homemail/events"
	"homemail/session"
	"homemail/signin"
	"homemail/store"
	"homemail/web/page"
)

// A signIn is one, or many alike.
type signIn struct {
	At     time.Time
	State  page.State
	What   page.Message
	Door   page.Message
	Remote string
	Count  int
	Since  time.Time // of the oldest of them
	NotMe  string    // the page to say so on; "" for a try that failed
}

type signInsView struct {
	List  []signIn
	Older string
}

func (p *Pages) signIns(v visit) {
	before, _ := strconv.ParseUint(page.Line(v.Request, "before"), 10, 64) // else from the end
	found, err := v.mine.SignIns(string(p.set.Lang(v.Request)), before)
	if err != nil {
		p.fail(v, err)
		return
	}
	view := signInsView{List: alike(found.Events)}
	if found.Next != 0 {
		view.Older = "/me/signins?before=" + strconv.FormatUint(found.Next, 10)
	}
	p.set.Render(v.ResponseWriter, v.Request, "me.signins", view, http.StatusOK)
}

// alike makes one of all that are the same: a mail program signs in each few
// minutes. The log has one of those in an hour, so that their number means
// nothing.
func alike(list []admin.Event) (out []signIn) {
	type sort struct {
		kind                 events.Kind
		door, device, remote string
	}
	at := map[sort]int{}
	for _, e := range list {
		k := sort{e.Kind, e.Door, e.Device, e.Remote}
		if i, ok := at[k]; ok {
			out[i].Count++
			out[i].Since = e.At
			continue
		}
		at[k] = len(out)
		s := signIn{At: e.At, State: page.Good, Door: doorName(e.Door), Remote: e.Remote, Count: 1}
		switch {
		case e.Kind == events.SignInFailed:
			s.State, s.What = page.Unknown, page.Say("me.signins.failed")
		case e.Door == "web":
			s.What, s.NotMe = page.Say("me.signins.web", "browser", e.Device), "/me/signins/not-me"
		default:
			s.What, s.NotMe = page.Say("me.signins.device", "device", e.Device), "/me/signins/not-me?"+query("device", e.Device)
		}
		out = append(out, s)
	}
	return out
}

func doorName(door string) page.Message {
	switch door {
	case "imap", "imaps", "pop3", "pop3s":
		return page.Say("me.signins.reading")
	case "smtp", "submission", "submissions":
		return page.Say("me.signins.sending")
	case "web":
		return page.Say("me.signins.pages")
	}
	return page.Say("me.signins.other")
}

func (p *Pages) askNotMe(v visit) {
	q := question{
		What: page.Say("me.notme.title"), Why: page.Say("me.notme.why"), Action: "/me/signins/not-me", Do: page.Say("me.notme.do"), Danger: true, Back: "/me/signins",
	}
	if device := page.Line(v.Request, "device"); device != "" {
		q.Points = append(q.Points, page.Say("me.notme.device", "name", device))
		q.Fields = append(q.Fields, field{"device", device})
	}
	q.Points = append(q.Points, page.Say("me.notme.sessions"), page.Say("me.notme.password"))
	p.ask(v, q)
}

// notMe shuts out whoever else it was: the device loses its password, everybody
// but this browser is signed out, and a new password is asked for.
func (p *Pages) notMe(v visit) {
	if device := page.Line(v.Request, "device"); device != "" {
		if _, err := v.mine.RevokeNamed(v.ctx, device); err != nil && !errors.Is(err, store.ErrNotFound) {
			p.fail(v, err)
			return
		}
	}
	res, err := p.o.Sessions.EndOthers(session.FromRequest(v.Request), v.who)
	if err != nil {
		p.fail(v, err)
		return
	}
	session.SetCookie(v.ResponseWriter, v.Request, res)
	p.set.Flash(v.ResponseWriter, v.Request, page.Waiting, page.Say("me.notme.done"))
	p.set.Redirect(v.ResponseWriter, v.Request, "/me/security")
}

type passwordForm struct {
	Old   string `form:"old,required,secret,max=1000"`
	New   string `form:"new,required,secret,max=1000"`
	Again string `form:"again,required,secret,max=1000"`
}

type securityView struct {
	Form     page.Form
	Address  string // for programs that keep passwords
	Factors  session.Factors
	Sessions []*session.Session
	This     string // the session of this page
	Passkey  string // the page that makes one; "" for none
}

func (p *Pages) security(v visit) { p.showSecurity(v, page.Fill(passwordForm{})) }

func (p *Pages) showSecurity(v visit, form page.Form) {
	factors, err := p.o.Sessions.Factors(v.who.Account)
	if err != nil {
		p.fail(v, err)
		return
	}
	list, err := p.o.Sessions.List(v.who.Account)
	if err != nil {
		p.fail(v, err)
		return
	}
	view := securityView{Form: form, Address: string(v.who.Address), Factors: factors, Sessions: list, This: v.who.ID}
	if p.o.Passkey != "" && v.TLS != nil {
		view.Passkey = p.o.Passkey + "?" + query("to", "/me/security")
	}
	p.show(v, "me.security", view, form)
}

func (p *Pages) setPassword(v visit) {
	var in passwordForm
	form := page.Read(v.Request, &in)
	if form.OK() && in.New != in.Again {
		form.Fail("again", page.Say("me.password.differ"))
	}
	if !form.OK() {
		p.showSecurity(v, form)
		return
	}
	res, err := p.o.Sessions.ChangePassword(v.Context(), session.FromRequest(v.Request), v.who, in.Old, in.New)
	if err == nil {
		session.SetCookie(v.ResponseWriter, v.Request, res)
		p.done(v, "/me/security", page.Say("me.password.saved"))
		return
	}
	name, m := whyNot(err, page.Say("me.password.wrong"))
	if m.IsZero() {
		p.fail(v, err)
		return
	}
	if name == "" {
		name = "old"
	}
	p.showSecurity(v, form.Fail(name, m))
}

// whyNot tells why a password or a code was not taken, and of which field that
// is; nothing for a fault of ours.
func whyNot(err error, denied page.Message) (field string, m page.Message) {
	var wait *signin.WaitError
	switch {
	case errors.Is(err, session.ErrShort):
		return "new", page.Say("me.password.short")
	case errors.Is(err, session.ErrLong):
		return "new", page.Say("me.password.long")
	case errors.Is(err, session.ErrCommon):
		return "new", page.Say("me.password.common")
	case errors.Is(err, session.ErrPersonal):
		return "new", page.Say("me.password.personal")
	case errors.Is(err, signin.ErrDenied):
		return "", denied
	case errors.Is(err, signin.ErrBusy):
		return "", page.Say("me.busy")
	case errors.As(err, &wait):
		return "", page.Say("me.wait")
	case errors.Is(err, session.ErrClock):
		return "", page.Say("me.clock")
	}
	return "", page.Message{}
}

func (p *Pages) endSession(v visit) {
	id := page.Line(v.Request, "id")
	if id == v.who.ID {
		p.refused(v, "/me/security", page.Say("me.sessions.this"))
		return
	}
	if err := p.o.Sessions.End(v.who.Account, id); err != nil && !errors.Is(err, store.ErrNotFound) { // that is ended already
		p.fail(v, err)
		return
	}
	p.done(v, "/me/security", page.Say("me.sessions.ended"))
}

func (p *Pages) endOthers(v visit) {
	res, err := p.o.Sessions.EndOthers(session.FromRequest(v.Request), v.who)
	if err != nil {
		p.fail(v, err)
		return
	}
	session.SetCookie(v.ResponseWriter, v.Request, res)
	p.done(v, "/me/security", page.Say("me.sessions.others"))
}

type codeForm struct {
	Code string `form:"code,required,max=20"`
}

type codeView struct {
	Form   page.Form
	URI    string // for the QR code; "" if it was shown before
	Secret string
}

func (p *Pages) code(v visit) {
	e, err := p.o.Sessions.BeginTOTP(v.who)
	if err != nil {
		p.fail(v, err)
		return
	}
	p.show(v, "me.code", codeView{page.Fill(codeForm{}), e.URI, e.Secret}, page.Form{})
}

func (p *Pages) setCode(v visit) {
	var in codeForm
	form := page.Read(v.Request, &in)
	if !form.OK() {
		p.show(v, "me.code", codeView{Form: form}, form)
		return
	}
	codes, err := p.o.Sessions.FinishTOTP(v.Context(), session.FromRequest(v.Request), v.who, in.Code)
	if errors.Is(err, session.ErrOver) {
		p.refused(v, "/me/security/code", page.Say("me.code.over"))
		return
	}
	if err != nil {
		_, m := whyNot(err, page.Say("me.code.wrong"))
		if m.IsZero() {
			p.fail(v, err)
			return
		}
		form.Fail("code", m)
		p.show(v, "me.code", codeView{Form: form}, form)
		return
	}
	if len(codes) == 0 { // there are some from before
		p.done(v, "/me/security", page.Say("me.code.saved"))
		return
	}
	p.showCodes(v, codes)
}

type codesView struct{ Codes []string }

func (p *Pages) showCodes(v visit, codes []string) {
	p.set.Render(v.ResponseWriter, v.Request, "me.codes", codesView{codes}, http.StatusOK)
}

func (p *Pages) askRemoveCode(v visit) {
	p.ask(v, question{
		What: page.Say("me.code.remove.title"), Why: page.Say("me.code.remove.why"),
		Action: "/me/security/code/remove", Do: page.Say("me.code.remove.do"), Danger: true, Back: "/me/security",
	})
}

func (p *Pages) removeCode(v visit) {
	if err := p.o.Sessions.RemoveTOTP(v.who); err != nil {
		p.fail(v, err)
		return
	}
	p.done(v, "/me/security", page.Say("me.code.removed"))
}

func (p *Pages) askRecovery(v visit) {
	p.ask(v, question{
		What: page.Say("me.recovery.title"), Why: page.Say("me.recovery.why"),
		Action: "/me/security/recovery", Do: page.Say("me.recovery.do"), Back: "/me/security",
	})
}

func (p *Pages) newRecovery(v visit) {
	codes, err := p.o.Sessions.NewRecovery(v.who)
	if errors.Is(err, store.ErrInvalid) {
		p.refused(v, "/me/security", page.Say("me.recovery.none"))
		return
	}
	if err != nil {
		p.fail(v, err)
		return
	}
	p.showCodes(v, codes)
}

func (p *Pages) askRemovePasskey(v visit) {
	factors, err := p.o.Sessions.Factors(v.who.Account)
	if err != nil {
		p.fail(v, err)
		return
	}
	for _, k := range factors.Passkeys {
		if k.ID == page.Line(v.Request, "id") {
			p.ask(v, question{
				What: page.Say("me.passkey.remove.title", "name", k.Name), Why: page.Say("me.passkey.remove.why"),
				Action: "/me/security/passkey/remove", Fields: []field{{"id", k.ID}}, Do: page.Say("me.passkey.remove.do"), Danger: true, Back: "/me/security",
			})
			return
		}
	}
	p.fail(v, store.ErrNotFound)
}

func (p *Pages) removePasskey(v visit) {
	if err := p.o.Sessions.RemovePasskey(v.who, page.Line(v.Request, "id")); err != nil {
		p.fail(v, err)
		return
	}
	p.done(v, "/me/security", page.Say("me.passkey.removed"))
}

func query(name, value string) string { return url.Values{name: {value}}.Encode() }
