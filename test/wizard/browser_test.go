package wizard

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"homemail/check"
	"homemail/firstboot"
	"homemail/test/pages"
)

// A hand is a person at a browser.
type hand struct {
	*World
	browser *pages.Browser
	as      pages.As
	tab     *pages.Tab
	keys    bool // the keyboard only
	kill    bool // browser and server die after each page
	inputs  int
}

// open opens the browser at a page.
func (h *hand) open(path string) {
	h.t.Helper()
	h.tab = h.browser.Open(h.as)
	h.tab.Do(chromedp.Navigate(h.URL + path))
}

// die kills the browser and the server, and comes back to the first page with
// what the browser has kept.
func (h *hand) die() {
	h.t.Helper()
	if !h.kill {
		return
	}
	kept := map[string]string{}
	h.tab.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		res, err := cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{})
		for _, c := range res.Cookies {
			if c.Name != "flash" {
				kept[c.Name] = c.Value
			}
		}
		return err
	}))
	h.tab.Close()
	h.Restart()
	h.tab = h.browser.Open(h.as)
	for name, value := range kept {
		h.tab.SetCookie(h.URL, name, value)
	}
	h.tab.Do(chromedp.Navigate(h.URL + "/first"))
}

const tabsMost = 60 // of one page, until the wanted field has the focus

// reach goes to a control with the Tab key.
func (h *hand) reach(selector string) {
	h.t.Helper()
	at := fmt.Sprintf("document.activeElement.matches(%q) && document.activeElement.checkVisibility()", selector)
	for range tabsMost {
		if pages.Get(h.tab, chromedp.Evaluate[bool](at)) {
			return
		}
		h.tab.Do(chromedp.KeyEvent(kb.Tab))
	}
	h.t.Fatalf("%s is not reached with the Tab key at %s", selector, pages.Get(h.tab, chromedp.Location()))
}

// write types into a field.
func (h *hand) write(name, text string) {
	h.t.Helper()
	h.inputs++
	field := fmt.Sprintf("#f-%s", strings.ReplaceAll(name, ".", `\.`))
	h.tab.Do(chromedp.WaitVisible(chromedp.CSS(field)))
	if h.keys {
		h.reach(field)
		h.tab.Do(chromedp.KeyEvent(text))
		return
	}
	h.tab.Do(chromedp.SetValue(chromedp.CSS(field), text))
}

// choose takes one of a list, by its place.
func (h *hand) choose(selector string) {
	h.t.Helper()
	h.inputs++
	h.tab.Do(chromedp.WaitVisible(chromedp.CSS(selector)))
	if h.keys {
		h.reach(selector)
		h.tab.Do(chromedp.KeyEvent(" "))
		return
	}
	h.tab.Do(chromedp.Click(chromedp.CSS(selector)))
}

// pick chooses from a menu.
func (h *hand) pick(name, value, letters string) {
	h.t.Helper()
	h.inputs++
	field := "#f-" + name
	h.tab.Do(chromedp.WaitVisible(chromedp.CSS(field)))
	if h.keys {
		h.reach(field)
		h.tab.Do(chromedp.KeyEvent(letters))
		return
	}
	h.tab.Do(chromedp.SetValue(chromedp.CSS(field), value))
}

const primary = "main form .actions > button:not(.quiet, .second, .danger)"

// press presses the primary button, and waits for the page that it leads to.
func (h *hand) press(path string) {
	h.t.Helper()
	h.inputs++
	h.tab.Do(chromedp.WaitVisible(chromedp.CSS(primary)), chromedp.SetAttributeValue(chromedp.CSS("footer"), "data-old", "1"))
	if h.keys {
		h.reach(primary)
		h.tab.Do(chromedp.KeyEvent("\r"))
	} else {
		h.tab.Do(chromedp.Click(chromedp.CSS(primary)))
	}
	h.tab.Do(chromedp.WaitReady(chromedp.CSS("footer:not([data-old])")))
	h.at(path)
	h.die()
	if h.kill {
		h.at(path)
	}
}

// at waits until the browser is at a page.
func (h *hand) at(path string) {
	h.t.Helper()
	where := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		where = strings.TrimPrefix(pages.Get(h.tab, chromedp.Location()), h.URL)
		if where == path {
			h.tab.Do(chromedp.WaitReady(chromedp.CSS("footer")))
			return
		}
	}
	h.t.Fatalf("at %s, want %s", where, path)
}

