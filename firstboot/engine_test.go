package firstboot

import (
	"bytes"
	"context"
	"testing"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/internal/mailtest"
	"homemail/mail"
)

const password = "bicycle lantern umbrella 42"

// TestSetUp goes through the steps of a house with its own domain, as pages do.
func TestSetUp(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	wantStatus(t, submit(t, e, Language, Answers{"language": "ja"}), Done, "")
	wantStatus(t, submit(t, e, Start, Answers{"kind": "new"}), Done, "")
	wantStatus(t, submit(t, e, You, Answers{"name": "山田太郎", "password": password}), Done, "")
	wantStatus(t, submit(t, e, Address, Answers{"kind": "own", "domain": "Example.JP.", "local": "taro"}), Done, "")
	wantStatus(t, submit(t, e, Line, Answers{"mode": "auto"}), Done, "")
	wantStatus(t, submit(t, e, Connection, Answers{"preset": "brevo", "user": "taro", "password": "smarthost secret"}), Done, "")
	v := submit(t, e, DNS, Answers{"kind": "copy"})
	if v.Status != Waiting {
		t.Fatalf("%+v", v)
	}
	t.Log(v.Reason, v.Detail)

	accounts, err := ask[[]admin.Account](t.Context(), w, "account.list", admin.Empty{})
	if err != nil || len(accounts) != 1 || accounts[0].Address != "taro@example.jp" || accounts[0].Language != "ja" || accounts[0].Name != "山田太郎" {
		t.Fatalf("%+v %v", accounts, err)
	}
	if _, err := ask[admin.Empty](t.Context(), w, "password.verify", admin.VerifyPassword{Address: "taro@example.jp", Password: password}); err != nil {
		t.Error("the owner's password:", err)
	}
	routes, err := ask[admin.Routes](t.Context(), w, "route.list", admin.Empty{})
	if err != nil || routes.Domains[0].Smarthost != "brevo" {
		t.Errorf("%+v %v", routes, err)
	}
	for _, id := range []ID{You, Address, Connection} {
		b, err := w.store.State(stepPath + string(id))
		if err != nil || bytes.Contains(b, []byte(`"secrets"`)) || bytes.Contains(b, []byte("secret")) || bytes.Contains(b, []byte("lantern")) {
			t.Errorf("%s keeps a secret after use: %s %v", id, b, err)
		}
	}
}

// upTo sets a house up to a step, which it leaves out.
func upTo(t *testing.T, e *Engine, id ID) {
	t.Helper()
	for _, g := range []Given{
		{Language, Answers{"language": "en"}}, {Start, Answers{"kind": "new"}}, {You, Answers{"name": "Taro", "password": password}},
		{Address, Answers{"kind": "own", "domain": "example.jp", "local": "taro"}}, {Line, Answers{"mode": "auto"}},
		{Connection, Answers{"preset": "brevo", "user": "taro", "password": "smarthost secret"}},
	} {
		if g.Step == id {
			return
		}
		wantStatus(t, submit(t, e, g.Step, g.Answers), Done, "")
	}
}

type post struct{ in, out *Letter }

func (p *post) Arrived(context.Context, mail.Path, time.Time) (*Letter, error) { return p.in, nil }
func (p *post) Left(context.Context, mail.Path, time.Time) (*Letter, error)    { return p.out, nil }

