package pages

import (
	"net/http/httptest"
	"os"
	"testing"

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
