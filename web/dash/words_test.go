package dash

import (
	"os"
	"testing"

	"homemail/config"
	"homemail/web/page"
)

func TestWords(t *testing.T) {
	page.CheckCatalogues(t, os.DirFS("."), Source())
	page.CheckTemplates(t, Source())
}

// Every setting is explained.
func TestSettingsAreExplained(t *testing.T) {
	words, err := page.LoadWords(nil, Source())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range config.Default().Sources() {
		if !words.Has("dash.setting." + s.Name) {
			t.Errorf("nothing says what %s is", s.Name)
		}
	}
}
