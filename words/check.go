package words

import (
	"io/fs"
	"maps"
	"slices"
)

// A T is a test. Check is for the tests of packages with catalogues.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Check holds the catalogues of one place to our rules: every language has the
// same keys, each with the same places, each says something, and each is used.
func Check(t T, place fs.FS, used func(key string) bool) {
	t.Helper()
	all := map[Lang]map[string]Phrase{}
	for _, lang := range Langs() {
		var err error
		if all[lang], err = read(place, lang); err != nil {
			t.Errorf("%v", err)
			return
		}
	}
	for _, lang := range Langs() {
		for _, key := range slices.Sorted(maps.Keys(all[lang])) {
			p := all[lang][key]
			if p.Other == "" {
				t.Errorf("%s: %q says nothing", lang, key)
			}
			for _, other := range Langs() {
				q, ok := all[other][key]
				if !ok {
					t.Errorf("%s: %q is missing", other, key)
				} else if a, b := p.Places(), q.Places(); !slices.Equal(a, b) {
					t.Errorf("%q: %s has the places %v, %s has %v", key, lang, a, other, b)
				}
			}
			if !used(key) {
				t.Errorf("%s: nothing uses %q", lang, key)
			}
		}
	}
}
