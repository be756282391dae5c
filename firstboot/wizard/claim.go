package wizard

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"homemail/firstboot"
	"homemail/mail"
	"homemail/web/page"
)

// claimLife is how long a browser that has claimed the house keeps the proof. A
// claim that led to no account ends with the next start anyway.
const claimLife = 24 * time.Hour

// signInTime is how long after the owner's account was made the browser that has
// claimed the house is signed in without the password: the account may have been
// made by itself, after a wait for the Internet.
const signInTime = time.Hour

// claimForm is the code.
type claimForm struct {
	Code string `form:"code,required,max=40"`
}

// claimView is the page of the code.
type claimView struct {
	Form        page.Form
	Fingerprint string
	Secure      string // where the page is over HTTPS, if it is not itself
	Browser     string // key of what this browser says of our certificate
	Wrong       page.Message
	Plug        bool // the house can be claimed by its plug, too
}

// Title is that of the step.
func (claimView) Title() page.Message { return page.Say("first.claim.title") }

// takenView says that somebody has claimed the house.
type takenView struct {
	By     firstboot.Claimed
	From   bool // it was a browser
	Signed string
}

// Title says so.
func (takenView) Title() page.Message { return page.Say("first.taken.title") }

// toClaim leads from the short address on the box to the page of the code. The
// part behind # never reaches a server; a ?code= does.
func (z *Wizard) toClaim(w http.ResponseWriter, r *http.Request) {
	z.set.Redirect(w, r, with("/first/claim", "code", r.FormValue("code")))
}

// first leads to where one goes on.
func (z *Wizard) first(w http.ResponseWriter, r *http.Request) {
	if open, err := z.o.Claim.Open(r.Context()); err == nil && open {
		z.askCode(w, r)
		return
	}
	z.enter(func(w http.ResponseWriter, r *http.Request) {
		o, err := z.o.Engine.Show(r.Context())
		if err != nil {
			z.fail(w, r, err)
			return
		}
		z.set.Redirect(w, r, goOn(o))
	})(w, r)
}

// goOn is the page that is next: the first that wants an answer or a word, else
// one that waits, else the end.
func goOn(o firstboot.Overview) string {
	for _, v := range o.Steps {
		somebody := v.Next.IsZero() || v.ID == firstboot.FirstMail // has to do something
		if v.Status == firstboot.Waiting && somebody || v.ID == o.Current {
			return path(v.ID)
		}
	}
	for _, v := range o.Steps {
		if v.Status == firstboot.Waiting || v.Status == firstboot.Doing {
			return path(v.ID)
		}
	}
	return "/first/done"
}

// askCode is the page before all others.
func (z *Wizard) askCode(w http.ResponseWriter, r *http.Request) {
	open, err := z.o.Claim.Open(r.Context())
	switch {
	case err != nil:
		z.fail(w, r, err)
	case !open:
		z.notOpen(w, r)
	case !z.o.Claim.Near(remote(r)):
		z.far(w, r)
	default:
		z.showCode(w, r, page.Fill(claimForm{Code: short(r.FormValue("code"))}), page.Message{}, http.StatusOK)
	}
}

func (z *Wizard) showCode(w http.ResponseWriter, r *http.Request, f page.Form, wrong page.Message, status int) {
	v := claimView{Form: f, Browser: browserKey(r.UserAgent()), Wrong: wrong, Plug: z.o.Claim.Powered(r.Context())}
	if z.o.Fingerprint != nil {
		v.Fingerprint = z.o.Fingerprint()
	}
	if r.TLS == nil && z.o.Secure != nil {
		v.Secure = z.o.Secure(r)
	}
	z.set.Render(w, r, "first.claim", v, status)
}

// take claims the house.
func (z *Wizard) take(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil && z.o.Secure != nil && z.o.Secure(r) != "" {
		z.showCode(w, r, page.Fill(claimForm{}), page.Message{}, http.StatusOK) // a code never goes over an open line
		return
	}
	var in claimForm
	form := page.Read(r, &in)
	if !form.OK() {
		z.showCode(w, r, form, page.Message{}, http.StatusUnprocessableEntity)
		return
	}
	token, err := z.o.Claim.Take(r.Context(), in.Code, remote(r), r.UserAgent())
	switch {
	case err == nil:
		z.begin(w, r, token)
	case errors.Is(err, firstboot.ErrClaimed):
		z.notOpen(w, r)
	case errors.Is(err, firstboot.ErrFar):
		z.far(w, r)
	case errors.Is(err, firstboot.ErrCode):
		z.showCode(w, r, form.Fail("code", page.Say("first.claim.wrong")), page.Message{}, http.StatusUnprocessableEntity)
	case errors.Is(err, firstboot.ErrSlow):
		z.showCode(w, r, form.Fail("code", page.Say("first.claim.slow")), page.Message{}, http.StatusTooManyRequests)
	case errors.Is(err, firstboot.ErrTries):
		z.showCode(w, r, form.Fail("code", page.Say("first.claim.tries")), page.Message{}, http.StatusTooManyRequests)
	default:
		z.fail(w, r, err)
	}
}

