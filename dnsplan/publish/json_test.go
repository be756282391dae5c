package publish

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"homemail/dnsplan"
)

// TestJSONNames: what leaves the program has names as all its JSON has, and comes
// back as it was.
func TestJSONNames(t *testing.T) {
	s := []Step{{Change: dnsplan.Change{Name: "example.org", Type: "MX"}, Was: []string{"10 a"}}}
	for _, v := range []any{
		&Changes{Zone: "example.org", Steps: s, MX: s, ByHand: make([]dnsplan.Result, 1), Elsewhere: make([]dnsplan.Record, 1), Unable: make([]dnsplan.Record, 1)},
		&Report{Done: s, NotDone: s, Unclear: s},
		&FormerMX{Values: []string{"10 a"}, TTL: time.Hour, Ours: []string{"10 b"}, At: time.Unix(1, 0).UTC()},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var names map[string]any
		if err := json.Unmarshal(b, &names); err != nil {
			t.Fatal(err)
		}
		for name := range names {
			if name != strings.ToLower(name) {
				t.Errorf("%T has %q", v, name)
			}
		}
	}
	var old FormerMX // as it was kept before its fields had these names
	if err := json.Unmarshal([]byte(`{"Values":["10 a"],"TTL":3600,"Ours":["10 b"],"At":"2026-01-01T00:00:00Z"}`), &old); err != nil || len(old.Values) != 1 || old.TTL != 3600 || len(old.Ours) != 1 || old.At.IsZero() {
		t.Errorf("%+v, %v", old, err)
	}
}
