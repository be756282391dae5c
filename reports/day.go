package reports

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	maxSources   = 100 // of one reporter on one day that are kept each for itself
	maxStrangers = 32  // reporters of a day that do not count: anybody can be one
	maxReporters = 128 // of a day, with those that count
	maxKinds     = 64  // of TLS failures of one reporter on one day
)

// A day is what was reported about a domain and a day, by the reporter's
// domain. It is kept as it came; what it means is found out when it is asked
// for, as the owner may say meanwhile who is believed and what is his.
type day struct {
	DMARC map[string]*tally    `json:"dmarc,omitempty"`
	TLS   map[string]*tlsTally `json:"tls,omitempty"`
	// Well and Ill say that our own hourly look found the certificate and the
	// policy to be as they must, and not.
	Well bool `json:"well,omitempty"`
	Ill  bool `json:"ill,omitempty"`
}

// A tally is what one reporter says of a day.
type tally struct {
	Org     string    `json:"org,omitempty"`
	Counts  bool      `json:"counts,omitempty"` // it had a reason to know, when it came
	Reports int       `json:"reports"`
	Sources []*source `json:"sources,omitempty"`
	More    source    `json:"more,omitzero"` // what did not find room
}

// A source is what one address sent on one day.
type source struct {
	IP     netip.Addr `json:"ip,omitzero"`
	Passed int64      `json:"passed,omitempty"`
	SPF    int64      `json:"spf,omitempty"` // of them, with SPF in line: it stands in our record
	Failed int64      `json:"failed,omitempty"`
	Ours   int64      `json:"ours,omitempty"` // of the failed, surely from us
	Broken int64      `json:"broken,omitempty"`
	Host   bool       `json:"host,omitempty"` // it had our own address
}

// A tlsTally is what one reporter says of sessions to us on a day.
type tlsTally struct {
	Org       string     `json:"org,omitempty"`
	Counts    bool       `json:"counts,omitempty"`
	Reports   int        `json:"reports"`
	Successes int64      `json:"successes,omitempty"`
	STS       int64      `json:"sts,omitempty"` // of them, under our policy: with the certificate verified
	Failed    int64      `json:"failed,omitempty"`
	Kinds     []*tlsKind `json:"kinds,omitempty"`
}

type tlsKind struct {
	Type   string `json:"type"`
	MX     string `json:"mx,omitempty"`
	Count  int64  `json:"count"`
	Reason string `json:"reason,omitempty"`
}

// room returns the entry of a reporter in a day, or nil if there is no room for
// it. Strangers cannot take the place of those that count.
func room[T any](m *map[string]*T, reporter string, counts bool, isCounted func(*T) bool) *T {
	if *m == nil {
		*m = make(map[string]*T)
	}
	if t, ok := (*m)[reporter]; ok {
		return t
	}
	strangers := 0
	for _, t := range *m {
		if !isCounted(t) {
			strangers++
		}
	}
	if !counts && strangers >= maxStrangers || len(*m) >= maxReporters {
		return nil
	}
	t := new(T)
	(*m)[reporter] = t
	return t
}

// ours says which domains and addresses are ours.
type ours struct {
	domain    func(string) bool
	addresses []netip.Addr
}

// add takes the rows of a report. What matters most goes first, in case that
// there is no room for all.
func (t *tally) add(rows []Row, is ours) {
	list := make([]source, 0, len(rows))
	for _, r := range rows {
		list = append(list, is.source(r))
	}
	slices.SortStableFunc(list, func(a, b source) int {
		return cmp.Or(cmp.Compare(b.Ours, a.Ours), cmp.Compare(b.Passed, a.Passed), cmp.Compare(b.Failed, a.Failed))
	})
	for i := range list {
		t.source(list[i].IP).add(list[i])
	}
}

func (t *tally) source(ip netip.Addr) *source {
	for _, s := range t.Sources {
		if s.IP == ip {
			return s
		}
	}
	if len(t.Sources) >= maxSources {
		return &t.More
	}
	t.Sources = append(t.Sources, &source{IP: ip})
	return t.Sources[len(t.Sources)-1]
}

func (s *source) add(o source) {
	s.Passed += o.Passed
	s.SPF += o.SPF
	s.Failed += o.Failed
	s.Ours += o.Ours
	s.Broken += o.Broken
	s.Host = s.Host || o.Host
}

// source tells what a row means. Mail that failed is surely ours if it comes
// from our address, or if SPF or DKIM passed for a domain of ours that is not
// the author's. A signature of ours that no longer holds is what a mailing list
// leaves behind, or a forger who copied it: it says nothing about us.
func (is ours) source(r Row) source {
	s := source{IP: r.Source, Host: slices.Contains(is.addresses, r.Source)}
	if r.Pass() {
		s.Passed = r.Count
		if r.SPF {
			s.SPF = r.Count
		}
		return s
	}
	s.Failed = r.Count
	if s.Host || slices.ContainsFunc(r.Passed, is.domain) {
		s.Ours = r.Count
		return s
	}
	if slices.ContainsFunc(r.Unsealed, is.domain) || slices.ContainsFunc(r.Reasons, isForward) {
		s.Broken = r.Count
	}
	return s
}

// isForward reports whether a receiver's reason to let mail pass says that
// somebody else passed it on, RFC 7489 appendix C.
func isForward(reason string) bool {
	return reason == "forwarded" || reason == "trusted_forwarder" || reason == "mailing_list"
}

func (t *tlsTally) add(p TLSPolicy) {
	t.Successes += p.Successes
	if p.Type == "sts" {
		t.STS += p.Successes
	}
	failed := p.Failed
	sum := int64(0)
	for _, f := range p.Failures {
		t.kind(f).Count += f.Count
		sum += f.Count
	}
	if failed > sum { // without a reason
		t.kind(TLSFailure{Type: unexplained}).Count += failed - sum
	}
	t.Failed += max(failed, sum)
}

// unexplained is the type of failures that come without one.
const unexplained = "unexplained"

func (t *tlsTally) kind(f TLSFailure) *tlsKind {
	for _, k := range t.Kinds {
		if k.Type == f.Type && k.MX == f.MX {
			return k
		}
	}
	k := &tlsKind{Type: f.Type, MX: f.MX, Reason: f.Reason}
	if len(t.Kinds) >= maxKinds {
		k = t.Kinds[maxKinds-1]
		k.Type, k.MX, k.Reason = unexplained, "", ""
		return k
	}
	t.Kinds = append(t.Kinds, k)
	return k
}

// Paths of state.
const (
	daysAt     = "reports/day/"    // then domain "/" date
	idsAt      = "reports/id/"     // then a digest
	policiesAt = "reports/policy/" // then domain
	trustAt    = "reports/trust/"  // then the reporter's domain
	mineAt     = "reports/mine/"   // then domain
	cursorsAt  = "reports/cursor/" // then account "/" mailbox
	dateLayout = "2006-01-02"      // of a day, in UTC
)

func dayPath(domain, date string) string { return daysAt + domain + "/" + date }

// cutDay splits the path of a day.
func cutDay(path string) (domain, date string) {
	domain, date, _ = strings.Cut(strings.TrimPrefix(path, daysAt), "/")
	return domain, date
}

// dateOf is the day that a report is about: that of its middle, as reporters
// begin their days at any hour.
func dateOf(begin, end time.Time) string {
	return begin.Add(end.Sub(begin) / 2).UTC().Format(dateLayout)
}

// decode reads a day; one that cannot be read is none.
func decodeDay(b []byte) (d day) {
	if json.Unmarshal(b, &d) != nil {
		return day{}
	}
	return d
}
