package dash

import (
	"net/http"

	"homemail/admin"
	"homemail/queue"
	"homemail/web/page"
)

// frame is what is around each page.
func (d *Dash) frame(r *http.Request) page.Frame {
	f := page.Frame{SignOut: d.o.SignOut}
	if d.o.Who != nil {
		f.Account = d.o.Who(r)
	}
	if f.Account == "" {
		f.SignOut = ""
	}
	for _, l := range []page.Link{
		{Href: "/", Label: page.Say("dash.home.title")},
		{Href: "/people", Label: page.Say("dash.people.title")},
		{Href: "/addresses", Label: page.Say("dash.addresses.title")},
		{Href: "/dns", Label: page.Say("dash.domains.title")},
		{Href: "/where", Label: page.Say("dash.where.title")},
		{Href: "/queue", Label: page.Say("dash.queue.title")},
		{Href: "/network", Label: page.Say("dash.network.title")},
		{Href: "/sending", Label: page.Say("dash.sending.title")},
		{Href: "/security", Label: page.Say("dash.security.title")},
		{Href: "/logs", Label: page.Say("dash.logs.title")},
		{Href: "/settings", Label: page.Say("dash.settings.title")},
	} {
		l.Current = l.Under(r.URL.Path, "/")
		if l.Href == "/queue" {
			l.Count = d.waiting(r)
		}
		f.Nav = append(f.Nav, l)
	}
	if d.o.Mine != "" {
		f.Nav = append(f.Nav, page.Link{Href: d.o.Mine, Label: page.Say("dash.mine")})
	}
	if d.o.Notice != nil {
		f.Notice = d.o.Notice(r)
	}
	return f
}

const countMost = 100 // more than that is "many" at a glance

// waiting is how many messages are in the queue, for the navigation.
func (d *Dash) waiting(r *http.Request) int {
	list, err := ask[[]queue.Summary](d, r, "queue.list", admin.ListQueue{Limit: countMost, Language: d.lang(r)})
	if err != nil {
		return 0 // the page of the queue says why
	}
	return len(list)
}
