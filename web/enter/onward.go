package enter

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"

	"homemail/session"
	"homemail/web/page"
)

const (
	toField = "to"
	maxTo   = 1000 // octets; our longest path with a question has some 300
)

// onward is the page of ours that a request wants to end at, "" for none.
func onward(r *http.Request) string { return own(r.FormValue(toField)) }

// own returns a path of ours, "" for what leads elsewhere: browsers take
// "//host", "/\host" and "/<tab>/host" for other hosts. Nor does it lead to the
// pages that ask, which would ask once more.
func own(to string) string {
	strange := func(r rune) bool { return r == '\\' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if len(to) > maxTo || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsFunc(to, strange) {
		return ""
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return ""
	}
	switch path.Clean(u.Path) {
	case Path, codePath, againPath, passkeyPath, forgottenPath, LeavePath:
		return ""
	}
	return to
}

// with is a page of ours that knows where to go on to.
func with(path, to string) string {
	if to == "" {
		return path
	}
	return path + "?" + url.Values{toField: {to}}.Encode()
}

// goOn leads who has signed in to where they wanted to go.
func (e *entrance) goOn(w http.ResponseWriter, r *http.Request, s *session.Session) {
	e.set.Redirect(w, r, e.after(r, s))
}

// after is the page that was asked for, or home.
func (e *entrance) after(r *http.Request, s *session.Session) string {
	if to := onward(r); to != "" {
		return to
	}
	return e.Home(s)
}

// Refuse is for the Refuse of session.Options: it leads to the page that the
// request lacks, and from there back. What a form wanted is not done then; who
// sent it is told so.
func Refuse(set *page.Set) func(http.ResponseWriter, *http.Request, session.Refusal) {
	set = set.With(frame)
	// Of a request that the set has not seen yet: the set's rules hold for it, too.
	notNow := set.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "60")
		set.Error(w, r, http.StatusServiceUnavailable)
	}))
	return func(w http.ResponseWriter, r *http.Request, why session.Refusal) {
		switch {
		case why == session.NeedOwner:
			set.Refuse(w, r, page.Refusal{Status: http.StatusForbidden, What: page.Say("enter.owners"), Why: page.Say("enter.owners.why"),
				Href: "/", Do: page.Say("page.error.home")})
		case why == session.NotNow:
			notNow.ServeHTTP(w, r)
		case isProgram(r):
			http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
		case why == session.NeedFresh:
			if !looks(r) {
				set.Flash(w, r, page.Waiting, page.Say("enter.undone"))
			}
			set.Redirect(w, r, with(againPath, whence(r)))
		default:
			if !looks(r) {
				set.Flash(w, r, page.Waiting, page.Say("enter.ended"))
			}
			set.Redirect(w, r, with(Path, whence(r)))
		}
	}
}

// isProgram reports whether a page's script asks, which has no use for a page.
func isProgram(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "text/event-stream") || strings.Contains(accept, "application/json")
}

func looks(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// whence is the page to come back to: the one that was asked for, or the one
// that what was asked for belongs to.
func whence(r *http.Request) string {
	at := r.Header.Get("Referer")
	switch {
	case page.IsPart(r):
		at = r.Header.Get("HX-Current-URL")
	case looks(r):
		return own(r.URL.RequestURI())
	}
	u, err := url.Parse(at)
	if err != nil || u.Host != r.Host {
		return ""
	}
	return own(u.RequestURI())
}
