package dnsplan

import (
	"net/netip"
	"slices"
	"strings"

	"homemail/words"
)

// A State is how what is there stands to what should be.
type State string

// The states.
const (
	NotSeen     State = "not seen"
	Correct     State = "correct"
	Differs     State = "differs"
	Conflict    State = "conflict" // what is there must go first: two SPF records, an alias
	CouldNotAsk State = "could not ask"
)

// A seen is what a server says of a record's name and type.
type seen struct {
	values []string // all of the type, those of others too
	alias  string   // where a CNAME leads, "" if there is none
	addrs  []string // of a helper's name that has no CNAME
}

// A verdict is what comes of comparing.
type verdict struct {
	state  State
	now    []string // of ours, as it is
	should []string // as it should be; may hold more than was planned, of what is there
	wrong  []string // values that have to go
	keep   []string // values of others, which stay
	why    Text
	byHand bool // what has to go is not ours to remove
}

// judge compares by meaning: order, case, TTL, final dots, the splitting of TXT
// records and blanks in them do not count.
func judge(r Record, s seen) verdict {
	if s.alias != "" && r.Type != "CNAME" {
		return verdict{state: Conflict, now: []string{"CNAME " + s.alias}, should: r.Values, byHand: true, why: words.Say("dnsplan.why.alias", "name", Display(r.Name), "alias", Display(s.alias)).Text()}
	}
	switch {
	case len(r.Values) == 0:
		return judgeUnwanted(r, s)
	case r.Type == "CNAME":
		return judgeAlias(r, s)
	case r.Kind == KindSPF:
		return judgeSPF(r, s)
	case r.Kind == KindCAA:
		return judgeCAA(r, s)
	case r.Type == "TXT":
		return judgeTXT(r, s)
	}
	return judgeSet(r, s)
}

func judgeUnwanted(r Record, s seen) verdict {
	if len(s.values) == 0 {
		return verdict{state: Correct}
	}
	return verdict{state: Differs, now: s.values, wrong: s.values, why: r.Purpose}
}

// judgeSet is for types of which all records at the name count.
func judgeSet(r Record, s seen) verdict {
	v := verdict{state: Correct, now: s.values, should: r.Values}
	if len(s.values) == 0 {
		v.state = NotSeen
		return v
	}
	if r.Type == "MX" && sameHosts(s.values, r.Values) {
		return v
	}
	v.wrong = without(r.Type, s.values, r.Values)
	missing := without(r.Type, r.Values, s.values)
	if len(v.wrong)+len(missing) > 0 {
		v.state = Differs
		v.why = whySet(r, v.wrong, len(missing) > 0)
	}
	return v
}

// without returns the values of a that are not in b.
func without(rtype string, a, b []string) []string {
	alone := len(a) == 1 && len(b) == 1
	have := keys(rtype, b, alone)
	var out []string
	for i, k := range keys(rtype, a, alone) {
		if !slices.Contains(have, k) {
			out = append(out, a[i])
		}
	}
	return out
}

func whySet(r Record, wrong []string, missing bool) Text {
	var others []string
	for _, w := range wrong {
		if f := strings.Fields(w); r.Type == "MX" && len(f) == 2 {
			w = Display(f[1])
		}
		others = append(others, w)
	}
	list := strings.Join(others, ", ")
	switch {
	case r.Type == "MX" && missing:
		return words.Say("dnsplan.why.mx-elsewhere", "list", list).Text()
	case r.Type == "MX":
		return words.Say("dnsplan.why.mx-partly", "list", list).Text()
	case len(wrong) > 0:
		return words.Say("dnsplan.why.stranger", "list", list).Text()
	}
	return words.Say("dnsplan.why.missing").Text()
}

// sameHosts reports whether two MX lists name one and the same host: then it
// does not matter which preference it has.
func sameHosts(a, b []string) bool {
	host := func(list []string) string {
		_, h, _ := strings.Cut(list[0], " ")
		return canonicalDomain(strings.TrimSpace(h))
	}
	return len(a) == 1 && len(b) == 1 && host(a) == host(b) && host(a) != ""
}

