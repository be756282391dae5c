package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"homemail/store"
)

// A steady is a clock of the house that only ever goes forward at the pace of
// real time, whatever becomes of the wall clock. Sessions are aged by it: a
// board that starts in 1970 or in 2099 ends none of them, and one whose clock
// is set back does not keep them for ever.
//
// While the process runs it is Go's monotonic clock. What was saved is where
// it goes on after a start; the time between counts as soon as the wall clock
// is trusted, if it was when it was saved.
type steady struct {
	store   *store.Store
	trusted func() bool

	mu     sync.Mutex
	loaded bool
	base   time.Duration
	start  time.Time // when base was read, with its monotonic reading
	wall   time.Time // when base was saved; zero if that is not known or is counted already
}

const steadyPath = "session/clock"

// steadyRow is what is kept of a steady clock.
type steadyRow struct {
	At   time.Duration `json:"at"`
	Wall time.Time     `json:"wall,omitzero"` // zero if the wall clock was not trusted
}

func newSteady(s *store.Store, trusted func() bool) *steady {
	return &steady{store: s, trusted: trusted}
}

// Now reads the clock.
func (c *steady) Now() (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err != nil {
		return 0, err
	}
	return c.now(), nil
}

func (c *steady) load() error {
	if c.loaded {
		return nil
	}
	b, err := c.store.State(steadyPath)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	var row steadyRow
	if err == nil {
		if err := json.Unmarshal(b, &row); err != nil {
			return fmt.Errorf("%s: %w: %w", steadyPath, store.ErrCorrupt, err)
		}
	}
	c.base, c.wall, c.start, c.loaded = row.At, row.Wall, time.Now(), true
	return nil
}

// now is Now with mu held. It adds the time when no process ran, once.
func (c *steady) now() time.Duration {
	if !c.wall.IsZero() && c.trusted() {
		// What the wall clock, which may have been set since, would have said then.
		started := time.Now().Round(0).Add(-time.Since(c.start))
		c.base += max(started.Sub(c.wall), 0)
		c.wall = time.Time{}
	}
	return c.base + time.Since(c.start)
}

// Save writes the clock down. Several may save the same store's: the latest
// stands.
func (c *steady) Save() error {
	now, err := c.Now()
	if err != nil {
		return err
	}
	row := steadyRow{At: now}
	if c.trusted() {
		row.Wall = time.Now().UTC()
	}
	return c.store.UpdateState(steadyPath, func(old []byte) ([]byte, error) {
		var was steadyRow
		if json.Unmarshal(old, &was) == nil && was.At > row.At {
			return old, nil
		}
		return json.Marshal(row)
	})
}
