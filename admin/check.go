package admin

import (
	"context"
	"fmt"

	"homemail/check"
	"homemail/dnsplan"
	"homemail/relay"
	"homemail/store"
)

// CheckLine asks for checks by name; none is all of them.
type CheckLine struct {
	Names []string `json:"names"`
	Last  bool     `json:"last,omitempty"` // what is known, without asking anybody
}

// Line is what the checks have found, and the way to connect that fits it.
type Line struct {
	Worst     check.State          `json:"worst"`
	Results   []check.Result       `json:"results"`
	Recommend check.Recommendation `json:"recommend"`
}

// checkLine runs checks now, or tells what the last ones have found.
func (h *House) checkLine(ctx context.Context, q CheckLine) (out Line, err error) {
	if h.Checker == nil {
		return out, errNoDNS
	}
	if q.Last {
		out.Results, err = h.Checker.Last(q.Names...)
	} else {
		out.Results, err = h.Checker.Test(ctx, q.Names...)
	}
	if err != nil {
		return out, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	out.Worst, out.Recommend = check.Worst(out.Results), check.Recommend(h.Checker.Results())
	return out, nil
}

// CheckMode is how a house is connected, for the checks; "" if nobody has decided
// yet.
func CheckMode(r relay.Routes) check.Mode {
	switch Mode(r) {
	case dnsplan.Direct:
		return check.Direct
	case dnsplan.Smarthost:
		return check.Smarthost
	case dnsplan.Bridge:
		return check.Bridge
	}
	return ""
}
