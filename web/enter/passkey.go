package enter

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"

	"homemail/session"
	"homemail/signin"
	"homemail/store"
	"homemail/web/page"
)

// Passkeys need a script, webauthn.js: nothing else can ask a browser for one. It
// asks for the options, and sends what the browser answered in a field of the
// form around its button, so that all that follows is as without it.

// answered is what the script sends.
type answered struct {
	Answer   string `form:"answer,required,max=32000"` // some 2 KB
	Name     string `form:"name,max=64"`
	Remember bool   `form:"remember"`
}

// takesPasskeys reports whether a browser could use a passkey on this page: the
// host has to be the one that they are made for, WebAuthn §5.1.4.1, step 8.
func (e *entrance) takesPasskeys(r *http.Request) bool {
	options, _, err := e.Manager.PasskeyOptions(session.FromRequest(r))
	if err != nil {
		return false
	}
	b, err := json.Marshal(options)
	if err != nil {
		return false
	}
	var o struct {
		PublicKey struct {
			ID string `json:"rpId"`
		} `json:"publicKey"`
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return json.Unmarshal(b, &o) == nil && strings.EqualFold(strings.TrimSuffix(host, "."), o.PublicKey.ID)
}

func (e *entrance) passkeyOptions(w http.ResponseWriter, r *http.Request) {
	options, challenge, err := e.Manager.PasskeyOptions(session.FromRequest(r))
	e.sendOptions(w, r, options, challenge, err)
}

func (e *entrance) newPasskeyOptions(w http.ResponseWriter, r *http.Request, s *session.Session) {
	options, challenge, err := e.Manager.NewPasskeyOptions(session.FromRequest(r), s)
	e.sendOptions(w, r, options, challenge, err)
}

// sendOptions answers the script, which shows what the page says of a status.
func (e *entrance) sendOptions(w http.ResponseWriter, r *http.Request, options any, challenge string, err error) {
	status := http.StatusInternalServerError
	switch {
	case err == nil:
		b, err := json.Marshal(options)
		if err == nil {
			session.SetChallenge(w, challenge)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(b)
			return
		}
		e.Log.Error("a passkey could not be asked for", "err", err)
	case errors.Is(err, session.ErrNoPasskey):
		status = http.StatusNotFound
	case errors.Is(err, session.ErrNotFresh):
		status = http.StatusUnauthorized
	case errors.Is(err, store.ErrInvalid): // too many
		status = http.StatusConflict
	default:
		e.Log.Error("a passkey could not be asked for", "err", err)
	}
	http.Error(w, http.StatusText(status), status)
}

// passkey takes the answer of any of the three pages that ask.
func (e *entrance) passkey(w http.ResponseWriter, r *http.Request) {
	var a answered
	form := page.Read(r, &a)
	s := session.FromContext(r.Context())
	again := func(wrong *page.Notice, status int) {
		e.renderSignIn(w, r, page.Fill(credentials{Remember: a.Remember}), wrong, status)
	}
	from := session.FromRequest(r)
	switch {
	case s != nil:
		a.Remember = s.Remember
		again = func(wrong *page.Notice, status int) { e.renderAgain(w, r, s, page.Form{}, wrong, status) }
	case len(e.Manager.Pending(from.Token)) > 0:
		again = func(wrong *page.Notice, status int) { e.renderCode(w, r, page.Fill(oneCode{}), wrong, status) }
	}
	if !form.OK() {
		again(bad(page.Say("enter.passkey.wrong")), http.StatusUnprocessableEntity)
		return
	}
	res, err := e.Manager.PasskeySignIn(r.Context(), from, []byte(a.Answer), a.Remember)
	if errors.Is(err, session.ErrOver) {
		again(bad(page.Say("enter.passkey.over")), http.StatusUnprocessableEntity)
		return
	}
	if err == nil && s != nil && res.Session.Account != s.Account { // now somebody else is here
		session.SetCookie(w, r, res)
		e.set.Redirect(w, r, e.Home(res.Session))
		return
	}
	e.finish(w, r, res, err, "enter.passkey.wrong", again)
}

// newView is what the page for a new passkey shows.
type newView struct {
	Form    page.Form
	To      string
	Wrong   *page.Notice
	Passkey bool
}

func (e *entrance) showNewPasskey(w http.ResponseWriter, r *http.Request, _ *session.Session) {
	e.renderNewPasskey(w, r, page.Fill(answered{}), nil, http.StatusOK)
}

func (e *entrance) renderNewPasskey(w http.ResponseWriter, r *http.Request, form page.Form, wrong *page.Notice, status int) {
	e.set.Render(w, r, "enter.newpasskey", newView{form, onward(r), wrong, e.takesPasskeys(r)}, status)
}

// newPasskey keeps a passkey that the browser has made. The first one comes with
// recovery codes, which are shown this once.
func (e *entrance) newPasskey(w http.ResponseWriter, r *http.Request, s *session.Session) {
	var a answered
	form := page.Read(r, &a)
	again := func(key string, status int) { e.renderNewPasskey(w, r, form, bad(page.Say(key)), status) }
	if !form.OK() {
		again("enter.newpasskey.wrong", http.StatusUnprocessableEntity)
		return
	}
	codes, err := e.Manager.AddPasskey(session.FromRequest(r), s, a.Name, []byte(a.Answer))
	switch {
	case err == nil && len(codes) > 0:
		e.set.Render(w, r, "enter.recovery", struct {
			Codes []string
			Next  string
		}{codes, e.after(r, s)}, http.StatusOK)
	case err == nil:
		e.set.Done(w, r, e.after(r, s), page.Say("enter.newpasskey.done"))
	case errors.Is(err, session.ErrOver):
		again("enter.passkey.over", http.StatusUnprocessableEntity)
	case errors.Is(err, store.ErrExists):
		again("enter.newpasskey.known", http.StatusUnprocessableEntity)
	case errors.Is(err, store.ErrInvalid):
		again("enter.newpasskey.full", http.StatusUnprocessableEntity)
	case errors.Is(err, signin.ErrDenied), errors.Is(err, session.ErrNoPasskey):
		again("enter.newpasskey.wrong", http.StatusUnprocessableEntity)
	default:
		e.broken(w, r, err)
	}
}
