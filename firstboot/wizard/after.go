package wizard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"homemail/admin"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/web/page"
)

// moreSwitchView is where the mail goes now, and where it will.
type moreSwitchView struct {
	Domain   string
	Now, New []string
	Known    bool
	Checks   []waiting
	Changes  []stepDiff
	Digest   string
	Untested bool // nobody could look from outside
	ByHand   bool
	CanUndo  bool
	Here     bool
}

// waiting is one thing that the switch needs.
type waiting struct {
	Label page.Message
	State page.State
}

// switchNeeds are what the switch waits for, in order, by the reasons that the
// step has meanwhile.
func switchNeeds() []struct {
	label   string
	reasons []string
} {
	return []struct {
		label   string
		reasons []string
	}{
		{"first.switch.records", []string{"wait.records", "wait.internet"}},
		{"first.switch.certificate", []string{"wait.agree-ca", "wait.certificate"}},
		{"first.switch.in25", []string{"wait.in25", "wait.in25-untested"}},
		{"first.switch.mx", []string{"wait.confirm", "wait.publish", "wait.mx-seen", "wait.mx-by-hand", "failed.publish"}},
	}
}

// moreSwitch shows what is needed. When the page is opened first, the engine
// begins to look; it changes nothing before the change was shown and confirmed.
func moreSwitch(z *Wizard, _ *http.Request, v *stepView) error {
	if v.Is(firstboot.Todo) && len(v.Step.Blocked) == 0 && v.Step.Since.IsZero() {
		z.jobs.once(string(firstboot.Switch), func(ctx context.Context) {
			if _, err := z.o.Engine.Submit(ctx, firstboot.Switch, nil); err != nil && ctx.Err() == nil {
				z.log.Warn("whether the mail may be switched could not be seen", "err", err)
			}
		})
		v.Busy = true
	}
	domain := mail.Path(v.Owner).Domain()
	m := moreSwitchView{Domain: domain, New: []string{"mail." + domain}, Here: v.Is(firstboot.Done), Untested: v.Because("wait.in25-untested"), ByHand: v.Because("wait.mx-by-hand")}
	if mx := v.Step.Found.MX; mx != nil {
		m.Known, m.Now, m.CanUndo = true, hosts(mx.Now), mx.Former != nil && len(mx.Former.Values) > 0
		if m.Here && mx.Former != nil {
			m.Now = hosts(mx.Former.Values)
		}
	}
	if f := v.Step.Found; f.Changes != nil && v.Because("wait.confirm") {
		m.Changes, m.Digest = diffs(f.Changes.Changes), f.Digest
	}
	state := page.Good
	for _, need := range switchNeeds() {
		w := waiting{page.Say(need.label), state}
		if !m.Here && state == page.Good && slices.ContainsFunc(need.reasons, v.Because) {
			w.State, state = page.Waiting, page.Off
			if v.Because("wait.in25") || v.Is(firstboot.Failed) {
				w.State = page.Bad
			}
		}
		m.Checks = append(m.Checks, w)
	}
	if !m.Here && state == page.Good { // it was not looked yet
		for i := range m.Checks {
			m.Checks[i].State = page.Off
		}
	}
	if !v.Is(firstboot.Failed) {
		v.Asking = v.Asking && v.Is(firstboot.Skipped)
	}
	if v.Is(firstboot.Todo) && !v.Step.Since.IsZero() {
		v.Asking = true // it was undone: only somebody's word begins it again
	}
	v.More = m
	return nil
}

// hosts are the servers of an MX without their preference, which says nothing to
// people.
func hosts(mx []string) (list []string) {
	for _, v := range mx {
		_, host, ok := strings.Cut(v, " ")
		if !ok {
			host = v
		}
		list = append(list, host)
	}
	return list
}

