// Package caps limits what a stolen password is worth: how many people outside
// an account may write to in an hour and a day, and to how many that it never
// wrote to before. Over a cap the account's sending pauses until the owner
// lets it go on; what it sends meanwhile is taken and held, and nothing is lost.
// The package counts and decides; it holds no mail and tells nobody itself.
package caps

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"homemail/mail"
	"homemail/store"
)

// Limits that are nobody's setting.
const (
	maxKnown   = 5000 // recipients that an account is known to write to; 8 bytes each in memory, one row each on disk
	forgetting = 50   // how many of them are forgotten at once, so that it is seldom
	flood      = 10   // times the daily cap: as many recipients may be held in a day; a thief must not fill the disk
	floodFloor = 1000 // the daily cap that this counts from where there is none
	lazy       = time.Second
	patience   = 30 * time.Second // until what failed is tried again
)

// HoldPrefix is what every reason starts with that Hold gives: by it the
// queue's held mail is told from what the owner holds for reasons of his own.
const HoldPrefix = "sending is paused: "

// Options are the settings of Caps. A cap that is 0 does not count.
type Options struct {
	PerHour   int // recipients outside
	PerDay    int
	NewPerDay int // of them, those that the account had never written to
	Log       *slog.Logger

	// Trusted says whether the clock may be believed, as in package clock; nil
	// is always. Only what passed while we were off depends on it: if it is not
	// known nothing has.
	Trusted func() bool
	// Tell tells the owner of a pause. It is called by Run, until it returns
	// nil; once, unless the power fails at that moment.
	Tell func(context.Context, Notice) error
}

// A Cap is what an account was over.
type Cap string

// The caps. By hand is the owner's own doing.
const (
	Hour   Cap = "hour"
	Day    Cap = "day"
	Fresh  Cap = "new"
	ByHand Cap = "hand"
)

// A Pause is an account that may not send to the outside now.
type Pause struct {
	Account mail.AccountID `json:"account"`
	Since   time.Time      `json:"since"`
	Cap     Cap            `json:"cap"`
	Count   int            `json:"count,omitempty"` // how many it would have been
	Limit   int            `json:"limit,omitempty"`
	Reason  string         `json:"reason"` // with HoldPrefix, in English
	Told    bool           `json:"told,omitempty"`
}

// Caps counts for all accounts. It is safe for concurrent use.
type Caps struct {
	s     *store.Store
	o     Options
	began time.Time     // what passes since is measured from here, whatever the clock does
	news  chan struct{} // there is something to write or to tell

	writing sync.Mutex // held around each write of counts, and taken before an account's

	mu       sync.Mutex
	accounts map[mail.AccountID]*account
}

