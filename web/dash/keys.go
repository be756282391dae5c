package dash

import (
	"net/http"

	"homemail/admin"
	"homemail/web/page"
)

// A key is one that mail is signed with.
type key struct {
	admin.DKIMKey
	Shown page.State
	Word  string // key of its state
}

// keysView is a domain's keys, on its page.
type keysView struct {
	Domain string
	List   []key
	Next   bool // new ones wait to be used
}

// keys shows the keys of a domain; nil where there are none to be had.
func (d *Dash) keys(r *http.Request, domain string) *keysView {
	list, err := ask[[]admin.DKIMKey](d, r, "dkim.list", admin.Domain{Domain: domain})
	if err != nil {
		d.log.Warn("signing keys could not be listed", "domain", domain, "err", err)
		return nil
	}
	v := keysView{Domain: domain}
	for _, k := range list {
		row := key{k, page.Off, "dash.keys.state." + string(k.State)}
		switch k.State {
		case "active":
			row.Shown = page.Good
		case "next":
			row.Shown, v.Next = page.Waiting, true
		}
		v.List = append(v.List, row)
	}
	return &v
}

// rotateKeys makes new keys. They only get used when the DNS has them.
func (d *Dash) rotateKeys(w http.ResponseWriter, r *http.Request) {
	domain := page.Line(r, "domain")
	d.jobs.forget("dns " + domain) // which has new records now
	d.act(w, r, domainPath(domain), page.Say("dash.keys.rotated"), "dkim.rotate", admin.Domain{Domain: domain})
}

// activateKeys signs with the new keys. Who does so early has said that the DNS
// has them.
func (d *Dash) activateKeys(w http.ResponseWriter, r *http.Request) {
	domain := page.Line(r, "domain")
	d.jobs.forget("dns " + domain)
	q := admin.ActivateKeys{Domain: domain, Now: page.Line(r, "now") != ""}
	d.act(w, r, domainPath(domain), page.Say("dash.keys.activated"), "dkim.activate", q)
}
