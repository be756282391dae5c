package me

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// Patterns are those of all pages and forms.
func Patterns() []string {
	all := new(Pages).routes()
	maps.Copy(all, new(Pages).guarded())
	return slices.Sorted(maps.Keys(all))
}

// TestFresh walks all forms: what gives access away or leads mail elsewhere is done
// only for somebody who has just said who they are, or there is a reason why not.
func TestFresh(t *testing.T) {
	old := map[string]string{
		"POST /me/devices/remove":       "a stolen phone has to be shut out quickly",
		"POST /me/away":                 "an answer, at most one a week to each",
		"POST /me/away/off":             "no answer",
		"POST /me/name":                 "a name and a language",
		"POST /me/signins/not-me":       "who has got in has to be shut out quickly",
		"POST /me/security/password":    "it asks for the old one itself",
		"POST /me/security/session/end": "it takes access away",
		"POST /me/security/others":      "it takes access away",
	}
	open := new(Pages).routes()
	for _, pattern := range slices.Sorted(maps.Keys(open)) {
		if strings.HasPrefix(pattern, "POST ") && old[pattern] == "" {
			t.Errorf("%s is done for a sign-in of long ago", pattern)
		}
	}
	for pattern := range old {
		if open[pattern] == nil {
			t.Errorf("there is no %s any more", pattern)
		}
	}
}
