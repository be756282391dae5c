// Package zones keeps where the house may change the DNS by itself: which
// provider hosts which zone, and names at dyndns2 services, with the credentials
// for them. It asks nobody.
package zones

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"

	"homemail/dnsplan/publish"
	"homemail/store"
)

// Where it is kept.
const (
	zonePath        = "zone/"        // + name
	credentialsPath = "zone-secret/" // + name
	dyndnsPath      = "dyndns/"      // + host
	passwordPath    = "dyndns-secret/"
)

var (
	// ErrNoZone says that no provider is known for a name.
	ErrNoZone = errors.New("no DNS provider is set for it")

	// ErrSealed says that credentials are there and cannot be read: the key that
	// they were sealed with is another one, or gone.
	ErrSealed = errors.New("the credentials cannot be read, as secrets.key is not the one that they were sealed with: enter them again")
)

// A Zone is where a zone's records can be changed. Its credentials are never in
// it.
type Zone struct {
	Name     string    `json:"zone"` // in A-labels
	Provider string    `json:"provider"`
	Follow   bool      `json:"follow"` // its address records are kept up to date without asking
	Set      time.Time `json:"set"`    // with these credentials
	Trouble  string    `json:"trouble,omitempty"`
}

// A Book is what the house knows of its zones. It is safe for concurrent use,
// and all of its changes are on disk when they return.
type Book struct {
	s      *store.Store
	client *http.Client

	mu       sync.Mutex // of changes, which read first
	watchers sync.Map   // of *Watch
	turns    sync.Map   // of publish.Turn, by zone
}

// New returns a Book over a store. The client is that of all providers; nil is
// one of its own for each.
func New(s *store.Store, client *http.Client) *Book { return &Book{s: s, client: client} }

// Canonical is a name in A-labels, in lower case and without a final dot.
func Canonical(name string) (string, error) {
	a, err := idna.Lookup.ToASCII(strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), ".")))
	if err != nil || a == "" || len(a) > 253 || !strings.Contains(a, ".") || strings.ContainsAny(a, "/ ") {
		return "", fmt.Errorf("%w: %q is not a domain name", store.ErrInvalid, name)
	}
	return a, nil
}

// Zones lists the zones by name. One whose row is damaged is listed as such.
func (b *Book) Zones() (list []Zone, err error) {
	err = b.s.States(zonePath, func(path string, v []byte) bool {
		list = append(list, readZone(strings.TrimPrefix(path, zonePath), v))
		return true
	})
	return list, err
}

func readZone(name string, v []byte) Zone {
	var z Zone
	if json.Unmarshal(v, &z) != nil || z.Provider == "" {
		return Zone{Name: name, Trouble: "what was kept of it is damaged: set it again"}
	}
	z.Name, z.Trouble = name, ""
	return z
}

// Zone returns one of them.
func (b *Book) Zone(name string) (Zone, error) {
	name, err := Canonical(name)
	if err != nil {
		return Zone{}, err
	}
	v, err := b.s.State(zonePath + name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Zone{}, fmt.Errorf("%s: %w: %w", name, store.ErrNotFound, ErrNoZone)
	case err != nil && !errors.Is(err, store.ErrCorrupt):
		return Zone{}, err
	}
	return readZone(name, v), nil
}

