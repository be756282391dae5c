package check

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"homemail/words"
)

// A Mute is the owner's word that a finding is known and may stay as it is: it is
// shown, but nobody is told of it, and it makes nothing red.
type Mute struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero until the check finds something else
	Code   string    `json:"code"`           // what it had found then
	Reason string    `json:"reason,omitempty"`
}

const (
	mutePath    = "check/muted"
	muteMost    = 30 * 24 * time.Hour
	reasonRunes = 200
)

// Mute quiets a check that is not good: for some time, at most 30 days, or with 0
// until it finds something else. What it refuses is a words.Reason.
func (c *Checker) Mute(name, reason string, lasts time.Duration) error {
	if c.step(name) == nil {
		return words.Because(nil, "check.mute.unknown", "name", name)
	}
	if lasts < 0 || lasts > muteMost || utf8.RuneCountInString(reason) > reasonRunes {
		return words.Because(nil, "check.mute.long", "days", int(muteMost/(24*time.Hour)), "most", reasonRunes)
	}
	c.mu.Lock()
	r, ok := c.last[name]
	c.mu.Unlock()
	if !ok || r.State == Good {
		return words.Because(nil, "check.mute.good", "name", name)
	}
	now := time.Now().UTC().Truncate(time.Second)
	m := Mute{Since: now, Code: r.Code, Reason: reason}
	if lasts > 0 {
		m.Until = now.Add(lasts)
	}
	return c.setMute(name, &m)
}

// Unmute lets a check be heard again.
func (c *Checker) Unmute(name string) error { return c.setMute(name, nil) }

func (c *Checker) setMute(name string, m *Mute) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, had := c.muted[name]
	if m != nil {
		c.muted[name] = *m
	} else {
		delete(c.muted, name)
	}
	err := c.saveMuted()
	if err != nil && had {
		c.muted[name] = old
	} else if err != nil {
		delete(c.muted, name)
	}
	return err
}

// saveMuted keeps what is muted. mu is held.
func (c *Checker) saveMuted() error {
	if c.o.Memory == nil {
		return nil
	}
	b, err := json.Marshal(c.muted)
	if err != nil {
		return err
	}
	return c.o.Memory.PutState(mutePath, b)
}

// loadMuted fetches what the owner has muted.
func (c *Checker) loadMuted() {
	if c.o.Memory == nil {
		return
	}
	b, err := c.o.Memory.State(mutePath)
	if err != nil || len(b) > maxKept {
		return
	}
	if err := json.Unmarshal(b, &c.muted); err != nil || c.muted == nil {
		c.muted = make(map[string]Mute)
		c.o.Log.Warn("what was muted cannot be read", "err", err)
	}
}

// mute is the one that holds for a result, nil if none does. mu is held.
func (c *Checker) mute(r Result) *Mute {
	m, ok := c.muted[r.Name]
	switch {
	case !ok, r.State == Good:
		return nil
	case m.Until.IsZero() && m.Code != r.Code, !m.Until.IsZero() && !time.Now().Before(m.Until):
		return nil
	}
	return &m
}

// forgetMute takes away a mute that has come to its end with another finding; that
// nothing could be found out just now is none. mu is held.
func (c *Checker) forgetMute(r Result) {
	if m, ok := c.muted[r.Name]; !ok || !m.Until.IsZero() || m.Code == r.Code || r.State == CouldNotTest {
		return
	}
	delete(c.muted, r.Name)
	if err := c.saveMuted(); err != nil { // it does not hold for another finding anyway
		c.o.Log.Warn("what is muted cannot be kept", "err", err)
	}
}
