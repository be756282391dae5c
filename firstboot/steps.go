package firstboot

import (
	"context"
	"slices"
	"strings"

	"homemail/admin"
	"homemail/check"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/relay/preset"
)

// Ways to have an address.
const (
	own    = "own"    // a domain of the owner's
	free   = "free"   // a name below dedyn.io
	keep   = "keep"   // an address that the owner has elsewhere, through a bridge
	inside = "inside" // mail between the people of the house only
)

// steps are all steps, each after those that it needs.
func steps() []step {
	claimed := []ID{Claiming}
	return []step{
		{Step: Step{ID: Language, Fields: []Field{{Name: "language", Kind: Choice, Choices: []string{"en", "ja"}, Need: true}}}},
		{Step: Step{ID: Claiming}},
		{
			Step:     Step{ID: Start, Needs: claimed, Fields: []Field{{Name: "kind", Kind: Choice, Choices: []string{"new", "restore", "move"}, Need: true}}},
			detect:   detectStart,
			validate: checkStart,
		},
		{
			Step: Step{ID: You, Needs: claimed, Fields: []Field{
				{Name: "name", Kind: Text, Need: true}, {Name: "password", Kind: Secret, Need: true},
			}},
			keeps: true, validate: checkYou,
		},
		addressStep(),
		{
			Step: Step{ID: Line, Needs: []ID{Claiming, Address}, Internet: true, Fields: []Field{
				{Name: "mode", Kind: Choice, Choices: []string{"auto", string(check.Direct), string(check.Smarthost), string(check.Bridge), string(check.Inside)}, Need: true},
				{Name: "unproven", Kind: Yes}, // direct, though that it works is not proven
			}},
			detect: detectLine, validate: checkLine, actions: lineActions,
		},
		connectionStep(),
		dnsStep(),
		switchStep(),
		firstMailStep(),
		safeStep(),
		peopleStep(),
	}
}

func detectStart(ctx context.Context, t *turn) (f Found, err error) {
	s, err := ask[admin.Status](ctx, t.o.House, "status", admin.Empty{})
	f.Free = s.Disk.Free
	return f, err
}

func checkStart(t *turn, p Problems) {
	if kind := t.get("kind"); kind != "new" {
		p["kind"] = Say("firstboot.wrong.later") // it comes with backups
	}
}

func checkYou(t *turn, p Problems) {
	if password := t.get("password"); password != "" {
		if key := t.o.Password(password, t.get("name"), ""); key != "" {
			p["password"] = Say(key)
		}
	}
}

// kind is how the owner has an address, "" as long as that is not answered.
func (t *turn) kind() string { return t.of(Address, "kind") }

// mode is how the house is to be connected, "" as long as nobody knows.
func (t *turn) mode() check.Mode {
	switch t.kind() {
	case inside:
		return check.Inside
	case keep:
		return check.Bridge
	}
	r := t.rows[Line]
	if t.step.ID == Line {
		r = t.row
	}
	if r.Status == Todo || r.Status == Skipped {
		return ""
	}
	m := check.Mode(r.Answers["mode"])
	if m != "auto" {
		return m
	}
	if !looked(r.Found.Line) {
		return ""
	}
	return r.Found.Line.Recommend.Mode
}

// looked reports whether there was a line to look at. What is recommended without
// one is for now, and decides nothing.
func looked(l *admin.Line) bool { return l != nil && l.Recommend.Code != "no-line" }

// mayBe reports whether the mode is one of some, or not known yet.
func (t *turn) mayBe(modes ...check.Mode) bool {
	m := t.mode()
	return m == "" || slices.Contains(modes, m)
}

// detectLine runs the checks of the line. They take up to a minute.
func detectLine(ctx context.Context, t *turn) (f Found, err error) {
	l, err := ask[admin.Line](ctx, t.o.House, "line.check", admin.CheckLine{})
	if err == nil {
		f.Line = &l
	}
	return f, err
}

// checkLine keeps the owner from sending directly before every check that it
// needs is green: such mail is lost or taken for junk, and nobody says so.
func checkLine(t *turn, p Problems) {
	mode, l := t.get("mode"), t.row.Found.Line
	switch {
	case t.kind() == inside && mode != string(check.Inside) && mode != "auto":
		p["mode"] = Say("firstboot.wrong.mode-inside")
	case t.kind() == keep && mode != string(check.Bridge) && mode != "auto":
		p["mode"] = Say("firstboot.wrong.mode-keep")
	case mode == string(check.Direct) && t.get("unproven") != "yes" && (l == nil || l.Recommend.Mode != check.Direct):
		p["mode"] = Say("firstboot.wrong.direct-locked")
	}
}

// lineActions look at the line if the way is to follow from that. Whoever has
// chosen, or has no choice, need not wait for it.
func lineActions(t *turn) []action {
	return []action{{
		word: Say("firstboot.do.line"),
		done: func(context.Context) (bool, error) {
			return t.get("mode") != "auto" || t.kind() == inside || t.kind() == keep || looked(t.row.Found.Line), nil
		},
		do: func(ctx context.Context) error {
			f, err := detectLine(ctx, t)
			if err != nil {
				return err
			}
			t.row.Found.merge(f)
			if !looked(f.Line) {
				return wait("firstboot.wait.internet")
			}
			return nil
		},
	}}
}

// domain is the one of the house's addresses, "" as long as nobody knows.
func (t *turn) domain() string {
	switch t.kind() {
	case own:
		return canonical(t.of(Address, "domain"))
	case free:
		if name := canonical(t.of(Address, "name")); name != "" {
			return name + freeZone
		}
		return ""
	case keep, inside:
		return homeDomain
	}
	return ""
}

// host is the name of the server, "" if it needs none that others know.
func (t *turn) host() string {
	if k := t.kind(); (k == own || k == free) && t.domain() != "" {
		return "mail." + t.domain()
	}
	return ""
}

// presets are the smarthosts that are known by name.
func presets() (ids []string) {
	for _, p := range preset.All() {
		ids = append(ids, p.ID)
	}
	return ids
}

func providers() (ids []string) {
	for _, p := range publish.Providers() {
		ids = append(ids, p.ID)
	}
	return ids
}

// notReady are the required records that are not right, but for the MX.
func notReady(plan admin.DNSPlan) (list []dnsplan.Result) {
	for _, r := range plan.Results {
		if r.Record.Rank == dnsplan.Required && r.Record.Kind != dnsplan.KindMX && r.State != dnsplan.Correct {
			list = append(list, r)
		}
	}
	return list
}

func lines(s string) (list []string) {
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}