// undo lets the mail go where it went before.
func (z *Wizard) undo(w http.ResponseWriter, r *http.Request) {
	done, err := z.o.Engine.Undo(r.Context())
	switch {
	case err != nil:
		z.log.Warn("the switch of the mail could not be undone", "err", err)
		z.set.Flash(w, r, page.Bad, page.Say("first.switch.undo-failed"))
	case slices.ContainsFunc(done, func(p admin.Pushed) bool { return p.Error != "" }):
		z.set.Flash(w, r, page.Bad, page.Say("first.switch.undo-failed"))
	default:
		z.set.Flash(w, r, page.Good, page.Say("first.switch.undone"))
	}
	z.set.Redirect(w, r, path(firstboot.Switch))
}

// moreFirstMailView is the letters.
type moreFirstMailView struct {
	Address  string
	Arrived  *firstboot.Letter
	Left     *firstboot.Letter
	Verdicts []verdict
	Reply    string // where a program for mail writes the reply
}

type verdict struct {
	Label page.Message
	State page.State
	Word  page.Message
}

// moreFirstMail begins to watch when the page is opened: who sends the mail before
// pressing a button is to see it arrive, too.
func moreFirstMail(z *Wizard, r *http.Request, v *stepView) error {
	if v.Is(firstboot.Todo) && len(v.Step.Blocked) == 0 {
		after, err := z.o.Engine.Submit(r.Context(), firstboot.FirstMail, nil)
		if err != nil && !errors.Is(err, firstboot.ErrBlocked) {
			return err
		}
		v.Step, v.Asking = after, false
		v.Later = v.Path + "/skip"
	}
	m := moreFirstMailView{Address: v.Owner, Arrived: v.Step.Found.Arrived, Left: v.Step.Found.Left}
	if a := m.Arrived; a != nil {
		m.Reply = "mailto:" + url.PathEscape(string(a.From)) // a ? in it would begin header fields, RFC 6068 §2
		for _, one := range []struct{ label, result string }{{"first.verdict.spf", a.SPF}, {"first.verdict.dkim", a.DKIM}, {"first.verdict.dmarc", a.DMARC}} {
			if one.result == "" {
				continue
			}
			x := verdict{page.Say(one.label), page.Unknown, page.Say("first.verdict.other")}
			switch one.result {
			case "pass":
				x.State, x.Word = page.Good, page.Say("first.verdict.pass")
			case "fail":
				x.State, x.Word = page.Bad, page.Say("first.verdict.fail")
			case "none":
				x.State, x.Word = page.Off, page.Say("first.verdict.none")
			}
			m.Verdicts = append(m.Verdicts, x)
		}
		tls := verdict{page.Say("first.verdict.tls"), page.Unknown, page.Say("first.verdict.open")}
		if a.TLS {
			tls.State, tls.Word = page.Good, page.Say("first.verdict.sealed")
		}
		m.Verdicts = append(m.Verdicts, tls)
	}
	v.More = m
	return nil
}

// moreSafeView has the recovery codes in the one answer that shows them.
type moreSafeView struct {
	Codes []string
	None  bool // this house has none
	Made  bool
	Back  []back // codes that are to be typed back
}

// back is a recovery code that is to be typed back.
type back struct {
	Field string
	N     int // its number on the paper
}

func moreSafe(_ *Wizard, _ *http.Request, v *stepView) error {
	m := moreSafeView{Made: v.Step.Found.Codes}
	for i, n := range v.Step.Found.Asked {
		m.Back = append(m.Back, back{[]string{"first_code", "second_code"}[i], n})
	}
	v.More = m
	return nil
}

// codes makes new codes and shows them: they are nowhere else.
func (z *Wizard) codes(w http.ResponseWriter, r *http.Request) {
	codes, err := z.o.Engine.Codes(r.Context())
	if err != nil && !errors.Is(err, firstboot.ErrNoCodes) {
		z.log.Error("recovery codes could not be made", "err", err)
		z.set.Flash(w, r, page.Bad, page.Say("first.safe.no-codes"))
		z.set.Redirect(w, r, path(firstboot.Safe))
		return
	}
	v, verr := z.view(r, firstboot.Safe, nil)
	if verr != nil {
		z.fail(w, r, verr)
		return
	}
	v.Asking, v.More = true, moreSafeView{Codes: codes, None: err != nil, Made: err == nil}
	z.set.Render(w, r, "first.safe", v, http.StatusOK)
}
