package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mholt/acmez/v3/acme"
)

// explain says in one sentence, or two, why an order failed and what to do.
func (k *keeper) explain(err error, name, way string) string {
	var p acme.Problem
	var provider providerError
	switch {
	case errors.As(err, &provider):
		return sentence(fmt.Sprintf("The DNS host did not take the record for the check of %s: see whether its token is right and may change that domain. It said: %v", name, provider.error))
	case errors.As(err, &p):
		return k.explainProblem(p, name, way)
	case certificateError(err):
		return fmt.Sprintf("What answers as %s has no certificate that can be trusted: the clock here is wrong, or something in between answers in its place.", k.caName())
	case errors.Is(err, errAway), errors.As(err, new(net.Error)):
		return fmt.Sprintf("%s cannot be reached just now. Nothing for you to do: we try again.", k.caName())
	case errors.Is(err, errLimited):
		return sentence(err.Error())
	case errors.Is(err, errUnseen):
		return fmt.Sprintf("The record _acme-challenge.%s was given to the DNS host, but its servers did not show it in time. Nothing for you to do, unless it goes on: then see whether the domain is really at that DNS host.", name)
	}
	return sentence("no certificate could be got: " + err.Error())
}

func certificateError(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) || errors.As(err, new(x509.CertificateInvalidError))
}

// explainProblem goes by the types of RFC 8555 §6.7.
func (k *keeper) explainProblem(p acme.Problem, name, way string) string {
	if len(p.Subproblems) > 0 && kind(p) == "compound" {
		return k.explainProblem(p.Subproblems[0].Problem, name, way)
	}
	port := map[string]string{acme.ChallengeTypeHTTP01: "80", acme.ChallengeTypeTLSALPN01: "443"}[way]
	said := ": " + p.Detail
	switch what := kind(p); {
	case what == "caa":
		return fmt.Sprintf("A CAA record of the domain forbids %s to give a certificate for %s: name this CA in it, or take it away.", k.caName(), name)
	case port != "" && (what == "connection" || what == "tls" || strings.Contains(strings.ToLower(p.Detail), "failed to connect")):
		return fmt.Sprintf("The CA could not connect to port %s of %s: open it on the router, and see whether the A and AAAA records are the address of this house.", port, name)
	case what == "dns", what == "connection":
		return sentence("the CA found nothing usable in the DNS for " + name + ", so see to its A and AAAA records and the domain's name servers" + said)
	case (what == "unauthorized" || what == "incorrectResponse" || what == "tls") && port != "":
		return fmt.Sprintf("Something else answers on port %s of %s: the A or AAAA record, or the router's forwarding, leads to another machine.", port, name)
	case what == "unauthorized" || what == "incorrectResponse":
		return sentence(fmt.Sprintf("the CA refused, or did not find the record _acme-challenge.%s where it looked%s", name, said))
	case what == "rateLimited":
		if until := retryAfter(p, time.Now()); !until.IsZero() {
			return "The CA gives no more certificates for this domain until " + clockTime(until) + ". Nothing for you to do but wait."
		}
		return "The CA gives no more certificates for this domain for some time. Nothing for you to do but wait."
	case what == "rejectedIdentifier", what == "unsupportedIdentifier":
		return sentence("the CA gives no certificate for " + name + said)
	case what == "externalAccountRequired":
		return "This CA serves only those who have an account with it already: choose another CA."
	case what == "userActionRequired":
		return sentence("the CA wants you to agree to something first, see " + p.Instance)
	case what == "invalidContact", what == "unsupportedContact":
		return sentence("the CA does not take the mail address that is in the settings for it" + said)
	case what == "serverInternal", what == "badNonce", p.Status >= 500:
		return k.caName() + " is out of order just now. Nothing for you to do: we try again."
	}
	return sentence("the CA refused" + said)
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

const maxSentence = 400 // bytes of what a stranger's words may make

// sentence makes a sentence of an error: on one line, not too long, nothing in
// it that a terminal would obey.
func sentence(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(s) > maxSentence {
		s = s[:maxSentence]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		s = strings.TrimRight(s, " ") + "…"
	}
	if s == "" {
		return ""
	}
	if first, _, _ := strings.Cut(s, " "); !strings.Contains(strings.TrimRight(first, ".,:;"), ".") { // else it is a name
		r, n := utf8.DecodeRuneInString(s)
		s = string(unicode.ToUpper(r)) + s[n:]
	}
	if !strings.ContainsAny(s[len(s)-1:], ".!?") && !strings.HasSuffix(s, "…") {
		s += "."
	}
	return s
}
