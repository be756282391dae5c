package reports

import (
	"strings"
	"testing"
	"time"

	"homemail/mail/message"
)

// TestWords says everything that can be said, in both languages: no verb is
// left over, and whoever is told to do something is told what.
func TestWords(t *testing.T) {
	now := time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)
	clean := Day{Date: "2026-03-19", DMARC: Clean, Passed: 5, TLS: Clean, Sessions: 7}
	bad := Day{Date: "2026-03-18", DMARC: Unclean, Passed: 2, Failed: 1, TLS: Unclean, Broken: 1}
	ago := Day{Date: "2026-03-01", DMARC: Unclean, Passed: 2, Failed: 1, TLS: Unclean, Broken: 1}
	seen := map[string]bool{}
	for _, policy := range dmarcPolicies {
		for i, mode := range stsModes {
			for _, days := range [][]Day{nil, {clean}, {clean, bad}, {clean, ago}} {
				for _, n := range []int{0, 1, 14} {
					o := Overview{Policy: Policy{DMARC: policy, STS: mode}, Days: days, CleanDays: n, GoodDays: n}
					for name, p := range map[string]Proposal{"DMARC": o.ProposeDMARC(now), "STS": o.ProposeSTS(now)} {
						if i > 0 && name == "DMARC" {
							continue
						}
						seen[p.Why.EN] = true
						for _, s := range []string{p.Why.EN, p.Why.JA} {
							if s == "" || strings.ContainsAny(s, "%{") || !strings.HasSuffix(strings.TrimSuffix(s, "。"), ".") && s == p.Why.EN {
								t.Errorf("%s %+v", name, p)
							}
						}
						if p.Ready != (p.Next != p.Now) {
							t.Errorf("%s proposes what is there, or nothing: %+v", name, p)
						}
						if p.Ready && !strings.Contains(p.Why.EN, p.Next) {
							t.Errorf("%s does not name what is proposed: %+v", name, p)
						}
					}
				}
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d sentences", len(seen))
	}
	for _, kind := range []string{"starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "validation-failure",
		"sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid", "tlsa-invalid", "dnssec-invalid", "dane-required"} { // RFC 8460 §4.3
		r := Failure{Type: kind}.Remedy()
		if r == (Failure{Type: unexplained}).Remedy() || r.JA == "" || strings.ContainsAny(r.EN+r.JA, "%{") {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func TestPolicy(t *testing.T) {
	if p := decodePolicy(nil); p.DMARC != "none" || p.STS != "testing" {
		t.Errorf("%+v", p)
	}
	if p := decodePolicy([]byte(`{"dmarc":"evil","sts":"enforce"}`)); p.DMARC != "none" || p.STS != "enforce" {
		t.Errorf("%+v", p)
	}
}

// TestReporter: who a mail is proven to come from.
func TestReporter(t *testing.T) {
	for _, tt := range []struct{ results, from, want string }{
		{"mx.test; dmarc=pass header.from=google.com", "google.com", "google.com"},
		{"MX.test;\r\n\tspf=pass smtp.mailfrom=google.com;\r\n\tdkim=pass header.d=google.com header.s=a;\r\n\tdmarc=none", "google.com", "google.com"},
		{"mx.test; dkim=pass header.d=corp.google.com", "reports.google.com", "reports.google.com"},
		{"mx.test; dkim=pass header.d=amazonses.com; dmarc=fail header.from=google.com", "google.com", ""},
		{"mx.test; spf=pass smtp.mailfrom=google.com; dmarc=none", "google.com", ""},
		{`mx.test; dkim=fail reason="x; dmarc=pass header.from=google.com" header.d=a.test`, "google.com", ""},
		{`mx.test; dkim=fail reason="x\"; dmarc=pass header.from=google.com" header.d=a.test`, "google.com", ""},
		{"mx.test; dkim=fail (a; dmarc=pass header.from=google.com) header.d=a.test", "google.com", ""},
		{"other.test; dmarc=pass header.from=google.com", "google.com", ""},
		{"mx.test; dmarc=pass header.from=evil.test", "google.com", ""},
		{"mx.test", "google.com", ""}, {"", "google.com", ""}, {";", "", ""},
	} {
		a := readPrefix([]byte("Delivered-To: postmaster@example.test\r\nAuthentication-Results: "+tt.results+"\r\nAuthentication-Results: mx.test; dmarc=pass header.from=second.test\r\n"), "mx.test")
		if got := a.reporter(author(tt.from)); got != tt.want || a.to != "postmaster@example.test" {
			t.Errorf("%s: %q, to %s", tt.results, got, a.to)
		}
	}
	a := arrival{author: "google.com"}
	if got := a.reporter(append(author("google.com"), author("google.com")...)); got != "" {
		t.Errorf("of two authors: %q", got)
	}
}

func author(d string) []message.Address { return []message.Address{{Mailbox: "x", Host: d}} }
