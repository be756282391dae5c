package check

import (
	"slices"

	"homemail/words"
)

// A Mode is a way in which a house gets and sends its mail.
type Mode string

// The modes. Gateway is named where it would help, and not offered yet.
const (
	Direct    Mode = "direct"    // mail comes here and leaves from here
	Smarthost Mode = "smarthost" // it comes here, and leaves through a provider
	Bridge    Mode = "bridge"    // both through a mailbox elsewhere
	Gateway   Mode = "gateway"   // both through a server of the owner's elsewhere
	Inside    Mode = "inside"    // only between the people of the house
)

// needed are the checks that have to be good for a mode, beside box.
var needed = map[Mode][]string{
	Direct:    {route, dns, dnsTrue, prober, address4, nat, in25, in443, in465, in993, out25, ptr, helo, blocklist, domain},
	Smarthost: {route, dns, prober, address4, nat, in25, in443, in465, in993, domain},
	Bridge:    {route, dns, out993},
	Gateway:   {route, dns, domain},
	Inside:    {},
}

// box are the checks that every mode needs.
var box = []string{clock, disk, certificate, queue}

// needs reports whether a mode needs a check. As long as none is chosen,
// everything counts that sending directly needs.
func (m Mode) needs(name string) bool {
	if m == "" {
		m = Direct
	}
	if m == Inside && name == certificate {
		return false // nobody gives one to a house without a public name
	}
	return slices.Contains(needed[m], name) || slices.Contains(box, name)
}

// matters reports whether a result counts: those that the mode needs, and that
// strangers look like people of the house, however it is connected.
func (m Mode) matters(r Result) bool {
	return m.needs(r.Name) || r.Name == Visitors && r.State == Bad
}

// A Recommendation is the mode that fits what was found.
type Recommendation struct {
	Mode   Mode   `json:"mode"`
	Code   string `json:"code"` // of the row that decided
	Reason Text   `json:"reason"`
	Also   []Mode `json:"also,omitempty"`  // what else would fit
	Later  []Mode `json:"later,omitempty"` // what will, when it is offered
}

// A fact is what decides: y yes, n no, ? not known.
type fact byte

// facts are what the table asks, made of the results.
type facts struct {
	line   fact // there is a way out, and names are found
	reach  fact // mail comes in over IPv4
	only6  fact // mail comes in, but over IPv6 only
	own    fact // the address is the house's own
	send   fact // port 25 out
	name   fact // reverse name, greeting and block lists are as receivers want them
	submit fact // port 465 or 587 out
	fetch  fact // port 993 out
}

// A row is one line of the table: each column lists the values that fit, "" any.
type row struct {
	line, reach, only6, own, send, name, submit, fetch string

	mode Mode
	code string // its words are check.mode.CODE
}

// table decides: the first row that fits. Sending directly wants everything to
// be proven; what is not known counts as no for it, and the bridge, which needs
// nothing of the line, takes what is left.
var table = []row{
	{line: "n?", mode: Inside, code: "no-line"},
	{reach: "y", own: "y", send: "y", name: "y", mode: Direct, code: "all-green"},
	{reach: "y", send: "n", submit: "y?", mode: Smarthost, code: "out-blocked"},
	{reach: "y", send: "y", name: "n", mode: Smarthost, code: "name"},
	{reach: "y", send: "y", mode: Smarthost, code: "not-proven"},
	{reach: "y", submit: "y?", mode: Smarthost, code: "not-tested-25"},
	{submit: "n", fetch: "n?", mode: Inside, code: "all-blocked"},
	{submit: "n", mode: Inside, code: "no-sending"},
	{fetch: "n", mode: Inside, code: "no-fetching"},
	{own: "n", mode: Bridge, code: "shared"},
	{only6: "y", mode: Bridge, code: "only-ipv6"},
	{reach: "n", mode: Bridge, code: "closed"},
	{mode: Bridge, code: "not-tested"},
}

// Recommend chooses a mode from results.
func Recommend(list []Result) Recommendation {
	f := gather(list)
	for _, r := range table {
		if !r.fits(f) {
			continue
		}
		rec := Recommendation{Mode: r.mode, Code: r.code, Reason: words.Say("check.mode." + r.code).Text()}
		switch r.mode {
		case Direct:
			rec.Also = []Mode{Smarthost, Bridge}
		case Smarthost:
			rec.Also = []Mode{Bridge}
		case Bridge:
			rec.Later = []Mode{Gateway}
		}
		return rec
	}
	panic("the last row of the table fits everything")
}

// fits reports whether each column of a row has the fact in it.
func (r row) fits(f facts) bool {
	for _, p := range []struct {
		want string
		have fact
	}{{r.line, f.line}, {r.reach, f.reach}, {r.only6, f.only6}, {r.own, f.own}, {r.send, f.send}, {r.name, f.name}, {r.submit, f.submit}, {r.fetch, f.fetch}} {
		if p.want != "" && !slices.Contains([]byte(p.want), byte(p.have)) {
			return false
		}
	}
	return true
}

// gather makes facts of results.
func gather(list []Result) facts {
	by := make(results)
	for _, r := range list {
		by[r.Name] = r
	}
	f := facts{
		line:   all(by.fact(route), by.fact(dns)),
		reach:  by.fact(in25),
		only6:  'n',
		own:    by.fact(nat),
		send:   by.fact(out25),
		name:   all(by.fact(ptr), by.fact(helo), by.fact(blocklist)),
		submit: either(by.fact(out465), by.fact(out587)),
		fetch:  by.fact(out993),
	}
	if by[in25].Code == "open6" {
		f.only6 = 'y'
	}
	return f
}

// fact is the state of a check as a fact.
func (r results) fact(name string) fact {
	switch r[name].State {
	case Good:
		return 'y'
	case Bad:
		return 'n'
	}
	return '?'
}

// all is yes if everything is, and no if something is not.
func all(list ...fact) fact {
	switch {
	case slices.Contains(list, 'n'):
		return 'n'
	case slices.Contains(list, '?'):
		return '?'
	}
	return 'y'
}

// either is yes if something is, and no if nothing is.
func either(list ...fact) fact {
	switch {
	case slices.Contains(list, 'y'):
		return 'y'
	case slices.Contains(list, '?'):
		return '?'
	}
	return 'n'
}
