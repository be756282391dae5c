// Package gallery shows every component of the pages at once, for people to
// look at and for tests. It is also how a package with pages is made.
package gallery

import (
	"context"
	"embed"
	"io/fs"
	"net/http"
	"time"

	"homemail/web/page"
)

//go:embed *.html *.json
var files embed.FS

// Source is what the gallery brings.
func Source() fs.FS { return files }

// A light is one line of what the house does.
type light struct {
	State page.State
	Name  page.Message
	Says  page.Message
	Do    page.Message
}

type mail struct {
	From, Subject string
	At            time.Time
	State         page.State
	Size          int64
}

// address is a form.
type address struct {
	Name     string `form:"name,required,max=64"`
	Host     string `form:"host,required,max=253"`
	Password string `form:"password,required,secret,min=12,max=200"`
	Mode     string `form:"mode,required,one=relay|direct|bridge"`
	Keep     string `form:"keep,one=7|30|90"`
	Note     string `form:"note,lines"`
	Alert    bool   `form:"alert"`
}

// view is all that the template shows.
type view struct {
	Lights []light
	Mails  []mail
	Form   page.Form
	Keep   []page.Option
	Now    time.Time
	States []page.State
	Done   int
	DKIM   string
	URL    string
}

func show(form page.Form) view {
	now := time.Now()
	key := "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr3tVLJ3mHc2eX0m1gTn5QpQ0n3uQx7pY4wJ8kq9sVb1zN6cR2aD5fG8hJ4kL7mN0pQ3rS6tU9vW2xY5zA8bC1dE4fG7hI0jK3lM6nO9pQ2rS5tU8vW1xY4zA7bC0dE3fG6hIwIDAQAB"
	return view{
		Lights: []light{
			{page.Good, page.Say("gallery.receiving"), page.Say("gallery.receiving.good", "when", now.Add(-4*time.Minute)), page.Message{}},
			{page.Bad, page.Say("gallery.sending"), page.Say("gallery.sending.bad", "n", 3, "host", "outlook.com"), page.Say("gallery.sending.do")},
			{page.Good, page.Say("gallery.safe"), page.Say("gallery.safe.good"), page.Message{}},
			{page.Waiting, page.Say("gallery.backup"), page.Say("gallery.backup.waiting", "span", 40*time.Minute), page.Message{}},
			{page.Unknown, page.Say("gallery.update"), page.Say("gallery.update.unknown"), page.Message{}},
		},
		Mails: []mail{
			{"hanako@example.jp", "週末の予定について", now.Add(-4 * time.Minute), page.Good, 18_400},
			{"orders@shop.example", "Your parcel leaves today", now.Add(-3 * time.Hour), page.Good, 96_000},
			{"a.very.long.address.of.somebody.far.away@subdomain.of.a.long.company.name.example", "Re: Re: Fwd: Minutes", now.Add(-50 * time.Hour), page.Waiting, 2_400_000},
		},
		Form:   form,
		Keep:   []page.Option{{Value: "7", Label: 7 * 24 * time.Hour}, {Value: "30", Label: 30 * 24 * time.Hour}, {Value: "90", Label: 90 * 24 * time.Hour}},
		Now:    now,
		States: []page.State{page.Good, page.Waiting, page.Unknown, page.Bad, page.Off},
		Done:   34,
		DKIM:   key,
		URL:    "https://192.168.1.23/claim#K7QM-4T2X",
	}
}

// Options are those of a set for the gallery.
func Options() page.Options {
	return page.Options{
		Sources: []fs.FS{files},
		Hosts:   func() []string { return []string{"mail.example"} },
		Key:     []byte("the key of a gallery, which is not secret"),
		Session: func(r *http.Request) string { return "taro" },
		Frame:   frame,
	}
}

func frame(r *http.Request) page.Frame {
	at := func(path string) bool { return r.URL.Path == path }
	if at("/wizard") {
		return page.Frame{Steps: true, Nav: []page.Link{
			{Href: "/wizard", Label: page.Say("gallery.step.you"), State: page.Good},
			{Href: "/wizard", Label: page.Say("gallery.step.address"), Current: true},
			{Href: "/wizard", Label: page.Say("gallery.step.line"), State: page.Waiting},
			{Href: "/wizard", Label: page.Say("gallery.step.dns"), State: page.Bad},
			{Label: page.Say("gallery.step.mail")},
		}}
	}
	return page.Frame{Account: "taro@example.jp", SignOut: "/out", Nav: []page.Link{
		{Href: "/", Label: page.Say("gallery.nav.home"), Current: at("/")},
		{Href: "/people", Label: page.Say("gallery.nav.people")},
		{Href: "/trace", Label: page.Say("gallery.nav.trace")},
		{Href: "/queue", Label: page.Say("gallery.nav.queue"), Count: 3},
		{Href: "/security", Label: page.Say("gallery.nav.security")},
	}}
}

// Handler serves the gallery.
func Handler(set *page.Set) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		set.Render(w, r, "gallery", show(page.Fill(address{Name: "taro", Host: "mail.example.jp", Mode: "relay", Keep: "30", Alert: true})), http.StatusOK)
	})
	m.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		var in address
		form := page.Read(r, &in)
		if form.OK() && in.Host == "localhost" {
			form.Fail("host", page.Say("gallery.host.local"))
		}
		if !form.OK() {
			set.Render(w, r, "gallery", show(form), http.StatusUnprocessableEntity)
			return
		}
		set.Done(w, r, "/", page.Say("gallery.saved", "name", in.Name))
	})
	m.HandleFunc("GET /wizard", func(w http.ResponseWriter, r *http.Request) {
		set.Render(w, r, "gallery-wizard", waiting{page.Fill(address{Mode: "relay"})}, http.StatusOK)
	})
	m.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		set.Stream(w, r, func(ctx context.Context, send page.Sender) error {
			if err := send("lights", "gallery-lights", show(page.Form{}).Lights[:2]); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { set.Error(w, r, http.StatusNotFound) })
	return set.Handler(m)
}

// waiting is a page of something under way.
type waiting struct{ Form page.Form }

func (waiting) Underway() bool { return true }
