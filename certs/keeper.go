package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	"homemail/words"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	atOnce     = 4                // orders under way
	lookNames  = time.Minute      // how often to ask for the names, if nothing else is to do
	lookOften  = 5 * time.Second  // how soon to look again whether a name leads here
	lookLeast  = time.Hour        // and at last: DNS questions have to be few
	lookAtWork = 10 * time.Second // but no later than that while the owner is at work: a certificate is to be there in 30 s
	atWork     = 30 * time.Minute // since the owner did something about it
	allowLook  = 10 * time.Second // whether the owner has agreed; costs nothing
	pingEvery  = time.Hour        // to save how old orders are
)

// A keeper keeps a certificate for every name.
type keeper struct {
	s          *Source
	o          ACME
	ca         string // names the CA in paths
	log        *slog.Logger
	storage    storage
	limits     *limiter
	challenges *challenges
	http       *http.Client
	issue      func(*attempt) certmagic.Issuer // a test's, instead of a CA
	wake       chan struct{}

	registering sync.Mutex // held while there may be a new account

	mu      sync.Mutex
	entries map[string]*entry
}

// An entry is what is going on about one name. Only the one who made it busy
// changes it.
type entry struct {
	name    string
	cert    *tls.Certificate // nil if there is none
	current bool             // it is of the CA that is asked now
	ari     acme.RenewalInfo // RFC 9773; empty if the CA has none
	askARI  time.Time        // not before

	busy    bool
	next    time.Time      // when to look at it again
	since   time.Time      // when it began to wait for its name to lead here
	notYet  time.Time      // no order before, as the last one failed
	fails   int            // orders in a row
	failed  map[string]int // of them, by kind of challenge
	why     Text           // the last of them failed
	trouble Text           // why there is no newer certificate, in a sentence
	doing   Doing
	woken   bool // Wake was called while it was busy
}

func newKeeper(s *Source, o ACME, state State, log *slog.Logger) (*keeper, error) {
	if o.Directory == "" {
		o.Directory = LetsEncrypt
	}
	if state == nil || o.Names == nil || o.Allowed == nil {
		return nil, errors.New("certs: ACME needs State, Names and Allowed")
	}
	if o.ClockDoubt == nil {
		o.ClockDoubt = func() string { return "" }
	}
	ca := certmagic.StorageKeys.Safe((&certmagic.ACMEIssuer{CA: o.Directory}).IssuerKey())
	k := &keeper{
		s: s, o: o, ca: ca, log: log, storage: newStorage(state), limits: newLimiter(state, ca, o.ClockDoubt),
		challenges: newChallenges(), http: newHTTPClient(o.Roots), wake: make(chan struct{}, 1), entries: map[string]*entry{},
	}
	k.issue = func(a *attempt) certmagic.Issuer { return a }
	k.adopt()
	k.rest()
	return k, nil
}

// rest lets names wait as if they had waited for long, if another has its
// certificate: the house was set up before, and nobody is at work because it
// starts again.
func (k *keeper) rest() {
	k.mu.Lock()
	defer k.mu.Unlock()
	had := func(e *entry) bool { return e.cert != nil }
	if !slices.ContainsFunc(slices.Collect(maps.Values(k.entries)), had) {
		return
	}
	for _, e := range k.entries {
		if !had(e) {
			e.since = e.since.Add(-lookLeast)
		}
	}
}

// Wake looks at all names again now: the owner has changed a record or opened a
// port. The limits of orders stay.
func (s *Source) Wake() {
	if s.keeper == nil {
		return
	}
	k := s.keeper
	k.mu.Lock()
	for _, e := range k.entries {
		if e.woken = e.busy; !e.busy {
			e.begin()
		}
	}
	k.mu.Unlock()
	k.stir()
}

// begin makes an entry due, as if it had just come up.
func (e *entry) begin() { e.next, e.since, e.notYet = time.Now(), time.Now(), time.Time{} }

func (k *keeper) stir() {
	select {
	case k.wake <- struct{}{}:
	default: // it is awake
	}
}

// run looks at every name when its time has come.
func (k *keeper) run(ctx context.Context) error {
	// certmagic wants a cache, and with it comes a goroutine; we renew ourselves.
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
		RenewCheckInterval: 100 * 365 * 24 * time.Hour,
		OCSPCheckInterval:  100 * 365 * 24 * time.Hour,
		Logger:             zap.NewNop(),
	})
	defer cache.Stop()
	magic = certmagic.New(cache, certmagic.Config{Storage: k.storage, Logger: zap.NewNop()})

	k.sweep(ctx)
	g := new(errgroup.Group)
	g.SetLimit(atOnce)
	defer g.Wait()
	saved := time.Now()
	for {
		pause := k.round(ctx, g, cache)
		select {
		case <-ctx.Done():
			return k.limits.keep()
		case <-time.After(pause):
		case <-k.wake:
		}
		if time.Since(saved) >= pingEvery {
			saved = time.Now()
			if err := k.limits.keep(); err != nil {
				k.log.Warn("how old orders of certificates are cannot be saved", "err", err)
			}
		}
	}
}

// round begins what is due, and returns when to come again.
func (k *keeper) round(ctx context.Context, g *errgroup.Group, cache *certmagic.Cache) time.Duration {
	names := k.adopt()
	now := time.Now()
	pause := lookNames
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range names {
		e := k.entries[name]
		if e.busy {
			continue
		}
		if wait := e.next.Sub(now); wait > 0 {
			pause = min(pause, wait)
			continue
		}
		e.busy = true
		if !g.TryGo(func() error { k.work(ctx, e, cache); return nil }) {
			e.busy = false // whoever ends wakes us
		}
	}
	return pause
}

