package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/certs"
	"homemail/check"
	"homemail/firstboot"
	"homemail/firstboot/wizard"
	"homemail/mail"
	"homemail/router"
	"homemail/session"
	"homemail/web/dash"
	"homemail/web/enter"
	"homemail/web/me"
	"homemail/web/page"
)

// people is what the house has for those who live in it: pages, who is signed in
// on them, and what sets the house up.
type people struct {
	h        *house
	house    acting
	set      *page.Set
	sessions *session.Manager
	dash     *dash.Dash
	me       *me.Pages
	wizard   *wizard.Wizard
	engine   *firstboot.Engine
	claim    *firstboot.Claim
	handler  http.Handler
}

// acting has the audit log say who does something on a page.
type acting struct{ *admin.House }

func (a acting) Do(ctx context.Context, verb string, request json.RawMessage) (any, error) {
	if s := session.FromContext(ctx); s != nil {
		ctx = admin.WithActor(ctx, admin.Actor{Door: "web", Who: string(s.Address), Remote: s.Remote})
	}
	return a.House.Do(ctx, verb, request)
}

// buildPeople makes the pages. The key signs what browsers keep for us.
func (h *house) buildPeople(w world, key []byte) (err error) {
	p := &people{h: h, house: acting{h.admin()}}
	if err := p.buildSetup(w); err != nil {
		return err
	}
	sealed := sha256.Sum256(append([]byte("pages "), key...))
	p.set, err = page.New(page.Options{
		Sources: []fs.FS{dash.Source(), enter.Source(), me.Source(), firstboot.UI(), wizard.Source()}, Hosts: p.hosts, Key: sealed[:],
		Lang: enter.LangOf, Session: browser, Allowed: p.admits, Body: dash.Body, Log: h.log,
	})
	if err != nil {
		return err
	}
	p.sessions = session.New(h.store, session.Options{
		SignIn: h.signIn, Log: h.log, Trusted: h.clock.Trusted, Passkeys: p.relyingParty,
		Told: story{h.events}.entered, Refuse: enter.Refuse(p.set),
	})
	p.dash = dash.New(dash.Options{
		House: p.house, Set: p.set, Require: p.sessions.Require(session.Owner, 0), Fresh: p.sessions.Require(session.Owner, session.Sudo),
		Who: who, SignOut: enter.LeavePath, Mine: me.Path, Server: h.autoconfig, Sign: p.sign, Router: p.router, Lines: w.lines,
		Upload: p.house.InstallUpdate, Log: h.log,
	})
	p.me = me.New(me.Options{
		House: p.house.House, Sessions: p.sessions, Set: p.set, SignOut: enter.LeavePath, Owners: "/", Passkey: enter.NewPasskeyPath,
		Server: h.autoconfig, Sign: p.sign, Log: h.log,
	})
	p.wizard = wizard.New(wizard.Options{
		Engine: p.engine, Claim: p.claim, House: p.house, Set: p.set, SignIn: p.begin, Owner: isOwner, SignInAt: enter.Path,
		Fingerprint: h.certs.Fingerprint, Password: session.Generate4Words, Checks: p.checks(),
		Server: h.autoconfig, Sign: p.sign, Log: h.log,
	})
	proven := enter.Proven(p.set, h.near, me.Path, unproven)
	programs, err := h.newAPI(p.engine)
	if err != nil {
		return err
	}
	p.handler = programs.Over(p.sessions.Middleware(p.set.Handler(proven(p.careful(p.wizard.Guide(p.routes()))))))
	h.people = p
	return nil
}

// buildSetup makes what sets the house up.
func (p *people) buildSetup(w world) (err error) {
	code := w.code
	if code == nil {
		if code, err = firstboot.NewCode(""); err != nil {
			return err
		}
	}
	p.engine, err = newSetup(p.house.House, p.h.store, code, firstboot.Options{Log: p.h.log, Recovery: p.kit})
	if err != nil {
		return err
	}
	p.claim, p.house.Setup = p.engine.Claim(), p.engine
	return nil
}

// kit makes the recovery codes of whoever sets the house up.
func (p *people) kit(_ context.Context, _ mail.Path, id mail.AccountID) ([]string, error) {
	return p.sessions.Kit(id)
}

// routes are the pages by their paths.
func (p *people) routes() http.Handler {
	m := http.NewServeMux()
	in := enter.New(enter.Options{Manager: p.sessions, Set: p.set, Home: home, ResetFile: resetFile(), Log: p.h.log})
	m.Handle(enter.Path, in)
	m.Handle(enter.Path+"/", in)
	m.Handle(enter.LeavePath, in)
	m.Handle(me.Path, p.me.Handler())
	m.Handle(me.Path+"/", p.me.Handler())
	m.Handle("/", p.dash.Handler())
	return m
}

// sign signs a profile for Apple's devices with the host's certificate.
func (p *people) sign(profile []byte) ([]byte, error) {
	c, err := p.h.certs.TLSConfig().GetCertificate(&tls.ClientHelloInfo{ServerName: p.h.config.Host()})
	if err != nil {
		return nil, err
	}
	return autoconfig.SignApple(profile, c)
}

// home is where somebody begins.
func home(s *session.Session) string {
	if s.Role == session.Owner {
		return "/"
	}
	return me.Path
}

// checks are what the line shows while it is looked at; nil in a closed world.
func (p *people) checks() func() []check.Result {
	if p.h.line == nil {
		return nil
	}
	return p.h.line.Checker().Results
}

