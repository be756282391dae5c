package address

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A Store keeps what was published; *store.Store is one. An error of State that
// is Options.NotFound says that there is nothing.
type Store interface {
	State(path string) ([]byte, error)
	PutState(path string, v []byte) error
}

const (
	statePath = "address"
	kickPause = time.Second
	maxMaybe  = 8 // addresses; whose line changes more while nothing can be published has other worries
)

// Options are the settings of a Watcher.
type Options struct {
	Sources  []Source // the surest first
	Updaters []Updater
	Store    Store
	NotFound error // of Store: store.ErrNotFound
	Log      *slog.Logger

	// Retest is called once after each change, when the updaters have been used.
	Retest func(ctx context.Context, was, now Addrs)
}

// progress is how far an updater is.
type progress struct {
	Done    Addrs     // that it has published
	Maybe   []Addrs   // that may be published in part, by tries that failed since
	At      time.Time // of the last use, successful or not
	Next    time.Time // not before
	Tries   int       // that failed since the last success
	Stopped string    // why it is not used any more
	Version string    `json:",omitempty"` // of its settings, with which all this was
	Error   string    // of the last use
}

// state is what is kept.
type state struct {
	Now      Addrs
	Was      Addrs // before the change that is not told yet
	Untold   bool
	Updaters map[string]progress
}

// A Watcher looks for new addresses and has them published.
type Watcher struct {
	o    Options
	kick chan struct{}

	mu sync.Mutex
	s  state

	// Of Run alone:
	candidate Addrs
	since     time.Time // the candidate is seen; zero if there is none
	retest    bool
}

// New returns a Watcher, with what it knew when it last ran.
func New(o Options) (*Watcher, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{o: o, kick: make(chan struct{}, 1)}
	b, err := o.Store.State(statePath)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, &w.s); err != nil {
			o.Log.Warn("which addresses were published is lost", "err", err)
			w.s = state{}
		}
	case !errors.Is(err, o.NotFound):
		return nil, fmt.Errorf("which addresses were published: %w", err)
	}
	if w.s.Updaters == nil {
		w.s.Updaters = map[string]progress{}
	}
	for _, u := range o.Updaters {
		v, ok := u.(Versioned)
		if !ok {
			continue
		}
		p := w.s.Updaters[u.Name()]
		if p.Version != v.Version() {
			p = p.resumed()
			p.Version = v.Version()
			w.s.Updaters[u.Name()] = p
		}
	}
	return w, nil
}

// resumed is what stays of it when an updater begins again: the addresses that
// it may have published, which are then to be found there, but not that it
// needs nothing.
func (p progress) resumed() progress {
	out := progress{At: p.At, Maybe: slices.Clone(p.Maybe), Version: p.Version}
	if p.Done != (Addrs{}) && !slices.Contains(out.Maybe, p.Done) {
		out.Maybe = append(out.Maybe, p.Done)
	}
	return out
}

// Kick has the Watcher look at once: the router or the system has said that
// something changed.
func (w *Watcher) Kick() {
	select {
	case w.kick <- struct{}{}:
	default: // already told
	}
}

// Resume lets an updater try again that was stopped, since its settings changed.
func (w *Watcher) Resume(name string) error {
	w.mu.Lock()
	w.s.Updaters[name] = w.s.Updaters[name].resumed()
	w.mu.Unlock()
	defer w.Kick()
	return w.save()
}

// Now are the addresses as last settled.
func (w *Watcher) Now() Addrs {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.s.Now
}

// A Status is how an updater stands.
type Status struct {
	Name    string
	Done    Addrs
	At      time.Time
	Next    time.Time
	Stopped string // needs the owner
	Error   string
}

// Status is how each updater stands.
func (w *Watcher) Status() []Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Status
	for _, u := range w.o.Updaters {
		p := w.s.Updaters[u.Name()]
		out = append(out, Status{u.Name(), p.Done, p.At, p.Next, p.Stopped, p.Error})
	}
	return out
}

// Run looks and updates until the context ends.
func (w *Watcher) Run(ctx context.Context) error {
	for {
		w.look(ctx)
		w.update(ctx)
		pause := time.After(w.wait())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.kick:
			pause = time.After(kickPause) // more of them may follow
		case <-pause:
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause:
		}
	}
}

// look finds the addresses and takes new ones once they have settled.
func (w *Watcher) look(ctx context.Context) {
	v4, v6 := find(ctx, w.o.Sources)
	if ctx.Err() != nil {
		return
	}
	now := w.Now()
	next := Addrs{v4.next(now.V4), v6.next(now.V6)}
	if next == now || next == (Addrs{}) { // without a line, what was published stays
		w.since = time.Time{}
		return
	}
	if w.since.IsZero() || next != w.candidate {
		w.candidate, w.since = next, time.Now()
		return
	}
	if time.Since(w.since) < patience(now, next) {
		return
	}
	w.since = time.Time{}
	w.mu.Lock()
	if !w.s.Untold {
		w.s.Was, w.s.Untold = now, true
	}
	w.s.Now = next
	w.mu.Unlock()
	w.retest = true
	if err := w.save(); err != nil {
		w.o.Log.Warn("new addresses are not kept", "err", err)
	}
}

