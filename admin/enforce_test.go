package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"homemail/dnsplan"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/outbound"
	"homemail/queue"
	"homemail/relay"
	"homemail/reports"
	"homemail/store"
)

// nowhere is a way out that nothing takes.
type nowhere struct{ queue.Transport }

func (nowhere) Hop(mail.Path, string, int) string { return "" }

// TestLeavingEnforce: no door leads out of MTA-STS while others hold to it, but
// that of RFC 8461 §8.3 and force.
func TestLeavingEnforce(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	book, err := outbound.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	h := &House{Store: s, Book: book, Keys: outbound.NewKeyring(s), Queue: queue.New(queue.Options{Store: s, Transport: nowhere{}}), Reports: reports.NewBook(s, reports.Options{})}
	do := func(name, request string) error {
		_, err := h.Do(t.Context(), name, json.RawMessage(request))
		return err
	}
	must := func(name, request string) {
		t.Helper()
		if err := do(name, request); err != nil {
			t.Fatalf("%s %s: %v", name, request, err)
		}
	}
	doors := [][2]string{
		{"route.set", `{"domain":"default","way":""`}, {"route.remove", `{"domain":"default"`}, {"domain.remove", `{"address":"Example.test"`},
	}
	shut := func(want string) {
		t.Helper()
		for _, d := range doors {
			if err := do(d[0], d[1]+"}"); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", d[0], err)
			}
		}
	}
	set := func(mode string) {
		t.Helper()
		if _, err := h.Reports.SetPolicy("example.test", "", mode); err != nil {
			t.Fatal(err)
		}
	}
	direct := `{"domain":"default","way":"` + string(relay.Direct) + `"}`
	must("domain.add", `{"address":"example.test"}`)
	must("route.set", direct)
	must("route.remove", `{"domain":"default"}`) // on trial nobody is held
	must("route.set", direct)
	set("enforce")
	shut("-sts none")
	must("route.set", `{"domain":"elsewhere.test","way":""}`) // is not where mail comes in
	must("route.remove", `{"domain":"elsewhere.test"}`)
	set("none")
	shut("until " + time.Now().Add(dnsplan.STSHeld).Format("2006-"))
	must("route.remove", `{"domain":"default","force":true}`)
	must("route.set", direct)
	must("domain.remove", `{"address":"example.test","force":true}`)
}

// TestHeld: in two weeks nobody holds to what was taken back.
func TestHeld(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		p    reports.Policy
		held bool
	}{
		{reports.Policy{STS: "testing"}, false},
		{reports.Policy{STS: "none"}, false},
		{reports.Policy{STS: "enforce"}, true},
		{reports.Policy{STS: "enforce", STSEnforced: now.Add(-2 * dnsplan.STSHeld)}, true}, // again
		{reports.Policy{STS: "none", STSEnforced: now.Add(-dnsplan.STSHeld + time.Hour)}, true},
		{reports.Policy{STS: "testing", STSEnforced: now.Add(-dnsplan.STSHeld + time.Hour)}, true},
		{reports.Policy{STS: "none", STSEnforced: now.Add(-dnsplan.STSHeld - time.Hour)}, false},
		{reports.Policy{STS: "none", STSEnforced: now.Add(time.Hour)}, true}, // the clock went back
	} {
		if got := held("example.test", tt.p, now); !got.IsZero() != tt.held {
			t.Errorf("%+v: %q", tt.p, got)
		}
	}
}
