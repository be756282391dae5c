package firstboot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"homemail/store"
)

// Errors of an Engine. Their words are for programs: faces show what a View says.
var (
	ErrStep     = fmt.Errorf("%w: there is no such step", store.ErrInvalid)
	ErrMaySkip  = fmt.Errorf("%w: this step cannot be left for later", store.ErrInvalid)
	ErrBlocked  = fmt.Errorf("%w: another step has to be answered first", store.ErrInvalid)
	ErrTooLarge = fmt.Errorf("%w: an answer is too long", store.ErrInvalid)
)

// answerMax is how long an answer may be: a list of the people of a house.
const answerMax = 16 << 10

// answersMax is how many answers are taken at once.
const answersMax = 64

// A step is a Step and what it does.
type step struct {
	Step
	keeps    bool                      // its secrets are for another step
	wanted   func(t *turn) bool        // nil: in every house
	validate func(t *turn, p Problems) // beyond what Fields say
	detect   func(context.Context, *turn) (f Found, err error)
	actions  func(t *turn) []action // what Apply does, in this order
}

// An action is one thing that a step does. It is done when done says so; a kill
// may come between any two calls.
type action struct {
	word Word
	done func(context.Context) (bool, error) // nil: do tells by itself
	do   func(context.Context) error
}

// A turn is one handling of a step, with what is known of all.
type turn struct {
	*Engine
	step    step
	row     row
	rows    map[ID]row
	secrets map[ID]Answers
}

func (e *Engine) find(id ID) (step, error) {
	i := slices.IndexFunc(e.steps, func(s step) bool { return s.ID == id })
	if i < 0 {
		return step{}, fmt.Errorf("%w: %q", ErrStep, id)
	}
	return e.steps[i], nil
}

func (e *Engine) turn(id ID) (*turn, error) {
	s, err := e.find(id)
	if err != nil {
		return nil, err
	}
	rows, err := e.rows()
	return &turn{Engine: e, step: s, row: rows[id], rows: rows, secrets: map[ID]Answers{}}, err
}

func (e *Engine) rows() (map[ID]row, error) {
	rows := map[ID]row{}
	for _, s := range e.steps {
		r, err := e.load(s.ID)
		if err != nil {
			return nil, err
		}
		rows[s.ID] = r
	}
	return rows, nil
}

// get is what was answered to a field of this step.
func (t *turn) get(name string) string {
	if v, ok := t.row.Answers[name]; ok {
		return v
	}
	return t.secret(t.step.ID, t.row, name)
}

// of is what was answered to a field of another step.
func (t *turn) of(id ID, name string) string {
	if id == t.step.ID {
		return t.get(name)
	}
	if v, ok := t.rows[id].Answers[name]; ok {
		return v
	}
	return t.secret(id, t.rows[id], name)
}

func (t *turn) secret(id ID, r row, name string) string {
	if t.secrets[id] == nil {
		t.secrets[id] = Answers{}
		all := Answers{}
		t.open(id, r.Secrets, &all)
		t.secrets[id] = all
	}
	return t.secrets[id][name]
}

// answers are those of this step, secrets too.
func (t *turn) answers() Answers {
	t.secret(t.step.ID, t.row, "")
	all := maps.Clone(t.secrets[t.step.ID])
	maps.Copy(all, t.row.Answers)
	return all
}

// Show tells how far all steps are.
func (e *Engine) Show(ctx context.Context) (o Overview, err error) {
	rows, err := e.rows()
	if err != nil {
		return o, err
	}
	o.Finished, o.Language = true, rows[Language].Answers["language"]
	for _, s := range e.steps {
		v := (&turn{Engine: e, step: s, row: rows[s.ID], rows: rows, secrets: map[ID]Answers{}}).view(ctx)
		if o.Current == "" && !v.Answered() {
			o.Current = s.ID
		}
		o.Finished = o.Finished && (v.Status == Done || v.Status == Skipped)
		o.Steps = append(o.Steps, v)
	}
	t := &turn{Engine: e, rows: rows, secrets: map[ID]Answers{}}
	o.Mode, o.Owner, o.Domain, o.Host = t.mode(), t.owner(), t.domain(), t.host()
	return o, nil
}

// Step tells how far a step is.
func (e *Engine) Step(ctx context.Context, id ID) (View, error) {
	t, err := e.turn(id)
	if err != nil {
		return View{}, err
	}
	return t.view(ctx), nil
}

func (t *turn) view(ctx context.Context) View {
	r := t.row
	v := View{
		Step: t.step.Step, Status: r.Status, Reason: r.Reason, Detail: r.Detail, Since: r.Since, Next: r.Next,
		Answers: r.Answers, Sealed: t.secretNames(t.step.ID, r), Found: r.Found, Blocked: t.blocked(ctx),
	}
	switch {
	case t.step.ID == Claiming:
		v.Status = t.claimed(ctx)
	case r.Status != Done && !t.isWanted():
		v.Status, v.Reason, v.Detail = Skipped, Say("firstboot.skip.not-needed"), ""
	}
	return v
}

func (t *turn) isWanted() bool { return t.step.wanted == nil || t.step.wanted(t) }

// claimed is the status of the claim, which is no row of ours.
func (t *turn) claimed(ctx context.Context) Status {
	if t.o.Claim == nil {
		return Done
	}
	if open, err := t.o.Claim.Open(ctx); err == nil && !open {
		return Done
	}
	return Todo
}

