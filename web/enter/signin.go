package enter

import (
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"homemail/session"
	"homemail/signin"
	"homemail/web/page"
)

// What the pages ask for.
type (
	credentials struct {
		Address  string `form:"address,required,max=254"` // RFC 5321 §4.5.3.1.3
		Password string `form:"password,required,secret,max=1024"`
		Remember bool   `form:"remember"`
	}
	oneCode struct {
		Code string `form:"code,required,max=64"` // some people type a space between any two
	}
	onePassword struct {
		Password string `form:"password,required,secret,max=1024"`
	}
	passwordAndCode struct {
		Password string `form:"password,required,secret,max=1024"`
		Code     string `form:"code,required,max=64"`
	}
)

// view is what the pages that ask show.
type view struct {
	Form      page.Form
	To        string
	Wrong     *page.Notice
	Who       string // is signed in
	Passkey   bool   // may be used here
	KeyFirst  bool   // it is the usual way of who is asked
	App       bool   // a program on a phone makes codes
	Paper     bool   // there are recovery codes
	Elsewhere bool   // there is a passkey, which this page cannot ask for
	HTTPS     string
}

func (e *entrance) showSignIn(w http.ResponseWriter, r *http.Request) {
	if s := session.FromContext(r.Context()); s != nil {
		e.goOn(w, r, s)
		return
	}
	e.renderSignIn(w, r, page.Fill(credentials{}), nil, http.StatusOK)
}

func (e *entrance) renderSignIn(w http.ResponseWriter, r *http.Request, form page.Form, wrong *page.Notice, status int) {
	v := view{Form: form, To: onward(r), Wrong: wrong, Passkey: e.takesPasskeys(r)}
	if r.TLS == nil {
		v.HTTPS = e.HTTPS(r)
	}
	e.set.Render(w, r, "enter", v, status)
}

func (e *entrance) signIn(w http.ResponseWriter, r *http.Request) {
	var c credentials
	form := page.Read(r, &c)
	if !form.OK() {
		e.renderSignIn(w, r, form, nil, http.StatusUnprocessableEntity)
		return
	}
	res, err := e.Manager.SignIn(r.Context(), session.FromRequest(r), c.Address, c.Password, c.Remember)
	e.finish(w, r, res, err, "enter.wrong", func(wrong *page.Notice, status int) { e.renderSignIn(w, r, form, wrong, status) })
}

func (e *entrance) showCode(w http.ResponseWriter, r *http.Request) {
	e.renderCode(w, r, page.Fill(oneCode{}), nil, http.StatusOK)
}

// renderCode asks for the second factor of the sign-in that waits for one.
func (e *entrance) renderCode(w http.ResponseWriter, r *http.Request, form page.Form, wrong *page.Notice, status int) {
	owed := e.Manager.Pending(session.FromRequest(r).Token)
	if len(owed) == 0 {
		e.beginAgain(w, r)
		return
	}
	v := view{Form: form, To: onward(r), Wrong: wrong}
	e.factors(&v, r, slices.Contains(owed, session.ByPasskey), slices.Contains(owed, session.ByTOTP), slices.Contains(owed, session.ByRecovery))
	e.set.Render(w, r, "enter.code", v, status)
}

// factors notes by what a second factor may be shown here.
func (e *entrance) factors(v *view, r *http.Request, passkey, app, paper bool) {
	v.Passkey, v.App, v.Paper = passkey && e.takesPasskeys(r), app, paper
	v.Elsewhere = passkey && !v.Passkey
	v.KeyFirst = v.Passkey && !app
}

func (e *entrance) code(w http.ResponseWriter, r *http.Request) {
	var c oneCode
	form := page.Read(r, &c)
	if !form.OK() {
		e.renderCode(w, r, form, nil, http.StatusUnprocessableEntity)
		return
	}
	res, err := e.Manager.Second(r.Context(), session.FromRequest(r), c.Code)
	e.finish(w, r, res, err, "enter.code.wrong", func(wrong *page.Notice, status int) {
		e.renderCode(w, r, page.Fill(oneCode{}), wrong, status)
	})
}