// New returns Caps that keep their rows in s. It starts nothing.
func New(s *store.Store, o Options) (*Caps, error) {
	if o.PerHour < 0 || o.PerDay < 0 || o.NewPerDay < 0 {
		return nil, fmt.Errorf("caps: a limit below 0")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	return &Caps{s: s, o: o, began: time.Now(), news: make(chan struct{}, 1), accounts: make(map[mail.AccountID]*account)}, nil
}

// Hold says why mail of an account to so many outside has to wait, "" if it may
// leave. A pause that begins here is on disk when it returns. It returns
// mail.ErrTooMany for what is not even to be held.
func (c *Caps) Hold(by mail.AccountID, to []mail.Path) (reason string, err error) {
	hashes := distinct(to)
	err = c.with(by, func(a *account) error {
		now := c.now(a)
		if a.pause == nil {
			p := c.judge(a, now, hashes)
			if p == nil {
				a.sent(now, hashes, c.day(a))
				return nil
			}
			if err := c.begin(a, p); err != nil {
				return err
			}
		}
		reason = a.pause.Reason
		if a.sums(now).held+len(hashes) > c.most() {
			return fmt.Errorf("account %d: %w", by, mail.ErrTooMany)
		}
		a.held(now, len(hashes))
		return nil
	})
	c.wake()
	if err != nil {
		return "", err
	}
	return reason, nil
}

// most is how many recipients an account may have held in a day.
func (c *Caps) most() int {
	if c.o.PerDay == 0 {
		return flood * floodFloor
	}
	return flood * c.o.PerDay
}

// judge returns the pause that an account earns with so many more recipients,
// nil if it is within its caps.
func (c *Caps) judge(a *account, now slot, to []hash) *Pause {
	s := a.sums(now)
	for _, x := range []struct {
		cap          Cap
		count, limit int
		words        string
	}{
		{Hour, s.hour + len(to), c.o.PerHour, "recipients within an hour"},
		{Day, s.day + len(to), c.o.PerDay, "recipients within a day"},
		{Fresh, s.fresh + a.strangers(to), c.o.NewPerDay, "recipients within a day that it never wrote to before"},
	} {
		if x.limit > 0 && x.count > x.limit {
			return &Pause{
				Account: a.id, Since: time.Now().UTC().Truncate(time.Second), Cap: x.cap, Count: x.count, Limit: x.limit,
				Reason: fmt.Sprintf("%s%d %s, and %d are allowed", HoldPrefix, x.count, x.words, x.limit),
			}
		}
	}
	return nil
}

// begin puts a pause on disk; only then it is one.
func (c *Caps) begin(a *account, p *Pause) error {
	if err := c.s.PutState(pausePath(a.id), p.encode()); err != nil {
		return err
	}
	a.pause = p
	c.o.Log.Warn("sending is paused", "account", a.id, "cap", p.Cap, "count", p.Count, "limit", p.Limit)
	return nil
}

// Pause pauses an account by hand, for a reason in the owner's words. Nobody is
// told: who does it knows.
func (c *Caps) Pause(id mail.AccountID, reason string) error {
	if _, err := c.s.AccountByID(id); err != nil {
		return err
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		reason = "by the owner"
	}
	return c.with(id, func(a *account) error {
		if a.pause != nil {
			return nil
		}
		return c.begin(a, &Pause{Account: id, Since: time.Now().UTC().Truncate(time.Second), Cap: ByHand, Reason: HoldPrefix + reason, Told: true})
	})
}

// Resume lets an account send again, and counts from nothing. What is held in
// the queue stays so: the caller releases it after Resume, and also what was
// being taken at that moment and comes to be held after it (see IsPaused).
func (c *Caps) Resume(id mail.AccountID) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.with(id, func(a *account) error {
		old := a.slots
		a.slots = nil
		err := c.commit(map[string][]byte{pausePath(id): nil, countsPath(id): c.encode(a)})
		if err != nil {
			a.slots = old
			return err
		}
		if a.pause != nil {
			c.o.Log.Info("sending goes on", "account", id)
		}
		a.pause = nil
		return nil
	})
}

// IsPaused reports whether an account is paused. Mail of one that is not should
// not be held with a HoldPrefix.
func (c *Caps) IsPaused(id mail.AccountID) (paused bool, err error) {
	err = c.with(id, func(a *account) error {
		paused = a.pause != nil
		return nil
	})
	return paused, err
}

// Usage returns how many recipients outside an account wrote to in the last
// hour and day, and how many of those of the day were new.
func (c *Caps) Usage(id mail.AccountID) (hour, day, fresh int) {
	err := c.with(id, func(a *account) error {
		s := a.sums(c.now(a))
		hour, day, fresh = s.hour, s.day, s.fresh
		return nil
	})
	if err != nil {
		c.o.Log.Error("cannot tell what an account has sent", "account", id, "err", err)
	}
	return hour, day, fresh
}

// Paused returns the accounts that are paused, since the longest first.
func (c *Caps) Paused() (list []Pause, err error) {
	err = c.s.States(pauses, func(path string, v []byte) bool {
		if id, ok := accountOf(path, pauses); ok {
			list = append(list, *decodePause(id, v))
		}
		return true
	})
	slices.SortFunc(list, func(a, b Pause) int { return a.Since.Compare(b.Since) })
	return list, err
}

// with calls fn with an account, alone.
func (c *Caps) with(id mail.AccountID, fn func(*account) error) error {
	c.mu.Lock()
	a := c.accounts[id]
	if a == nil {
		a = &account{id: id}
		c.accounts[id] = a
	}
	c.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := c.load(a); err != nil {
		return err
	}
	return fn(a)
}

// wake has Run look for something to do.
func (c *Caps) wake() {
	select {
	case c.news <- struct{}{}:
	default: // it is awake
	}
}
