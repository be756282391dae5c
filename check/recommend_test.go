package check

import (
	"slices"
	"testing"
)

// lines are the lines of the world, as results, and what is right for them.
var lines = []struct {
	name string
	bad  []string          // checks that are bad
	not  []string          // checks that could not test
	code map[string]string // of a check, where it matters
	mode Mode
	why  string
}{
	{name: "real IPv4, name and reputation", mode: Direct, why: "all-green"},
	{name: "real IPv4, hairpin missing", bad: []string{hairpin}, mode: Direct, why: "all-green"},
	{name: "real IPv4, no IPv6, no DNSSEC", bad: []string{address6, dnssec}, mode: Direct, why: "all-green"},
	{name: "OP25B", bad: []string{out25}, mode: Smarthost, why: "out-blocked"},
	{name: "OP25B, no reverse name, PBL", bad: []string{out25, ptr, blocklist}, not: []string{helo}, mode: Smarthost, why: "out-blocked"},
	{name: "dynamic address on the PBL", bad: []string{blocklist}, mode: Smarthost, why: "name"},
	{name: "no reverse name", bad: []string{ptr}, not: []string{helo}, mode: Smarthost, why: "name"},
	{name: "no reverse name, and nothing but 25 is open", bad: []string{ptr, out465, out587}, mode: Smarthost, why: "name"},
	{name: "lists refuse to answer", not: []string{blocklist}, mode: Smarthost, why: "not-proven"},
	{name: "out 25 was not tested", not: []string{out25}, mode: Smarthost, why: "not-tested-25"},
	{name: "DS-Lite", bad: []string{in25, nat}, not: []string{ptr, helo}, mode: Bridge, why: "shared"},
	{name: "DS-Lite with OP25B, without a probe", bad: []string{nat, out25}, not: []string{prober, in25, ptr, helo}, mode: Bridge, why: "shared"},
	{name: "MAP-E", bad: []string{in25, nat, out25}, not: []string{ptr, helo}, mode: Bridge, why: "shared"},
	{name: "CGNAT", bad: []string{in25, nat}, mode: Bridge, why: "shared"},
	{name: "CGNAT, open over IPv6", bad: []string{in25, nat}, code: map[string]string{in25: "open6"}, mode: Bridge, why: "shared"},
	{name: "open over IPv6 only", bad: []string{in25}, code: map[string]string{in25: "open6"}, mode: Bridge, why: "only-ipv6"},
	{name: "IPv6 only, inbound blocked", bad: []string{in25, address4}, not: []string{nat, ptr, helo, blocklist}, mode: Bridge, why: "closed"},
	{name: "router closed", bad: []string{in25}, mode: Bridge, why: "closed"},
	{name: "no probe, router silent", not: []string{prober, in25, nat, router}, mode: Bridge, why: "not-tested"},
	{name: "no probe, router silent, OP25B", bad: []string{out25}, not: []string{prober, in25, nat, router}, mode: Bridge, why: "not-tested"},
	{name: "nothing but the web", bad: []string{in25, out25, out465, out587, out993}, mode: Inside, why: "all-blocked"},
	{name: "no sending", bad: []string{in25, out25, out465, out587}, mode: Inside, why: "no-sending"},
	{name: "no fetching and not reached", bad: []string{in25, out993}, mode: Inside, why: "no-fetching"},
	{name: "cable out", bad: []string{route}, mode: Inside, why: "no-line"},
	{name: "DNS dead", bad: []string{dns}, mode: Inside, why: "no-line"},
}

func TestRecommend(t *testing.T) {
	for _, tt := range lines {
		var list []Result
		for _, s := range steps {
			r := Result{Name: s.name, State: Good, Code: tt.code[s.name]}
			switch {
			case slices.Contains(tt.bad, s.name):
				r.State = Bad
			case slices.Contains(tt.not, s.name):
				r.State = CouldNotTest
			}
			list = append(list, r)
		}
		got := Recommend(list)
		if got.Mode != tt.mode || got.Code != tt.why || got.Reason.EN == "" || got.Reason.JA == "" {
			t.Errorf("%s: %s because of %s, want %s because of %s", tt.name, got.Mode, got.Code, tt.mode, tt.why)
		}
		if slices.Contains(got.Also, Gateway) || got.Mode == Gateway {
			t.Errorf("%s: offers the gateway", tt.name)
		}
	}
	if got := Recommend(nil); got.Mode != Inside {
		t.Errorf("knowing nothing: %v", got)
	}
}

// TestTable states what holds for every line, known or not: nobody sends
// directly on a guess, nobody who is not reached gets a mode that needs it, and
// no row is in vain.
func TestTable(t *testing.T) {
	v := []fact("yn?")
	hit := make(map[string]bool)
	for n := range 3 * 3 * 3 * 3 * 3 * 3 * 3 * 2 {
		pick := func(k int) fact { f := v[n%k]; n /= k; return f }
		f := facts{only6: pick(2), line: pick(3), reach: pick(3), own: pick(3), send: pick(3), name: pick(3), submit: pick(3), fetch: pick(3)}
		i := slices.IndexFunc(table, func(r row) bool { return r.fits(f) })
		r := table[i]
		hit[r.code] = true
		proven := f.line == 'y' && f.reach == 'y' && f.own == 'y' && f.send == 'y' && f.name == 'y'
		if (r.mode == Direct) != proven {
			t.Fatalf("%+v: %s", f, r.code)
		}
		if r.mode == Smarthost && (f.reach != 'y' || f.send != 'y' && f.submit == 'n') {
			t.Fatalf("%+v: %s", f, r.code)
		}
		if r.mode == Bridge && (f.submit == 'n' || f.fetch == 'n' || f.line != 'y' || f.reach == 'y') {
			t.Fatalf("%+v: %s", f, r.code)
		}
		if r.mode == Inside && f.line == 'y' && f.submit == 'y' && f.fetch == 'y' {
			t.Fatalf("%+v: %s", f, r.code)
		}
	}
	for _, r := range table {
		if !hit[r.code] {
			t.Errorf("row %s is never reached", r.code)
		}
	}
}

func TestNeeds(t *testing.T) {
	var list []Result
	for _, s := range steps {
		list = append(list, Result{Name: s.name, State: Good})
	}
	set := func(m Mode, name string, st State) State {
		l := slices.Clone(list)
		for i := range l {
			l[i].Needed = m.needs(l[i].Name)
			if l[i].Name == name {
				l[i].State = st
			}
		}
		return Worst(l)
	}
	for _, tt := range []struct {
		mode Mode
		name string
		st   State
		code int
	}{
		{Direct, blocklist, Bad, 2},
		{Smarthost, blocklist, Bad, 0}, // normal for home lines
		{Smarthost, in25, Bad, 2},
		{Bridge, in25, Bad, 0},
		{Bridge, out993, CouldNotTest, 1},
		{Inside, route, Bad, 0},
		{Inside, disk, Bad, 2},
		{Inside, certificate, Bad, 0},
		{Bridge, certificate, Waiting, 1},
		{"", out25, Bad, 2},
		{Direct, address6, Bad, 0},
	} {
		if got := set(tt.mode, tt.name, tt.st).ExitCode(); got != tt.code {
			t.Errorf("%q with %s %s: exit code %d, want %d", tt.mode, tt.name, tt.st, got, tt.code)
		}
	}
	for m, names := range needed {
		for _, n := range names {
			if !slices.ContainsFunc(steps, func(s step) bool { return s.name == n }) {
				t.Errorf("%s needs %q, which is no check", m, n)
			}
		}
	}
}