// keys are values in the form in which they are compared. One SRV record alone
// has nothing to be preferred to.
func keys(rtype string, values []string, alone bool) []string {
	out := make([]string, len(values))
	for i, v := range values {
		f := strings.Fields(strings.ToLower(v))
		switch {
		case rtype == "A" || rtype == "AAAA":
			if a, err := netip.ParseAddr(strings.TrimSpace(v)); err == nil {
				out[i] = a.String()
				continue
			}
		case rtype == "SRV" && len(f) == 4 && strings.Trim(f[3], ".") == "":
			f = []string{"."} // off, whatever the port
		case rtype == "SRV" && len(f) == 4 && alone:
			f = []string{f[2], strings.TrimSuffix(f[3], ".")}
		case rtype == "TLSA" && len(f) > 4: // blanks in the digits
			f = append(f[:3:3], strings.Join(f[3:], ""))
		case len(f) > 0 && len(f[len(f)-1]) > 1:
			f[len(f)-1] = strings.TrimSuffix(f[len(f)-1], ".")
		}
		out[i] = strings.Join(f, " ")
	}
	return out
}

// judgeAlias takes the target's own addresses for the alias: some DNS hosts
// make them of it.
func judgeAlias(r Record, s seen) verdict {
	v := verdict{state: Correct, now: s.values, should: r.Values}
	switch {
	case s.alias != "" && canonicalDomain(s.alias) == canonicalDomain(r.Values[0]):
		v.now = []string{s.alias}
	case s.alias != "":
		v.state, v.now, v.wrong = Differs, []string{s.alias}, []string{s.alias}
		v.why = words.Say("dnsplan.why.other-alias", "name", Display(r.Name), "alias", Display(s.alias)).Text()
	case len(s.addrs) == 0:
		v.state = NotSeen
	default:
		v.now = s.addrs
		v.state, v.byHand = Conflict, true
		v.why = words.Say("dnsplan.why.addresses", "name", Display(r.Name), "list", strings.Join(s.addrs, ", ")).Text()
	}
	return v
}

// judgeSPF finds SPF among the other texts. Should is what is needed merged
// with what is seen, so that nothing of others' is lost by following it.
func judgeSPF(r Record, s seen) verdict {
	var v verdict
	for _, t := range s.values {
		if isSPF(t) {
			v.now = append(v.now, t)
		} else {
			v.keep = append(v.keep, t)
		}
	}
	want, err := parseSPF(r.Values[0])
	if err != nil || len(v.now) == 0 {
		v.state, v.should = NotSeen, r.Values
		return v
	}
	have, err := parseSPF(v.now[0])
	gone := canonicalTerms(r.Drop)
	stale := slices.ContainsFunc(have.terms, func(t string) bool { return slices.Contains(gone, t) && !slices.Contains(want.terms, t) })
	if len(v.now) == 1 && err == nil && !stale && spfHolds(have, want) {
		v.state, v.should = Correct, v.now
		return v
	}
	v.should = []string{mergeSeen(v.now, want, r.Drop)}
	v.state, v.wrong = Differs, v.now
	switch {
	case slices.ContainsFunc(v.now, func(t string) bool { return len(t) > maxSPF }):
		v.state, v.byHand = Conflict, true // what others need cannot be told, and must not be lost
		v.why = words.Say("dnsplan.why.spf-long").Text()
	case len(v.now) > 1:
		v.state = Conflict
		v.why = words.Say("dnsplan.why.spf-two").Text()
	case len(have.bad) > 0:
		v.why = words.Say("dnsplan.why.spf-bad", "terms", strings.Join(have.bad, " ")).Text()
	case stale:
		v.why = words.Say("dnsplan.why.spf-stale").Text()
	default:
		v.why = words.Say("dnsplan.why.spf-less").Text()
	}
	return v
}

