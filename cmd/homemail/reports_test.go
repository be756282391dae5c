package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"homemail/admin"
	"homemail/certs"
	"homemail/reports"
)

func TestTellReports(t *testing.T) {
	r := admin.DomainReports{
		Overview: reports.Overview{
			Domain: "example.test", Days: []reports.Day{{Date: "2026-03-01", Passed: 41, Failed: 2, Forged: 9, Sessions: 5, Broken: 1}},
			Sources:  []reports.Source{{IP: "192.0.2.1", Kind: reports.Own, Passed: 41, Failed: 2, Last: "2026-03-01"}, {IP: "192.0.2.66", Kind: reports.Stranger, Failed: 9, Last: "2026-03-01"}},
			DMARC:    []reports.Reporter{{Domain: "google.com", Counts: true, Reports: 1, Passed: 41, Failed: 11, Last: "2026-03-01"}, {Domain: "evil.test", Reports: 1}},
			TLS:      []reports.Reporter{{Domain: "google.com", Counts: true, Reports: 1, Passed: 5, Failed: 1}},
			Failures: []reports.Failure{{Type: "certificate-expired", MX: "mx.example.test", Count: 1, Last: "2026-03-01"}},
			Odd:      reports.Odd{Unproven: 3},
		},
		NextDMARC: reports.Proposal{Now: "none", Next: "quarantine", Ready: true, Why: reports.Text{EN: "Because.", JA: "だから。"}},
		NextSTS:   reports.Proposal{Now: "testing", Next: "testing", Why: reports.Text{EN: "Wait.", JA: "待って。"}},
	}
	for lang, want := range map[string][]string{
		"en": {"homemail dns policy example.test -dmarc quarantine", "41 passed, 2 of your own failed, 9 of others", "192.0.2.66", "a stranger, unless",
			"evil.test", "no: nobody here wrote to it", "5 encrypted, 1 failed", "The certificate has expired", "reports mine example.test SOURCE", "3 of unproven origin"},
		"ja": {"だから。", "合格 41 通", "他人", "いいえ", "暗号化 5 件", "証明書の期限", "確かでない 3 通"},
	} {
		var out bytes.Buffer
		in := &invocation{stdout: &out, reader: lang}
		if err := in.tellReports(r, false); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: %q is missing in\n%s", lang, w, out.String())
			}
		}
		if strings.Contains(out.String(), "%!") || strings.Contains(out.String(), "-sts") {
			t.Errorf("%s:\n%s", lang, out.String())
		}
	}
}

// TestReportCommands: the words of none hide another's.
func TestReportCommands(t *testing.T) {
	for _, c := range reportCommands() {
		if c.name == "" || c.about == "" || c.setup == nil || c.min > c.max {
			t.Errorf("%+v", c)
		}
	}
}

// TestShows: which certificates let a day of MTA-STS be good.
func TestShows(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	list := []certs.Status{
		{Name: "mx.test", Shown: certs.Valid, NotAfter: now.Add(time.Hour)},
		{Name: "old.test", Shown: certs.Valid, NotAfter: now.Add(-time.Hour)},
		{Name: "self.test", Shown: certs.SelfSigned, NotAfter: now.Add(time.Hour)},
	}
	for name, want := range map[string]bool{"mx.test": true, "old.test": false, "self.test": false, "other.test": false} {
		if got := shows(list, nil, name, now); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
