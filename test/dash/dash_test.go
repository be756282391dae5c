// Package dash looks at the owner's pages in a browser.
package dash

import (
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"

	"homemail/test/pages"
	"homemail/web/dash/dashtest"
)

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
		"network": "/network", "sending": "/sending", "smarthost": "/sending/smarthost?preset=sakura", "bridge": "/sending/bridge",
		"domains": "/dns", "domain": "/dns/domain?domain=example.jp", "plan": "/dns/plan?domain=example.jp&kind=records",
		"provider": "/dns/provider?domain=example.jp&provider=cloudflare", "certificates": "/dns/certificates", "reports": "/dns/reports",
		"security": "/security", "audit": "/security/audit", "logs": "/logs", "settings": "/settings", "setting": "/settings/change?name=separator",
	} {
		for i, as := range pages.Everybody() {
			if testing.Short() && i%7 != 0 {
				continue
			}
			as.Name = name
			tab := b.Open(as)
			tab.Do(chromedp.Navigate(s.URL+path), chromedp.Navigate(s.URL+path)) // by then what it has started has ended
			tab.Look()
			tab.Close()
		}
	}
}