// begin gives the winner its proof, and keeps the language that it has read so
// far.
func (z *Wizard) begin(w http.ResponseWriter, r *http.Request, token string) {
	page.SetCookie(w, r, http.Cookie{Name: claimCookie, Value: token, MaxAge: int(claimLife.Seconds()), SameSite: http.SameSiteStrictMode})
	lang := firstboot.Answers{"language": string(z.set.Lang(r))}
	if _, err := z.o.Engine.Submit(r.Context(), firstboot.Language, lang); err != nil {
		z.log.Warn("the language could not be kept", "err", err)
	}
	z.set.Redirect(w, r, path(firstboot.Start))
}

// far says that a house is claimed from its own network only.
func (z *Wizard) far(w http.ResponseWriter, r *http.Request) {
	z.set.Refuse(w, r, page.Refusal{Status: http.StatusForbidden, What: page.Say("first.far"), Why: page.Say("first.far.why")})
}

// notOpen answers whoever comes to a house that is claimed.
func (z *Wizard) notOpen(w http.ResponseWriter, r *http.Request) {
	token, _ := page.Cookie(r, claimCookie)
	switch {
	case z.owner(r), z.o.Claim.Holds(token):
		z.set.Redirect(w, r, "/first")
	case z.somebodys(r.Context()):
		http.Redirect(w, r, z.o.SignInAt, http.StatusSeeOther)
	default:
		z.set.Render(w, r, "first.taken", z.takenView(), http.StatusForbidden)
	}
}

func (z *Wizard) takenView() takenView {
	by, err := z.o.Claim.By()
	return takenView{By: by, From: err == nil && by.From != "", Signed: z.o.SignInAt}
}

// claimEvents tells open pages of the code that somebody else was first.
func (z *Wizard) claimEvents(w http.ResponseWriter, r *http.Request) {
	if open, err := z.o.Claim.Open(r.Context()); err != nil || !open {
		w.WriteHeader(http.StatusNoContent) // and the browser asks no more
		return
	}
	z.set.Stream(w, r, func(ctx context.Context, send page.Sender) error {
		changed := z.o.Claim.Changed()
		for {
			if open, err := z.o.Claim.Open(ctx); err == nil && !open {
				return send("claimed", "first.taken", z.takenView())
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
				changed = z.o.Claim.Changed()
			}
		}
	})
}

func (z *Wizard) owner(r *http.Request) bool { return z.o.Owner != nil && z.o.Owner(r) }

// enter lets through who may set the house up: its owner, and before there is
// one the browser that has claimed it.
func (z *Wizard) enter(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if z.owner(r) {
			next(w, r)
			return
		}
		token, _ := page.Cookie(r, claimCookie)
		if open, err := z.o.Claim.Open(r.Context()); err != nil || open {
			z.set.Redirect(w, r, "/first") // where the code is asked for
			return
		}
		if !z.o.Claim.Holds(token) {
			z.notOpen(w, r)
			return
		}
		if !z.o.Claim.Near(remote(r)) {
			z.far(w, r)
			return
		}
		v, err := z.o.Engine.Step(r.Context(), firstboot.Address)
		switch {
		case err != nil:
			z.fail(w, r, err)
		case v.Status == firstboot.Todo && z.somebodys(r.Context()):
			http.Redirect(w, r, z.o.SignInAt, http.StatusSeeOther) // somebody has made an account on the command line
		case v.Status != firstboot.Done:
			next(w, r)
		case r.URL.Path == eventsPath: // an answer without a page cannot sign in; the page loads itself anew
			w.WriteHeader(http.StatusNoContent)
		case time.Since(v.Since) < signInTime && z.signIn(w, r, v.Found.Owner):
			z.set.Redirect(w, r, "/first")
		default:
			http.Redirect(w, r, z.o.SignInAt, http.StatusSeeOther)
		}
	}
}

// signIn makes of the browser that has claimed the house one that its owner is
// signed in with. The proof of the claim has done its service then.
func (z *Wizard) signIn(w http.ResponseWriter, r *http.Request, owner mail.Path) bool {
	if z.o.SignIn == nil || owner == "" {
		return false
	}
	if err := z.o.SignIn(w, r, owner); err != nil {
		z.log.Error("the new owner could not be signed in", "account", owner, "err", err)
		return false
	}
	if err := z.o.Claim.Spend(); err != nil { // a copy of the cookie would sign in, too, for an hour
		z.log.Warn("the proof of the claim is still good", "err", err)
	}
	page.DropCookie(w, r, claimCookie)
	return true
}

// remote is the address that a connection came from. No header is believed.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// short is as much of a code in an address as can be one.
func short(s string) string {
	const most = 40
	if len(s) > most {
		return ""
	}
	return s
}

// browserKey names the words about a browser's warning: that of a certificate
// that no authority has made is another in each.
func browserKey(agent string) string {
	const key = "first.warning."
	switch {
	case strings.Contains(agent, "Firefox/"):
		return key + "firefox"
	case strings.Contains(agent, "Edg/"), strings.Contains(agent, "Chrome/"), strings.Contains(agent, "CriOS/"):
		return key + "chrome"
	case strings.Contains(agent, "Safari/"):
		return key + "safari"
	}
	return key + "other"
}
