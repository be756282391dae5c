package firstboot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"homemail/admin"
	"homemail/store"
)

// A Given is answers to a step, as a program gives them.
type Given struct {
	Step    ID      `json:"step"`
	Answers Answers `json:"answers,omitempty"`
}

// Do is the engine for programs: the operations whose names begin with "setup.".
// Whoever can ask for them, over the control socket or with an owner's token, need
// not claim the house any more.
func (e *Engine) Do(ctx context.Context, verb string, request json.RawMessage) (any, error) {
	var q Given
	d := json.NewDecoder(bytes.NewReader(request))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	switch verb {
	case "setup.submit", "setup.apply", "setup.skip", "setup.undo":
		if e.o.Claim == nil {
			break
		}
		if err := e.o.Claim.Console(ctx); err != nil {
			return nil, err
		}
	}
	switch verb {
	case "setup.show":
		return e.Show(ctx)
	case "setup.step":
		return e.Step(ctx, q.Step)
	case "setup.detect":
		return e.Detect(ctx, q.Step)
	case "setup.plan":
		return e.Plan(ctx, q.Step)
	case "setup.submit":
		return e.Submit(ctx, q.Step, q.Answers)
	case "setup.apply":
		return e.Apply(ctx, q.Step)
	case "setup.skip":
		return e.Skip(ctx, q.Step)
	case "setup.undo":
		return e.Undo(ctx)
	case "setup.share":
		s, err := e.Share()
		return ShareLink{s.Token, s.Until}, err
	case "setup.unshare":
		return admin.Empty{}, e.Unshare()
	case "setup.devices":
		return e.Devices()
	case "setup.invites": // for the console alone, as the next
		return e.Invites()
	case "setup.codes":
		return e.Codes(ctx)
	case "setup.forget":
		return admin.Empty{}, e.Forget()
	}
	return nil, fmt.Errorf("%w: there is no operation %q", store.ErrInvalid, verb)
}

// ShareLink is what setup.share answers.
type ShareLink struct {
	Token string    `json:"token"` // of the page /share/TOKEN
	Until time.Time `json:"until"`
}

// Operations are those of Do that programs may ask for by token, once there is an
// owner who can make one: with the scope of all, as a step may touch everything.
// Those that only tell may be asked for by who may read.
func Operations() []admin.Operation {
	tells := func(name string, request, answer reflect.Type, about string) admin.Operation {
		return admin.Operation{Name: "setup." + name, Request: request, Answer: answer, Scope: admin.ScopeAll, About: about}
	}
	does := func(name string, request, answer reflect.Type, about string) admin.Operation {
		o := tells(name, request, answer, about)
		o.Changes = true
		return o
	}
	given, view, none := reflect.TypeFor[Given](), reflect.TypeFor[View](), reflect.TypeFor[admin.Empty]()
	return []admin.Operation{
		tells("show", none, reflect.TypeFor[Overview](), "Tells how far each step of setting up is, and where to go on."),
		tells("step", given, view, "Tells how far one step is."),
		tells("plan", given, reflect.TypeFor[[]Action](), "Tells what a step would do, and what of it is done."),
		does("detect", given, reflect.TypeFor[Found](), "Finds out what a step can find out by itself. It may take a minute."),
		does("submit", given, view, "Answers a step and does it, as far as it can be done now; the rest goes on by itself. The steps you and address are never answered by token."),
		does("apply", given, view, "Does a step with the answers that it has."),
		does("skip", given, view, "Leaves a step for later."),
		does("undo", none, reflect.TypeFor[[]admin.Pushed](), "Lets mail go where it went before the step switch."),
		does("share", none, reflect.TypeFor[ShareLink](), "Makes the link of a page for somebody who enters the records, or tells it again."),
		does("unshare", none, none, "Ends that link."),
		does("devices", none, reflect.TypeFor[[]NewDevice](), "Tells the device passwords that the step people has made and that nobody has confirmed to have seen."),
		does("forget", none, none, "Drops those passwords: they were seen."),
	}
}
