package admin

import (
	"context"
	"fmt"
	"time"

	"homemail/store"
)

// Status is how the house is.
type Status struct {
	Version  string      `json:"version"`
	Running  bool        `json:"running"`
	Started  *time.Time  `json:"started,omitempty"`
	Healthy  bool        `json:"healthy"`
	Problem  string      `json:"problem,omitempty"`
	Damage   []string    `json:"damage,omitempty"`
	Accounts int         `json:"accounts"`
	Domains  []string    `json:"domains"`
	Messages int64       `json:"messages"`
	Used     int64       `json:"used"`
	Disk     store.Stats `json:"disk"`
	Waiting  int         `json:"waiting"` // recipients in the queue
	Notes    []string    `json:"notes"`   // what an owner should look at, in words
}

func (h *House) status(context.Context, Empty) (Status, error) {
	s := Status{Version: h.Version, Running: !h.Started.IsZero(), Healthy: true, Damage: h.Store.Damage(), Disk: h.Store.Stats()}
	if s.Running {
		s.Started = &h.Started
	}
	if err := h.Store.Broken(); err != nil {
		s.Healthy, s.Problem = false, err.Error()
	} else if err := h.Store.Room(0); err != nil {
		s.Healthy, s.Problem = false, err.Error()
	} else if len(s.Damage) > 0 {
		s.Healthy, s.Problem = false, "stored data was damaged when homemail started; run: homemail check store -bodies"
	}
	accounts, err := h.Store.Accounts()
	if err != nil {
		return s, err
	}
	for _, p := range accounts {
		a, err := h.Store.AccountByID(p.ID)
		if err != nil {
			return s, err
		}
		u, err := a.Usage()
		if err != nil {
			return s, err
		}
		s.Accounts++
		s.Messages += u.Messages
		s.Used += u.Bytes
	}
	if s.Domains, err = h.Store.Domains(); err != nil {
		return s, err
	}
	s.Waiting = h.Queue.Stats().Queued
	s.Notes, err = h.notes()
	return s, err
}

// notes tells what is not as it should be, though mail is taken and kept.
func (h *House) notes() ([]string, error) {
	list := []string{}
	if why := h.Clock.Why(); why != "" {
		list = append(list, "nothing is given up or forgotten because of its age: "+why)
	}
	list = append(list, h.certificateNotes()...)
	paused, err := h.Caps.Paused()
	if err != nil {
		return list, err
	}
	for _, p := range paused {
		who := fmt.Sprintf("account %d", p.Account)
		if a, err := h.Store.AccountByID(p.Account); err == nil {
			if profile, err := a.Profile(); err == nil {
				who = string(profile.Address)
			}
		}
		list = append(list, fmt.Sprintf("mail of %s does not leave: %s; see: homemail sending list", who, p.Reason))
	}
	states, err := h.Bridge.Statuses()
	for _, s := range states {
		if s.Problem != "" {
			list = append(list, fmt.Sprintf("mail of %s: %s", s.Address, s.Problem))
		}
	}
	return list, err
}
