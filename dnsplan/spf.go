package dnsplan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	maxSPF        = 8 << 10 // octets of a record that is looked at; 32 strings, and nobody's is a tenth of it
	maxSPFTerms   = 400     // the same in terms
	maxSPFLookups = 10      // RFC 7208 §4.6.4
)

// An spf is an SPF record, as far as it counts.
type spf struct {
	terms []string // the directives before "all", and the modifiers but redirect; canonical, each once
	all   string   // "-all", "~all", "?all", "+all", or "" if there is none
	to    string   // redirect=, where there is no "all" (RFC 7208 §6.1)
	bad   []string // what no receiver understands: with these the record is void (§4.6)
}

// isSPF reports whether a TXT record is one of SPF, RFC 7208 §4.5.
func isSPF(text string) bool {
	v, _, _ := strings.Cut(text, " ")
	return strings.EqualFold(v, "v=spf1")
}

// parseSPF reads a record that isSPF. It fails for one that is too long only:
// what is wrong in it is in bad.
func parseSPF(text string) (spf, error) {
	if !isSPF(text) {
		return spf{}, fmt.Errorf("no SPF record")
	}
	fields := strings.Fields(text)[1:]
	if len(text) > maxSPF || len(fields) > maxSPFTerms {
		return spf{}, fmt.Errorf("the SPF record is too long")
	}
	var s spf
	for _, f := range fields {
		term, ok := canonicalTerm(f)
		name, _ := termName(term)
		switch {
		case !ok:
			s.bad = append(s.bad, f)
		case name == "redirect=":
			if s.to != "" { // §6: twice is an error
				s.bad = append(s.bad, f)
				continue
			}
			s.to = strings.TrimPrefix(term, "redirect=")
		case name == "all" && s.all == "":
			s.all = term
			if term == "all" {
				s.all = "+all"
			}
		case name == "all", s.all != "" && !strings.HasSuffix(name, "="):
			// §5.1: what comes after "all" is never looked at
		case !slices.Contains(s.terms, term):
			s.terms = append(s.terms, term)
		}
	}
	if s.all != "" {
		s.to = ""
	}
	return s, nil
}

func (s spf) String() string {
	out := append([]string{"v=spf1"}, s.terms...)
	if s.to != "" {
		out = append(out, "redirect="+s.to)
	}
	if s.all != "" {
		out = append(out, s.all)
	}
	return strings.Join(out, " ")
}

// lookups is how many of the terms ask the DNS, RFC 7208 §4.6.4; what an
// included record asks comes on top.
func (s spf) lookups() int {
	n := 0
	for _, t := range s.terms {
		switch name, _ := termName(t); name {
		case "include", "a", "mx", "ptr", "exists":
			n++
		}
	}
	if s.to != "" {
		n++
	}
	return n
}

// termName splits a canonical term into its name, without the qualifier, and
// the rest. That of a modifier ends in "=".
func termName(term string) (name, rest string) {
	term = strings.TrimLeft(term, "+-~?")
	i := strings.IndexAny(term, ":/=")
	switch {
	case i < 0:
		return term, ""
	case term[i] == '=':
		return term[:i+1], term[i+1:]
	}
	return term[:i], term[i:]
}

// canonicalTerm writes a term as all who mean the same would: RFC 7208 §12. It
// is false for what is no term.
func canonicalTerm(f string) (string, bool) {
	for i := range len(f) {
		if f[i] <= ' ' || f[i] >= 0x7f || f[i] == '"' || f[i] == '\\' {
			return f, false
		}
	}
	qualifier := ""
	if rest := strings.TrimLeft(f, "+-~?"); len(f)-len(rest) == 1 {
		qualifier = strings.TrimPrefix(f[:1], "+") // the default
		f = rest
	}
	name, rest := termName(f)
	name = strings.ToLower(name)
	if strings.HasSuffix(name, "=") {
		rest, ok := canonicalModifier(name, rest)
		return name + rest, ok && qualifier == ""
	}
	rest, ok := canonicalMechanism(name, rest)
	return qualifier + name + rest, ok
}

func canonicalModifier(name, value string) (string, bool) {
	if name == "redirect=" || name == "exp=" {
		value = canonicalDomain(value)
		return value, isDomainSpec(value)
	}
	// §6: others may come; a name starts with a letter
	for i, c := range []byte(strings.TrimSuffix(name, "=")) {
		alpha := c >= 'a' && c <= 'z'
		if !alpha && (i == 0 || !(c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')) {
			return value, false
		}
	}
	return value, len(name) > 1
}

func canonicalMechanism(name, rest string) (string, bool) {
	domain, hasDomain := strings.CutPrefix(rest, ":")
	switch name {
	case "all":
		return "", rest == ""
	case "include", "exists":
		domain = canonicalDomain(domain)
		return ":" + domain, hasDomain && isDomainSpec(domain)
	case "ptr":
		if rest == "" {
			return "", true
		}
		domain = canonicalDomain(domain)
		return ":" + domain, hasDomain && isDomainSpec(domain)
	case "a", "mx":
		return canonicalHost(rest)
	case "ip4", "ip6":
		net, ok := canonicalNet(domain, name == "ip4")
		return ":" + net, hasDomain && ok
	}
	return rest, false
}

// canonicalHost is what may follow "a" and "mx": a domain, a prefix length for
// IPv4 and one for IPv6 after "//" (§5.3).
func canonicalHost(rest string) (string, bool) {
	domain, v6, has6 := strings.Cut(rest, "//")
	v4, has4 := "", false
	if i := strings.LastIndexByte(domain, '/'); i >= 0 && !strings.Contains(domain[i:], "}") { // "/" delimits in macros, too
		domain, v4, has4 = domain[:i], domain[i+1:], true
	}
	out := ""
	if domain != "" {
		d, ok := strings.CutPrefix(domain, ":")
		if d = canonicalDomain(d); !ok || !isDomainSpec(d) {
			return rest, false
		}
		out = ":" + d
	}
	if has4 {
		n, ok := prefixLen(v4, 32)
		if !ok {
			return rest, false
		}
		if n != 32 {
			out += "/" + strconv.Itoa(n)
		}
	}
	if has6 {
		n, ok := prefixLen(v6, 128)
		if !ok {
			return rest, false
		}
		if n != 128 {
			out += "//" + strconv.Itoa(n)
		}
	}
	return out, true
}

func prefixLen(s string, most int) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil && int(n) <= most && s == strconv.FormatUint(n, 10)
}

