package firstboot

import (
	"context"
	"errors"
	"slices"
	"strings"

	"homemail/admin"
	"homemail/certs"
	"homemail/check"
	"homemail/dnsplan"
	"homemail/zones"
)

// anyDigest confirms whatever is planned: for a file, which nobody watches.
const anyDigest = "any"

func dnsStep() step {
	return step{
		Step: Step{ID: DNS, Needs: []ID{Claiming, Address, Line}, Internet: true, MaySkip: true, Fields: []Field{
			{Name: "kind", Kind: Choice, Choices: []string{"self", "copy", "other"}, Need: true}, // who enters the records
			{Name: "provider", Kind: Choice, Choices: providers(), Only: "kind=self"},
			{Name: "zone", Kind: Text, Only: "kind=self"}, // if it is not the domain
			{Name: "credential.", Kind: Secret},
			{Name: "agree_ca", Kind: Yes}, // to the terms of the certificate authority
			{Name: "confirm", Kind: Text}, // the digest of the changes that were shown
		}},
		wanted: published, detect: detectDNS, validate: checkDNS, actions: dnsActions,
	}
}

// published reports whether the world finds the house by records.
func published(t *turn) bool { return t.mayBe(check.Direct, check.Smarthost) }

func detectDNS(ctx context.Context, t *turn) (f Found, err error) {
	if t.domain() == "" {
		return f, nil
	}
	plan, err := t.plan(ctx)
	if err != nil {
		return f, err
	}
	f.Plan, f.Missing = &plan, notReady(plan)
	return f, nil
}

func (t *turn) plan(ctx context.Context) (admin.DNSPlan, error) {
	return ask[admin.DNSPlan](ctx, t.o.House, "dns.plan", admin.PlanDNS{Domain: t.domain(), Compare: true})
}

// provider is who hosts the zone. That of a free name is known.
func (t *turn) provider() string {
	if t.kind() == free {
		return "desec"
	}
	return t.of(DNS, "provider")
}

func (t *turn) zone() string {
	if z := canonical(t.of(DNS, "zone")); z != "" && t.kind() != free {
		return z
	}
	return t.domain()
}

func checkDNS(t *turn, p Problems) {
	if t.get("kind") == "self" && t.provider() == "" {
		p["provider"] = Say("firstboot.wrong.missing")
	}
	if z := t.get("zone"); z != "" && (canonical(z) == "" || !strings.HasSuffix("."+t.domain(), "."+canonical(z))) {
		p["zone"] = Say("firstboot.wrong.zone")
	}
}

func dnsActions(t *turn) (list []action) {
	if t.mode() == "" {
		return []action{{word: Say("firstboot.do.line"), do: func(context.Context) error { return wait("firstboot.wait.line") }}}
	}
	if t.get("agree_ca") == "yes" {
		list = append(list, t.agreeCA())
	}
	if t.get("kind") == "self" {
		list = append(list, t.setZone(DNS, t.zone(), t.provider(), t.credentials), t.publish("publish.plan", "publish.apply"))
	}
	return append(list, t.awaitRecords())
}

func (t *turn) credentials() map[string]string {
	all := map[string]string{}
	for name, v := range t.answers() {
		if key, ok := strings.CutPrefix(name, "credential."); ok {
			all[key] = v
		}
	}
	return all
}

// agreeCA gives the owner's word. Before that no authority hears of this house:
// whoever reads the public logs of certificates would be here at once.
func (t *turn) agreeCA() action {
	return action{
		word: Say("firstboot.do.agree-ca"),
		done: func(ctx context.Context) (bool, error) {
			c, err := ask[admin.Certificates](ctx, t.o.House, "certificate.list", admin.Empty{})
			return c.Agreed != nil, err
		},
		do: func(ctx context.Context) error {
			_, err := ask[admin.Certificates](ctx, t.o.House, "certificate.agree", admin.AgreeCA{})
			return err
		},
	}
}

// publish plans changes, has them confirmed, and does exactly those.
func (t *turn) publish(plan, apply string) action {
	return action{
		word: Say("firstboot.do.publish", "domain", t.domain()),
		do: func(ctx context.Context) error {
			push, err := ask[admin.Push](ctx, t.o.House, plan, admin.PlanPush{Domain: t.domain()})
			if err != nil {
				return failUnless(err, "firstboot.failed.publish")
			}
			todo := slices.Clone(push.Changes)
			n := 0
			for _, c := range todo {
				n += len(c.Steps) + len(c.MX)
			}
			if n == 0 {
				return nil // what others have in the way is seen when the records are
			}
			of := digest(todo)
			if said := t.get("confirm"); said != of && said != anyDigest {
				t.row.Found.Changes, t.row.Found.Digest = &push, of
				return &waitError{why: Say("firstboot.wait.confirm"), person: true}
			}
			done, err := ask[[]admin.Pushed](ctx, t.o.House, apply, admin.ApplyPush{Changes: todo})
			if err != nil {
				return err
			}
			t.row.Found.Changes, t.row.Found.Digest, t.row.Found.Done = nil, "", done
			for _, d := range done {
				if d.Error != "" {
					return &waitError{why: Say("firstboot.wait.publish", "zone", d.Zone), detail: d.Error}
				}
			}
			return nil
		},
	}
}

