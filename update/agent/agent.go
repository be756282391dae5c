// Package agent finds updates and hands them to the box: from a URL that the
// owner set, from a file on a stick, or from one that the owner sends. It runs
// in the server, without privilege, and decides when; whether an update is a
// good one package update decides again on the other side of the socket.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"aead.dev/minisign"

	"homemail/store"
	"homemail/update"
)

// A Box is what can install: update.Client.
type Box interface {
	Status(ctx context.Context) (update.Status, error)
	Install(ctx context.Context, manifest, signature []byte, open update.Opener, size int64, told func(sent int64)) error
}

// A Memory keeps what an Agent knows.
type Memory interface {
	State(path string) ([]byte, error)
	PutState(path string, v []byte) error
}

// Options are what an Agent needs.
type Options struct {
	Box    Box // nil where there is none: nothing can be updated then
	Memory Memory
	Schema update.Schema
	Keys   []minisign.PublicKey
	Dirs   []string // where sticks and letters appear
	HTTP   http.RoundTripper
	Log    *slog.Logger
}

// Settings are the owner's.
type Settings struct {
	URL  string `json:"url"`  // below which updates are; "" asks nobody
	Auto bool   `json:"auto"` // install at night what was found
}

// An Offer is an update that could be installed.
type Offer struct {
	Version update.Version `json:"version"`
	Notes   update.Notes   `json:"notes"`
	Created time.Time      `json:"created"`
	Size    int64          `json:"size"`
	From    string         `json:"from"` // the URL, or the name of a file
}

// A State is how it stands, in a word. Faces have sentences for each.
type State string

// The states.
const (
	NoBox    State = "no-box"    // this homemail came as a package, and is updated as one
	NoSource State = "no-source" // nobody is asked
	Unknown  State = "unknown"   // nobody has been asked yet, or not for two weeks
	Current  State = "current"
	Ready    State = "ready" // an update can be installed
	Fetching State = "fetching"
	Trial    State = "trial"   // of the version that runs
	Back     State = "back"    // the last update did not work, and there is none newer
	Trouble  State = "trouble" // the last look failed, or the last try to install
)

// Status is all that an owner may want to know.
type Status struct {
	State    State          `json:"state"`
	Version  update.Version `json:"version"`
	Settings Settings       `json:"settings"`
	Offer    *Offer         `json:"offer,omitempty"`
	Checked  time.Time      `json:"checked,omitzero"`
	Sent     int64          `json:"sent,omitempty"` // bytes of the offer that the box has
	Code     string         `json:"code,omitempty"` // of the trouble; see update.Code
	Detail   string         `json:"detail,omitempty"`
	Next     time.Time      `json:"next,omitzero"` // when it is looked and installed by itself
	Last     *Past          `json:"last,omitempty"`
	Before   []Past         `json:"before,omitempty"` // the newest first
}

// A Past is what became of an update.
type Past struct {
	From   update.Version `json:"from"`
	To     update.Version `json:"to"`
	Notes  update.Notes   `json:"notes"`
	Stage  update.Stage   `json:"stage"`
	Reason update.Reason  `json:"reason,omitempty"` // why the box went back
	Detail string         `json:"detail,omitempty"`
	At     time.Time      `json:"at"`
}

func past(r update.Record) Past {
	return Past{r.From, r.To, r.Notes, r.Stage, r.Reason, r.Detail, r.At}
}

// kept is what outlasts a restart.
type kept struct {
	Settings Settings  `json:"settings"`
	Checked  time.Time `json:"checked,omitzero"`
}

const statePath = "update/agent"

// An Agent looks for updates.
type Agent struct {
	o    Options
	http *http.Client
	wake chan struct{} // somebody wants the offer installed now

	job sync.Mutex // held while something is fetched

	mu    sync.Mutex
	kept  kept
	offer *source // nil if there is none
	err   error   // of the last look or installation
	busy  bool
	sent  int64
	next  time.Time

	sticks []string // files that were seen last
}

// Errors for those who ask.
var (
	ErrNoBox   = errors.New("this homemail cannot update itself: it came as a package")
	ErrNoOffer = errors.New("there is no update to install")
	ErrBusy    = errors.New("an update is being fetched already")
	ErrURL     = errors.New("that is no web address; right is such as https://example.org/homemail/")
)

// New returns an Agent that knows what it knew before.
func New(o Options) *Agent {
	if o.HTTP == nil {
		o.HTTP = transport()
	}
	a := &Agent{o: o, wake: make(chan struct{}, 1), kept: kept{Settings: Settings{Auto: true}},
		http: &http.Client{Transport: o.HTTP, CheckRedirect: redirects}}
	b, err := o.Memory.State(statePath)
	if err == nil {
		err = json.Unmarshal(b, &a.kept)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		o.Log.Error("what was set about updates cannot be read; nobody is asked for any", "err", err)
	}
	return a
}

