package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"homemail/words"

	"github.com/mholt/acmez/v3/acme"
)

// TestExplain: what the CA says becomes a sentence that says what to do.
func TestExplain(t *testing.T) {
	const h, a, d = acme.ChallengeTypeHTTP01, acme.ChallengeTypeTLSALPN01, acme.ChallengeTypeDNS01
	p := func(kind, detail string) error {
		return fmt.Errorf("solving: %w", acme.Problem{Type: acme.ProblemTypeNamespace + kind, Status: 403, Detail: detail})
	}
	soon := time.Now().UTC().Add(48 * time.Hour)
	k := &keeper{o: ACME{Directory: "https://ca.test/dir"}}
	for _, tt := range []struct {
		err  error
		way  string
		want string
	}{
		{p("caa", "CAA record for a.test prevents issuance"), h, "A CAA record of the domain forbids ca.test"},
		{p("connection", "Timeout during connect (likely firewall problem)"), h, "could not connect to port 80 of mail.a.test: open it on the router"},
		{p("connection", "Connection refused"), a, "could not connect to port 443 of mail.a.test"},
		{p("tls", "remote error"), a, "could not connect to port 443"},
		{p("unauthorized", "192.0.2.1: Invalid response from http://mail.a.test/: 404"), h, "Something else answers on port 80 of mail.a.test"},
		{p("unauthorized", "Cannot negotiate ALPN protocol"), a, "Something else answers on port 443"},
		{p("unauthorized", "No TXT record found"), d, "did not find the record _acme-challenge.mail.a.test where it looked: No TXT record found."},
		{p("dns", "DNS problem: NXDOMAIN looking up A for mail.a.test"), h, "see to its A and AAAA records and the domain's name servers: DNS problem: NXDOMAIN"},
		{p("rateLimited", "too many certificates (5) already issued, retry after "+soon.Format("2006-01-02 15:04:05")+" UTC: see https://"), h, "no more certificates for this domain until " + clockTime(soon)},
		{p("rateLimited", "slow down"), h, "for some time"},
		{p("rejectedIdentifier", "forbidden by policy"), h, "The CA gives no certificate for mail.a.test: forbidden by policy."},
		{p("externalAccountRequired", ""), h, "choose another CA"},
		{p("invalidContact", "bad domain"), h, "mail address that is in the settings for it: bad domain."},
		{p("serverInternal", "oops"), h, "ca.test is out of order"},
		{p("badNonce", "oops"), h, "ca.test is out of order"},
		{fmt.Errorf("x: %w", acme.Problem{Type: "about:blank", Status: 503}), h, "ca.test is out of order"},
		{p("malformed", "what\r\n is\x1b[31m this"), h, "The CA refused: what is [31m this."},
		{fmt.Errorf("x: %w", acme.Problem{Type: acme.ProblemTypeCompound, Subproblems: []acme.Subproblem{{Problem: acme.Problem{Type: acme.ProblemTypeCAA}}}}), h, "CAA record"},
		{fmt.Errorf("x: %w", providerError{errors.New("403 token")}), d, "whether its token is right and may change that domain. It said: 403 token."},
		{fmt.Errorf("%w: %w", errAway, &net.OpError{Op: "dial", Err: errors.New("refused")}), h, "ca.test cannot be reached just now. Nothing for you to do"},
		{&net.DNSError{Err: "timeout", IsTimeout: true}, h, "cannot be reached just now"},
		{fmt.Errorf("%w: %w", errAway, x509.UnknownAuthorityError{}), h, "the clock here is wrong, or something in between"},
		{fmt.Errorf("x: %w", words.Because(errLimited, "certs.limit", "wait", "5m")), h, "As many certificates as allowed were ordered; the next may be in 5m."},
		{fmt.Errorf("x: %w", errUnseen), d, "its servers did not show it in time"},
		{errors.New("disk full"), h, "No certificate could be got: disk full."},
	} {
		got := k.explain(tt.err, "mail.a.test", tt.way)
		if !strings.Contains(got.EN, tt.want) {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
		checkText(t, got)
	}
}

// checkText: the Japanese is Japanese, and both are sentences.
func checkText(t *testing.T, got Text) {
	t.Helper()
	if !strings.ContainsFunc(got.JA, func(r rune) bool { return unicode.In(r, unicode.Hiragana) }) {
		t.Errorf("%q is no Japanese", got.JA)
	}
	if strings.Contains(got.EN+got.JA, "%!") || strings.ContainsAny(got.EN+got.JA, "{}") {
		t.Errorf("%q: a value has no place", got)
	}
	checkSentence(t, got.EN)
	checkSentence(t, strings.TrimSuffix(got.JA, "。")+".")
}

func checkSentence(t *testing.T, s string) {
	t.Helper()
	if utf8.RuneCountInString(s) > maxSentence+300 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) || s != "" && !strings.ContainsAny(s[len(s)-1:], ".!?") && !strings.HasSuffix(s, "…") {
		t.Errorf("%q is no sentence", s)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for detail, want := range map[string]time.Duration{
		"too many, retry after 2026-05-02 12:00:00 UTC: see https://x": 24 * time.Hour,
		"Retry After 2026-05-01T13:00:00Z":                             time.Hour,
		"retry after 2036-05-01 12:00:00 UTC":                          week,
		"retry after 2020-05-01 12:00:00 UTC":                          0,
		"retry after 24h":                                              0,
		"retry after ":                                                 0,
		"":                                                             0,
	} {
		got := retryAfter(acme.Problem{Type: acme.ProblemTypeRateLimited, Detail: detail}, now)
		if want == 0 && !got.IsZero() || want > 0 && !got.Equal(now.Add(want)) {
			t.Errorf("%q: %v", detail, got)
		}
	}
	if !retryAfter(errPort, now).IsZero() {
		t.Error("of another problem")
	}
}

// FuzzExplain: whatever a CA says, it makes one printable, bounded line, and no
// wait of more than a week.
func FuzzExplain(f *testing.F) {
	for _, kind := range []string{"caa", "connection", "unauthorized", "rateLimited", "compound", "malformed", "userActionRequired", ""} {
		f.Add(kind, "retry after 2026-05-02 12:00:00 UTC", "https://ca.test/terms", 403)
		f.Add(kind, "\x1b]0;x\a\r\n\u202e\xff", strings.Repeat("é", 1000), 500)
	}
	k := &keeper{o: ACME{Directory: "https://ca.test/dir"}}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, kind, detail, instance string, status int) {
		p := acme.Problem{Type: acme.ProblemTypeNamespace + kind, Detail: detail, Instance: instance, Status: status}
		all := acme.Problem{Type: acme.ProblemTypeCompound, Subproblems: []acme.Subproblem{{Problem: p}}}
		for _, err := range []error{p, all, providerError{errors.New(detail)}, errors.New(detail)} {
			for _, way := range ways {
				got := k.explain(err, "mail.a.test", way)
				if got.EN == "" {
					t.Errorf("%v: nothing is said", err)
				}
				checkSentence(t, got.EN)
				checkSentence(t, strings.TrimSuffix(got.JA, "。")+".")
			}
			if until := retryAfter(err, now); !until.IsZero() && (until.Before(now) || until.After(now.Add(week))) {
				t.Errorf("%q: until %v", detail, until)
			}
		}
	})
}

func TestSentenceOfAName(t *testing.T) {
	for in, want := range map[string]string{
		"mail.example.test is not in the DNS yet": "mail.example.test is not in the DNS yet.",
		"mail.example.test: no":                   "mail.example.test: no.",
		"no. 5 is alive!":                         "No. 5 is alive!",
		"":                                        "",
	} {
		if got := sentence(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestReason: whoever asks why gets both languages, also of an error that knows
// only one.
func TestReason(t *testing.T) {
	for _, err := range []error{ErrNoConsent, errNoWay, errors.New("disk full"), fmt.Errorf("x: %w", ErrNoConsent)} {
		checkText(t, reason(err))
	}
	if got := reason(ErrNoConsent); got.In("ja-JP") != got.JA || got.In("en") != got.EN || got.In("") != got.EN {
		t.Errorf("%+v", got)
	}
	if !errors.Is(words.Because(errLimited, "certs.limit"), errLimited) || got(Text{}) != "" {
		t.Error("a Reason hides what is behind it")
	}
}

func got(t Text) string { t = sentences(t); return t.EN + t.JA }
