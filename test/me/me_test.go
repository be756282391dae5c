package me

import (
	"testing"

	"github.com/chromedp/chromedp"

	"homemail/test/pages"
)

// TestPages looks at every page as every reader.
func TestPages(t *testing.T) {
	b := pages.Start(t)
	h := Open(t)
	if err := h.Fill(); err != nil {
		t.Fatal(err)
	}
	at := func(path string) chromedp.Action[chromedp.Void] { return chromedp.Navigate(h.URL + path) }
	largest := int64(0)
	for _, as := range pages.Everybody() {
		tab := b.Open(as)
		signIn(tab, h.URL)
		for _, path := range []string{"", "/devices", "/devices/add", "/away", "/forward", "/name", "/security", "/security/code", "/signins",
			"/signins/not-me?device=Phone", "/storage", "/export"} {
			tab.Do(at("/me" + path))
			f := tab.Look()
			largest = max(largest, f.Wire)
		}
		tab.Close()
		after := func(name string, steps ...chromedp.Action[chromedp.Void]) {
			as.Name = name
			tab := b.Open(as)
			defer tab.Close()
			signIn(tab, h.URL)
			tab.Do(steps...)
			tab.Look()
		}
		after("me-device-new", at("/me/devices/add"), chromedp.SendKeys("#f-name", "My new phone"), chromedp.Click("#f-kind-0"), chromedp.Click("main button"), chromedp.WaitVisible(".qr"))
		after("me-password-wrong", at("/me/security"), chromedp.SendKeys("#f-old", "not the one"), chromedp.SendKeys("#f-new", "long enough for all"),
			chromedp.SendKeys("#f-again", "long enough for all\r"), chromedp.WaitVisible(".wrong"))
	}
	t.Logf("the largest page took %d octets", largest)
}

func signIn(tab *pages.Tab, address string) {
	tab.Do(
		chromedp.Navigate(address+"/me"),
		chromedp.WaitVisible("#f-address"),
		chromedp.SendKeys("#f-address", "anna@example.test"),
		chromedp.SendKeys("#f-password", Password+"\r"),
		chromedp.WaitNotPresent("#f-password"),
		chromedp.WaitReady("#nav"),
	)
}