// canonicalNet is an address or a prefix. Bits behind the prefix do not count,
// and are left out.
func canonicalNet(s string, v4 bool) (string, bool) {
	text, length, hasLength := strings.Cut(s, "/")
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4() != v4 {
		return s, false
	}
	if !hasLength {
		return a.String(), true
	}
	n, ok := prefixLen(length, a.BitLen())
	if !ok {
		return s, false
	}
	if n == a.BitLen() {
		return a.String(), true
	}
	return netip.PrefixFrom(a, n).Masked().String(), true
}

// canonicalDomain is a domain in lower case and without a final dot. In macros
// (§7) case means something.
func canonicalDomain(s string) string {
	if strings.Contains(s, "%") {
		return s
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

// isDomainSpec is false for a domain with a slash outside of its macros, which
// would be read as the length of a prefix.
func isDomainSpec(s string) bool {
	if s == "" {
		return false
	}
	for part := range strings.SplitSeq(s, "%{") {
		if _, after, inMacro := strings.Cut(part, "}"); inMacro {
			part = after
		}
		if strings.Contains(part, "/") {
			return false
		}
	}
	return true
}

// strictness orders what "all" says.
func strictness(all string) int {
	return strings.Index("+?~-", strings.TrimSuffix(all, "all"))
}

// A MergedSPF is one record made of those that were there and of what is needed.
type MergedSPF struct {
	Text    string
	Lookups int      // that its own terms need
	Dropped []string // terms that no receiver understands, which made the record void
}

// MergeSPF makes one SPF record of those that are there and of the terms that
// we need, such as "a:mail.example.org". Everything that others had put there
// stays, but for terms in drop, for what could not be understood and for what
// stood behind "all"; the end is as strict as the strictest that was there, and
// "~all" if there was none or one that lets everybody pass. Our terms come
// first: they pass whatever the others say, and cost receivers the fewest
// lookups.
func MergeSPF(there, need, drop []string, end string) MergedSPF {
	var out spf
	var m MergedSPF
	add := func(t string) {
		if name, _ := termName(t); name == "exp=" && slices.ContainsFunc(out.terms, func(o string) bool { return strings.HasPrefix(o, "exp=") }) {
			return // §6: once
		}
		if !slices.Contains(out.terms, t) {
			out.terms = append(out.terms, t)
		}
	}
	gone := canonicalTerms(drop)
	for _, t := range canonicalTerms(need) {
		add(t)
		gone = slices.DeleteFunc(gone, func(g string) bool { return g == t })
	}
	var redirects []string
	for _, text := range there {
		s, err := parseSPF(text)
		if err != nil {
			continue
		}
		for _, t := range s.terms {
			if !slices.Contains(gone, t) {
				add(t)
			}
		}
		m.Dropped = append(m.Dropped, s.bad...)
		if s.to != "" && !slices.Contains(redirects, s.to) {
			redirects = append(redirects, s.to)
		}
		if s.all != "" && (out.all == "" || strictness(s.all) > strictness(out.all)) {
			out.all = s.all
		}
	}
	switch {
	case out.all == "" && len(redirects) == 1:
		out.to = redirects[0] // its "all" is ours, too
	default:
		for _, to := range redirects {
			add("include:" + to) // all of a redirect but its end
		}
		if out.all == "" || out.all == "+all" {
			out.all = end
		}
	}
	m.Text, m.Lookups = out.String(), out.lookups()
	return m
}

// canonicalTerms leaves out what is no term, and what ends a record.
func canonicalTerms(list []string) []string {
	var out []string
	for _, f := range list {
		t, ok := canonicalTerm(f)
		if name, _ := termName(t); ok && name != "all" && name != "redirect=" {
			out = append(out, t)
		}
	}
	return out
}

// spfHolds reports whether a record says all that another one says, and ends at
// least as strictly.
func spfHolds(seen, want spf) bool {
	for _, t := range want.terms {
		if !slices.Contains(seen.terms, t) {
			return false
		}
	}
	if want.to != "" && seen.to != want.to {
		return false
	}
	return len(seen.bad) == 0 && (want.all == "" || seen.to != "" || seen.all != "" && strictness(seen.all) >= strictness(want.all))
}
