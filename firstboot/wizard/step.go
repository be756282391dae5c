package wizard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"homemail/firstboot"
	"homemail/web/page"
)

const eventsPath = "/first/events"

// A stepView is a step as its page shows it. Every template of a step is made
// from one; what only one step has is in More.
type stepView struct {
	Step   firstboot.View
	Form   page.Form
	Asking bool // the form is shown, else how far the step is
	Wrong  page.Message
	More   any

	Path, Next, Later string // this page, the next one, and where "later" posts to
	Owner             string // the owner's address, once there is one
	Busy              bool   // something of this step is under way
	Have              string // what the page shows, for the events
	Changes           bool   // the answers can be changed
}

// State is how far a step is, as a mark.
func (v stepView) State() page.State { return stateOf(v.Step.Status) }

// Says is why a step waits, failed or is not needed.
func (v stepView) Says() page.Message {
	if v.Step.Reason.IsZero() && v.Step.Status == firstboot.Done {
		return page.Say("first.status.done")
	}
	if v.Step.Reason.IsZero() || v.Step.Status == firstboot.Doing {
		return page.Say("first.status.doing")
	}
	return say(v.Step.Reason)
}

// Why says why the step is there.
func (v stepView) Why() page.Message { return page.Say("first.why." + string(v.Step.ID)) }

// settled reports whether the answers of a step stay as they are: those that an
// account was made of.
func settled(o firstboot.Overview, id firstboot.ID) bool {
	return (id == firstboot.You || id == firstboot.Address) && find(o, firstboot.Address).Status == firstboot.Done
}

// Is reports whether a step has a status.
func (v stepView) Is(s firstboot.Status) bool { return v.Step.Status == s }

// Answer is what was answered to a field.
func (v stepView) Answer(name string) string { return v.Step.Answers[name] }

// Because reports whether a step waits for, or failed at, something.
func (v stepView) Because(key string) bool { return v.Step.Reason.Key == "firstboot."+key }

// Live is where the events of this page come from.
func (v stepView) Live() string {
	return with(eventsPath, "step", string(v.Step.ID), "have", v.Have)
}

// Underway reports whether the step goes on by itself while people look.
func (v stepView) Underway() bool {
	goesOn := v.Is(firstboot.Doing) || v.Is(firstboot.Waiting) && !v.Step.Next.IsZero()
	return v.Busy || goesOn && !v.Asking
}

func stateOf(s firstboot.Status) page.State {
	switch s {
	case firstboot.Done:
		return page.Good
	case firstboot.Failed:
		return page.Bad
	case firstboot.Skipped:
		return page.Off
	}
	return page.Waiting
}

// A screen is what is special about the page of a step.
type screen struct {
	// more fills in what only this step has. It may begin what the page needs.
	more func(z *Wizard, r *http.Request, v *stepView) error
	stay bool // its page goes on to have something to show after it was answered
}

func screens() map[firstboot.ID]screen {
	return map[firstboot.ID]screen{
		firstboot.Language:   {},
		firstboot.Start:      {more: moreStart},
		firstboot.You:        {more: moreYou},
		firstboot.Address:    {more: moreAddress},
		firstboot.Line:       {more: moreLine},
		firstboot.Connection: {more: moreConnection},
		firstboot.DNS:        {more: moreDNS, stay: true},
		firstboot.Switch:     {more: moreSwitch, stay: true},
		firstboot.FirstMail:  {more: moreFirstMail, stay: true},
		firstboot.Safe:       {more: moreSafe},
		firstboot.People:     {more: morePeople, stay: true},
	}
}

// view makes the page of a step. A nil form shows what was answered before.
func (z *Wizard) view(r *http.Request, id firstboot.ID, form *page.Form) (v stepView, err error) {
	o, err := z.o.Engine.Show(r.Context())
	if err != nil {
		return v, err
	}
	i := slices.IndexFunc(o.Steps, func(s firstboot.View) bool { return s.ID == id })
	if i < 0 {
		return v, firstboot.ErrStep
	}
	sc := screens()[id]
	v = stepView{Step: o.Steps[i], Path: path(id), Next: z.after(o, id), Owner: owner(o), Busy: z.jobs.has(string(id)), Changes: !settled(o, id)}
	if v.Step.MaySkip && (v.Is(firstboot.Todo) || v.Is(firstboot.Failed) || v.Is(firstboot.Waiting)) {
		v.Later = v.Path + "/skip"
	}
	v.Asking = (v.Is(firstboot.Todo) || v.Is(firstboot.Failed) || v.Is(firstboot.Skipped) || r.FormValue("change") != "" && v.Changes) && !v.Busy
	if form != nil {
		v.Form, v.Asking = *form, true
	} else {
		in := formOf(r, o, id)
		fill(in, v.Step.Answers)
		v.Form = page.Fill(in)
	}
	if v.Is(firstboot.Failed) {
		v.Wrong = v.Says()
	}
	if sc.more != nil {
		if err := sc.more(z, r, &v); err != nil {
			return v, err
		}
	}
	v.Have = digest(v)
	return v, nil
}

