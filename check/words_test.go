package check

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var place = regexp.MustCompile(`\{[a-z0-9_]+\}`)

// TestLanguages: whatever is said in English is said in Japanese, with the same
// values in it.
func TestLanguages(t *testing.T) {
	check := func(key string, x Text) {
		t.Helper()
		if (x.EN == "") != (x.JA == "") {
			t.Errorf("%s is in one language only", key)
		}
		if x.EN != "" && !strings.ContainsFunc(x.JA, func(r rune) bool { return unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han) }) {
			t.Errorf("%s: %q is not Japanese", key, x.JA)
		}
		places := func(s string) []string {
			list := place.FindAllString(strings.NewReplacer("_en}", "}", "_ja}", "}").Replace(s), -1)
			slices.Sort(list)
			return slices.Compact(list)
		}
		if en, ja := places(x.EN), places(x.JA); !slices.Equal(en, ja) {
			t.Errorf("%s: values %v and %v", key, en, ja)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(words)) {
		w := words[key]
		check(key, w.means)
		check(key+", what to do", w.do)
		if w.means.EN == "" {
			t.Errorf("%s says nothing", key)
		}
		if w.state == Bad && w.do.EN == "" && key != "address6.none" {
			t.Errorf("%s is bad and there is nothing to do", key)
		}
		kind, _, _ := strings.Cut(key, ".")
		if kind != "*" && !slices.ContainsFunc(steps, func(s step) bool { return s.name == kind || strings.TrimRight(s.name, "0123456789") == kind }) {
			t.Errorf("%s is of no check", key)
		}
	}
	for _, s := range steps {
		check(s.name, s.title)
	}
	for _, r := range table {
		check("mode "+r.code, r.reason)
	}
}

// TestEveryState: each check can be good, and each can say that it could not
// test; each but the helpers can be bad.
func TestEveryState(t *testing.T) {
	for _, s := range steps {
		var has []State
		for key, w := range words {
			kind, _, _ := strings.Cut(key, ".")
			if kind == s.name || kind == strings.TrimRight(s.name, "0123456789") {
				has = append(has, w.state)
			}
		}
		helper := s.name == router || s.name == prober
		if !slices.Contains(has, Good) || !helper && !slices.Contains(has, Bad) {
			t.Errorf("%s has only %v", s.name, has)
		}
	}
}

// What is said of a certificate is said in the reader's language, also within
// the words around it.
func TestTroubleInBothLanguages(t *testing.T) {
	c := New(Options{Cert: func() (Certificate, error) {
		return Certificate{Leaf: leaf(500), Trouble: Text{"The port is shut.", "ポートが閉じています。"}}, nil
	}})
	f := c.certificate(t.Context(), results{})
	said := words["certificate.self"].means.fill(f.data)
	if !strings.HasSuffix(said.EN, " The port is shut.") || !strings.HasSuffix(said.JA, "ポートが閉じています。") || strings.Contains(said.JA, "The port") {
		t.Errorf("%+v", said)
	}
}
