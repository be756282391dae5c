package wizard

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"homemail/check"
	"homemail/firstboot"
	"homemail/test/pages"
)

// A gallery looks at each screen as everybody sees it.
type gallery struct {
	*visitor
	browser *pages.Browser
}

func (g *gallery) look(name, path string) {
	g.t.Helper()
	all := map[string]string{}
	for _, c := range cookies(g.visitor) {
		key, value, _ := strings.Cut(c, "=")
		if key != "flash" && key != "lang" {
			all[key] = value
		}
	}
	for _, as := range readers() {
		as.Name, as.Cookies = name, all
		g.browser.Look(g.URL+path, as)
	}
}

// readers are a phone in one language and theme, and a desk in the others; where
// people want pictures, twice as many.
func readers() (list []pages.As) {
	for _, as := range pages.Everybody() {
		half := (as.Lang == "en") == (as.Theme == "light")
		if half && (os.Getenv("HOMEMAIL_SHOTS") != "" || (as.Lang == "en") == (as.Width == 320)) {
			list = append(list, as)
		}
	}
	return list
}

// TestScreens looks at every screen: axe-core has nothing to say, nothing is wider
// than a small phone, nothing is refused by the policy. With HOMEMAIL_SHOTS it
// leaves pictures for people.
func TestScreens(t *testing.T) {
	b := pages.Start(t)
	w := New(t)
	g := &gallery{w.visitor("en"), b}
	g.look("00-claim", "/first/claim?code=K7QM-4T2X")
	g.plug()
	v := w.claimed("en")
	g.look("00-taken", "/first/claim")
	g.visitor = v
	g.look("01-language", "/first/language")
	g.look("02-start", "/first/start")
	v.post("/first/start", "kind", "new")
	g.look("03-you", "/first/you")
	v.post("/first/you", "name", "山田太郎", "password", password, "again", password)
	g.look("04-address", "/first/address")
	for _, kind := range []string{"free", "keep", "inside", "own"} {
		v.post("/first/address", "choose", "kind", "kind", kind)
		g.look("04-address-"+kind, "/first/address")
	}
	w.with(func(w *World) { w.slow = 30 * time.Second; w.checks = w.line.Results })
	v.post("/first/address", "kind", "own", "domain", "example.jp", "local", "taro").want(200, "/first/line")
	g.look("05-line-looking", "/first/line")
	w.with(func(w *World) { w.slow = 0 })
	w.Restart()
	v.until("/first/line", `value="auto"`)
	g.look("05-line", "/first/line")
	v.post("/first/line", "mode", "auto", "ticks", "unproven").want(200, "/first/connection")
	g.look("06-connection-preset", "/first/connection")
	v.post("/first/connection", "choose", "preset", "preset", "brevo")
	g.look("06-connection-smarthost", "/first/connection")
	v.post("/first/connection", "user", "taro", "password", "smarthost secret").want(200, "/first/dns")
	g.look("07-dns", "/first/dns")
	g.dns()
	g.after()
}

// plug looks at the claim by the plug of a house of its own.
func (g *gallery) plug() {
	w := New(g.t)
	w.plugIn("a")
	other := &gallery{w.visitor("en"), g.browser}
	other.look("00-claim-of-a-box", "/first/claim")
	other.look("00-plug", "/first/claim/plug")
	other.get("/first/claim/plug").post("/first/claim/plug")
	other.look("00-plug-waits", "/first/claim/plug")
	w.pullPlug("b")
	other.look("00-plug-back", "/first/claim/plug")
}

func (g *gallery) dns() {
	v := g.visitor
	v.get("/first/dns").post("/first/dns", "choose", "kind", "kind", "other", "ticks", "agree_ca", "agree_ca", "on").want(200, "/first/dns").has("/share/")
	g.look("07-dns-other", "/first/dns")
	s, err := v.Engine().Share()
	if err != nil {
		v.t.Fatal(err)
	}
	v.until("/share/"+s.Token, "v=DMARC1")
	g.look("07-share", "/share/"+s.Token)
	v.get("/first/dns?change=kind").post("/first/dns", "choose", "kind", "kind", "copy").until("/first/dns", "v=DMARC1")
	g.look("07-dns-copy", "/first/dns")
	v.get("/first/dns?change=kind").post("/first/dns", "choose", "kind", "kind", "self").want(200, "/first/dns")
	g.look("07-dns-self", "/first/dns?change=1")
	v.get("/first/dns?change=provider")
	g.look("07-dns-provider", "/first/dns?change=provider")
	v.post("/first/dns", "kind", "self", "provider", "desec", "credential.token", "bad").want(200, "/first/dns")
	g.look("07-dns-refused", "/first/dns")
	v.post("/first/dns", "kind", "self", "provider", "desec", "credential.token", "good").want(200, "/first/dns").has(`name="confirm"`)
	g.look("07-dns-changes", "/first/dns")
	v.post("/first/dns", "confirm", digestIn.FindStringSubmatch(v.page)[1])
	g.look("07-dns-done", "/first/dns")
}

