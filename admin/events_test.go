package admin

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"homemail/events"
	"homemail/internal/storetest"
	"homemail/mail"
)

// TestAudit notes what was changed, by whom and through which face, whether it
// worked, and no secret; what only looks is not noted.
func TestAudit(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	h := &House{Store: s, Events: events.New(s, events.Options{})}
	do := func(name string, request any) (any, error) {
		b, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		return h.Do(WithActor(t.Context(), Actor{Door: "web", Who: "anna@house.test", Remote: "192.0.2.1"}), name, b)
	}
	if err := s.AddDomain("house.test"); err != nil {
		t.Fatal(err)
	}
	secret := "vellum otter quarry 39 lintel"
	for _, step := range []struct {
		name    string
		request any
	}{
		{"account.add", AddAccount{Address: "bob@house.test", Name: "Bob"}},
		{"account.change", Change{Address: "bob@house.test", Password: &secret}},
		{"device.add", AddDevice{Address: "bob@house.test", Name: "phone"}},
		{"account.list", Empty{}},
		{"alias.add", Alias{Address: "info@house.test", To: []mail.Path{"bob@house.test"}}},
		{"alias.remove", Address{Address: "none@house.test"}},
	} {
		do(step.name, step.request)
	}
	answer, err := do("events.find", FindEvents{Kinds: []events.Kind{events.Changed}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range answer.(Events).Events {
		got = append(got, e.Words.What)
		if e.Remote != "192.0.2.1" {
			t.Errorf("%+v", e)
		}
	}
	want := []string{
		"anna@house.test tried this (web page), and it did not work: removed an alias: none@house.test",
		"anna@house.test did this (web page): set an alias: info@house.test, bob@house.test",
		"anna@house.test did this (web page): made a device password: bob@house.test, phone",
		"anna@house.test did this (web page): changed an account: bob@house.test",
		"anna@house.test did this (web page): added an account: bob@house.test, Bob",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("noted:\n%s", strings.Join(got, "\n"))
	}
	if b, _ := json.Marshal(answer); strings.Contains(string(b), "otter") {
		t.Errorf("a secret was noted: %s", b)
	}
	if _, err := do("events.find", FindEvents{Kinds: []events.Kind{"nonsense"}}); err == nil {
		t.Error("a kind that is none was taken")
	}
	if _, err := do("events.trace", TraceEvents{ID: "none"}); err == nil {
		t.Error("the way of nothing")
	}
}

// TestOperationsHaveWords: what changes something has words in the audit log.
func TestOperationsHaveWords(t *testing.T) {
	all := operations()
	maps.Copy(all, publishOperations())
	for name := range all {
		if e := (events.Event{Kind: events.Changed, What: name}); changes(name) && strings.Contains(e.Words("en").What, ": "+name) {
			t.Errorf("the operation %s changes something and has no words in package events, or only looks and is not among those", name)
		}
	}
}
