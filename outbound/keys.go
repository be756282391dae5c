package outbound

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"homemail/sign"
	"homemail/store"
)

const keysPath = "dkim/" // + domain

// A Keyring is the DKIM keys of all domains of ours, encrypted in the store. It
// is sign.Keys, and safe for concurrent use.
type Keyring struct {
	s *store.Store

	changing sync.Mutex // held from reading a set to writing it

	mu   sync.Mutex
	sets map[string]sign.Set // that were asked for
}

// NewKeyring returns the keyring of a store.
func NewKeyring(s *store.Store) *Keyring { return &Keyring{s: s, sets: make(map[string]sign.Set)} }

// Get returns the keys of a domain; none is no error.
func (r *Keyring) Get(domain string) ([]sign.Key, error) {
	set, err := r.Set(domain)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return set.Keys, err
}

// Set returns the keys of a domain, or ErrNotFound.
func (r *Keyring) Set(domain string) (sign.Set, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if set, ok := r.sets[domain]; ok {
		return set, nil
	}
	sealed, err := r.s.State(keysPath + domain)
	if err != nil {
		return sign.Set{}, err
	}
	b, err := r.s.OpenSecret(keysPath+domain, sealed)
	if err != nil {
		return sign.Set{}, err
	}
	set, err := sign.DecodeSet(b)
	if err == nil {
		r.sets[domain] = set
	}
	return set, err
}

// Make makes the first keys of a domain of ours that has none. ErrInvalid.
func (r *Keyring) Make(domain string) (sign.Set, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.make(domain)
}

func (r *Keyring) make(domain string) (sign.Set, error) {
	if !r.s.IsLocal(domain) {
		return sign.Set{}, fmt.Errorf("%w: %s is not a domain of this server", store.ErrInvalid, domain)
	}
	if set, err := r.Set(domain); !errors.Is(err, store.ErrNotFound) {
		return set, err
	}
	return r.first(domain)
}

func (r *Keyring) first(domain string) (sign.Set, error) {
	set, err := sign.NewSet(domain, time.Now())
	if err != nil {
		return set, err
	}
	return set, r.put(set)
}

// Rotate makes new keys, to be published and used later. Those of a domain whose
// old ones are lost are used at once.
func (r *Keyring) Rotate(domain string) (sign.Set, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	if _, err := r.Set(domain); errors.Is(err, store.ErrCorrupt) {
		return r.first(domain)
	}
	return r.change(domain, func(s sign.Set) (sign.Set, error) { return s.Rotate(time.Now()) })
}

// Activate signs with the new keys from now on.
func (r *Keyring) Activate(domain string) (sign.Set, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.change(domain, func(s sign.Set) (sign.Set, error) { return s.Activate(time.Now()) })
}

func (r *Keyring) change(domain string, fn func(sign.Set) (sign.Set, error)) (sign.Set, error) {
	set, err := r.make(domain) // which there are as soon as the domain is known
	if err != nil {
		return set, err
	}
	if set, err = fn(set); err != nil {
		return set, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	return set, r.put(set)
}

// put keeps a set; it is on disk before it is used.
func (r *Keyring) put(set sign.Set) error {
	b, err := set.Encode()
	if err != nil {
		return err
	}
	sealed, err := r.s.SealSecret(keysPath+set.Domain, b)
	if err != nil {
		return err
	}
	if err := r.s.PutState(keysPath+set.Domain, sealed); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sets[set.Domain] = set
	return nil
}

// Complete makes keys for every domain of ours that has none, and forgets
// those that no valid signature needs any more, if the clock is trusted.
func (r *Keyring) Complete(ctx context.Context, trusted bool) error {
	domains, err := r.s.Domains()
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range domains {
		if ctx.Err() != nil {
			break
		}
		if err := r.complete(d, trusted); err != nil {
			errs = append(errs, fmt.Errorf("DKIM keys of %s: %w", d, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Keyring) complete(domain string, trusted bool) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	set, err := r.make(domain)
	if err != nil || !trusted {
		return err
	}
	if pruned := set.Prune(time.Now()); len(pruned.Keys) < len(set.Keys) {
		return r.put(pruned)
	}
	return nil
}

// Secret returns a secret of the house's own, which is made when it is first
// asked for: 32 bytes that nobody outside knows. One that is damaged, or whose
// key is lost, is made anew.
func Secret(s *store.Store, name string) (secret []byte, err error) {
	path := "secret/" + name
	sealed, err := s.State(path)
	if err == nil {
		secret, err = s.OpenSecret(path, sealed)
	}
	if err == nil || !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
		return secret, err
	}
	secret = random(32)
	if sealed, err = s.SealSecret(path, secret); err != nil {
		return nil, err
	}
	return secret, s.PutState(path, sealed)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