// Try opens a zone with credentials that are not kept, so that they can be
// tried first. It asks nothing yet.
func (b *Book) Try(z Zone, credentials map[string]string) (publish.Zone, error) {
	name, err := Canonical(z.Name)
	if err != nil {
		return publish.Zone{}, err
	}
	known := map[string]bool{}
	for _, p := range publish.Providers() {
		for _, c := range p.Credentials {
			known[c.Name] = known[c.Name] || p.ID == z.Provider
		}
	}
	p, err := publish.Open(z.Provider, credentials, b.client)
	if err != nil {
		return publish.Zone{}, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	for name := range credentials {
		if !known[name] {
			return publish.Zone{}, fmt.Errorf("%w: %s wants no %q", store.ErrInvalid, z.Provider, name)
		}
	}
	return publish.Zone{Name: name, Provider: p}, nil
}

// SetZone keeps a zone and its credentials, in one commit, in place of what was
// kept of it.
func (b *Book) SetZone(z Zone, credentials map[string]string) error {
	open, err := b.Try(z, credentials)
	if err != nil {
		return err
	}
	z.Name, z.Set, z.Trouble = open.Name, time.Now().UTC().Round(0), ""
	v, err := json.Marshal(z)
	if err != nil {
		return err
	}
	secret, err := json.Marshal(credentials)
	if err != nil {
		return err
	}
	return b.seal(zonePath+z.Name, v, credentialsPath+z.Name, secret)
}

// seal keeps a row and its secret.
func (b *Book) seal(path string, v []byte, secretPath string, secret []byte) error {
	sealed, err := b.s.SealSecret(secretPath, secret)
	if err != nil {
		return fmt.Errorf("the credentials cannot be kept: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.commit(map[string][]byte{path: v, secretPath: sealed})
}

// commit changes rows, and tells.
func (b *Book) commit(rows map[string][]byte) error {
	if _, err := b.s.Commit(nil, store.Batch{State: rows}); err != nil {
		return err
	}
	b.watchers.Range(func(w, _ any) bool {
		select {
		case w.(*Watch).c <- struct{}{}:
		default: // already told
		}
		return true
	})
	return nil
}

// Follow says whether a zone's address records are kept up to date without
// asking.
func (b *Book) Follow(name string, follow bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	z, err := b.Zone(name)
	if err != nil {
		return err
	}
	if z.Trouble != "" {
		return fmt.Errorf("%w: %s: %s", store.ErrInvalid, z.Name, z.Trouble)
	}
	z.Follow = follow
	v, err := json.Marshal(z)
	if err != nil {
		return err
	}
	return b.commit(map[string][]byte{zonePath + z.Name: v})
}

// RemoveZone forgets a zone and its credentials.
func (b *Book) RemoveZone(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	z, err := b.Zone(name)
	if err != nil {
		return err
	}
	return b.commit(map[string][]byte{zonePath + z.Name: nil, credentialsPath + z.Name: nil})
}

// For opens the zone that a name is in: of those that are known, the longest
// that it ends with. ErrNoZone, ErrSealed.
func (b *Book) For(name string) (publish.Zone, error) {
	name, err := canonicalRecord(name)
	if err != nil {
		return publish.Zone{}, err
	}
	for at := name; at != ""; _, at, _ = strings.Cut(at, ".") {
		v, err := b.s.State(zonePath + at)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			return publish.Zone{}, err
		}
		return b.Open(readZone(at, v))
	}
	return publish.Zone{}, fmt.Errorf("%s: %w", name, ErrNoZone)
}

// canonicalRecord is Canonical, for names of records too, which may have an
// underscore.
func canonicalRecord(name string) (string, error) {
	plain := strings.ToLower(strings.TrimSuffix(name, "."))
	for _, r := range plain {
		if r >= 0x80 {
			return Canonical(name)
		}
	}
	return plain, nil
}

// Open opens a zone that is known with the credentials that are kept. However
// often it is opened, one at a time changes it.
func (b *Book) Open(z Zone) (publish.Zone, error) {
	if z.Trouble != "" {
		return publish.Zone{}, fmt.Errorf("%s: %s", z.Name, z.Trouble)
	}
	secret, err := b.unseal(credentialsPath + z.Name)
	if err != nil {
		return publish.Zone{}, fmt.Errorf("%s: %w", z.Name, err)
	}
	var credentials map[string]string
	if json.Unmarshal(secret, &credentials) != nil {
		return publish.Zone{}, fmt.Errorf("%s: %w", z.Name, ErrSealed)
	}
	p, err := publish.Open(z.Provider, credentials, b.client)
	if err != nil {
		return publish.Zone{}, fmt.Errorf("%s: %w", z.Name, err)
	}
	turn, _ := b.turns.LoadOrStore(z.Name, publish.NewTurn())
	return publish.Zone{Name: z.Name, Provider: p, Turn: turn.(publish.Turn)}, nil
}

func (b *Book) unseal(path string) ([]byte, error) {
	sealed, err := b.s.State(path)
	if err == nil {
		sealed, err = b.s.OpenSecret(path, sealed)
	}
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
		return nil, ErrSealed
	}
	return sealed, err
}

// A Watch tells that something in a Book has changed.
type Watch struct {
	C <-chan struct{}
	c chan struct{}
	b *Book
}

// Watch watches from now on.
func (b *Book) Watch() *Watch {
	c := make(chan struct{}, 1)
	w := &Watch{C: c, c: c, b: b}
	b.watchers.Store(w, nil)
	return w
}

// Close ends a Watch.
func (w *Watch) Close() { w.b.watchers.Delete(w) }