// browser is an id of the browser that asks: of who is signed in, or of who is
// setting the house up.
func browser(r *http.Request) string {
	if id := enter.TokenOf(r); id != "" {
		return id
	}
	return wizard.Session(r)
}

func isOwner(r *http.Request) bool {
	s := session.FromContext(r.Context())
	return s != nil && s.Role == session.Owner
}

// begin signs in whoever has just made the house theirs.
func (p *people) begin(w http.ResponseWriter, r *http.Request, owner mail.Path) error {
	a, err := p.h.store.Account(owner)
	if err != nil {
		return err
	}
	res, err := p.sessions.Open(session.FromRequest(r), a.ID, false)
	if err != nil {
		return err
	}
	session.SetCookie(w, r, res)
	return nil
}

func who(r *http.Request) string {
	if s := session.FromContext(r.Context()); s != nil {
		return string(s.Address)
	}
	return ""
}

// hosts are the names that the pages have. Addresses will do, too.
func (p *people) hosts() []string {
	return []string{p.h.config.Host(), p.h.localName(), "localhost"}
}

// relyingParty is for whom passkeys are made: our name, while everybody trusts its
// certificate. Browsers refuse all else.
func (p *people) relyingParty() (rp session.RelyingParty, ok bool) {
	host := p.h.config.Host()
	for _, s := range p.h.certs.Status() {
		if s.Name == host && s.Shown == certs.Valid {
			return session.RelyingParty{ID: host, Origins: []string{"https://" + host}}, true
		}
	}
	return rp, false
}

// router is what the pages say of it.
func (p *people) router() (r dash.Router, ok bool) {
	if p.h.router == nil {
		return r, false
	}
	s := p.h.router.State()
	if s.Asked.IsZero() || s.Code == router.NotAsked {
		return r, false
	}
	return dash.Router{
		Model: s.Model, Own: shownAddr(s.Own), Gateway: shownAddr(s.Gateway), Page: s.Page, Speaks: s.Method, EN: s.Why.EN, JA: s.Why.JA,
	}, true
}

func shownAddr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Parts of the pages that may be opened to the world, as config.toml has them.
const (
	openMe    = "me"
	openAdmin = "admin"
	openAPI   = "api"
)

// may reports whether a request gets the pages for people, if only to be told why
// they are closed.
func (p *people) may(r *http.Request) bool {
	return p.free(r) || near(r, localSubnets)
}

// admits turns away who looks as if they were at home, while strangers look so too.
func (p *people) admits(r *http.Request) *page.Refusal {
	if p.free(r) {
		return nil
	}
	no := enter.Hidden()
	return &no
}

// free reports whether a request gets all of the pages that it names.
func (p *people) free(r *http.Request) bool {
	// Those look themselves who may ask: a token, or the link of one domain's records.
	if forProgram(r.URL.Path) || strings.HasPrefix(r.URL.Path, "/share/") || strings.HasPrefix(r.URL.Path, "/static/") || r.URL.Path == "/language" {
		return true
	}
	return p.h.near(r) || slices.ContainsFunc(p.h.config.Web.Outside, func(part string) bool {
		return part == openAdmin || part == openMe && forPerson(r.URL.Path)
	})
}

// near reports whether a request comes from this computer or a network of the
// house, and not through a router that makes the whole world look so.
func (h *house) near(r *http.Request) bool {
	return near(r, localSubnets) && !h.line.hides(r)
}

// near reports whether a request seems to come from this computer or a network of
// the house: a private address, or one of a network that we are in ourselves.
func near(r *http.Request, subnets func() []netip.Prefix) bool {
	a, ok := remoteOf(r)
	return ok && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() ||
		slices.ContainsFunc(subnets(), func(n netip.Prefix) bool { return n.Contains(a) }))
}

// remoteOf is where a request comes from, as the connection has it.
func remoteOf(r *http.Request) (netip.Addr, bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return from.Addr().Unmap().WithZone(""), err == nil
}

// forProgram reports whether a path is of the JSON API.
func forProgram(path string) bool { return strings.HasPrefix(path, "/api/") || path == "/metrics" }

// forPerson reports whether a path is of what everybody who lives here has.
func forPerson(path string) bool {
	return path == enter.LeavePath || path == "/language" || below(me.Path, path) || below(enter.Path, path) || below("/static", path)
}

// unproven reports whether a path is open from outside to an owner who has shown
// no more than a password. A new second factor is not: who has found the password
// would make their own, and come back with it.
func unproven(path string) bool {
	makes := slices.ContainsFunc([]string{enter.NewPasskeyPath, me.Path + "/security/code", me.Path + "/security/recovery"}, func(of string) bool {
		return below(of, path)
	})
	return !makes && forPerson(path) || below("/share", path)
}

func below(of, path string) bool { return path == of || strings.HasPrefix(path, of+"/") }

// run keeps the pages until ctx ends.
func (p *people) run(ctx context.Context) error {
	var parts errgroup.Group
	parts.Go(func() error { return p.sessions.Run(ctx) })
	parts.Go(func() error { return p.engine.Run(ctx) })
	done := make(chan error, 1)
	go func() { done <- parts.Wait() }()
	<-ctx.Done()
	p.set.Close() // open streams would hold up the web server
	p.dash.Close()
	p.wizard.Close()
	select {
	case err := <-done:
		return err
	case <-time.After(stopTime):
		return errors.New("the pages did not end in time")
	}
}
