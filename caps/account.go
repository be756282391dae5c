package caps

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"homemail/mail"
)

// A slot is ten minutes of an account's own time, which is what has passed
// since it was first counted as far as we know: no jump of the clock moves it.
type slot int64

const (
	slotTime    = 10 * time.Minute
	slotsOfHour = slot(time.Hour / slotTime)
	slotsOfDay  = slot(24 * time.Hour / slotTime)
)

// A count is what happened in a slot.
type count struct {
	Slot  slot `json:"slot"`
	To    int  `json:"to,omitempty"`    // recipients that mail left for
	Fresh int  `json:"fresh,omitempty"` // of them, never written to before
	Held  int  `json:"held,omitempty"`  // recipients that mail is held for
}

// A hash stands for a recipient: it is enough to know one again.
type hash uint64

func hashOf(p mail.Path) hash {
	sum := sha256.Sum256([]byte(p.Key()))
	return hash(binary.BigEndian.Uint64(sum[:]))
}

// distinct returns the hashes of paths, each once.
func distinct(list []mail.Path) []hash {
	out := make([]hash, 0, len(list))
	for _, p := range list {
		out = append(out, hashOf(p))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// An account is what is counted of one. Its mutex guards all but its id.
type account struct {
	id mail.AccountID

	mu     sync.Mutex
	loaded bool
	pause  *Pause
	slots  []count           // of the last day, the oldest first
	zero   time.Duration     // its own time when Caps began
	known  map[hash]uint16   // whom it wrote to, and the day of 1970 when it last did
	newest uint16            // of those days
	dirty  bool              // slots are not on disk
	stale  map[hash]struct{} // recipients whose row is not as known has it
}

// sums are what counts for the caps.
type sums struct{ hour, day, fresh, held int }

// sums adds up the last hour and day, and the slots that they begin in whole: a
// cap is rather reached too soon.
func (a *account) sums(now slot) (s sums) {
	a.slots = slices.DeleteFunc(a.slots, func(c count) bool { return c.Slot < now-slotsOfDay })
	for _, c := range a.slots {
		if c.Slot >= now-slotsOfHour {
			s.hour += c.To
		}
		s.day += c.To
		s.fresh += c.Fresh
		s.held += c.Held
	}
	return s
}

// current returns the count of now.
func (a *account) current(now slot) *count {
	if n := len(a.slots); n == 0 || a.slots[n-1].Slot != now {
		a.slots = append(a.slots, count{Slot: now})
	}
	a.dirty = true
	return &a.slots[len(a.slots)-1]
}

// strangers counts those whom the account never wrote to.
func (a *account) strangers(to []hash) (n int) {
	for _, h := range to {
		if _, ok := a.known[h]; !ok {
			n++
		}
	}
	return n
}

// sent counts mail that leaves.
func (a *account) sent(now slot, to []hash, day uint16) {
	c := a.current(now)
	c.To += len(to)
	c.Fresh += a.strangers(to)
	for _, h := range to {
		if last, ok := a.known[h]; !ok || last != day {
			a.known[h] = day
			a.stale[h] = struct{}{}
		}
	}
	a.newest = max(a.newest, day)
	a.forget()
}

// held counts mail that is held.
func (a *account) held(now slot, n int) { a.current(now).Held += n }

// forget lets go of whom the account has not written to for longest.
func (a *account) forget() {
	if len(a.known) <= maxKnown {
		return
	}
	all := make([]hash, 0, len(a.known))
	for h := range a.known {
		all = append(all, h)
	}
	slices.SortFunc(all, func(x, y hash) int {
		return cmp.Or(cmp.Compare(a.known[x], a.known[y]), cmp.Compare(x, y))
	})
	for _, h := range all[:len(all)-maxKnown+forgetting] {
		delete(a.known, h)
		a.stale[h] = struct{}{}
	}
}

// time is the account's own time.
func (c *Caps) time(a *account) time.Duration { return a.zero + time.Since(c.began) }

func (c *Caps) now(a *account) slot { return slot(c.time(a) / slotTime) }

// day is today, or the last day that is known of while the clock is not trusted.
func (c *Caps) day(a *account) uint16 {
	if !c.o.Trusted() {
		return a.newest
	}
	return uint16(max(0, time.Now().Unix()/(24*60*60)))
}