func (g *gallery) after() {
	v, w := g.visitor, g.World
	v.until("/first/switch", "notice")
	g.look("08-switch-waiting", "/first/switch")
	w.with(func(w *World) {
		w.cert = true
		w.line.Results = []check.Result{{Name: "in25", State: check.Good}}
	})
	w.Engine().Hurry()
	v.until("/first/switch", `name="confirm"`)
	g.look("08-switch-confirm", "/first/switch")
	v.post("/first/switch", "confirm", digestIn.FindStringSubmatch(v.page)[1]).want(200, "/first/firstmail")
	g.look("08-switch-done", "/first/switch")
	g.look("09-firstmail-waiting", "/first/firstmail")
	w.with(func(w *World) {
		w.in = &firstboot.Letter{From: "mari@example.net", Subject: "週末の予定について", SPF: "pass", DKIM: "none", DMARC: "fail", TLS: true, At: time.Now()}
	})
	w.Engine().Hurry()
	v.until("/first/firstmail", "mari@example.net")
	g.look("09-firstmail-reply", "/first/firstmail")
	w.with(func(w *World) { w.out = &firstboot.Letter{To: "mari@example.net"} })
	w.Engine().Hurry()
	v.until("/first/firstmail", "notice good")
	g.look("09-firstmail-done", "/first/firstmail")
	g.look("10-safe", "/first/safe")
	g.codes()
	v.get("/first/safe")
	g.look("10-safe-back", "/first/safe")
	v.get("/first/people").post("/first/people/device", "device", "Taro's phone").want(200, "/first/people")
	v.post("/first/people/add", "local", "hanako", "name", "鈴木花子").want(200, "/first/people")
	g.look("11-people", "/first/people")
	v.post("/first/people/forget", "what", "invites")
	v.post("/first/people/forget")
	g.look("11-people-after", "/first/people")
	g.look("12-done-rest", "/first/done")
	v.get("/first/safe").post("/first/safe", "alert", "taro@example.com", "first_code", v.code(0), "second_code", v.code(1)).want(200, "")
	g.look("12-done", "/first/done")
	g.look("13-no-such-page", "/first/nothing")
}

// codes looks at the recovery codes, which are shown in one answer only.
func (g *gallery) codes() {
	for _, as := range readers() {
		as.Name = "10-safe-codes"
		tab := g.browser.Open(as)
		for _, c := range cookies(g.visitor) {
			if name, value, _ := strings.Cut(c, "="); name != "flash" && name != "lang" {
				tab.SetCookie(g.URL, name, value)
			}
		}
		tab.Do(chromedp.Navigate(g.URL+"/first/safe"), chromedp.Click(chromedp.CSS(`[action="/first/safe/codes"] button`)), chromedp.WaitVisible(chromedp.CSS("ol.codes")))
		tab.Look()
		tab.Close()
	}
}

// TestScreensOfOthers looks at what other houses get.
func TestScreensOfOthers(t *testing.T) {
	b := pages.Start(t)
	w := New(t)
	v := w.claimed("en").toAddress()
	g := &gallery{v, b}
	v.post("/first/address", "choose", "kind", "kind", "keep")
	v.post("/first/address", "kind", "keep", "present", "taro@example.com").want(200, "/first/connection")
	g.look("06-connection-mailboxes", "/first/connection")
	v.post("/first/connection", "choose", "preset", "fetch_preset", "custom").want(200, "/first/connection")
	g.look("06-connection-bridge", "/first/connection")
	v.get("/first/connection?change=preset").post("/first/connection", "choose", "preset", "fetch_preset", "gmail").want(200, "/first/connection")
	g.look("06-connection-mailbox", "/first/connection")

	w = New(t)
	w.with(func(w *World) {
		w.line.Recommend = check.Recommendation{Mode: check.Direct, Code: "all-green"}
		w.line.Results = []check.Result{{Name: "in25", State: check.CouldNotTest, Title: check.Text{EN: "Can others send you mail?", JA: "メールの受信 (25番)"}}}
	})
	v = w.claimed("en").toLine().until("/first/line", `value="auto"`)
	g = &gallery{v, b}
	v.post("/first/line", "mode", "auto").want(200, "/first/connection")
	g.look("06-connection-direct", "/first/connection")
}
