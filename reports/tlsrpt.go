package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	maxJSON     = 1 << 20 // bytes; the decoder holds all of it
	maxPolicies = 64      // of a report: one for each domain and kind
	maxFailures = 256     // of a policy
)

// TLS is a report on encryption, RFC 8460 §4.4.
type TLS struct {
	Org, Contact, ID string
	Begin, End       time.Time
	Policies         []TLSPolicy
}

// TLSPolicy is how sessions went under one policy of ours.
type TLSPolicy struct {
	Type              string // sts, tlsa or no-policy-found
	Domain            string
	Successes, Failed int64
	Failures          []TLSFailure
}

// TLSFailure is one way in which sessions failed.
type TLSFailure struct {
	Type   string     // §4.3
	From   netip.Addr // of the sender; not valid if it is not said
	MX     string
	Count  int64
	Reason string // in the sender's words
}

// A some is a list that takes no more than a bound from the JSON: a million
// empty objects are three megabytes there, and half a gigabyte here. One object
// instead of a list is a list of one.
type some[T any, B bound] []T

type bound interface{ most() int }

type (
	policyBound  struct{}
	failureBound struct{}
)

func (policyBound) most() int  { return maxPolicies }
func (failureBound) most() int { return maxFailures }

func (s *some[T, B]) UnmarshalJSON(b []byte) error {
	var most B
	if len(b) > 0 && b[0] == '{' {
		var one T
		err := json.Unmarshal(b, &one)
		*s = some[T, B]{one}
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		if len(*s) >= most.most() {
			return fmt.Errorf("%w: a list has over %d entries", ErrTooBig, most.most())
		}
		var one T
		if err := d.Decode(&one); err != nil {
			return err
		}
		*s = append(*s, one)
	}
	return nil
}

// A word is a string; what is of another type, as some reporters have it, is
// none.
type word string

func (w *word) UnmarshalJSON(b []byte) error {
	var s string
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	*w = word(clean(s[:min(len(s), maxText)]))
	return nil
}

// A number is one in quotes or without.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	v, _ := strconv.ParseInt(strings.Trim(string(b[:min(len(b), 32)]), `"`), 10, 64)
	*n = number(max(0, min(v, maxCount)))
	return nil
}

type tlsJSON struct {
	Org     word `json:"organization-name"`
	Contact word `json:"contact-info"`
	ID      word `json:"report-id"`
	Range   struct {
		Begin word `json:"start-datetime"`
		End   word `json:"end-datetime"`
	} `json:"date-range"`
	Policies some[policyJSON, policyBound] `json:"policies"`
}

type policyJSON struct {
	Policy struct {
		Type   word `json:"policy-type"`
		Domain word `json:"policy-domain"`
	} `json:"policy"`
	Summary struct {
		Successes number `json:"total-successful-session-count"`
		Failures  number `json:"total-failure-session-count"`
	} `json:"summary"`
	Failures some[failureJSON, failureBound] `json:"failure-details"`
}

type failureJSON struct {
	Type   word   `json:"result-type"`
	From   word   `json:"sending-mta-ip"`
	MX     word   `json:"receiving-mx-hostname"`
	Count  number `json:"failed-session-count"`
	Reason word   `json:"failure-reason-code"`
	Info   word   `json:"additional-information"`
}

func parseTLS(r io.Reader) (*TLS, error) {
	b, err := io.ReadAll(&bounded{r: r, left: maxJSON})
	if err != nil {
		return nil, noReport(err)
	}
	var j tlsJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, noReport(err)
	}
	t := &TLS{Org: string(j.Org), Contact: string(j.Contact), ID: string(j.ID), Begin: moment(string(j.Range.Begin)), End: moment(string(j.Range.End))}
	for _, p := range j.Policies {
		if pol, ok := p.policy(); ok {
			t.Policies = append(t.Policies, pol)
		}
	}
	if len(t.Policies) == 0 {
		return nil, fmt.Errorf("%w: it has no policies", ErrNoReport)
	}
	return t, badRange(t.Begin, t.End)
}

func (p policyJSON) policy() (TLSPolicy, bool) {
	out := TLSPolicy{
		Type: strings.ToLower(string(p.Policy.Type)), Domain: domain(string(p.Policy.Domain)),
		Successes: int64(p.Summary.Successes), Failed: int64(p.Summary.Failures),
	}
	for _, f := range p.Failures {
		reason := f.Reason
		if reason == "" {
			reason = f.Info
		}
		from, _ := netip.ParseAddr(string(f.From))
		out.Failures = append(out.Failures, TLSFailure{
			Type: strings.ToLower(string(f.Type)), From: from.Unmap().WithZone(""), MX: domain(string(f.MX)),
			Count: int64(f.Count), Reason: string(reason),
		})
	}
	return out, out.Domain != ""
}