// TestToFirstMail has the DNS changed by itself, switches the mail and sees the
// first letters.
func TestToFirstMail(t *testing.T) {
	w, p := newWorld(t), &post{}
	w.dns["MX example.jp"] = []string{"10 old.example.net"}
	w.dns["NS example.jp"] = []string{"ns1.desec.io"}
	w.House.DNS = mailtest.NewCounted(w.dns).Resolver
	w.House.Host = "mail.example.jp" // as it is called after the step of the address
	e := w.engine(t, func(o *Options) { o.Post = p })
	upTo(t, e, DNS)

	v := submit(t, e, DNS, Answers{"kind": "self", "provider": "desec", "credential.token": "bad"})
	wantStatus(t, v, Failed, "firstboot.failed.zone")
	v = submit(t, e, DNS, Answers{"credential.token": "good", "agree_ca": "yes"})
	wantStatus(t, v, Waiting, "firstboot.wait.confirm")
	if len(v.Sealed) != 0 || v.Found.Changes == nil || !v.Next.IsZero() {
		t.Fatalf("%+v", v)
	}
	if w.dns["TXT example.jp"] != nil {
		t.Fatal("changed before it was confirmed")
	}
	wantStatus(t, submit(t, e, DNS, Answers{"confirm": "0123456789abcdef"}), Waiting, "firstboot.wait.confirm")
	wantStatus(t, submit(t, e, DNS, Answers{"confirm": v.Found.Digest}), Done, "")
	if got := w.dns["MX example.jp"]; len(got) != 1 || got[0] != "10 old.example.net" {
		t.Errorf("the MX was touched: %q", got)
	}

	wantStatus(t, submit(t, e, Switch, nil), Waiting, "firstboot.wait.certificate")
	w.cert = true
	wantStatus(t, submit(t, e, Switch, nil), Waiting, "firstboot.wait.in25-untested")
	w.line.Results = []check.Result{{Name: "in25", State: check.Bad}}
	wantStatus(t, submit(t, e, Switch, nil), Waiting, "firstboot.wait.in25")
	w.line.Results[0].State = check.Good
	v = submit(t, e, Switch, nil)
	wantStatus(t, v, Waiting, "firstboot.wait.confirm")
	wantStatus(t, submit(t, e, Switch, Answers{"confirm": v.Found.Digest}), Done, "")
	if got := w.dns["MX example.jp"]; len(got) != 1 || got[0] != "10 mail.example.jp" {
		t.Errorf("the MX was not switched: %q", got)
	}

	wantStatus(t, submit(t, e, FirstMail, nil), Waiting, "firstboot.wait.arrive")
	p.in = &Letter{From: "mari@example.net", SPF: "pass"}
	wantStatus(t, submit(t, e, FirstMail, nil), Waiting, "firstboot.wait.reply")
	p.out = &Letter{To: "mari@example.net"}
	wantStatus(t, submit(t, e, FirstMail, nil), Done, "")

	if _, err := e.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.dns["MX example.jp"]; len(got) != 1 || got[0] != "10 old.example.net" {
		t.Errorf("the MX was not restored: %q", got)
	}
	if v, _ := e.Step(t.Context(), Switch); v.Status != Todo {
		t.Errorf("after undo: %+v", v)
	}
}

// TestBug has an operation panic: the step waits and is tried again after a
// while, and the engine runs on.
func TestBug(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	upTo(t, e, Line)
	w.bug = "line.check"
	v := submit(t, e, Line, Answers{"mode": "auto"})
	wantStatus(t, v, Waiting, "firstboot.wait.trouble")
	if time.Until(v.Next) < time.Second {
		t.Errorf("it is tried again at once, at %v", v.Next)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	e.Hurry()
	for v.Status != Done { // by the engine itself, once the bug is gone
		changed := e.Changed()
		var err error
		if v, err = e.Step(t.Context(), Line); err != nil {
			t.Fatal(err)
		}
		w.bugGone.Store(true)
		e.Hurry()
		select {
		case <-changed:
		case <-time.After(time.Second):
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNextStart sets a house up while no server runs: what only a server can do is
// done when one is started, and nobody has to answer anything again.
func TestNextStart(t *testing.T) {
	w := newWorld(t)
	w.dns["NS example.jp"] = []string{"ns1.desec.io"}
	w.House.DNS = mailtest.NewCounted(w.dns).Resolver
	w.House.Host = "mail.example.jp"
	e := w.engine(t, nil)
	upTo(t, e, DNS)
	for _, verb := range []string{"zone.list", "zone.set", "publish.plan", "publish.apply"} {
		w.fail[verb] = ErrNextStart
	}
	v := submit(t, e, DNS, Answers{"kind": "self", "provider": "desec", "credential.token": "good", "confirm": anyDigest})
	wantStatus(t, v, Waiting, "firstboot.wait.start")
	if o, err := e.Show(t.Context()); err != nil || !o.Settled() {
		t.Errorf("somebody waits for what only another start does: %v", err)
	}

	clear(w.fail)
	e = w.engine(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	e.Hurry()
	for end := time.Now().Add(20 * time.Second); v.Status != Done; {
		if time.Now().After(end) {
			t.Fatal(v.Reason, v.Detail)
		}
		changed := e.Changed()
		var err error
		if v, err = e.Step(t.Context(), DNS); err != nil || v.Status == Failed {
			t.Fatal(v.Reason, v.Detail, err)
		}
		if v.Status == Done {
			break
		}
		select {
		case <-changed:
		case <-time.After(time.Second):
		}
	}
	stop()
	if err := <-done; err != nil || w.dns["TXT example.jp"] == nil || len(v.Sealed) > 0 {
		t.Errorf("%v %v", v.Sealed, err)
	}
}
