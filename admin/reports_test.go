package admin

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"homemail/internal/storetest"
	"homemail/reports"
	"homemail/store"
)

func TestReports(t *testing.T) {
	s := storetest.Open(t, t.TempDir(), nil)
	h := &House{Store: s}
	do := func(name, request string, want error) any {
		t.Helper()
		got, err := h.Do(t.Context(), name, json.RawMessage(request))
		if !errors.Is(err, want) {
			t.Fatalf("%s %s: %v", name, request, err)
		}
		return got
	}
	if err := s.AddDomain("example.test"); err != nil {
		t.Fatal(err)
	}
	do("dns.policy", `{"domain":"example.test"}`, store.ErrInvalid) // nobody keeps a book
	h.Reports = reports.NewBook(s, reports.Options{})
	day := time.Now().UTC().Truncate(24 * time.Hour)
	err := h.Reports.Take(&reports.DMARC{Org: "Evil", ID: "1", Begin: day, End: day.Add(time.Hour), Domain: "example.test",
		Rows: []reports.Row{{Source: netip.MustParseAddr("192.0.2.1"), Count: 4, SPF: true}, {Source: netip.MustParseAddr("192.0.2.9"), Count: 2}}}, "evil.test")
	if err != nil {
		t.Fatal(err)
	}
	p := do("dns.policy", `{"domain":"Example.Test"}`, nil).(DomainPolicy)
	if p.Domain != "example.test" || p.Policy.DMARC != "none" || p.Policy.STS != "testing" || p.DMARC.Ready || p.DMARC.Why.EN == "" {
		t.Errorf("%+v", p)
	}
	do("dns.policy", `{"domain":"other.test"}`, store.ErrInvalid)
	do("dns.policy", `{"domain":"example.test","dmarc":"block"}`, store.ErrInvalid)
	do("dns.policy", `{"domain":"example.test","sts":"on"}`, store.ErrInvalid)
	h.Host, h.DNS = "mail.example.test", fixedDNS(nil) // in which there is no MX
	do("dns.policy", `{"domain":"example.test","sts":"enforce"}`, store.ErrInvalid)
	do("dns.policy", `{"domain":"example.test","sts":"testing"}`, nil)
	p = do("dns.policy", `{"domain":"example.test","dmarc":"quarantine"}`, nil).(DomainPolicy)
	if p.Policy.DMARC != "quarantine" || p.Policy.DMARCSince.IsZero() || !p.Policy.STSSince.IsZero() {
		t.Errorf("%+v", p)
	}
	look := func() DomainReports { t.Helper(); return do("reports.show", `{}`, nil).([]DomainReports)[0] }
	if r := look(); len(r.DMARC) != 1 || r.DMARC[0].Counts || len(r.Sources) != 0 {
		t.Errorf("a stranger's: %+v", r)
	}
	do("reports.trust", `{"reporter":"evil.test","trust":"maybe"}`, store.ErrInvalid)
	do("reports.trust", `{"reporter":"evil.test","trust":"believed"}`, nil)
	do("reports.mine", `{"domain":"example.test","source":"shop","mine":true}`, store.ErrInvalid)
	do("reports.mine", `{"domain":"example.test","source":"192.0.2.9","mine":true}`, nil)
	if r := look(); len(r.Sources) != 2 || r.Sources[1].Kind != reports.Mine || r.Days[0].DMARC != reports.Unclean {
		t.Errorf("%+v", r)
	}
	b, err := json.Marshal(look())
	var back DomainReports
	if err != nil || json.Unmarshal(b, &back) != nil || back.Domain != "example.test" || len(back.Sources) != 2 || back.NextDMARC.Why.JA == "" {
		t.Errorf("%s, %v", b, err)
	}
}