// patience is how long a change has to be seen.
func patience(now, next Addrs) time.Duration {
	if now.V4.IsValid() && !next.V4.IsValid() || now.V6.IsValid() && !next.V6.IsValid() {
		return gone
	}
	return settle
}

// update uses all updaters that are due.
func (w *Watcher) update(ctx context.Context) {
	now := w.Now()
	if now == (Addrs{}) {
		return
	}
	for _, u := range w.o.Updaters {
		if ctx.Err() == nil && w.due(u, now) <= 0 {
			w.use(ctx, u, now)
		}
	}
	if ctx.Err() != nil {
		return
	}
	w.tell(now)
	if w.retest && w.o.Retest != nil {
		w.mu.Lock()
		was := w.s.Was
		w.mu.Unlock()
		w.o.Retest(ctx, was, now)
	}
	w.retest = false
}

// due is how long it is until an updater has to be used, never if it is not.
func (w *Watcher) due(u Updater, now Addrs) time.Duration {
	w.mu.Lock()
	p := w.s.Updaters[u.Name()]
	w.mu.Unlock()
	l, part := u.Limits(), u.Part(now)
	if p.Stopped != "" || part == (Addrs{}) {
		return never
	}
	at := time.Now()
	if p.Done == part && p.Error == "" {
		if l.Refresh == 0 {
			return never
		}
		at = p.At.Add(l.Refresh)
	}
	if p.Next.After(at) {
		at = p.Next
	}
	if least := p.At.Add(l.Least); least.After(at) && !p.At.IsZero() {
		at = least
	}
	if d := time.Until(at); d < max(farAway, l.Refresh)+time.Hour {
		return d
	}
	return 0 // by a clock that was wrong
}

const never = time.Duration(1<<63 - 1)

func (w *Watcher) use(ctx context.Context, u Updater, now Addrs) {
	w.mu.Lock()
	p := w.s.Updaters[u.Name()]
	w.mu.Unlock()
	now = u.Part(now)
	was := slices.Clone(p.Maybe)
	if p.Done != (Addrs{}) || len(was) > 0 {
		was = append(was, p.Done)
	}
	limited, cancel := context.WithTimeout(ctx, doTime)
	err := u.Update(limited, was, now)
	cancel()
	if err != nil && ctx.Err() != nil {
		return // we are to end, it has not failed
	}
	p.At, p.Next, p.Error = time.Now().UTC().Round(0), time.Time{}, ""
	if err != nil && !slices.Contains(p.Maybe, now) && len(p.Maybe) < maxMaybe {
		p.Maybe = append(slices.Clone(p.Maybe), now)
	}
	var later *Later
	var stopped *Stopped
	switch {
	case err == nil:
		p.Done, p.Maybe, p.Tries = now, nil, 0
	case errors.As(err, &stopped):
		p.Stopped, p.Error = err.Error(), err.Error()
		w.o.Log.Error("an address cannot be published until the settings are changed", "at", u.Name(), "address", now, "err", err)
	default:
		wait := retry[min(p.Tries, len(retry)-1)]
		if errors.As(err, &later) {
			wait = min(max(later.Wait, time.Minute), farAway)
		}
		p.Tries, p.Error, p.Next = p.Tries+1, err.Error(), p.At.Add(wait)
		w.o.Log.Warn("an address is not published yet", "at", u.Name(), "address", now, "next", p.Next, "err", err)
	}
	w.mu.Lock()
	w.s.Updaters[u.Name()] = p
	w.mu.Unlock()
	if err := w.save(); err != nil {
		w.o.Log.Warn("what was published is not kept", "err", err)
	}
}

// tell logs a change once all updaters have published it.
func (w *Watcher) tell(now Addrs) {
	w.mu.Lock()
	was, done := w.s.Was, w.s.Untold
	for _, u := range w.o.Updaters {
		part, p := u.Part(now), w.s.Updaters[u.Name()]
		done = done && (part == (Addrs{}) || p.Done == part && p.Error == "")
	}
	if done {
		w.s.Untold = false
	}
	w.mu.Unlock()
	if !done {
		return
	}
	text := fmt.Sprintf("address changed %s -> %s", was, now)
	if len(w.o.Updaters) > 0 {
		text += ", DNS updated"
	}
	w.o.Log.Info(text)
	if err := w.save(); err != nil {
		w.o.Log.Warn("what was published is not kept", "err", err)
	}
}

// wait is how long it is until something is to do.
func (w *Watcher) wait() time.Duration {
	d := lookEvery
	now := w.Now()
	if !w.since.IsZero() {
		d = min(d, patience(now, w.candidate)-time.Since(w.since))
	}
	for _, u := range w.o.Updaters {
		if now != (Addrs{}) {
			d = min(d, w.due(u, now))
		}
	}
	return max(d, time.Second)
}

func (w *Watcher) save() error {
	w.mu.Lock()
	s := w.s
	s.Updaters = map[string]progress{}
	for _, u := range w.o.Updaters { // those that are not used any more are forgotten
		if p, ok := w.s.Updaters[u.Name()]; ok {
			s.Updaters[u.Name()] = p
		}
	}
	b, err := json.Marshal(s)
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return w.o.Store.PutState(statePath, b)
}
