// Package mtasts finds the policy by which a domain demands secure delivery,
// RFC 8461, and keeps it for as long as the domain asked. It never opens a
// connection to a mail server.
package mtasts

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	recheck      = 5 * time.Minute // no question is asked again sooner, whatever the answer was: §3.3
	refresh      = 24 * time.Hour  // a policy is fetched again after that also under the same id, §3.3
	refreshRetry = time.Hour       // after that fetch failed: the policy is in force anyway
	maxEntries   = 1024            // domains in memory; the state has the policies of the others
)

// A State keeps policies over restarts, by domain. That there is none is any
// error.
type State interface {
	Get(domain string) ([]byte, error)
	Put(domain string, policy []byte) error
}

// Options are what a Cache needs. Only LookupTXT must be set.
type Options struct {
	LookupTXT func(ctx context.Context, name string) ([]string, error)
	// LookupNetIP finds the policy host; nil is the system's resolver.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Dial connects to an address that may be connected to; nil is the network.
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
	Roots *x509.CertPool // nil are the system's
	Allow []netip.Prefix // may be fetched from though they are not public
	State State          // nil forgets all at the end
	Log   *slog.Logger
}

// A Cache knows the policies of domains. It may be used by many at once.
type Cache struct {
	o      Options
	client *http.Client

	mu      sync.Mutex
	entries map[string]*entry
}

// An entry is what is known of a domain. The lock is held by whoever asks the
// network; the fields are only read and written under it.
type entry struct {
	lock    chan struct{} // a lock that can be waited for under a context
	loaded  bool          // from the state
	policy  Policy        // Mode is "" if none was ever seen
	fetched time.Time
	tried   time.Time // the last fetch that failed, 0 if the last one did not
	triedID string
	checked time.Time // the last time the answer was settled
	err     error     // why it could not be settled better
}

// A record is an entry in the state.
type record struct {
	Policy  Policy    `json:"policy"`
	Fetched time.Time `json:"fetched"`
}

// New returns a Cache. It starts nothing.
func New(o Options) *Cache {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.LookupNetIP == nil {
		o.LookupNetIP = net.DefaultResolver.LookupNetIP
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return &Cache{o: o, client: newClient(o), entries: map[string]*entry{}}
}

// Get returns the policy of a domain. The Mode is None if it has none.
//
// A policy that was seen once stays in force until its max_age is over, also
// when nothing can be fetched any more: else whoever can block a fetch could
// strip the policy, §10.2. An error says that no policy is in force and that it
// could not be found out whether there is one; mail then goes as without one,
// §5.1.
func (c *Cache) Get(ctx context.Context, domain string) (Policy, error) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if !isName(domain) || len(domain) > maxDomain-len("_mta-sts.") {
		return Policy{Mode: None}, nil // an address literal, for one
	}
	e := c.entry(domain)
	select {
	case e.lock <- struct{}{}: // one asks, the others find the answer
		defer func() { <-e.lock }()
	case <-ctx.Done():
		return Policy{}, ctx.Err()
	}
	if !e.loaded {
		c.load(domain, e)
	}
	if !within(e.checked, recheck) {
		if err := c.check(ctx, domain, e); ctx.Err() != nil {
			return e.answer(err) // says nothing about the domain
		} else {
			e.checked, e.err = time.Now(), err
		}
	}
	return e.answer(e.err)
}

// answer is the policy in force, else none, or that nobody knows.
func (e *entry) answer(err error) (Policy, error) {
	switch {
	case e.inForce():
		return e.policy, nil
	case err != nil:
		return Policy{}, err
	}
	return Policy{Mode: None}, nil
}

// inForce does not trust a clock that went back to end a policy.
func (e *entry) inForce() bool {
	return e.policy.Mode != "" && time.Since(e.fetched) < e.policy.MaxAge
}

// within reports whether t is at most d ago, and not in the future.
func within(t time.Time, d time.Duration) bool {
	age := time.Since(t)
	return age >= 0 && age < d
}

// check asks the network as far as needed and keeps what it learns in e.
func (c *Cache) check(ctx context.Context, domain string, e *entry) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	records, err := c.o.LookupTXT(ctx, "_mta-sts."+domain)
	var notFound *net.DNSError
	if err != nil && !(errors.As(err, &notFound) && notFound.IsNotFound) {
		return fmt.Errorf("mta-sts of %s: %w", domain, err)
	}
	id, ok := parseRecord(records)
	switch {
	case !ok: // takes no policy out of force, §5.1
		return nil
	case e.inForce() && id == e.policy.ID && within(e.fetched, refresh):
		return nil
	case e.inForce() && id == e.policy.ID && id == e.triedID && within(e.tried, refreshRetry):
		return nil
	}
	p, err := c.fetch(ctx, domain)
	if err != nil {
		e.tried, e.triedID = time.Now(), id
		if e.inForce() {
			c.o.Log.Warn("mta-sts policy not refreshed", "domain", domain, "mode", e.policy.Mode, "until", e.fetched.Add(e.policy.MaxAge), "err", err)
		}
		return fmt.Errorf("mta-sts policy of %s: %w", domain, err)
	}
	p.ID = id
	if p.Mode != e.policy.Mode || p.ID != e.policy.ID {
		c.o.Log.Info("mta-sts policy", "domain", domain, "mode", p.Mode, "id", p.ID, "max_age", p.MaxAge)
	}
	e.policy, e.fetched, e.triedID = p, time.Now(), ""
	c.save(domain, e)
	return nil
}

func (c *Cache) load(domain string, e *entry) {
	e.loaded = true
	if c.o.State == nil {
		return
	}
	b, err := c.o.State.Get(domain)
	if err != nil {
		return
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		c.o.Log.Warn("mta-sts policy in the state is damaged", "domain", domain, "err", err)
		return
	}
	r.Policy.MaxAge = min(r.Policy.MaxAge, maxAge)
	e.policy, e.fetched = r.Policy, r.Fetched
}

func (c *Cache) save(domain string, e *entry) {
	if c.o.State == nil {
		return
	}
	b, err := json.Marshal(record{e.policy, e.fetched})
	if err == nil {
		err = c.o.State.Put(domain, b)
	}
	if err != nil { // it is still in force until we stop
		c.o.Log.Warn("mta-sts policy not kept", "domain", domain, "err", err)
	}
}

// entry finds or makes the entry of a domain.
func (c *Cache) entry(domain string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[domain]
	if e == nil {
		if len(c.entries) >= maxEntries {
			c.evict()
		}
		e = &entry{lock: make(chan struct{}, 1)}
		c.entries[domain] = e
	}
	return e
}

// evict forgets a domain that nobody asks about, at best one without a policy:
// without a state, forgetting a policy ends it.
func (c *Cache) evict() {
	victim := ""
	for domain, e := range c.entries {
		select {
		case e.lock <- struct{}{}:
		default:
			continue
		}
		inForce := e.inForce()
		<-e.lock
		if victim = domain; !inForce {
			break
		}
	}
	delete(c.entries, victim)
}
