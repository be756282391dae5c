package certs

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"homemail/store"
	"homemail/words"
)

// How many orders may be made for one name. A CA allows a few more, but locks
// out for a week whoever reaches its limits, and a board that restarts over and
// over, or one whose clock jumps, must not.
const (
	ordersApart   = time.Hour
	ordersPerWeek = 5
	week          = 7 * 24 * time.Hour
)

// errLimited is an order that was not made because of the limits above.
var errLimited = errors.New("as many certificates as allowed were ordered")

// A limiter counts orders by how long ago they were, as far as is certain: by
// the time that this program has run since, and the time that it was off only
// if the clock was right before and after. So a wrong clock makes us wait too
// long, never too short.
type limiter struct {
	state  State
	prefix string        // of the paths of the rows
	doubt  func() string // why the clock is not trusted, "" if it is

	mu   sync.Mutex
	rows map[string]*orderRow
}

// An orderRow is what is kept about the orders for one name.
type orderRow struct {
	Ages    []time.Duration // of the orders, when it was saved
	Saved   time.Time       // by the clock
	Trusted bool            // that clock

	began    time.Time // when it was read or saved, in this program's time
	credited bool      // the time from Saved to began is in Ages
}

func newLimiter(s State, ca string, doubt func() string) *limiter {
	return &limiter{state: s, prefix: "acme-orders/" + ca + "/", doubt: doubt, rows: map[string]*orderRow{}}
}

// wait is how long there may be no order for a name.
func (l *limiter) wait(name string) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, err := l.row(name)
	if err != nil {
		return 0, err
	}
	return r.wait(), nil
}

// take counts an order, durably, before it is made.
func (l *limiter) take(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, err := l.row(name)
	if err != nil {
		return err
	}
	if d := r.wait(); d > 0 {
		return words.Because(errLimited, "certs.limit", "wait", d.Round(time.Second))
	}
	next := *r
	next.Ages = append(r.Ages[:len(r.Ages):len(r.Ages)], 0)
	if err := l.save(name, &next); err != nil {
		return err
	}
	l.rows[name] = &next
	return nil
}

// count is how many orders there were in the last week.
func (l *limiter) count(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, err := l.row(name)
	if err != nil {
		return 0
	}
	return len(r.Ages)
}

// keep saves how old all orders are by now.
func (l *limiter) keep() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs error
	for name := range l.rows {
		r, err := l.row(name)
		if err == nil && len(r.Ages) > 0 {
			err = l.save(name, r)
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// row brings the row of a name up to date.
func (l *limiter) row(name string) (*orderRow, error) {
	r, known := l.rows[name]
	if !known {
		v, err := l.state.State(l.prefix + name)
		r = &orderRow{began: time.Now()}
		switch {
		case errors.Is(err, store.ErrNotFound):
			r.credited = true
		case err != nil:
			return nil, err
		case json.Unmarshal(v, r) != nil: // nobody knows how many there were: as if one were made now
			r.Ages, r.credited = []time.Duration{0}, true
		}
		l.rows[name] = r
	}
	ran := time.Since(r.began)
	off := time.Duration(0)
	if !r.credited && r.Trusted && l.doubt() == "" {
		off = max(0, time.Now().Round(0).Sub(r.Saved)-ran)
		r.credited = true
	}
	r.began = r.began.Add(ran)
	young := r.Ages[:0]
	for _, age := range r.Ages {
		if age = max(age, 0) + ran + off; age >= 0 && age < week {
			young = append(young, age)
		}
	}
	r.Ages = young
	return r, nil
}

func (r *orderRow) wait() (d time.Duration) {
	for i, age := range r.Ages {
		d = max(d, ordersApart-age)
		if len(r.Ages)-i >= ordersPerWeek {
			d = max(d, week-age)
		}
	}
	return d
}

// save keeps a row. Time before it that could not be credited never will be.
func (l *limiter) save(name string, r *orderRow) error {
	r.Saved, r.Trusted, r.credited = time.Now().Round(0), l.doubt() == "", true
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return l.state.PutState(l.prefix+name, v)
}
