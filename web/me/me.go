// Package me is a person's own pages: devices, forwarding, the out-of-office
// reply, the name, who has signed in, the password and what goes with it, and
// all of one's data to take away. Whose account it is comes from who is signed
// in. What is done is package admin's and package session's; these pages keep
// only, for some minutes, the profiles that a phone is about to fetch.
package me

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/session"
	"homemail/store"
	"homemail/web/page"
)

//go:embed pages
var files embed.FS

// Source is what the package brings for a page.Set: its templates and words.
func Source() fs.FS { return page.Files(files) }

// Path is where the pages are: here and below.
const Path = "/me"

// Options say what the pages are of. House, Sessions and Set have to be there.
type Options struct {
	House    *admin.House
	Sessions *session.Manager
	Set      *page.Set // whose sources have Source among them

	SignOut string // where a POST ends the session
	Owners  string // the owner's pages; "" for none
	// Passkey is the page on which a passkey is made, "" if there is none.
	// It leads back to the page that its field "to" names.
	Passkey string

	// Server says what mail programs have to know for a domain. Nil makes no
	// profiles for phones.
	Server func(domain string) autoconfig.Server
	// Sign signs a profile for Apple's devices; nil leaves it unsigned.
	Sign func(profile []byte) ([]byte, error)

	Log *slog.Logger // slog.Default() if nil
}

// A Pages is a person's pages.
type Pages struct {
	o       Options
	set     *page.Set
	tickets *tickets
	exports *exports
}

// New makes the pages. It starts nothing.
func New(o Options) *Pages {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	p := &Pages{o: o, tickets: newTickets(), exports: newExports()}
	p.set = o.Set.With(p.frame)
	return p
}

// Handler serves Path and all below it. It goes into the handler of the Set,
// whose rules hold for it, and that into the middleware of the Manager.
func (p *Pages) Handler() http.Handler {
	m := http.NewServeMux()
	for pattern, h := range p.routes() {
		m.Handle(pattern, p.o.Sessions.Require(session.Person, 0)(p.visited(h)))
	}
	for pattern, h := range p.guarded() {
		m.Handle(pattern, p.o.Sessions.Require(session.Person, session.Sudo)(p.visited(h)))
	}
	m.HandleFunc("GET "+profilePath+"{ticket}", p.profile) // a phone is not signed in
	m.Handle("/", p.o.Sessions.Require(session.Person, 0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.set.Error(w, r, http.StatusNotFound) })))
	return m
}

// routes are the pages and what is done from them.
func (p *Pages) routes() map[string]handler {
	return map[string]handler{
		"GET /me":                       p.home,
		"GET /me/devices":               p.devices,
		"GET /me/devices/remove":        p.askRevoke,
		"POST /me/devices/remove":       p.revoke,
		"GET /me/away":                  p.away,
		"POST /me/away":                 p.setAway,
		"POST /me/away/off":             p.endAway,
		"GET /me/name":                  p.name,
		"POST /me/name":                 p.setName,
		"GET /me/signins":               p.signIns,
		"GET /me/signins/not-me":        p.askNotMe,
		"POST /me/signins/not-me":       p.notMe,
		"GET /me/security":              p.security,
		"POST /me/security/password":    p.setPassword,
		"POST /me/security/session/end": p.endSession,
		"POST /me/security/others":      p.endOthers,
		"GET /me/storage":               p.storage,
	}
}

// guarded are what gives access away, or all of the mail.
func (p *Pages) guarded() map[string]handler {
	return map[string]handler{
		"GET /me/devices/add":              p.newDevice,
		"POST /me/devices/add":             p.addDevice,
		"GET /me/forward":                  p.forward,
		"POST /me/forward":                 p.setForward,
		"GET /me/security/code":            p.code,
		"POST /me/security/code":           p.setCode,
		"GET /me/security/code/remove":     p.askRemoveCode,
		"POST /me/security/code/remove":    p.removeCode,
		"GET /me/security/recovery":        p.askRecovery,
		"POST /me/security/recovery":       p.newRecovery,
		"GET /me/security/passkey/remove":  p.askRemovePasskey,
		"POST /me/security/passkey/remove": p.removePasskey,
		"GET /me/export":                   p.askExport,
		"POST /me/export":                  p.export,
	}
}