// see waits until the page shows something. Without JavaScript it does not change
// by itself: there people look again.
func (h *hand) see(selector string) {
	h.t.Helper()
	if !h.as.NoJS {
		h.tab.Do(chromedp.WaitVisible(chromedp.CSS(selector)))
		return
	}
	there := func(selector string) bool {
		return pages.Get(h.tab, chromedp.Evaluate[bool](fmt.Sprintf("!!document.querySelector(%q)?.checkVisibility()", selector)))
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		switch {
		case there(selector):
			return
		case there(again):
			h.tab.Do(chromedp.SetAttributeValue(chromedp.CSS("footer"), "data-old", "1"), chromedp.Click(chromedp.CSS(again)), chromedp.WaitReady(chromedp.CSS("footer:not([data-old])")))
		}
	}
	h.t.Fatalf("%s is not seen at %s, however often one looks", selector, pages.Get(h.tab, chromedp.Location()))
}

// again is the link of a page without JavaScript that something still goes on at.
const again = "noscript .notice a"

// inputsMost is what a person enters and presses from the code to the first mail.
const inputsMost = 25

// walk goes from the code to the reply.
func (h *hand) walk() {
	w := h.World
	h.open("/")
	h.at("/first")
	h.write("code", "k7qm4t2x")
	h.press("/first/start")
	h.press("/first/you")
	h.write("name", "Taro")
	h.write("password", password)
	h.write("again", password)
	h.press("/first/address")
	h.choose("#f-kind-0")
	h.press("/first/address")
	h.write("domain", "example.jp")
	h.write("local", "taro")
	h.press("/first/line")
	h.see(primary)
	h.press("/first/connection")
	h.pick("preset", "brevo", "Br")
	h.press("/first/connection")
	h.write("user", "taro")
	h.write("password", "smarthost secret")
	h.press("/first/dns")
	h.choose("#f-agree_ca")
	h.press("/first/dns")
	h.write("credential.token", "good")
	h.press("/first/dns") // shows the changes
	w.with(func(w *World) {
		w.cert = true
		w.line.Results = []check.Result{{Name: "in25", State: check.Good}}
	})
	h.see(`[value="` + w.digest(firstboot.DNS) + `"] + .actions`)
	h.press("/first/switch")
	h.see("table")
	h.press("/first/firstmail")
	if h.inputs > inputsMost {
		h.t.Errorf("%d inputs to the first mail", h.inputs)
	}
	h.t.Logf("%d inputs", h.inputs)
	w.with(func(w *World) {
		w.in = &firstboot.Letter{From: "mari@example.net", Subject: "週末の予定", SPF: "pass", TLS: true, At: time.Now()}
	})
	h.see(".lights")
	w.with(func(w *World) { w.out = &firstboot.Letter{To: "mari@example.net"} })
	h.see(".notice.good")
}

func (w *World) digest(id firstboot.ID) string {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if v, err := w.Engine().Step(context.Background(), id); err == nil && v.Found.Digest != "" {
			return v.Found.Digest
		}
	}
	w.t.Fatal("nothing to confirm")
	return ""
}

// TestBrowser has people go through all of it: by keyboard on a small phone, in
// Japanese without JavaScript, and with a power cut after each page.
func TestBrowser(t *testing.T) {
	b := pages.Start(t)
	for _, h := range []hand{
		{as: pages.As{Lang: "en", Theme: "light", Width: 320}, keys: true},
		{as: pages.As{Lang: "ja", Theme: "dark", Width: 320, NoJS: true}},
		{as: pages.As{Lang: "ja", Theme: "light", Width: 1200}, kill: true},
	} {
		t.Run(fmt.Sprintf("%s keys=%t js=%t kill=%t", h.as.Lang, h.keys, !h.as.NoJS, h.kill), func(t *testing.T) {
			h.World, h.browser = New(t), b
			h.walk()
			h.tab.Close()
		})
	}
}

// TestSecondBrowser has an open page told that another browser was first.
func TestSecondBrowser(t *testing.T) {
	w := New(t)
	tab := pages.Start(t).Open(pages.As{Lang: "en", Theme: "light", Width: 320})
	defer tab.Close()
	tab.Do(chromedp.Navigate(w.URL+"/first"), chromedp.WaitVisible(chromedp.CSS("#f-code")))
	w.claimed("ja")
	tab.Do(chromedp.WaitNotPresent(chromedp.CSS("#f-code")))
	if says := pages.Get(tab, chromedp.Text(chromedp.CSS("main"))); !strings.Contains(says, "127.0.0.1") {
		t.Errorf("%q", says)
	}
}
