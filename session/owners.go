package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"homemail/mail"
	"homemail/store"
)

// ErrLastOwner refuses what would leave the house without an owner.
var ErrLastOwner = fmt.Errorf("%w: a house has at least one owner; make somebody else one first", store.ErrInvalid)

// Owners is the book of who owns the house. It is one row, so that two changes
// at once cannot take the last owner away between them.
type Owners struct{ store *store.Store }

const ownersPath = "owners"

// NewOwners opens the book of a store.
func NewOwners(s *store.Store) *Owners { return &Owners{s} }

// List returns the owners whose accounts exist, oldest owner first.
func (o *Owners) List() ([]mail.AccountID, error) {
	b, err := o.store.State(ownersPath)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := parseOwners(b)
	if err != nil {
		return nil, err
	}
	ids, _, err = o.standing(ids)
	return ids, err
}

// Is reports whether an account is an owner's.
func (o *Owners) Is(id mail.AccountID) (bool, error) {
	ids, err := o.List()
	return slices.Contains(ids, id), err
}

// Add makes somebody an owner.
func (o *Owners) Add(id mail.AccountID) error {
	if _, err := o.store.AccountByID(id); err != nil {
		return err
	}
	return o.update(func(ids []mail.AccountID) ([]mail.AccountID, error) {
		if slices.Contains(ids, id) {
			return ids, nil
		}
		return append(ids, id), nil
	})
}

// Remove makes an owner a person. ErrLastOwner if nobody else could sign in as
// one, store.ErrNotFound if the account is no owner's.
func (o *Owners) Remove(id mail.AccountID) error {
	if err := o.Spare(id); err != nil {
		return err
	}
	return o.update(func(ids []mail.AccountID) ([]mail.AccountID, error) {
		i := slices.Index(ids, id)
		if i < 0 {
			return nil, fmt.Errorf("owner: %w", store.ErrNotFound)
		}
		if ids = slices.Delete(ids, i, i+1); len(ids) == 0 {
			return nil, ErrLastOwner
		}
		return ids, nil
	})
}

// Spare returns ErrLastOwner if an account is that of the last owner who can
// sign in. Ask before one is disabled or removed.
func (o *Owners) Spare(id mail.AccountID) error {
	ids, err := o.List()
	if err != nil || !slices.Contains(ids, id) {
		return err
	}
	_, enabled, err := o.standing(ids)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(enabled, func(other mail.AccountID) bool { return other != id }) {
		return nil
	}
	return ErrLastOwner
}

// standing leaves out accounts that are gone, and also those that are disabled.
func (o *Owners) standing(ids []mail.AccountID) (exist, enabled []mail.AccountID, err error) {
	for _, id := range ids {
		p, err := profile(o.store, id)
		if err != nil {
			return nil, nil, err
		}
		if p.ID == 0 {
			continue
		}
		exist = append(exist, id)
		if !p.Disabled {
			enabled = append(enabled, id)
		}
	}
	return exist, enabled, nil
}

// update changes the list in one transaction, without those who are gone.
func (o *Owners) update(fn func([]mail.AccountID) ([]mail.AccountID, error)) error {
	return o.store.UpdateState(ownersPath, func(old []byte) ([]byte, error) {
		ids, err := parseOwners(old)
		if err != nil {
			return nil, err
		}
		if ids, _, err = o.standing(ids); err != nil {
			return nil, err
		}
		if ids, err = fn(ids); err != nil {
			return nil, err
		}
		return json.Marshal(ids)
	})
}

func parseOwners(b []byte) (ids []mail.AccountID, err error) {
	if b == nil {
		return nil, nil
	}
	if err := json.Unmarshal(b, &ids); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", ownersPath, store.ErrCorrupt, err)
	}
	return ids, nil
}

// profile reads the profile of an account; that of one that is gone is empty
// and disabled.
func profile(s *store.Store, id mail.AccountID) (store.Profile, error) {
	a, err := s.AccountByID(id)
	if err == nil {
		var p store.Profile
		if p, err = a.Profile(); err == nil {
			return p, nil
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return store.Profile{Disabled: true}, nil
	}
	return store.Profile{}, err
}