// blocked are the steps that have to be answered before this one.
func (t *turn) blocked(ctx context.Context) (list []ID) {
	for _, id := range t.step.Needs {
		s, err := t.find(id)
		if err != nil {
			continue
		}
		other := &turn{Engine: t.Engine, step: s, row: t.rows[id], rows: t.rows, secrets: t.secrets}
		status := other.row.Status
		if id == Claiming {
			status = t.claimed(ctx)
		}
		if (status == Todo || status == Failed) && other.isWanted() {
			list = append(list, id)
		}
	}
	return list
}

// Save keeps answers as they are, so that nobody has to type them again. It
// reports what is wrong with them and does nothing else. What is not in given
// stays; an empty answer takes one back.
func (e *Engine) Save(ctx context.Context, id ID, given Answers) (Problems, error) {
	s, err := e.find(id)
	if err != nil {
		return nil, err
	}
	e.locks[id].Lock()
	defer e.locks[id].Unlock()
	return e.keep(ctx, s, given)
}

func (e *Engine) keep(ctx context.Context, s step, given Answers) (Problems, error) {
	if len(given) > answersMax {
		return nil, ErrTooLarge
	}
	for name, v := range given {
		if len(v) > answerMax || len(name) > 100 {
			return nil, fmt.Errorf("%w: %.40q", ErrTooLarge, name)
		}
	}
	t, err := e.turn(s.ID)
	if err != nil {
		return nil, err
	}
	if t.row.Status == Done || t.row.Status == Skipped {
		t.row.Tries = 0
	}
	if err := e.answer(s, &t.row, given); err != nil {
		return nil, err
	}
	if t.row.Since.IsZero() {
		t.row.Since = time.Now()
	}
	delete(t.secrets, s.ID)
	return t.problems(), e.save(s.ID, t.row)
}

// problems says what is wrong with the answers of a step.
func (t *turn) problems() Problems {
	p := Problems{}
	all := t.answers()
	for _, f := range t.step.Fields {
		v := all[f.Name]
		switch {
		case !f.asked(all):
		case v == "" && f.Need && !(f.Kind == Secret && t.row.Status == Done):
			p[f.Name] = Say("firstboot.wrong.missing")
		case v != "" && f.Kind == Choice && !slices.Contains(f.Choices, v):
			p[f.Name] = Say("firstboot.wrong.choice")
		case f.Kind != Lines && hasControl(v):
			p[f.Name] = Say("firstboot.wrong.control")
		}
	}
	if len(p) == 0 && t.step.validate != nil {
		t.step.validate(t, p)
	}
	if len(p) == 0 {
		return nil
	}
	return p
}

func hasControl(s string) bool {
	return slices.ContainsFunc([]rune(s), func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' })
}

// Detect finds out what can be found out by itself, and keeps it.
func (e *Engine) Detect(ctx context.Context, id ID) (Found, error) {
	t, err := e.turn(id)
	if err != nil || t.step.detect == nil {
		return t.found(), err
	}
	f, err := t.step.detect(ctx, t) // may take a minute, and holds nobody up
	if err != nil {
		return t.row.Found, err
	}
	e.locks[id].Lock()
	defer e.locks[id].Unlock()
	if t.row, err = e.load(id); err != nil {
		return f, err
	}
	f.At = time.Now()
	t.row.Found.merge(f)
	return t.row.Found, e.save(id, t.row)
}

func (t *turn) found() (f Found) {
	if t != nil {
		f = t.row.Found
	}
	return f
}

// Plan says what Apply would do, as far as that can be seen now. It changes
// nothing.
func (e *Engine) Plan(ctx context.Context, id ID) (list []Action, err error) {
	t, err := e.turn(id)
	if err != nil || t.step.actions == nil || !t.isWanted() {
		return nil, err
	}
	for _, a := range t.step.actions(t) {
		done := false
		if a.done != nil {
			if done, err = a.done(ctx); err != nil {
				return list, err
			}
		}
		list = append(list, Action{a.word, done})
	}
	return list, nil
}

// Submit is Save and, if nothing is wrong, Apply: the primary button.
func (e *Engine) Submit(ctx context.Context, id ID, given Answers) (View, error) {
	p, err := e.Save(ctx, id, given)
	if err != nil {
		return View{}, err
	}
	if p != nil {
		v, err := e.Step(ctx, id)
		v.Problems = p
		return v, err
	}
	return e.Apply(ctx, id)
}

// Skip leaves a step for later. What it waits for is not tried any more.
func (e *Engine) Skip(ctx context.Context, id ID) (View, error) {
	t, err := e.turn(id)
	if err != nil {
		return View{}, err
	}
	if !t.step.MaySkip {
		return t.view(ctx), ErrMaySkip
	}
	e.locks[id].Lock()
	defer e.locks[id].Unlock()
	if t.row, err = e.load(id); err != nil {
		return View{}, err
	}
	if t.row.Status != Done {
		t.row = t.row.become(Skipped, Say("firstboot.skip.later"))
		err = e.save(id, t.row)
	}
	return t.view(ctx), err
}

func (r row) become(s Status, why Word) row {
	if r.Status != s {
		r.Since = time.Now()
	}
	r.Status, r.Reason, r.Detail, r.Next = s, why, "", time.Time{}
	return r
}

// digest names what was shown, so that only that is confirmed.
func digest(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// ask does an operation of the house. It returns what came with an error, too.
func ask[A any](ctx context.Context, h House, verb string, request any) (a A, err error) {
	b, err := json.Marshal(request)
	if err != nil {
		return a, err
	}
	v, err := h.Do(ctx, verb, b)
	if v, ok := v.(A); ok {
		return v, err
	}
	if err != nil {
		return a, err
	}
	if b, err = json.Marshal(v); err != nil {
		return a, err
	}
	return a, json.Unmarshal(b, &a)
}

// exists is err, but for what is there already.
func exists(err error) error {
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}
