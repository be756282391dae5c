// Package dash looks at the owner's pages in a browser.
package dash

import (
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"

	"homemail/test/pages"
	"homemail/web/dash/dashtest"
)

// readers are four of everybody, so that each language, theme and width meets
// each other, and one has no JavaScript. Who else there is brings nothing new.
func readers() (few []pages.As) {
	all := pages.Everybody()
	for _, i := range []int{0, 7, 2, 5} { // in halves: English in light on a phone, Japanese in the dark on a desk, ...
		few = append(few, all[i])
	}
	return few
}

func TestLook(t *testing.T) {
	b := pages.Start(t)
	set, d, err := dashtest.Set(dashtest.Family(""), "")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(set.Handler(d.Handler()))
	t.Cleanup(func() { set.Close(); d.Close(); s.Close() })
	for name, path := range map[string]string{
		"home": "/", "people": "/people", "person": "/people/show?address=taro@example.jp", "remove": "/people/remove?address=taro@example.jp",
		"addresses": "/addresses", "where": "/where?since=week&direction=all", "queue": "/queue", "queued": "/queue/show?id=01J8Z1",
		"alias": "/addresses/add", "catch-all": "/addresses/all", "new-domain": "/dns/add", "route": "/sending/route", "sender": "/sending/sender",
		"mute": "/network/mute?name=in993", "coach": "/sending/coach",
		"network": "/network", "sending": "/sending", "smarthost": "/sending/smarthost?preset=sakura", "bridge": "/sending/bridge",
		"domains": "/dns", "domain": "/dns/domain?domain=example.jp", "plan": "/dns/plan?domain=example.jp&kind=records",
		"provider": "/dns/provider?domain=example.jp&provider=cloudflare", "certificates": "/dns/certificates", "reports": "/dns/reports",
		"security": "/security", "audit": "/security/audit", "owner": "/security/owner", "tokens": "/security/tokens", "machine": "/network/machine", "name": "/dns/name",
		"device": "/people/device?address=taro@example.jp", "bridge-password": "/sending/bridge/password?id=b1&address=taro@isp.example", "logs": "/logs", "updates": "/updates", "update-settings": "/updates/settings", "update-file": "/updates/file", "settings": "/settings", "setting": "/settings/change?name=separator",
	} {
		for i, as := range readers() {
			if testing.Short() && i > 1 {
				break
			}
			as.Name = name
			tab := b.Open(as)
			tab.Do(chromedp.Navigate(s.URL+path), chromedp.Navigate(s.URL+path)) // by then what it has started has ended
			tab.Look()
			tab.Close()
		}
	}
}
