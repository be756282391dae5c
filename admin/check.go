package admin

import (
	"context"
	"fmt"
	"time"

	"homemail/check"
	"homemail/dnsplan"
	"homemail/store"
)

// CheckLine asks for checks by name; none is all of them.
type CheckLine struct {
	Names []string `json:"names"`
}

// Line is what the checks have found, and the way to connect that fits it.
type Line struct {
	Worst     check.State          `json:"worst"`
	Results   []check.Result       `json:"results"`
	Recommend check.Recommendation `json:"recommend"`
}

// checkLine runs checks now. They ask the outside, which is why nobody else
// starts them.
func (h *House) checkLine(ctx context.Context, q CheckLine) (out Line, err error) {
	if h.LineDNS == nil {
		return out, errNoDNS
	}
	domains, err := h.Store.Domains()
	if err != nil {
		return out, err
	}
	c := check.New(check.Options{
		Host: h.Host, Domains: func() []string { return domains }, Mode: h.checkMode, DNS: h.LineDNS, Clock: h.Clock, Memory: h.Store,
		Disk: func() (free, reserve int64, err error) {
			s := h.Store.Stats()
			return s.Free, s.Reserve, nil
		},
		Cert: h.Certificate,
		Queue: func() (waiting int, oldest time.Duration, err error) {
			s := h.Queue.Stats()
			return s.Queued, s.OldestAge, nil
		},
	})
	list, err := c.Test(ctx, q.Names...)
	if err != nil {
		return out, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	out.Results, out.Worst, out.Recommend = list, check.Worst(list), check.Recommend(c.Results())
	return out, nil
}

func (h *House) checkMode() check.Mode {
	switch h.mode() {
	case dnsplan.Direct:
		return check.Direct
	case dnsplan.Smarthost:
		return check.Smarthost
	case dnsplan.Bridge:
		return check.Bridge
	}
	return "" // it may be that nobody has decided yet
}
