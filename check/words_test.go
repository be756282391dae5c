package check

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"homemail/words"
)

var place = regexp.MustCompile(`\{[a-z0-9_]+\}`)

// TestFindings: each finding says what it means, and what is bad what to do; and
// nothing is said of what no check can find. That it is said in each language
// with the same values is tested where the catalogues are.
func TestFindings(t *testing.T) {
	for _, key := range slices.Sorted(maps.Keys(states)) {
		if !words.House().Has("check." + key) {
			t.Errorf("%s says nothing", key)
		}
		if states[key] == Bad && do(key, nil).Empty() && key != "address6.none" {
			t.Errorf("%s is bad and there is nothing to do", key)
		}
		kind, _, _ := strings.Cut(key, ".")
		if kind != "any" && !slices.ContainsFunc(steps, func(s step) bool { return s.name == kind || strings.TrimRight(s.name, "0123456789") == kind }) {
			t.Errorf("%s is of no check", key)
		}
	}
	for _, key := range words.House().Keys(words.English) {
		rest, ours := strings.CutPrefix(key, "check.")
		group, name, _ := strings.Cut(rest, ".")
		known := true
		switch {
		case !ours, group == "mute": // a refusal
		case group == "title":
			known = slices.ContainsFunc(steps, func(s step) bool { return s.name == name })
		case group == "mode":
			known = slices.ContainsFunc(table, func(r row) bool { return r.code == name })
		default:
			_, known = states[strings.TrimSuffix(rest, ".do")]
		}
		if !known {
			t.Errorf("nothing finds %s", key)
		}
	}
	for _, s := range steps {
		if !words.House().Has("check.title." + s.name) {
			t.Errorf("%s asks nothing", s.name)
		}
	}
	for _, r := range table {
		if !words.House().Has("check.mode." + r.code) {
			t.Errorf("the row %s gives no reason", r.code)
		}
	}
}

// TestEveryState: each check can be good, and each can say that it could not
// test; each but the helpers can be bad.
func TestEveryState(t *testing.T) {
	for _, s := range steps {
		var has []State
		for key, state := range states {
			kind, _, _ := strings.Cut(key, ".")
			if kind == s.name || kind == strings.TrimRight(s.name, "0123456789") {
				has = append(has, state)
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
		return Certificate{Leaf: leaf(500), Trouble: Text{EN: "The port is shut.", JA: "ポートが閉じています。"}}, nil
	}})
	f := c.certificate(t.Context(), results{})
	said := means("certificate.self", f.data)
	if !strings.HasSuffix(said.EN, " The port is shut.") || !strings.HasSuffix(said.JA, "ポートが閉じています。") || strings.Contains(said.JA, "The port") {
		t.Errorf("%+v", said)
	}
}