func mergeSeen(now []string, want spf, drop []string) string {
	end := want.all
	if end == "" {
		end = "~all"
	}
	m := MergeSPF(now, want.terms, drop, end)
	if s, err := parseSPF(m.Text); err == nil && s.all != "" && strictness(s.all) < strictness(end) {
		s.all = end
		return s.String()
	}
	return m.Text
}

// judgeTXT is for texts of which the name has one of a kind.
func judgeTXT(r Record, s seen) verdict {
	v := verdict{should: r.Values}
	like, same := comparison(r)
	for _, t := range s.values {
		if like(t) {
			v.now = append(v.now, t)
		} else {
			v.keep = append(v.keep, t)
		}
	}
	switch {
	case len(v.now) == 0:
		v.state = NotSeen
	case len(v.now) > 1:
		v.state, v.wrong = Conflict, v.now
		v.why = words.Say("dnsplan.why.twice").Text()
	case same(v.now[0]):
		v.state = Correct
	default:
		v.state, v.wrong = Differs, v.now
		v.why = words.Say("dnsplan.why.other-text").Text()
	}
	if r.Kind == KindDMARC && (v.state == Differs || v.state == Conflict) {
		if want, ok := parseTags(r.Values[0]); ok { // nobody who gets reports now loses them
			v.should = []string{MergeDMARC(v.now, want.get("p"), want.get("rua"))}
		}
	}
	return v
}

// comparison returns which texts at a name are of the record's kind, and when
// one says what it should.
func comparison(r Record) (like, same func(string) bool) {
	want := r.Values[0]
	w, _ := parseTags(want)
	version := func(v string) func(string) bool { return func(t string) bool { return isTagged(t, v) } }
	tagged := func(f func(have tags) bool) func(string) bool {
		return func(t string) bool {
			l, ok := parseTags(t)
			return ok && f(l)
		}
	}
	switch r.Kind {
	case KindDKIM: // the name is the key's alone, RFC 6376 §3.6.2.2
		return func(string) bool { return true }, func(t string) bool { return sameKey(t, want) }
	case KindDMARC:
		return version("DMARC1"), tagged(func(have tags) bool { return dmarcHolds(have, w) })
	case KindReports:
		return version("DMARC1"), func(string) bool { return true }
	case KindSTS:
		return version("STSv1"), tagged(func(have tags) bool { return have.get("id") == w.get("id") })
	case KindTLSRPT:
		return version("TLSRPTv1"), tagged(func(have tags) bool { return urisHold(have.get("rua"), w.get("rua")) })
	}
	plain := func(t string) bool {
		return strings.Join(strings.Fields(t), " ") == strings.Join(strings.Fields(want), " ")
	}
	return plain, plain
}

// judgeCAA looks for our line only: each lets one more CA pass, RFC 8659 §4.2.
func judgeCAA(r Record, s seen) verdict {
	v := verdict{state: NotSeen, should: r.Values}
	want := caaKey(r.Values[0])
	for _, t := range s.values {
		switch k := caaKey(t); {
		case k == want:
			v.state, v.now = Correct, []string{t}
		case k.tag == want.tag && k.domain == want.domain: // the same CA for everybody, or for an account that was ours
			v.wrong = append(v.wrong, t)
		default:
			v.keep = append(v.keep, t)
		}
	}
	if len(v.wrong) > 0 {
		v.state, v.now = Differs, append(v.now, v.wrong...)
		v.why = words.Say("dnsplan.why.caa").Text()
	}
	return v
}

type caa struct{ tag, domain, params string }

func caaKey(value string) caa {
	_, tag, text, ok := cutCAA(value)
	if !ok {
		return caa{params: value}
	}
	domain, params, _ := strings.Cut(text, ";")
	return caa{strings.ToLower(tag), canonicalDomain(strings.Trim(domain, blank)), squeeze(strings.Trim(params, blank+";"))}
}