// Settings returns the owner's settings.
func (a *Agent) Settings() Settings {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept.Settings
}

// Set keeps the owner's settings.
func (a *Agent) Set(s Settings) error {
	if s.URL != "" {
		u, err := url.Parse(s.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(s.URL) > urlMost {
			return fmt.Errorf("%w: %.80q", ErrURL, s.URL)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.kept
	if k.Settings.URL != s.URL {
		k.Checked, a.err = time.Time{}, nil
		if a.offer != nil && a.offer.path == "" {
			a.offer = nil
		}
	}
	k.Settings = s
	return a.keep(k)
}

// keep is called with mu.
func (a *Agent) keep(k kept) error {
	b, err := json.Marshal(k)
	if err == nil {
		err = a.o.Memory.PutState(statePath, b)
	}
	if err == nil {
		a.kept = k
	}
	return err
}

// stale is when a look is too old to say that all is well: two weeks of nights
// on which nobody answered.
const stale = 14 * 24 * time.Hour

// Status tells how it stands.
func (a *Agent) Status(ctx context.Context) (Status, error) {
	if a.o.Box == nil {
		return Status{State: NoBox, Version: update.Release(), Settings: a.Settings()}, nil
	}
	box, err := a.o.Box.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Status{Version: box.Version, Settings: a.kept.Settings, Checked: a.kept.Checked, Sent: a.sent, Next: a.next}
	if box.Last != nil {
		last := past(*box.Last)
		s.Last = &last
	}
	for _, r := range box.Before {
		s.Before = append(s.Before, past(r))
	}
	if a.offer != nil {
		s.Offer = &a.offer.offer
	}
	if a.err != nil {
		s.Code, s.Detail = Code(a.err), a.err.Error()
	}
	s.State = a.state(box)
	return s, nil
}

// state is called with mu.
func (a *Agent) state(box update.Status) State {
	back := box.Last != nil && box.Last.Stage == update.Back
	switch {
	case box.Slots.Trial:
		return Trial
	case a.busy:
		return Fetching
	case a.err != nil && !a.passing():
		return Trouble
	case a.offer != nil && !(back && box.Last.To == a.offer.offer.Version):
		return Ready
	case back && box.Last.To.After(box.Version):
		return Back
	case a.kept.Settings.URL == "":
		return NoSource
	case time.Since(a.kept.Checked) > stale:
		return Unknown
	}
	return Current
}

// patience is how long nobody need know that there is no answer: a place of
// updates may be down for some nights.
const patience = 7 * 24 * time.Hour

// passing is called with mu.
func (a *Agent) passing() bool {
	return errors.Is(a.err, errLine) && time.Since(a.kept.Checked) < patience
}

// Code names an error for the faces.
func Code(err error) string {
	for code, e := range codes {
		if errors.Is(err, e) {
			return code
		}
	}
	return update.Code(err)
}

var codes = map[string]error{"no-box": ErrNoBox, "no-offer": ErrNoOffer, "fetching": ErrBusy, "url": ErrURL, "line": errLine, "file": errFile}

// Codes are all of Code, but for those of package update.
func Codes() []string { return slices.Collect(maps.Keys(codes)) }

// Check looks for an update now, on sticks and at the URL.
func (a *Agent) Check(ctx context.Context) error {
	if !a.job.TryLock() {
		return ErrBusy
	}
	defer a.job.Unlock()
	return a.check(ctx)
}

func (a *Agent) check(ctx context.Context) error {
	if a.o.Box == nil {
		return ErrNoBox
	}
	box, err := a.o.Box.Status(ctx)
	if err != nil {
		return err
	}
	now := update.Running{Version: box.Version, Target: box.Target, Schema: a.o.Schema}
	best, err := a.look(ctx, now)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.offer, a.err = best, err
	if err != nil {
		return err
	}
	k := a.kept
	k.Checked = time.Now()
	return a.keep(k)
}

// look returns the newest update that fits, nil if there is none. An update that
// does not go together with this version is told only if there is no better one.
func (a *Agent) look(ctx context.Context, now update.Running) (best *source, err error) {
	list, errs := a.files(now.Target)
	if base := a.Settings().URL; base != "" {
		s, err := a.ask(ctx, base, now.Target)
		if err != nil {
			errs = append(errs, err)
		} else {
			list = append(list, s)
		}
	}
	for _, s := range list {
		switch err := s.manifest.Fits(now); {
		case errors.Is(err, update.ErrOlder):
		case err != nil:
			errs = append(errs, err)
		case best == nil || s.manifest.Version.After(best.manifest.Version):
			best = s
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, errors.Join(errs...)
}

// Apply lets Run install the offer now, also one that has failed before.
func (a *Agent) Apply() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.o.Box == nil:
		return ErrNoBox
	case a.busy:
		return ErrBusy
	case a.offer == nil:
		return ErrNoOffer
	}
	select {
	case a.wake <- struct{}{}:
		a.busy, a.sent = true, 0 // from now on, so that who looks sees that it has begun
	default: // it was told already
	}
	return nil
}

// Upload installs what r brings, a file as it is on a stick. When it returns nil
// the box is about to restart.
func (a *Agent) Upload(ctx context.Context, r io.Reader) error {
	if a.o.Box == nil {
		return ErrNoBox
	}
	if !a.job.TryLock() {
		return ErrBusy
	}
	defer a.job.Unlock()
	s, err := unpack(a.o.Keys, r)
	if err != nil {
		return err
	}
	return a.install(ctx, s)
}

// install is called with job.
func (a *Agent) install(ctx context.Context, s *source) error {
	a.mu.Lock()
	a.busy, a.sent, a.err = true, 0, nil
	a.mu.Unlock()
	a.o.Log.Info("an update is fetched", "version", s.offer.Version, "from", s.offer.From)
	err := a.o.Box.Install(ctx, s.text, s.signature, s.open(ctx), s.manifest.Size(), func(n int64) {
		a.mu.Lock()
		a.sent = n
		a.mu.Unlock()
	})
	a.mu.Lock()
	a.busy, a.err = false, err
	a.mu.Unlock()
	if err != nil {
		return fmt.Errorf("update %s: %w", s.offer.Version, err)
	}
	a.o.Log.Info("the box has the update and restarts", "version", s.offer.Version)
	return nil
}

// The night is when a box is updated by itself, local time. Each box has its own
// minute, so that not all of them ask at once.
const (
	nightBegins = 3
	nightLasts  = 2 * time.Hour
)

// nextNight is the first time after another at which part, from 0 to 1, of a night
// has passed.
func nextNight(after time.Time, part float64) time.Time {
	for day := 0; ; day++ {
		begins := time.Date(after.Year(), after.Month(), after.Day()+day, nightBegins, 0, 0, 0, after.Location())
		if t := begins.Add(time.Duration(part * float64(nightLasts))); t.After(after) {
			return t
		}
	}
}

// lookForSticks is how often directories are read.
const lookForSticks = time.Minute

// Run looks for updates every night and installs them, if the owner has not said
// otherwise, until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	if a.o.Box == nil {
		return nil
	}
	sticks := time.NewTicker(lookForSticks)
	defer sticks.Stop()
	a.plan(time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
			a.now(ctx)
		case <-sticks.C:
			if a.newStick() {
				a.quietly(a.Check(ctx))
			}
			if a.due() {
				a.night(ctx)
				a.plan(time.Now().Add(nightLasts)) // not in this night again
			}
		}
	}
}

