package bridge

import (
	"time"

	"homemail/mail"
	"homemail/words"
)

// A State is what an account's worker does.
type State string

// The states.
const (
	Stopped    State = "stopped"    // paused, or the bridge does not run
	Connecting State = "connecting" // to the server
	Fetching   State = "fetching"
	Listening  State = "listening" // the server tells of new mail at once
	Waiting    State = "waiting"   // for the next visit
	Failing    State = "failing"   // the last visit failed; see Problem
)

// A Status is how an account elsewhere is doing, since the start.
type Status struct {
	ID      string    `json:"id"`
	Address mail.Path `json:"address"`
	State   State     `json:"state"`
	Since   time.Time `json:"since,omitzero"` // of the state
	Next    time.Time `json:"next,omitzero"`  // the next visit, if it waits for one
	// Problem says in English what is wrong and what to do about it; Err is what
	// was seen. Both are "" when all is well.
	Problem string     `json:"problem,omitempty"`
	Told    words.Text `json:"told,omitzero"` // Problem, in every language
	Err     string     `json:"err,omitempty"`

	LastVisit time.Time `json:"last_visit,omitzero"` // the last one that did all it could
	LastFetch time.Time `json:"last_fetch,omitzero"` // when a message was filed last
	Fetched   int       `json:"fetched"`
	Removed   int       `json:"removed"` // there
	Known     int       `json:"known"`   // came under a new number and were not filed again
	TooLarge  int       `json:"too_large"`
	Stuck     int       `json:"stuck"` // messages that the server does not give
}

// Statuses returns how all accounts are doing.
func (b *Bridge) Statuses() ([]Status, error) {
	list, err := b.List()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Status, len(list))
	for i, a := range list {
		if s := b.status[a.ID]; s != nil {
			out[i] = *s
		} else {
			out[i].State = Stopped
		}
		out[i].ID, out[i].Address = a.ID, a.Address
	}
	return out, nil
}

// report changes an account's status.
func (b *Bridge) report(id string, fn func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status[id]
	if s == nil {
		s = &Status{}
		b.status[id] = s
	}
	was := s.State
	fn(s)
	if s.State != was {
		s.Since = time.Now()
	}
}

// ended reports the end of a visit.
func (b *Bridge) ended(a Account, err error, wait time.Duration) {
	b.report(a.ID, func(s *Status) {
		s.Next = time.Now().Add(wait)
		if err != nil {
			s.State = Failing
			s.trouble(a, err)
			return
		}
		s.State, s.LastVisit = Waiting, time.Now()
		s.trouble(a, nil)
	})
}

// well reports that a visit did all it could, but for a trouble, and goes on.
func (b *Bridge) well(a Account, state State, trouble error) {
	b.report(a.ID, func(s *Status) {
		s.State, s.LastVisit, s.Next = state, time.Now(), time.Time{}
		s.trouble(a, trouble)
	})
}

// trouble says what is wrong; nil for nothing.
func (s *Status) trouble(a Account, err error) {
	s.Problem, s.Told, s.Err = "", words.Text{}, ""
	if err != nil {
		s.Told, s.Err = Tell(a, err).Text(), err.Error()
		s.Problem = s.Told.EN
	}
}
