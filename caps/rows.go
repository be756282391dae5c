package caps

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
	"homemail/store"
)

// Our rows in the store. Pauses are few and apart, so that they are found
// without reading the rest.
const (
	pauses = "caps/pause/" // and the account
	countz = "caps/count/"
	knowns = "caps/known/" // and the account, a slash, and the hash
)

func pausePath(id mail.AccountID) string  { return fmt.Sprintf("%s%08x", pauses, id) }
func countsPath(id mail.AccountID) string { return fmt.Sprintf("%s%08x", countz, id) }
func knownPath(id mail.AccountID, h hash) string {
	return fmt.Sprintf("%s%08x/%016x", knowns, id, uint64(h))
}

// accountOf reads the account from a path under a prefix.
func accountOf(path, prefix string) (mail.AccountID, bool) {
	text, _, _ := strings.Cut(strings.TrimPrefix(path, prefix), "/")
	n, err := strconv.ParseUint(text, 16, 32)
	return mail.AccountID(n), err == nil
}

// counts is the row of an account's slots.
type counts struct {
	At    time.Duration `json:"at"`   // its own time when this was written
	Wall  time.Time     `json:"wall"` // what the clock said then; zero if it was not to be trusted
	Slots []count       `json:"slots,omitempty"`
}

func (c *Caps) encode(a *account) []byte {
	row := counts{At: c.time(a), Slots: a.slots}
	if c.o.Trusted() {
		row.Wall = time.Now().UTC().Round(time.Second)
	}
	b, _ := json.Marshal(row) // of numbers
	return b
}

func (p *Pause) encode() []byte {
	b, _ := json.Marshal(p) // of numbers and text
	return b
}

// decodePause reads a pause. One that cannot be read is one: the owner ends it.
func decodePause(id mail.AccountID, b []byte) *Pause {
	p := &Pause{}
	if err := json.Unmarshal(b, p); err != nil {
		return lostPause(id)
	}
	p.Account = id
	return p
}

func lostPause(id mail.AccountID) *Pause {
	return &Pause{Account: id, Cap: ByHand, Reason: HoldPrefix + "why cannot be read any more", Told: true}
}

// load reads an account once. What is damaged is logged and counts as nothing,
// but for a pause.
func (c *Caps) load(a *account) error {
	if a.loaded {
		return nil
	}
	pause, err := c.loadPause(a.id)
	if err != nil {
		return err
	}
	row, err := c.loadCounts(a.id)
	if err != nil {
		return err
	}
	known, err := c.loadKnown(a.id)
	if err != nil {
		return err
	}
	a.pause, a.slots, a.known, a.stale = pause, row.Slots, known, make(map[hash]struct{})
	for _, day := range known {
		a.newest = max(a.newest, day)
	}
	a.zero = row.At - time.Since(c.began)
	if away := time.Since(row.Wall); !row.Wall.IsZero() && away > 0 && c.o.Trusted() {
		a.zero += away
	}
	a.loaded = true
	return nil
}

func (c *Caps) loadPause(id mail.AccountID) (*Pause, error) {
	b, err := c.s.State(pausePath(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case errors.Is(err, store.ErrCorrupt):
		return lostPause(id), nil
	case err != nil:
		return nil, err
	}
	return decodePause(id, b), nil
}

func (c *Caps) loadCounts(id mail.AccountID) (row counts, err error) {
	b, err := c.s.State(countsPath(id))
	if errors.Is(err, store.ErrNotFound) {
		return counts{}, nil
	}
	if err == nil {
		if err = json.Unmarshal(b, &row); err == nil {
			return row, nil
		}
		err = errors.Join(store.ErrCorrupt, err)
	}
	if errors.Is(err, store.ErrCorrupt) {
		c.o.Log.Error("what an account has sent cannot be read; it is counted anew", "account", id, "err", err)
		return counts{}, nil
	}
	return counts{}, err
}

func (c *Caps) loadKnown(id mail.AccountID) (map[hash]uint16, error) {
	known := make(map[hash]uint16)
	under := fmt.Sprintf("%s%08x/", knowns, id)
	err := c.s.States(under, func(path string, v []byte) bool {
		h, err := hex.DecodeString(path[len(under):])
		if err == nil && len(h) == 8 && len(v) == 2 && len(known) < 2*maxKnown {
			known[hash(binary.BigEndian.Uint64(h))] = binary.BigEndian.Uint16(v)
		}
		return true
	})
	if errors.Is(err, store.ErrCorrupt) { // some will count as new: that costs time, no mail
		c.o.Log.Error("not all whom an account has written to can be read", "account", id, "err", err)
		err = nil
	}
	return known, err
}

// commit writes rows in one transaction; nil removes one.
func (c *Caps) commit(rows map[string][]byte) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := c.s.Commit(nil, store.Batch{State: rows})
	return err
}

// write puts on disk what has been counted since it was last done. Nobody
// who sends waits for it.
func (c *Caps) write() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	var errs error
	for _, a := range c.all() {
		rows, stale := c.unwritten(a)
		if err := c.commit(rows); err != nil {
			errs = errors.Join(errs, err)
			a.mu.Lock()
			a.dirty = true
			maps.Copy(a.stale, stale)
			a.mu.Unlock()
		}
	}
	return errs
}

func (c *Caps) all() []*account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.accounts))
}

// unwritten takes an account's rows that have to be written.
func (c *Caps) unwritten(a *account) (rows map[string][]byte, stale map[hash]struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.loaded || !a.dirty && len(a.stale) == 0 {
		return nil, nil
	}
	rows = map[string][]byte{countsPath(a.id): c.encode(a)}
	for h := range a.stale {
		if day, ok := a.known[h]; ok {
			rows[knownPath(a.id, h)] = binary.BigEndian.AppendUint16(nil, day)
		} else {
			rows[knownPath(a.id, h)] = nil
		}
	}
	stale, a.stale, a.dirty = a.stale, make(map[hash]struct{}), false
	return rows, stale
}
