package certs

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"homemail/words"

	"github.com/mholt/acmez/v3/acme"
)

// explain says in one sentence, or two, why an order failed and what to do.
func (k *keeper) explain(err error, name, way string) Text {
	var p acme.Problem
	var provider providerError
	var r *words.Reason
	switch {
	case errors.As(err, &provider):
		return sentences(words.Say("certs.provider", "name", name, "said", provider.error).Text())
	case errors.As(err, &p):
		return k.explainProblem(p, name, way)
	case certificateError(err):
		return words.Say("certs.untrusted", "ca", k.caName()).Text()
	case errors.Is(err, errAway), errors.As(err, new(net.Error)):
		return words.Say("certs.away", "ca", k.caName()).Text()
	case errors.As(err, &r):
		return sentences(r.Text)
	case errors.Is(err, errUnseen):
		return words.Say("certs.unseen", "name", name).Text()
	}
	return sentences(words.Say("certs.none", "said", err).Text())
}

func certificateError(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) || errors.As(err, new(x509.CertificateInvalidError))
}

// explainProblem goes by the types of RFC 8555 §6.7.
func (k *keeper) explainProblem(p acme.Problem, name, way string) Text {
	if len(p.Subproblems) > 0 && kind(p) == "compound" {
		return k.explainProblem(p.Subproblems[0].Problem, name, way)
	}
	port := map[string]string{acme.ChallengeTypeHTTP01: "80", acme.ChallengeTypeTLSALPN01: "443"}[way]
	switch what := kind(p); {
	case what == "caa":
		return words.Say("certs.caa", "ca", k.caName(), "name", name).Text()
	case port != "" && (what == "connection" || what == "tls" || strings.Contains(strings.ToLower(p.Detail), "failed to connect")):
		return words.Say("certs.closed", "port", port, "name", name).Text()
	case what == "dns", what == "connection":
		return sentences(words.Say("certs.dns", "name", name, "said", p.Detail).Text())
	case (what == "unauthorized" || what == "incorrectResponse" || what == "tls") && port != "":
		return words.Say("certs.elsewhere", "port", port, "name", name).Text()
	case what == "unauthorized" || what == "incorrectResponse":
		return sentences(words.Say("certs.refused-check", "name", name, "said", p.Detail).Text())
	case what == "rateLimited":
		if until := retryAfter(p, time.Now()); !until.IsZero() {
			return words.Say("certs.limited-until", "until", clockTime(until)).Text()
		}
		return words.Say("certs.limited").Text()
	case what == "rejectedIdentifier", what == "unsupportedIdentifier":
		return sentences(words.Say("certs.not-for-name", "name", name, "said", p.Detail).Text())
	case what == "externalAccountRequired":
		return words.Say("certs.account").Text()
	case what == "userActionRequired":
		return sentences(words.Say("certs.agreement", "page", p.Instance).Text())
	case what == "invalidContact", what == "unsupportedContact":
		return sentences(words.Say("certs.contact", "said", p.Detail).Text())
	case what == "serverInternal", what == "badNonce", p.Status >= 500:
		return words.Say("certs.broken", "ca", k.caName()).Text()
	}
	return sentences(words.Say("certs.refused", "said", p.Detail).Text())
}

// kind is a problem's type without its namespace.
func kind(p acme.Problem) string { return strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace) }

const untilWords = "retry after "

// retryAfter is when the CA will take an order again, at most a week from now.
// Its problem says so in words, as Let's Encrypt has them: "retry after
// 2026-05-01 12:00:00 UTC". It is zero if there is nothing of the kind.
func retryAfter(err error, now time.Time) time.Time {
	var p acme.Problem
	if !errors.As(err, &p) || kind(p) != "rateLimited" {
		return time.Time{}
	}
	_, text, found := strings.Cut(strings.ToLower(p.Detail), untilWords)
	if !found {
		return time.Time{}
	}
	text = strings.ToUpper(text)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if len(text) < len(layout) {
			continue
		}
		if t, err := time.Parse(layout, text[:len(layout)]); err == nil && t.After(now) {
			return now.Add(min(t.Sub(now), week))
		}
	}
	return time.Time{}
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
