// Package enter is the pages of signing in: the password, the second factor, a
// passkey, to say again who one is before what is dangerous, to leave, and what
// to do without the password. Who is signed in is package session's to say;
// these pages only ask and tell. They keep nothing.
package enter

import (
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"homemail/session"
	"homemail/web/page"
)

//go:embed pages
var files embed.FS

// Source is what the package brings for a page.Set: its templates and words.
func Source() fs.FS { return page.Files(files) }

// The paths. The handler has everything below Path, and LeavePath.
const (
	Path      = "/enter"
	LeavePath = "/leave" // a POST ends the session: page.Frame.SignOut
	// NewPasskeyPath is a page on which who is signed in makes a passkey, to link
	// to from the person's own page: NewPasskeyPath + "?to=/me" leads back there.
	NewPasskeyPath = "/enter/passkey/new"

	codePath       = "/enter/code"
	againPath      = "/enter/again"
	forgottenPath  = "/enter/forgotten"
	passkeyPath    = "/enter/passkey"
	optionsPath    = "/enter/passkey/options"
	newOptionsPath = "/enter/passkey/new/options"
)

// Options say what the pages are of. Manager and Set have to be there.
type Options struct {
	Manager *session.Manager
	Set     *page.Set // whose sources have Source among them

	// Home is where who has signed in goes, unless to a page that was asked for.
	Home func(*session.Session) string // "/" if nil

	// HTTPS is this page over HTTPS, for a reader who came without it. Nil and ""
	// are for none.
	HTTPS func(*http.Request) string

	// ResetFile is the name of a file on the boot partition that makes a new
	// owner's password, "" if there is no such thing.
	ResetFile string

	Log *slog.Logger // slog.Default() if nil
}

// An entrance is the pages of a house.
type entrance struct {
	Options
	set *page.Set
}

// New makes the pages, to be served at Path, below it and at LeavePath. They go
// into the handler of the Set, whose rules hold for them, and that goes into
// the middleware of the Manager:
//
//	manager.Middleware(set.Handler(mux))
//
// The Set's Session must be TokenOf, or forms have no tokens.
func New(o Options) http.Handler {
	if o.Home == nil {
		o.Home = func(*session.Session) string { return "/" }
	}
	if o.HTTPS == nil {
		o.HTTPS = func(*http.Request) string { return "" }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &entrance{Options: o, set: o.Set.With(frame)}
	m := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"GET " + Path:            e.showSignIn,
		"POST " + Path:           e.signIn,
		"GET " + codePath:        e.showCode,
		"POST " + codePath:       e.code,
		"GET " + forgottenPath:   e.forgotten,
		"POST " + optionsPath:    e.passkeyOptions,
		"POST " + passkeyPath:    e.passkey,
		"GET " + againPath:       e.signedIn(e.showAgain),
		"POST " + againPath:      e.signedIn(e.again),
		"GET " + NewPasskeyPath:  e.fresh(e.showNewPasskey),
		"POST " + NewPasskeyPath: e.fresh(e.newPasskey),
		"POST " + newOptionsPath: e.fresh(e.newPasskeyOptions),
		"POST " + LeavePath:      e.leave,
		"/":                      e.nothing,
	} {
		m.HandleFunc(pattern, h)
	}
	return m
}

// TokenOf is for the Session of a page.Set: what the tokens of forms are made
// for.
func TokenOf(r *http.Request) string {
	if s := session.FromContext(r.Context()); s != nil {
		return s.CSRF
	}
	return ""
}

// LangOf is for the Lang of a page.Set: the language of who is signed in.
func LangOf(r *http.Request) page.Lang {
	if s := session.FromContext(r.Context()); s != nil {
		return page.Lang(s.Language)
	}
	return ""
}

func frame(r *http.Request) page.Frame {
	if s := session.FromContext(r.Context()); s != nil {
		return page.Frame{Account: string(s.Address), SignOut: LeavePath}
	}
	return page.Frame{Home: Path}
}

// A handler of who is signed in.
type handler func(http.ResponseWriter, *http.Request, *session.Session)

func (e *entrance) signedIn(h handler) http.HandlerFunc { return e.require(0, h) }
func (e *entrance) fresh(h handler) http.HandlerFunc    { return e.require(session.Sudo, h) }

func (e *entrance) require(within time.Duration, h handler) http.HandlerFunc {
	return e.Manager.Require(session.Person, within)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h(w, r, session.FromContext(r.Context()))
	})).ServeHTTP
}

// forgotten says in words what to do.
func (e *entrance) forgotten(w http.ResponseWriter, r *http.Request) {
	e.set.Render(w, r, "enter.forgotten", struct{ To, File string }{onward(r), e.ResetFile}, http.StatusOK)
}

// leave ends the session, or a sign-in that waits for its second factor.
func (e *entrance) leave(w http.ResponseWriter, r *http.Request) {
	if s := session.FromContext(r.Context()); s != nil {
		if err := e.Manager.SignOut(session.FromRequest(r), s); err != nil {
			e.broken(w, r, err) // saying "signed out" now would be a lie
			return
		}
	}
	session.ClearCookie(w, r)
	e.set.Done(w, r, Path, page.Say("enter.left"))
}

func (e *entrance) nothing(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case Path, codePath, againPath, forgottenPath, passkeyPath, optionsPath, NewPasskeyPath, newOptionsPath, LeavePath:
		e.set.Error(w, r, http.StatusMethodNotAllowed)
	default:
		e.set.Error(w, r, http.StatusNotFound)
	}
}

// broken answers when something of ours failed.
func (e *entrance) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil { // else the reader has left, which is no fault
		e.Log.Error("a sign-in could not be served", "path", r.URL.Path, "err", err)
	}
	e.set.Error(w, r, http.StatusInternalServerError)
}