// digest names what a page shows, but for what was typed and for times of looks
// that have changed nothing.
func digest(v stepView) string {
	v.Form, v.Have = page.Form{}, ""
	v.Step.Next, v.Step.Found.At, v.Step.Since = time.Time{}, time.Time{}, time.Time{}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// owner is the address whose account was made, "" before.
func owner(o firstboot.Overview) string { return string(find(o, firstboot.Address).Found.Owner) }

func find(o firstboot.Overview, id firstboot.ID) firstboot.View {
	for _, v := range o.Steps {
		if v.ID == id {
			return v
		}
	}
	return firstboot.View{}
}

// after is the page that comes after a step: the next that wants something and
// can be answered now.
func (z *Wizard) after(o firstboot.Overview, id firstboot.ID) string {
	i := slices.IndexFunc(o.Steps, func(s firstboot.View) bool { return s.ID == id })
	for _, v := range o.Steps[i+1:] {
		if v.Status != firstboot.Done && v.Status != firstboot.Skipped && len(v.Blocked) == 0 {
			return path(v.ID)
		}
	}
	return "/first/done"
}

// show is the page of a step.
func (z *Wizard) show(w http.ResponseWriter, r *http.Request) {
	id := firstboot.ID(r.PathValue("step"))
	if _, ok := screens()[id]; !ok {
		z.set.Error(w, r, http.StatusNotFound)
		return
	}
	z.render(w, r, id, nil)
}

func (z *Wizard) render(w http.ResponseWriter, r *http.Request, id firstboot.ID, form *page.Form) {
	v, err := z.view(r, id, form)
	switch {
	case err != nil:
		z.fail(w, r, err)
	case len(v.Step.Blocked) > 0 && !v.Is(firstboot.Done):
		z.set.Flash(w, r, page.Waiting, page.Say("first.blocked", "step", page.Say("firstboot.step."+string(v.Step.Blocked[0]))))
		z.set.Redirect(w, r, path(v.Step.Blocked[0]))
	default:
		status := http.StatusOK
		if form != nil {
			status = http.StatusUnprocessableEntity
		}
		z.set.Render(w, r, "first."+string(id), v, status)
	}
}

// submit takes the answers of a page. They are kept at once; what follows from
// them is done beside, and shown as it goes on.
func (z *Wizard) submit(w http.ResponseWriter, r *http.Request) {
	id := firstboot.ID(r.PathValue("step"))
	if _, ok := screens()[id]; !ok {
		z.set.Error(w, r, http.StatusNotFound)
		return
	}
	o, err := z.o.Engine.Show(r.Context())
	if err != nil {
		z.fail(w, r, err)
		return
	}
	if settled(o, id) {
		z.set.Redirect(w, r, path(id)) // it has an account already, whose password is changed elsewhere
		return
	}
	in := formOf(r, o, id)
	clearStrings(in)
	form := page.Read(r, in)
	answers := answers(r, in)
	if more, ok := in.(interface {
		check(z *Wizard, r *http.Request, f page.Form, a firstboot.Answers)
	}); ok {
		more.check(z, r, form, answers)
	}
	if !form.OK() {
		z.render(w, r, id, &form)
		return
	}
	problems, err := z.o.Engine.Save(r.Context(), id, answers)
	if err != nil {
		z.refuse(w, r, id, err)
		return
	}
	if z.partial(r, in) { // the rest is asked for after it
		z.set.Redirect(w, r, path(id))
		return
	}
	if ask, ok := in.(interface {
		unsure(z *Wizard, r *http.Request) bool
	}); ok && problems == nil && ask.unsure(z, r) {
		z.set.Redirect(w, r, path(id))
		return
	}
	if problems != nil {
		for name, word := range problems {
			form = form.Fail(shown(r, name), say(word))
		}
		z.render(w, r, id, &form)
		return
	}
	z.apply(w, r, id)
}

// partial reports whether a page has asked for a part only of what a step wants
// to know.
func (z *Wizard) partial(r *http.Request, in any) bool {
	said := r.PostFormValue("choose")
	if dns, ok := in.(*dnsForm); ok && said == "kind" {
		address, err := z.o.Engine.Step(r.Context(), firstboot.Address)
		return err != nil || dns.partial(address.Answers["kind"] == "free")
	}
	return said != ""
}

// shown is the field that a problem is said at: where there is none on the page,
// it is said above all of them.
func shown(r *http.Request, name string) string {
	if r.PostForm.Has(name) || slices.Contains(r.PostForm[ticksField], name) {
		return name
	}
	return ""
}

// apply does a step, and leads on.
func (z *Wizard) apply(w http.ResponseWriter, r *http.Request, id firstboot.ID) {
	wait(r.Context(), z.start(id), patience)
	switch id {
	case firstboot.Language:
		z.follow(w, r)
	case firstboot.DNS:
		z.looks.forget()
	}
	v, err := z.o.Engine.Step(r.Context(), id)
	if err != nil {
		z.refuse(w, r, id, err)
		return
	}
	if id == firstboot.Address && v.Status == firstboot.Done && !z.owner(r) {
		z.signIn(w, r, v.Found.Owner)
	}
	o, err := z.o.Engine.Show(r.Context())
	if err != nil {
		z.refuse(w, r, id, err)
		return
	}
	z.set.Redirect(w, r, z.onward(o, v))
}

// follow has the pages in the language that was just answered.
func (z *Wizard) follow(w http.ResponseWriter, r *http.Request) {
	page.SetCookie(w, r, http.Cookie{Name: "lang", Value: r.PostFormValue("language"), MaxAge: int((365 * 24 * time.Hour).Seconds())})
}

// onward is where a step that was just answered leads: to the next, unless its
// own page has something to say.
func (z *Wizard) onward(o firstboot.Overview, v firstboot.View) string {
	if v.Status != firstboot.Done && (v.Status != firstboot.Waiting || screens()[v.ID].stay) {
		return path(v.ID)
	}
	return z.after(o, v.ID)
}

// start has the engine do a step beside the request: it may ask the outside.
func (z *Wizard) start(id firstboot.ID) <-chan struct{} {
	return z.jobs.start(string(id), func(ctx context.Context) {
		v, err := z.o.Engine.Apply(ctx, id)
		switch {
		case err != nil && ctx.Err() == nil && !errors.Is(err, firstboot.ErrBlocked):
			z.log.Error("a step of the set-up could not be done", "step", id, "err", err)
		case err == nil && id == firstboot.Address && v.Status == firstboot.Done:
			z.settleLine(ctx, v)
		}
	})
}

// refuse says what the engine does not take.
func (z *Wizard) refuse(w http.ResponseWriter, r *http.Request, id firstboot.ID, err error) {
	switch {
	case errors.Is(err, firstboot.ErrBlocked), errors.Is(err, firstboot.ErrMaySkip):
		z.set.Redirect(w, r, path(id)) // which says what is missing
	case errors.Is(err, firstboot.ErrTooLarge):
		z.set.Error(w, r, http.StatusRequestEntityTooLarge)
	case errors.Is(err, firstboot.ErrStep):
		z.set.Error(w, r, http.StatusNotFound)
	default:
		z.fail(w, r, err)
	}
}

// skip leaves a step for later.
func (z *Wizard) skip(w http.ResponseWriter, r *http.Request) {
	id := firstboot.ID(r.PathValue("step"))
	if _, err := z.o.Engine.Skip(r.Context(), id); err != nil {
		z.refuse(w, r, id, err)
		return
	}
	o, err := z.o.Engine.Show(r.Context())
	if err != nil {
		z.fail(w, r, err)
		return
	}
	z.set.Redirect(w, r, z.after(o, id))
}

// events sends the part of a page that lives, each time that it is another one.
func (z *Wizard) events(w http.ResponseWriter, r *http.Request) {
	id := firstboot.ID(r.FormValue("step"))
	if _, ok := screens()[id]; !ok {
		z.set.Error(w, r, http.StatusNotFound)
		return
	}
	have := r.FormValue("have")
	z.set.Stream(w, r, func(ctx context.Context, send page.Sender) error {
		z.o.Engine.Hurry() // somebody is looking
		for {
			changed := z.o.Engine.Changed() // before it is read, so that nothing is missed
			v, err := z.view(r, id, nil)
			if err != nil {
				return err
			}
			if v.Have != have {
				have = v.Have
				if err := send("live", "first."+string(id)+".live", v); err != nil {
					return err
				}
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			case <-time.After(lookEach):
			}
		}
	})
}

// lookEach is how often a page that is open is looked at for what does not tell
// of itself: results of checks, and records.
const lookEach = time.Second
