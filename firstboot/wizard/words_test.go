package wizard

import (
	"os"
	"testing"

	"homemail/web/page"
)

func TestWords(t *testing.T) {
	page.CheckCatalogues(t, os.DirFS("."), Source())
	page.CheckTemplates(t, Source())
}