func (a *Agent) plan(after time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = nextNight(after, rand.Float64())
}

// due is asked by the wall clock: a timer would not see that it was set.
func (a *Agent) due() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !time.Now().Before(a.next)
}

// now installs the offer.
func (a *Agent) now(ctx context.Context) {
	a.job.Lock()
	defer a.job.Unlock()
	a.mu.Lock()
	s := a.offer
	a.busy = s != nil // a look may have found it gone
	a.mu.Unlock()
	if s != nil {
		a.quietly(a.install(ctx, s))
	}
}

// night looks, and installs what it has found.
func (a *Agent) night(ctx context.Context) {
	a.job.Lock()
	defer a.job.Unlock()
	if err := a.check(ctx); err != nil {
		a.quietly(err)
		return
	}
	a.mu.Lock()
	s, auto := a.offer, a.kept.Settings.Auto
	a.mu.Unlock()
	if s == nil || !auto {
		return
	}
	box, err := a.o.Box.Status(ctx)
	if err != nil || box.Slots.Trial || failed(box, s.offer.Version) {
		a.quietly(err)
		return
	}
	a.quietly(a.install(ctx, s))
}

// triesMost is how often a version is tried by itself of which nobody knows why
// it stopped: it may have been the power.
const triesMost = 2

// failed reports whether a version is not to be tried again by itself.
func failed(box update.Status, v update.Version) bool {
	r := box.Last
	return r != nil && r.Stage == update.Back && r.To == v && (r.Reason != update.Stopped || r.Tries >= triesMost)
}

// quietly logs what nobody waits for.
func (a *Agent) quietly(err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrBusy) {
		a.o.Log.Warn("updates", "err", err)
	}
}
