package admin

import (
	"context"
	"fmt"
	"time"

	"homemail/store"
	"homemail/words"
)

// Status is how the house is.
type Status struct {
	Version  string      `json:"version"`
	Running  bool        `json:"running"`
	Started  *time.Time  `json:"started,omitempty"`
	Healthy  bool        `json:"healthy"`
	Problem  string      `json:"problem,omitempty"`
	Wrong    words.Text  `json:"wrong,omitzero"` // Problem, in every language
	Damage   []string    `json:"damage,omitempty"`
	Accounts int         `json:"accounts"`
	Domains  []string    `json:"domains"`
	Messages int64       `json:"messages"`
	Used     int64       `json:"used"`
	Disk     store.Stats `json:"disk"`
	Waiting  int         `json:"waiting"` // recipients in the queue
	Notes    []string    `json:"notes"`   // what an owner should look at, in English

	Told []words.Text `json:"told,omitempty"` // Notes, in every language
}

func (h *House) status(context.Context, Empty) (Status, error) {
	s := Status{Version: h.Version, Running: !h.Started.IsZero(), Healthy: true, Damage: h.Store.Damage(), Disk: h.Store.Stats()}
	if s.Running {
		s.Started = &h.Started
	}
	if err := h.Store.Broken(); err != nil {
		s.Healthy, s.Wrong = false, Told(err).Text
	} else if err := h.Store.Room(0); err != nil {
		s.Healthy, s.Wrong = false, Told(err).Text
	} else if len(s.Damage) > 0 {
		s.Healthy, s.Wrong = false, words.Say("admin.note.damaged").Text()
	}
	s.Problem = s.Wrong.EN
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
	s.Told, err = h.notes()
	s.Notes = english(s.Told)
	return s, err
}

// english is a list as programs get it, and never nil.
func english(list []words.Text) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.EN
	}
	return out
}

// notes tells what is not as it should be, though mail is taken and kept.
func (h *House) notes() (list []words.Text, err error) {
	note := func(key string, args ...any) { list = append(list, words.Say(key, args...).Text()) }
	if why := h.Clock.Why(); why != "" {
		note("admin.note.clock", "why", words.Recall("admin.clock.", why))
	}
	list = append(list, h.certificateNotes()...)
	paused, err := h.Caps.Paused()
	if err != nil {
		return list, err
	}
	for _, p := range paused {
		who := fmt.Sprint(p.Account)
		if a, err := h.Store.AccountByID(p.Account); err == nil {
			if profile, err := a.Profile(); err == nil {
				who = string(profile.Address)
			}
		}
		note("admin.note.paused", "who", who, "why", words.Recall("queue.hold.", p.Reason))
	}
	states, err := h.Bridge.Statuses()
	for _, s := range states {
		if s.Problem != "" {
			note("admin.note.bridge", "who", s.Address, "why", s.Told)
		}
	}
	return list, err
}
