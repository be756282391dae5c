// Package me has a house with a person's own pages, and looks at each of them in
// a browser.
package me

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/deliver"
	"homemail/events"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/session"
	"homemail/signin"
	"homemail/store"
	"homemail/vacation"
	"homemail/web/enter"
	"homemail/web/me"
	"homemail/web/page"
)

// Password is everybody's for the pages.
const Password = "violin harbor maple trout"

// A House has anna and otto in example.test.
type House struct {
	Store    *store.Store
	Admin    *admin.House
	Sessions *session.Manager
	Events   *events.Log
	Agent    *deliver.Agent
	Anna     *store.Account
	Otto     *store.Account
	URL      string // by HTTPS
	Plain    string // and without
	Client   *http.Client
}

// Open opens a house that ends with the test.
func Open(t testing.TB) *House {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	quiet := slog.New(slog.DiscardHandler)
	h := &House{Store: storetest.Open(t, t.TempDir(), quiet)}
	must(h.Store.AddDomain("example.test"))
	salt := []byte("0123456789abcdef")
	hash := "$argon2id$v=19$m=64,t=1,p=1$" + base64.RawStdEncoding.EncodeToString(salt) + "$" +
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(Password), salt, 1, 64, 1, 32))
	var err error
	h.Anna, err = h.Store.AddAccount(store.Profile{Address: "anna@example.test", Name: "Anna", Password: hash, Quota: 5e9})
	must(err)
	h.Otto, err = h.Store.AddAccount(store.Profile{Address: "otto@example.test", Password: hash})
	must(err)
	h.Events = events.New(h.Store, events.Options{Log: quiet})
	t.Cleanup(func() { h.Events.Close() })
	check := signin.New(h.Store, signin.Options{Log: quiet, FailDelay: -1})
	h.Admin = &admin.House{Store: h.Store, SignIn: check, Events: h.Events}
	h.Agent = deliver.New(h.Store, deliver.Options{Host: "mail.example.test", Log: quiet, Separator: "+"})
	set, err := page.New(page.Options{
		Sources: []fs.FS{enter.Source(), me.Source()}, Hosts: func() []string { return []string{"mail.example.test"} },
		Key: []byte("0123456789abcdef0123456789abcdef"), Session: enter.TokenOf, Lang: enter.LangOf, Log: quiet,
	})
	must(err)
	h.Sessions = session.New(h.Store, session.Options{Log: quiet, SignIn: check, Refuse: enter.Refuse(set)})
	e := enter.New(enter.Options{Manager: h.Sessions, Set: set, Log: quiet, Home: func(*session.Session) string { return me.Path }})
	pages := me.New(me.Options{
		House: h.Admin, Sessions: h.Sessions, Set: set, SignOut: enter.LeavePath, Owners: "/", Passkey: enter.NewPasskeyPath, Log: quiet,
		Server: func(domain string) autoconfig.Server {
			return autoconfig.Server{Host: "mail.example.test", Domain: domain,
				IMAP:       []autoconfig.Service{{Port: 993, TLS: autoconfig.Implicit}},
				POP3:       []autoconfig.Service{{Port: 995, TLS: autoconfig.Implicit}},
				Submission: []autoconfig.Service{{Port: 465, TLS: autoconfig.Implicit}}}
		},
	}).Handler()
	mux := http.NewServeMux()
	mux.Handle(enter.Path, e)
	mux.Handle(enter.Path+"/", e)
	mux.Handle(enter.LeavePath, e)
	mux.Handle(me.Path, pages)
	mux.Handle(me.Path+"/", pages)
	handler := h.Sessions.Middleware(set.Handler(mux))
	tls, plain := httptest.NewTLSServer(handler), httptest.NewServer(handler)
	h.URL, h.Plain, h.Client = tls.URL, plain.URL, tls.Client()
	t.Cleanup(func() { set.Close(); tls.Close(); plain.Close() })
	return h
}

// Fill gives anna a life: mail, devices, sign-ins.
func (h *House) Fill() error {
	var failed error
	do := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	do(h.Store.SetAlias(store.Alias{Address: "a.mueller@example.test", To: []mail.Path{"anna@example.test"}}))
	do(h.Store.SetAlias(store.Alias{Address: "@example.test", To: []mail.Path{"anna@example.test"}}))
	do(h.Anna.Update(func(p *store.Profile) error {
		for _, name := range []string{"Anna’s iPhone", "Thunderbird in the study", "古い携帯"} {
			d, err := signin.NewDevice(*p, name, "x")
			if err != nil {
				return err
			}
			d.Created = time.Now().Add(-100 * 24 * time.Hour)
			p.Devices = append(p.Devices, d)
		}
		return nil
	}))
	p, err := h.Anna.Profile()
	do(err)
	h.Store.Touch(h.Anna.ID, p.Devices[0].ID, time.Now().Add(-4*time.Minute), "192.168.1.40")
	h.Store.Touch(h.Anna.ID, p.Devices[1].ID, time.Now().Add(-50*time.Hour), "2001:db8:17:5::42")
	for range 3 {
		h.Events.Add(events.Event{Kind: events.SignedIn, Account: h.Anna.ID, Door: "imap", Device: "Anna’s iPhone", Remote: "192.168.1.40", At: time.Now().Add(-4 * time.Minute)})
	}
	h.Events.Add(events.Event{Kind: events.SignedIn, Account: h.Anna.ID, Door: "submission", Device: "Thunderbird in the study", Remote: "2001:db8:17:5::42", At: time.Now().Add(-50 * time.Hour)})
	h.Events.Add(events.Event{Kind: events.SignedIn, Account: h.Anna.ID, Door: "web", Device: "Safari, iPhone", Remote: "192.168.1.40", At: time.Now()})
	h.Events.Add(events.Event{Kind: events.SignInFailed, Account: h.Anna.ID, Door: "imap", Remote: "203.0.113.9", At: time.Now().Add(-time.Hour)})
	do(vacation.Save(h.Store, h.Anna.ID, vacation.Reply{On: true, Text: "I am at the sea until Sunday.\n\nIf it cannot wait, please write to otto@example.test.", Until: time.Now().Add(5 * 24 * time.Hour).Format(vacation.Day)}))
	_, err = h.Anna.Create("Family/Holidays", mail.NoUse)
	do(err)
	do(h.Write("anna@example.test", "Hello", strings.Repeat("The sea is blue.\r\n", 3000)))
	return failed
}

// Write delivers a message.
func (h *House) Write(to mail.Path, subject, body string) error {
	t := h.Agent.Begin("kai@outside.test", 0)
	defer t.Discard()
	if err := t.Rcpt(to, 0); err != nil {
		return err
	}
	fmt.Fprintf(t, "From: kai@outside.test\r\nTo: %s\r\nSubject: %s\r\n\r\n%s", to, subject, body)
	_, err := t.Commit(mail.Envelope{From: "kai@outside.test"}, mail.Trace{ID: "id", Remote: netip.MustParseAddr("192.0.2.1"), Protocol: "ESMTP", Time: time.Now()})
	return err
}

// Cookie is that of a browser in which somebody has just signed in.
func (h *House) Cookie(id mail.AccountID, encrypted bool) (*http.Cookie, error) {
	target := "http://mail.example.test/"
	if encrypted {
		target = "https://mail.example.test/"
	}
	r := httptest.NewRequest("GET", target, nil)
	res, err := h.Sessions.Open(session.FromRequest(r), id, true)
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	session.SetCookie(w, r, res)
	return w.Result().Cookies()[0], nil
}
