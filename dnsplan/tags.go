package dnsplan

import (
	"slices"
	"strings"
)

// maxTags bounds a tag list; DMARC knows eleven tags, and the key of DKIM seven.
const maxTags = 64

// tags is a tag list such as "v=DMARC1; p=none", RFC 6376 §3.2: the form of the
// records of DKIM, DMARC, MTA-STS and TLS-RPT. Names are in lower case.
type tags []tag

type tag struct{ name, value string }

// parseTags is false for what is no tag list: a part without "=", or a name
// that comes twice. Without these parts the list is what people have meant.
func parseTags(text string) (list tags, ok bool) {
	ok = true
	for part := range strings.SplitSeq(text, ";") {
		part = strings.Trim(part, blank)
		if part == "" {
			continue
		}
		name, value, found := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimRight(name, blank))
		if !found || name == "" || strings.ContainsAny(name, blank) || list.has(name) || len(list) == maxTags {
			ok = false
			continue
		}
		list = append(list, tag{name, strings.TrimLeft(value, blank)})
	}
	return list, ok && len(list) > 0
}

const blank = " \t\r\n"

func (l tags) String() string {
	parts := make([]string, len(l))
	for i, t := range l {
		parts[i] = t.name + "=" + t.value
	}
	return strings.Join(parts, "; ")
}

func (l tags) has(name string) bool {
	return slices.ContainsFunc(l, func(t tag) bool { return t.name == name })
}

func (l tags) get(name string) string {
	for _, t := range l {
		if t.name == name {
			return t.value
		}
	}
	return ""
}

// with returns the list with a tag set, at the end if it is new.
func (l tags) with(name, value string) tags {
	l = slices.Clone(l)
	for i := range l {
		if l[i].name == name {
			l[i].value = value
			return l
		}
	}
	return append(l, tag{name, value})
}

// squeeze leaves no blanks: people's DNS pages put them into long keys.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(blank, r) {
			return -1
		}
		return r
	}, s)
}

// isTagged reports whether a record is a tag list that starts with a version.
func isTagged(text, version string) bool {
	first, _, _ := strings.Cut(text, ";")
	name, value, ok := strings.Cut(first, "=")
	return ok && strings.EqualFold(strings.Trim(name, blank), "v") && strings.Trim(value, blank) == version
}

// sameKey reports whether two key records of DKIM say the same, RFC 6376
// §3.6.1: blanks do not count in a key, and what is left out has a default.
func sameKey(a, b string) bool {
	x, ok := parseTags(a)
	y, ok2 := parseTags(b)
	if !ok || !ok2 {
		return false
	}
	for name, standard := range map[string]string{"v": "DKIM1", "k": "rsa", "p": "", "s": "*", "t": "", "h": ""} {
		value := func(l tags) string {
			if v := squeeze(l.get(name)); v != "" {
				return v
			}
			return standard
		}
		if value(x) != value(y) {
			return false
		}
	}
	return true
}

// dmarcOrder is how much a policy asks of receivers.
var dmarcOrder = map[string]int{"none": 1, "quarantine": 2, "reject": 3}

// dmarcHolds reports whether a DMARC record asks for at least what another one
// does, and sends reports to all that it does.
func dmarcHolds(seen, want tags) bool {
	p := func(l tags) int { return dmarcOrder[strings.ToLower(squeeze(l.get("p")))] }
	return p(seen) >= p(want) && urisHold(seen.get("rua"), want.get("rua"))
}

// urisHold reports whether one comma-separated list of URIs has all of another.
func urisHold(seen, want string) bool {
	have := uris(seen)
	for _, u := range uris(want) {
		if !slices.Contains(have, u) {
			return false
		}
	}
	return true
}

// uris are in the form in which they are compared: "mailto:" and the domain in
// lower case, no limit of size (RFC 7489 §6.2).
func uris(list string) []string {
	var out []string
	for u := range strings.SplitSeq(list, ",") {
		u, _, _ = strings.Cut(strings.Trim(u, blank), "!")
		scheme, rest, ok := strings.Cut(u, ":")
		if !ok {
			continue
		}
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			rest = rest[:at] + strings.ToLower(rest[at:])
		}
		out = append(out, strings.ToLower(scheme)+":"+rest)
	}
	return out
}

// MergeDMARC returns the record that a domain should have: what is there stays,
// with our reports added and the policy never weakened. Two records are none
// (RFC 7489 §6.6.3), so then only the policy of the strictest is kept.
func MergeDMARC(there []string, policy, rua string) string {
	fresh := tags{{"v", "DMARC1"}, {"p", policy}, {"rua", rua}}
	list := fresh
	var old []tags
	for _, text := range there {
		if isTagged(text, "DMARC1") {
			l, _ := parseTags(text)
			old = append(old, l)
		}
	}
	if len(old) == 1 {
		list = append(tags{{"v", "DMARC1"}, {"p", policy}}, slices.DeleteFunc(slices.Clone(old[0]), func(t tag) bool { return t.name == "v" || t.name == "p" })...)
		list = withURI(list, rua)
	}
	for _, l := range old {
		if p := strings.ToLower(squeeze(l.get("p"))); dmarcOrder[p] > dmarcOrder[list.get("p")] {
			list = list.with("p", p)
		}
	}
	return list.String()
}

// withURI adds an address to those that get reports.
func withURI(l tags, rua string) tags {
	switch there := l.get("rua"); {
	case squeeze(there) == "":
		return l.with("rua", rua)
	case !urisHold(there, rua):
		return l.with("rua", there+","+rua)
	}
	return l
}

// mergeTLSRPT keeps the addresses that get reports now, RFC 8460 §3.
func mergeTLSRPT(there []string, rua string) string {
	fresh := tags{{"v", "TLSRPTv1"}, {"rua", rua}}
	if len(there) != 1 {
		return fresh.String()
	}
	if l, _ := parseTags(there[0]); isTagged(there[0], "TLSRPTv1") {
		return withURI(l, rua).String()
	}
	return fresh.String()
}