func (t *turn) awaitRecords() action {
	return action{
		word: Say("firstboot.do.records"),
		do: func(ctx context.Context) error {
			plan, err := t.plan(ctx)
			if err != nil {
				return &waitError{why: Say("firstboot.wait.internet"), detail: err.Error()}
			}
			plan.Results, t.row.Found.Missing = nil, notReady(plan) // a row is not for all that can be asked again
			plan.Changes, plan.Zone = nil, ""
			t.row.Found.Plan = &plan
			if len(t.row.Found.Missing) > 0 {
				return waitRecords(t.row.Found.Missing)
			}
			return nil
		},
	}
}

func waitRecords(missing []dnsplan.Result) error {
	var names []string
	for _, r := range missing {
		names = append(names, dnsplan.Display(r.Record.Name)+" "+r.Record.Type)
	}
	return wait("firstboot.wait.records", "records", strings.Join(names, ", "))
}

func switchStep() step {
	return step{
		Step: Step{ID: Switch, Needs: []ID{Claiming, Address, DNS}, Internet: true, MaySkip: true, Fields: []Field{
			{Name: "confirm", Kind: Text},
			{Name: "untested", Kind: Yes}, // though nobody could look from outside whether mail comes in
		}},
		wanted: published, detect: detectMX, actions: switchActions,
	}
}

func detectMX(ctx context.Context, t *turn) (f Found, err error) {
	if t.host() == "" {
		return f, nil
	}
	mx, err := ask[admin.MX](ctx, t.o.House, "mx.show", admin.Domain{Domain: t.domain()})
	if err == nil {
		f.MX = &mx
	}
	return f, err
}

// switchActions move the mail here, once the house is ready for it. Mail that
// came earlier would be refused, or come in the open.
func switchActions(t *turn) []action {
	ready := func(look func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			if here, err := t.mxHere(ctx); here || err != nil {
				return err
			}
			return look(ctx)
		}
	}
	return []action{
		{word: Say("firstboot.do.records"), do: ready(t.awaitRecords().do)},
		{word: Say("firstboot.do.certificate"), do: ready(t.awaitCertificate)},
		{word: Say("firstboot.do.in25"), do: ready(t.awaitIn25)},
		{word: Say("firstboot.do.mx", "domain", t.domain()), done: t.mxHere, do: t.switchMX},
	}
}

// mxHere reports whether the world sends the domain's mail here.
func (t *turn) mxHere(ctx context.Context) (bool, error) {
	f, err := detectMX(ctx, t)
	if err != nil || f.MX == nil {
		return false, err
	}
	t.row.Found.MX = f.MX
	for _, v := range f.MX.Now {
		_, host, _ := strings.Cut(v, " ")
		if canonical(host) != t.host() {
			return false, nil
		}
	}
	return len(f.MX.Now) > 0, nil
}

func (t *turn) awaitCertificate(ctx context.Context) error {
	c, err := ask[admin.Certificates](ctx, t.o.House, "certificate.list", admin.Empty{})
	if err != nil {
		return err
	}
	for _, n := range c.Names {
		if n.Name == c.Host && (n.Shown == certs.Valid || n.Own) {
			return nil
		}
		if n.Name == c.Host && !n.Trouble.Empty() {
			return &waitError{why: Say("firstboot.wait.certificate"), detail: n.Trouble.In(t.of(Language, "language"))}
		}
	}
	if c.Agreed == nil {
		return wait("firstboot.wait.agree-ca")
	}
	return wait("firstboot.wait.certificate")
}

func (t *turn) awaitIn25(ctx context.Context) error {
	l, err := ask[admin.Line](ctx, t.o.House, "line.check", admin.CheckLine{Names: []string{"in25"}})
	if err != nil {
		return err
	}
	for _, r := range l.Results {
		switch {
		case r.Name != "in25":
		case r.State == check.Good, r.State != check.Bad && t.get("untested") == "yes":
			return nil
		case r.State == check.Bad:
			return &waitError{why: Say("firstboot.wait.in25"), detail: r.Detail}
		}
	}
	return wait("firstboot.wait.in25-untested")
}

// switchMX changes the MX where the house may, and else waits until somebody
// has.
func (t *turn) switchMX(ctx context.Context) error {
	err := t.publish("mx.plan", "mx.switch").do(ctx)
	if f := (*failError)(nil); errors.As(err, &f) && errors.Is(f.err, zones.ErrNoZone) {
		return wait("firstboot.wait.mx-by-hand", "domain", t.domain(), "host", t.host())
	}
	if err != nil {
		return err
	}
	if here, err := t.mxHere(ctx); !here || err != nil {
		return wait("firstboot.wait.mx-seen")
	}
	return nil
}

// Undo lets mail go where it went before the switch. It returns what was done.
func (e *Engine) Undo(ctx context.Context) ([]admin.Pushed, error) {
	e.locks[Switch].Lock()
	defer e.locks[Switch].Unlock()
	t, err := e.turn(Switch)
	if err != nil {
		return nil, err
	}
	plan, err := ask[admin.Push](ctx, e.o.House, "mx.restore-plan", admin.Domain{Domain: t.domain()})
	if err != nil {
		return nil, err
	}
	// First the row: a step that still waits would switch again by itself.
	delete(t.row.Answers, "confirm")
	t.row = t.row.become(Todo, Word{})
	if err := e.save(Switch, t.row); err != nil {
		return nil, err
	}
	return ask[[]admin.Pushed](ctx, e.o.House, "mx.restore", admin.ApplyPush{Changes: plan.Changes})
}
