package firstboot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

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
		return map[string]any{"token": s.Token, "until": s.Until}, err
	case "setup.devices":
		return e.Devices()
	case "setup.forget":
		return admin.Empty{}, e.Forget()
	}
	return nil, fmt.Errorf("%w: there is no operation %q", store.ErrInvalid, verb)
}
