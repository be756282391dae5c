// Package wizard drives the pages of the set-up as people do: over HTTP and in a
// browser, with the real engine, the real operations and a real store. What is
// outside are values. Tests use it; it is in no program.
package wizard

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"homemail/address"
	"homemail/admin"
	"homemail/autoconfig"
	"homemail/bridge"
	"homemail/caps"
	"homemail/certs"
	"homemail/check"
	"homemail/clock"
	"homemail/config"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/firstboot"
	"homemail/firstboot/wizard"
	"homemail/internal/mailtest"
	"homemail/lan"
	"homemail/mail"
	"homemail/outbound"
	"homemail/queue"
	"homemail/relay"
	"homemail/session"
	"homemail/store"
	"homemail/web/page"
	"homemail/zones"
)

// Code is what the box shows.
const Code = "K7QM-4T2X"

// Nobodys is a domain that nobody has.
const Nobodys = "examlpe.jp"

// A World is a house that nobody has set up yet, and what is around it.
type World struct {
	*admin.House
	Store *store.Store
	URL   string
	Claim *firstboot.Claim

	mu      sync.Mutex
	line    admin.Line
	slow    time.Duration
	secure  string         // where the pages are over HTTPS
	checks  []check.Result // as they come in
	cert    bool
	in, out *firstboot.Letter

	t       testing.TB
	dns     mailtest.Zone
	code    *firstboot.Code
	session *session.Manager
	running *running
}

// running is what ends when the power goes.
type running struct {
	engine *firstboot.Engine
	pages  *wizard.Wizard
	set    *page.Set
	stop   context.CancelFunc
	done   chan struct{}
}

// New starts a house.
func New(t testing.TB) *World {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.TempDir(), store.Options{Log: log, Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	book, err := outbound.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{t: t, Store: s, dns: mailtest.Zone{
		"MX example.jp": {"10 old.example.net"}, "NS example.jp": {"ns1.desec.io"},
	}}
	w.line.Recommend.Mode, w.line.Recommend.Code = check.Smarthost, "out-blocked"
	w.line.Recommend.Reason = check.Text{EN: "Others reach you, but your provider blocks sending directly.", JA: "受信はできますが、プロバイダーが直接送信を遮断しています。"}
	w.line.Results = []check.Result{
		{Name: "in25", State: check.Good, Title: check.Text{EN: "Can others send you mail?", JA: "メールの受信 (25番)"}, Means: check.Text{EN: "Yes.", JA: "届きます。"}},
		{Name: "out25", State: check.Bad, Title: check.Text{EN: "Can you send directly?", JA: "直接送信 (25番)"}, Means: check.Text{EN: "Your provider blocks it.", JA: "プロバイダーが遮断しています (OP25B)。"}, Do: check.Text{EN: "Send through a provider.", JA: "中継サーバーを使ってください。"}},
	}
	c := clock.New(clock.Options{})
	limits, err := caps.New(s, caps.Options{PerHour: 100, PerDay: 1000, NewPerDay: 100, Trusted: c.Trusted})
	if err != nil {
		t.Fatal(err)
	}
	r := relay.New(relay.Options{Host: "box.test", Resolver: w.dns, Routes: book.Routes})
	w.House = &admin.House{
		Store: s, Book: book, Keys: outbound.NewKeyring(s), Relay: r, Caps: limits, LAN: lan.New(s, lan.Options{}), Clock: c,
		Queue:    queue.New(queue.Options{Store: s, Transport: r, Clock: c, Host: "box.test", Steps: []time.Duration{time.Minute}, GiveUp: time.Hour, Concurrency: 1, PerHop: 1}),
		Bridge:   bridge.New(s, bridge.Options{}),
		Settings: admin.Settings{File: config.Default(), Path: "setting/"},
		Host:     "mail.example.jp",
		DNS:      mailtest.NewCounted(w.dns).Resolver,
		Publishing: &admin.Publishing{
			Zones: zones.New(s, &http.Client{Transport: mailtest.NewDeSEC(w.dns)}), Publisher: publish.New(publish.Options{Store: s, NotFound: store.ErrNotFound}),
			Addresses: func() address.Addrs { return address.Addrs{V4: netip.MustParseAddr("203.0.113.7")} },
		},
	}
	w.session = session.New(s, session.Options{})
	if w.code, err = firstboot.NewCode(Code); err != nil {
		t.Fatal(err)
	}
	w.Claim = firstboot.NewClaim(w.code, s, w.isTaken, w.subnets)
	w.start()
	t.Cleanup(func() { w.end() })
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.handler().ServeHTTP(rw, r) }))
	t.Cleanup(func() {
		w.current().set.Close()
		server.Close()
	})
	w.URL = server.URL
	return w
}

func (w *World) isTaken(context.Context) (bool, error) {
	list, err := w.Store.Accounts()
	return len(list) > 0, err
}

func (w *World) subnets() []netip.Prefix { return nil } // this computer only

