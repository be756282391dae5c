package pages

import (
	"net/http/httptest"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"homemail/test/pages/gallery"
	"homemail/web/page"
)

// TestWords is what every package with pages has.
func TestWords(t *testing.T) {
	page.CheckCatalogues(t, os.DirFS("gallery"), gallery.Source())
	page.CheckTemplates(t, gallery.Source())
}

func serve(t *testing.T) (address string) {
	t.Helper()
	set, err := page.New(gallery.Options())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(gallery.Handler(set))
	t.Cleanup(func() { set.Close(); s.Close() })
	return s.URL
}

func TestGallery(t *testing.T) {
	b := Start(t)
	address := serve(t)
	for _, as := range Everybody() {
		as.Name = "gallery"
		f := b.Look(address+"/", as)
		t.Logf("%s %s %d: %d octets", as.Lang, as.Theme, as.Width, f.Wire)
		if as.NoJS != (as.Theme == "dark" && as.Width == 320) {
			continue
		}
		if as.Theme == "light" {
			as.Name = ""
			b.Look(address+"/wizard", as)
			b.Look(address+"/no-such-page", as)
		}
	}
}

// TestForm fills a form by keyboard as people do, with and without JavaScript.
func TestForm(t *testing.T) {
	b := Start(t)
	address := serve(t)
	for _, js := range []bool{true, false} {
		tab := b.Open(As{Lang: "ja", Theme: "light", Width: 320, NoJS: !js, Name: "form"})
		tab.Do(chromedp.Navigate(address+"/"),
			chromedp.SetValue(chromedp.CSS("#f-host"), "localhost"),
			chromedp.SendKeys(chromedp.CSS("#f-password"), "twelve characters\r"),
			chromedp.WaitVisible(chromedp.CSS("#f-host-wrong")))
		if secret := Get(tab, chromedp.Value(chromedp.CSS("#f-password"))); secret != "" {
			t.Errorf("the password came back: %q", secret)
		}
		tab.Look()
		tab.Do(chromedp.SetValue(chromedp.CSS("#f-host"), "mail.example.jp"),
			chromedp.SendKeys(chromedp.CSS("#f-password"), "twelve characters\r"),
			chromedp.WaitVisible(chromedp.CSS(".notice.good")))
		if says := Get(tab, chromedp.Text(chromedp.CSS(".notice.good"))); says != "taroさん、保存しました。テストメールを送っています。" {
			t.Errorf("%q", says)
		}
		tab.Close()
	}
}

// TestMenu opens the navigation on a phone, which needs no JavaScript.
func TestMenu(t *testing.T) {
	tab := Start(t).Open(As{Lang: "en", Theme: "light", Width: 320, NoJS: true, Name: "menu"})
	tab.SetCookie(serve(t), "lang", "ja")
	tab.Do(chromedp.Navigate(serve(t)+"/"), chromedp.WaitNotVisible(chromedp.CSS("#nav")),
		chromedp.Click(chromedp.CSS(".menu")), chromedp.WaitVisible(chromedp.CSS("#nav")))
	if lang := Get(tab, chromedp.Evaluate[string]("document.documentElement.lang")); lang != "ja" {
		t.Errorf("the cookie asks for ja, the page is in %s", lang)
	}
	tab.Look()
}