// adopt gives every wanted name an entry, with what is stored for it, and
// returns the names. Those not wanted any more go.
func (k *keeper) adopt() []string {
	names := k.wanted()
	k.mu.Lock()
	defer k.mu.Unlock()
	keep := map[string]bool{}
	for _, name := range names {
		keep[name] = true
		if k.entries[name] == nil {
			e := &entry{name: name, since: time.Now(), failed: map[string]int{}}
			k.entries[name] = e
			k.load(e)
		}
	}
	for name, e := range k.entries {
		if !keep[name] && !e.busy {
			delete(k.entries, name)
			k.s.replace(func(t *shelf) *shelf {
				return t.with(func(m map[string]*tls.Certificate) { delete(m, name) })
			})
		}
	}
	return names
}

// load puts what is stored for a name on the shelf: of our CA, else of any.
func (k *keeper) load(e *entry) {
	ctx := context.Background()
	c, err := k.stored(ctx, k.ca, e.name)
	current := c != nil
	if c == nil {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.log.Error("a stored certificate cannot be used", "name", e.name, "err", err)
		}
		others, _ := k.storage.List(ctx, "certificates", false)
		for _, dir := range others {
			d, err := k.stored(ctx, path.Base(dir), e.name)
			if err == nil && (c == nil || d.Leaf.NotAfter.After(c.Leaf.NotAfter)) {
				c = d
			}
		}
	}
	if c == nil {
		return
	}
	e.cert, e.current = c, current
	k.s.replace(func(t *shelf) *shelf {
		return t.with(func(m map[string]*tls.Certificate) { m[e.name] = c })
	})
	k.s.announce(c.Leaf, "issuer", c.Leaf.Issuer.CommonName)
}

func (k *keeper) stored(ctx context.Context, ca, name string) (*tls.Certificate, error) {
	key, err := k.storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(ca, name))
	if err != nil {
		return nil, err
	}
	chain, err := k.storage.Load(ctx, certmagic.StorageKeys.SiteCert(ca, name))
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	return &c, c.Leaf.VerifyHostname(name)
}

// work looks at one name, and says when to do so again.
func (k *keeper) work(ctx context.Context, e *entry, cache *certmagic.Cache) {
	v := k.look(ctx, e, cache)
	k.mu.Lock()
	e.busy, e.doing = false, v.doing
	e.next = time.Now().Add(v.again)
	e.trouble = v.trouble
	if e.woken {
		e.woken = false
		e.begin()
	}
	k.mu.Unlock()
	k.stir()
}

// A view is what a look at a name came to.
type view struct {
	doing   Doing
	trouble Text
	again   time.Duration
}

func waiting(trouble Text, again time.Duration) view { return view{Waiting, trouble, again} }

// look does for a name what can be done now.
func (k *keeper) look(ctx context.Context, e *entry, cache *certmagic.Cache) view {
	now := time.Now()
	switch own := k.s.shelf.Load().ownFor(e.name); {
	case own != nil && valid(own.Leaf, now):
		return view{Resting, Text{}, lookNames}
	case !public(e.name):
		return view{Resting, words.Say("certs.inside").Text(), lookLeast}
	case now.Before(k.o.Built):
		return waiting(words.Say("certs.clock", "now", now.Format(time.DateOnly)).Text(), allowLook)
	}
	if err := k.o.Allowed(); err != nil {
		return waiting(reason(err), allowLook)
	}
	if e.cert != nil && e.current {
		k.refresh(ctx, e)
		why := k.o.ClockDoubt()
		if left := time.Until(e.renewAt()); left > 0 {
			again := min(left, k.untilARI(e))
			if why != "" { // it may turn out to be much later
				again = min(again, lookNames)
			}
			return view{Resting, Text{}, again}
		}
		if why != "" {
			return waiting(sentences(words.Say("certs.doubt", "why", why).Text()), lookNames)
		}
	}
	limit, err := k.limits.wait(e.name)
	if err != nil {
		return waiting(reason(err), lookNames)
	}
	if limit = max(limit, time.Until(e.notYet)); limit > 0 {
		if !e.why.Empty() {
			return view{Failed, e.why, min(limit, lookLeast)}
		}
		return waiting(words.Say("certs.soon", "until", clockTime(now.Add(limit))).Text(), min(limit, lookLeast))
	}
	if k.o.PointsHere != nil {
		if err := k.o.PointsHere(ctx, e.name); err != nil {
			return waiting(reason(err), e.watch(now))
		}
	}
	way, err := k.way(e.name, e.failed)
	if err != nil {
		return waiting(reason(err), e.watch(now))
	}
	return k.obtain(ctx, e, way, cache)
}

// pause is how long to wait for what others have to do: a sixth of what it took
// already.
func (e *entry) pause(now time.Time) time.Duration {
	return min(max(now.Sub(e.since)/6, lookOften), lookLeast)
}

// watch is how long to wait for a name to lead here, or for a port to be open:
// short while the owner may be changing records.
func (e *entry) watch(now time.Time) time.Duration {
	pause := e.pause(now)
	if now.Sub(e.since) < atWork {
		pause = min(pause, lookAtWork)
	}
	return pause
}