// start makes the engine and its pages.
func (w *World) start() {
	engine, err := firstboot.New(firstboot.Options{House: w, State: w.Store, Claim: w.Claim, Post: post{w}, Recovery: w.recovery})
	if err != nil {
		w.t.Fatal(err)
	}
	set, err := page.New(page.Options{
		Sources: []fs.FS{wizard.Source(), firstboot.UI()},
		Hosts:   func() []string { return []string{"homemail.local"} },
		Key:     []byte("a key of a test, which nobody has to keep"),
		Session: w.sessionID,
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	o := wizard.Options{
		Engine: engine, Claim: w.Claim, House: w, Set: set, SignIn: w.signIn, Owner: func(r *http.Request) bool { return w.who(r) != nil },
		Password: session.Generate4Words, Log: slog.New(slog.DiscardHandler), Server: server,
		Checks:      w.results,
		Secure:      func(*http.Request) string { return w.secure },
		Fingerprint: func() string { return "harbor violin maple trout" },
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{engine: engine, pages: wizard.New(o), set: set, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		_ = engine.Run(ctx) // ends without an error, with ctx
	}()
	w.mu.Lock()
	w.running = r
	w.mu.Unlock()
}

func (w *World) results() []check.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := slices.Clone(w.checks)
	for i := range list {
		if i == 0 {
			list[i].Tested = time.Now()
		}
	}
	return list
}

func (w *World) current() *running {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running
}

func (w *World) end() {
	r := w.current()
	r.set.Close()
	r.pages.Close()
	r.stop()
	<-r.done
}

// Restart is the program ending and starting again, in the middle of whatever it
// did. The code stays the same.
func (w *World) Restart() {
	w.end()
	w.start()
}

// Engine is the engine that runs now.
func (w *World) Engine() *firstboot.Engine { return w.current().engine }

// Show is how far all is.
func (w *World) Show() firstboot.Overview {
	o, err := w.Engine().Show(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *World) handler() http.Handler {
	r := w.current()
	return r.set.Handler(r.pages.Guide(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, "<!doctype html><html lang=en><title>home</title><h1>home</h1>")
	})))
}

// with changes what is outside.
func (w *World) with(f func(w *World)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

func (w *World) who(r *http.Request) *session.Session {
	s, err := w.session.Lookup(session.FromRequest(r).Token, r.TLS != nil)
	if err != nil || s == nil {
		return nil
	}
	return s
}

func (w *World) sessionID(r *http.Request) string {
	if s := w.who(r); s != nil {
		return s.ID
	}
	return wizard.Session(r)
}

func (w *World) signIn(rw http.ResponseWriter, r *http.Request, owner mail.Path) error {
	a, err := w.Store.Account(owner)
	if err != nil {
		return err
	}
	res, err := w.session.Open(session.FromRequest(r), a.ID, true)
	if err == nil {
		session.SetCookie(rw, r, res)
	}
	return err
}

func (w *World) recovery(context.Context, mail.Path, mail.AccountID) ([]string, error) {
	return recoveryCodes(), nil
}

func recoveryCodes() []string {
	return []string{"ABCD-EFGH-JKMN", "JKMN-PQRS-ABCD", "TVWX-YZ23-4567", "2345-6789-ABCD", "CDEF-GHJK-MNPQ", "RSTV-WXYZ-2345", "6789-ABCD-EFGH", "JKMN-TVWX-6789", "PQRS-EFGH-2345", "WXYZ-CDEF-RSTV"}
}

func server(domain string) autoconfig.Server {
	return autoconfig.Server{
		Host: "mail.example.jp", Domain: domain,
		IMAP: []autoconfig.Service{{Port: 993, TLS: autoconfig.Implicit}}, Submission: []autoconfig.Service{{Port: 465, TLS: autoconfig.Implicit}},
	}
}

// Do does an operation, and those that would ask the world by values.
func (w *World) Do(ctx context.Context, verb string, request json.RawMessage) (any, error) {
	switch verb {
	case "line.check":
		w.mu.Lock()
		line, slow := w.line, w.slow
		w.mu.Unlock()
		if slow > 0 {
			select {
			case <-time.After(slow):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return line, nil
	case "freename.register": // admin has a test of how deSEC is asked for it
		var q admin.RegisterName
		if err := json.Unmarshal(request, &q); err != nil {
			return nil, err
		}
		if q.Token != "good" {
			return nil, admin.ErrToken
		}
		w.dns["NS "+q.Name] = []string{"ns1.desec.io"}
		return admin.Empty{}, nil
	case "domain.look":
		var q admin.Domain
		if err := json.Unmarshal(request, &q); err != nil {
			return nil, err
		}
		if q.Domain == Nobodys {
			return admin.DomainLook{Domain: q.Domain, Host: dnsplan.DNSHost{Zone: "jp", NS: []string{"a.dns.jp"}}}, nil
		}
	case "certificate.list":
		v, err := w.House.Do(ctx, verb, request)
		c, _ := v.(admin.Certificates)
		c.Host = w.House.Host
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cert {
			c.Names = []certs.Status{{Name: c.Host, Shown: certs.Valid}}
		}
		return c, err
	case "owner.list":
		ids, err := w.session.Owners.List()
		list := []admin.Person{}
		for _, id := range ids {
			a, err := w.Store.AccountByID(id)
			if err != nil {
				return nil, err
			}
			p, err := a.Profile()
			if err != nil {
				return nil, err
			}
			list = append(list, admin.Person{Address: p.Address})
		}
		return list, err
	case "owner.add":
		var q admin.Address
		if err := json.Unmarshal(request, &q); err != nil {
			return nil, err
		}
		a, err := w.Store.Account(q.Address)
		if err != nil {
			return nil, err
		}
		return admin.Empty{}, w.session.Owners.Add(a.ID)
	case "smarthost.save", "bridge.add": // nobody is there to be tried
		var q map[string]any
		if err := json.Unmarshal(request, &q); err != nil {
			return nil, err
		}
		q["untried"] = true
		request, _ = json.Marshal(q)
	}
	return w.House.Do(ctx, verb, request)
}

// post is the letters that come and go.
type post struct{ w *World }

func (p post) Arrived(context.Context, mail.Path, time.Time) (*firstboot.Letter, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.in, nil
}

func (p post) Left(context.Context, mail.Path, time.Time) (*firstboot.Letter, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.out, nil
}
