package check

import (
	"maps"
	"slices"
	"strings"

	"homemail/words"
)

// A Text is words for the owner.
type Text = words.Text

// Findings that every check may have.
const (
	codeNever   = "never"   // was not run yet
	codeBecause = "because" // another check is in the way
	codeTimeout = "timeout"
	codeUnset   = "unset"   // there is nothing here to ask
	codeUnknown = "unknown" // the answer says neither
	codeCrash   = "crash"   // a bug of ours
)

// states are the outcome of every finding. What it means stands in the catalogue
// of the house under "check." and its name, and what to do under that and ".do".
var states = map[string]State{
	"any.never": CouldNotTest, "any.because": CouldNotTest, "any.timeout": CouldNotTest, "any.unset": CouldNotTest, "any.unknown": CouldNotTest, "any.crash": CouldNotTest,
	"route.both": Good, "route.v4": Good, "route.v6": Good, "route.none": Bad,
	"dns.works": Good, "dns.silent": Bad, "dns.wrong": Bad,
	"dns-true.true": Good, "dns-true.lies": Bad,
	"dnssec.validates": Good, "dnssec.plain": Bad,
	"router.answers": Good, "router.silent": CouldNotTest, "router.unset": CouldNotTest,
	"probe.answers": Good, "probe.silent": CouldNotTest, "probe.unset": CouldNotTest,
	"address4.public": Good, "address4.none": Bad, "address4.unknown": CouldNotTest, "address6.public": Good, "address6.none": Bad,
	"nat.none": Good, "nat.router": Good, "nat.reached": Good, "nat.cgnat": Bad, "nat.ds-lite": Bad, "nat.map-e": Bad, "nat.double": Bad, "nat.shared": Bad, "nat.unknown": CouldNotTest,
	"out.open": Good, "out.open6": Good, "out25.open6": Bad, "out.blocked": Bad, "out25.blocked": Bad, "out.other": Bad, "out.unknown": CouldNotTest,
	"in.open": Good, "in.open4": Good, "in.open6": Bad, "in.closed": Bad, "in25.closed": Bad, "in.other": Bad, "in.mute": CouldNotTest,
	"visitors.told": Good, "visitors.hidden": Bad, "visitors.nobody": Good,
	"ptr.confirmed": Good, "ptr.confirmed4": Good, "ptr.missing": Bad, "ptr.unconfirmed": Bad, "ptr.generic": Bad,
	"helo.same": Good, "helo.differs": Bad, "helo.elsewhere": Bad,
	"blocklist.clean": Good, "blocklist.policy": Bad, "blocklist.listed": Bad, "blocklist.refused": CouldNotTest,
	"domain.good": Good, "domain.young": Good, "domain.soon": Bad, "domain.expired": Bad, "domain.held": Bad, "domain.unknown": CouldNotTest,
	"clock.right": Good, "clock.off": Bad, "clock.wrong": Bad,
	"disk.room": Good, "disk.low": Bad, "disk.full": Bad,
	"certificate.valid": Good, "certificate.waiting": Waiting, "certificate.none": Bad, "certificate.self": Bad, "certificate.soon": Bad, "certificate.expired": Bad, "certificate.name": Bad,
	"queue.flows": Good, "queue.stuck": Bad,
	"hairpin.works": Good, "hairpin.missing": Bad, "hairpin.other": Bad,
}

// finding is the whole name of a code: among the check's own, those of its kind
// (in25 is of the kind in), or those of all; "" if nobody knows it.
func (s step) finding(code string) string {
	for _, of := range []string{s.name, strings.TrimRight(s.name, "0123456789"), "any"} {
		if _, ok := states[of+"."+code]; ok {
			return of + "." + code
		}
	}
	return ""
}

func (s step) knows(code string) bool { return s.finding(code) != "" }

// title is a check's question.
func (s step) title() Text { return words.Say("check.title." + s.name).Text() }

// means is what a finding means, and do what to do about it, with its values.
func means(finding string, values map[string]string) Text { return say("check."+finding, values) }

func do(finding string, values map[string]string) Text {
	if !words.House().Has("check." + finding + ".do") {
		return Text{} // there is nothing to do
	}
	return say("check."+finding+".do", values)
}

// say puts values into words. One that is itself in two languages is there as
// NAME_en and NAME_ja, beside what NAME is for programs.
func say(key string, values map[string]string) Text {
	var args []any
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if name, ok := strings.CutSuffix(k, "_en"); ok {
			args = append([]any{name, Text{EN: values[k], JA: values[name+"_ja"]}}, args...)
			continue
		}
		args = append(args, k, values[k])
	}
	t := words.Say(key, args...).Text()
	return Text{EN: strings.TrimSpace(t.EN), JA: strings.TrimSpace(t.JA)} // a value may be empty
}
