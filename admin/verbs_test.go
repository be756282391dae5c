package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// TestOperations holds what is told of the operations against what they are.
func TestOperations(t *testing.T) {
	all := allOperations()
	told := map[string]Operation{}
	for _, o := range Operations() {
		if _, twice := told[o.Name]; twice {
			t.Errorf("%s is told twice", o.Name)
		}
		told[o.Name] = o
		if o.About == "" || !strings.HasSuffix(o.About, ".") {
			t.Errorf("%s has no description", o.Name)
		}
		if all[o.Name] == nil {
			t.Errorf("there is no operation %s", o.Name)
		}
		if changes(o.Name) && !o.Changes && o.Scope != ScopeNone {
			t.Errorf("%s changes something, and ScopeRead would allow it", o.Name)
		}
	}
	for name, run := range all {
		o, ok := told[name]
		if !ok {
			t.Errorf("%s has no row in verbs.go", name)
			continue
		}
		// A list is no request: the decoder says what it would have taken.
		_, err := run(t.Context(), nil, json.RawMessage("[]"))
		var bad *json.UnmarshalTypeError
		if !errors.As(err, &bad) || bad.Type != o.Request {
			t.Errorf("%s takes %v, and verbs.go says %v", name, bad, o.Request)
		}
	}
}

func TestAllowed(t *testing.T) {
	by := map[string]Operation{}
	for _, o := range Operations() {
		by[o.Name] = o
	}
	for _, tt := range []struct {
		operation string
		scope     Scope
		want      bool
	}{
		{"account.list", ScopeRead, true},
		{"account.list", ScopePeople, true},
		{"account.list", ScopeMail, false},
		{"account.list", ScopeMetrics, false},
		{"account.list", ScopeNone, false},
		{"account.add", ScopeRead, false},
		{"account.add", ScopePeople, true},
		{"account.add", ScopeAll, true},
		{"queue.remove", ScopeMail, true},
		{"queue.remove", ScopeSettings, false},
		{"mx.switch", ScopeNames, true},
		{"setting.set", ScopeSettings, true},
		{"check", ScopeRead, false},
		{"bridge.fetch", ScopeRead, false},
		{"smarthost.test", ScopeRead, false},
		{"owner.list", ScopeAll, false},
		{"owner.reset", ScopeAll, false},
		{"password.reset", ScopePeople, false},
		{"password.verify", ScopeRead, false},
		{"token.add", ScopeAll, false},
		{"token.remove", ScopeAll, false},
	} {
		if got := by[tt.operation].Allowed([]Scope{tt.scope}); got != tt.want {
			t.Errorf("%s with %q: %v", tt.operation, tt.scope, got)
		}
	}
}