// A visit is a request of somebody who is signed in.
type visit struct {
	http.ResponseWriter
	*http.Request
	who  *session.Session
	mine *admin.Me
	ctx  context.Context // with who it is, for the log of events
}

type handler func(visit)

func (p *Pages) visited(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visit{ResponseWriter: w, Request: r, who: session.FromContext(r.Context())}
		v.ctx = admin.WithActor(r.Context(), admin.Actor{Door: "web", Who: string(v.who.Address), Remote: session.FromRequest(r).Remote.String()})
		var err error
		if v.mine, err = p.o.House.Me(v.who.Account); err != nil {
			p.fail(v, err)
			return
		}
		h(v)
	})
}

// frame is what is around each page.
func (p *Pages) frame(r *http.Request) page.Frame {
	f := page.Frame{Home: Path}
	s := session.FromContext(r.Context())
	if s == nil {
		return f
	}
	f.Account, f.SignOut = string(s.Address), p.o.SignOut
	for _, l := range []page.Link{
		{Href: Path, Label: page.Say("me.home.title")},
		{Href: "/me/devices", Label: page.Say("me.devices.title")},
		{Href: "/me/away", Label: page.Say("me.away.title")},
		{Href: "/me/forward", Label: page.Say("me.forward.title")},
		{Href: "/me/name", Label: page.Say("me.name.title")},
		{Href: "/me/security", Label: page.Say("me.security.title")},
		{Href: "/me/signins", Label: page.Say("me.signins.title")},
		{Href: "/me/storage", Label: page.Say("me.storage.title")},
	} {
		l.Current = l.Under(r.URL.Path, Path) || l.Href == "/me/storage" && r.URL.Path == "/me/export"
		f.Nav = append(f.Nav, l)
	}
	if s.Role == session.Owner && p.o.Owners != "" {
		f.Nav = append(f.Nav, page.Link{Href: p.o.Owners, Label: page.Say("me.owners")})
	}
	return f
}

// show renders a page, with status 422 if something is wrong with its form.
func (p *Pages) show(v visit, name string, view any, form page.Form) {
	status := http.StatusOK
	if !form.OK() {
		status = http.StatusUnprocessableEntity
	}
	p.set.Render(v.ResponseWriter, v.Request, name, view, status)
}

func (p *Pages) done(v visit, path string, m page.Message) {
	p.set.Done(v.ResponseWriter, v.Request, path, m)
}

// refused leads back to a page, which says what was not done.
func (p *Pages) refused(v visit, path string, m page.Message) {
	p.set.Flash(v.ResponseWriter, v.Request, page.Bad, m)
	p.set.Redirect(v.ResponseWriter, v.Request, path)
}

// fail answers when something of ours failed.
func (p *Pages) fail(v visit, err error) {
	switch {
	case v.Context().Err() != nil: // the reader has left
	case errors.Is(err, store.ErrNotFound):
		p.set.Error(v.ResponseWriter, v.Request, http.StatusNotFound)
	default:
		p.o.Log.Error("a person's page failed", "path", v.URL.Path, "err", err)
		p.set.Error(v.ResponseWriter, v.Request, http.StatusInternalServerError)
	}
}

// A question is asked before what is not easily undone.
type question struct {
	What, Why page.Message
	Points    []page.Message
	Action    string
	Fields    []field
	Do        page.Message
	Danger    bool
	Back      string
}

// A field is a hidden one.
type field struct{ Name, Value string }

// Title is the question, too.
func (q question) Title() page.Message { return q.What }

func (p *Pages) ask(v visit, q question) {
	p.set.Render(v.ResponseWriter, v.Request, "me.ask", q, http.StatusOK)
}