func (e *entrance) beginAgain(w http.ResponseWriter, r *http.Request) {
	session.ClearCookie(w, r)
	e.set.Flash(w, r, page.Waiting, page.Say("enter.over"))
	e.set.Redirect(w, r, with(Path, onward(r)))
}

// showAgain asks who is signed in to say so once more.
func (e *entrance) showAgain(w http.ResponseWriter, r *http.Request, s *session.Session) {
	e.renderAgain(w, r, s, page.Form{}, nil, http.StatusOK)
}

func (e *entrance) renderAgain(w http.ResponseWriter, r *http.Request, s *session.Session, form page.Form, wrong *page.Notice, status int) {
	f, err := e.Manager.Factors(s.Account)
	if err != nil {
		e.broken(w, r, err)
		return
	}
	if form.Errors == nil {
		form = page.Fill(passwordAndCode{})
	}
	v := view{Form: form, To: onward(r), Wrong: wrong, Who: string(s.Address)}
	e.factors(&v, r, len(f.Passkeys) > 0, f.TOTP, f.Recovery > 0)
	e.set.Render(w, r, "enter.again", v, status)
}

func (e *entrance) again(w http.ResponseWriter, r *http.Request, s *session.Session) {
	f, err := e.Manager.Factors(s.Account)
	if err != nil {
		e.broken(w, r, err)
		return
	}
	var c passwordAndCode
	var form page.Form
	if f.TOTP || len(f.Passkeys) > 0 {
		form = page.Read(r, &c)
	} else {
		var p onePassword
		form = page.Read(r, &p)
		c.Password = p.Password
	}
	if !form.OK() {
		e.renderAgain(w, r, s, form, nil, http.StatusUnprocessableEntity)
		return
	}
	res, err := e.Manager.Confirm(r.Context(), session.FromRequest(r), s, c.Password, c.Code)
	e.finish(w, r, res, err, "enter.again.wrong", func(wrong *page.Notice, status int) {
		e.renderAgain(w, r, s, page.Form{}, wrong, status)
	})
}

// finish goes on after a sign-in that was right so far, or shows its page once
// more with what was wrong. A wrong name, a wrong password and an account that
// is turned off are said in one and the same way.
func (e *entrance) finish(w http.ResponseWriter, r *http.Request, res session.Result, err error, denied string, again func(*page.Notice, int)) {
	var wait *signin.WaitError
	switch {
	case err == nil:
		session.SetCookie(w, r, res)
		if res.Session == nil {
			e.set.Redirect(w, r, with(codePath, onward(r)))
			return
		}
		e.goOn(w, r, res.Session)
	case errors.Is(err, signin.ErrDenied):
		again(bad(page.Say(denied)), http.StatusUnprocessableEntity)
	case errors.As(err, &wait):
		seconds := max(1, math.Ceil(wait.Wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		again(bad(page.Say("enter.wait", "span", time.Duration(seconds)*time.Second)), http.StatusTooManyRequests)
	case errors.Is(err, signin.ErrBusy):
		w.Header().Set("Retry-After", "5")
		again(bad(page.Say("enter.busy")), http.StatusServiceUnavailable)
	case errors.Is(err, session.ErrClock):
		again(bad(page.Say("enter.clock")), http.StatusUnprocessableEntity)
	case errors.Is(err, session.ErrNoPasskey):
		again(bad(page.Say("enter.passkey.none")), http.StatusUnprocessableEntity)
	case errors.Is(err, session.ErrOver):
		e.beginAgain(w, r)
	default:
		e.broken(w, r, err)
	}
}

func bad(m page.Message) *page.Notice { return &page.Notice{State: page.Bad, Text: m} }
