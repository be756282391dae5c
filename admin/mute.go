package admin

import (
	"context"
	"time"
)

// MuteCheck asks that a check which is not good is shown, but told to nobody and
// counted nowhere.
type MuteCheck struct {
	Name   string `json:"name"`             // of the check
	Days   int    `json:"days,omitempty"`   // for so long, at most 30; 0 until it finds something else
	Reason string `json:"reason,omitempty"` // for who looks at it later
	Off    bool   `json:"off,omitempty"`    // let it be heard again
}

func (h *House) muteCheck(_ context.Context, q MuteCheck) (Empty, error) {
	if h.Checker == nil {
		return Empty{}, errNoDNS
	}
	var err error
	if q.Off {
		err = h.Checker.Unmute(q.Name)
	} else {
		err = h.Checker.Mute(q.Name, q.Reason, time.Duration(q.Days)*24*time.Hour)
	}
	if err != nil {
		return Empty{}, impossible(err)
	}
	return Empty{}, nil
}
