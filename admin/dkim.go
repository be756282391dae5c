package admin

import (
	"context"
	"time"

	"homemail/sign"
	"homemail/store"
	"homemail/words"
)

// DKIMKey is a key's public half as an owner sees it: the TXT record that has
// to be in the DNS, and how far the key is.
type DKIMKey struct {
	Domain    string     `json:"domain"`
	Selector  string     `json:"selector"`
	Algorithm string     `json:"algorithm"`
	State     sign.State `json:"state"`
	Created   time.Time  `json:"created"`
	Name      string     `json:"name"`
	Value     string     `json:"value"`
}

// listKeys makes keys for a domain that has none yet.
func (h *House) listKeys(_ context.Context, q Domain) ([]DKIMKey, error) {
	domains := []string{q.Domain}
	if q.Domain == "" {
		var err error
		if domains, err = h.Store.Domains(); err != nil {
			return nil, err
		}
	}
	list := []DKIMKey{}
	for _, d := range domains {
		set, err := h.Keys.Make(d)
		if err != nil {
			return nil, err
		}
		if list, err = appendKeys(list, set); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (h *House) rotateKeys(_ context.Context, q Domain) ([]DKIMKey, error) {
	set, err := h.Keys.Rotate(q.Domain)
	if err != nil {
		return nil, err
	}
	return appendKeys([]DKIMKey{}, set)
}

// ActivateKeys is the request to sign with new keys.
type ActivateKeys struct {
	Domain string `json:"domain"`
	Now    bool   `json:"now"` // although the DNS may not have them everywhere yet
}

func (h *House) activateKeys(_ context.Context, q ActivateKeys) ([]DKIMKey, error) {
	set, err := h.Keys.Set(q.Domain)
	if err != nil {
		return nil, err
	}
	if !q.Now && !set.Settled(time.Now()) {
		return nil, words.Because(store.ErrInvalid, "admin.keys-new")
	}
	set, err = h.Keys.Activate(q.Domain)
	if err != nil {
		return nil, err
	}
	return appendKeys([]DKIMKey{}, set)
}

func appendKeys(list []DKIMKey, set sign.Set) ([]DKIMKey, error) {
	for _, k := range set.Keys {
		name, value, err := sign.Record(k)
		if err != nil {
			return nil, err
		}
		list = append(list, DKIMKey{k.Domain, k.Selector, k.Algorithm, k.State, k.Created, name, value})
	}
	return list, nil
}
