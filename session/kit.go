package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"homemail/mail"
	"homemail/signin"
	"homemail/store"
)

// An owner's kit are recovery codes on paper. Like all of these each is good for
// once, and stands in for a second factor if there is one. Those of a kit also
// stand in for a password that was forgotten, wherever the password is asked for:
// one opens the pages, a second one is the "old password" when a new one is
// chosen. A second factor is still owed then.

// Kit makes an owner's kit, to be shown once. All recovery codes of before are
// void. store.ErrInvalid if the account is no owner's.
func (m *Manager) Kit(id mail.AccountID) (codes []string, err error) {
	owner, err := m.Owners.Is(id)
	if err == nil && !owner {
		err = fmt.Errorf("%w: only owners have a kit", store.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	err = m.change(id, func(f *factors) error {
		codes, f.Kit = f.renewRecovery(), true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// ownOrKit checks what was typed where the own password belongs. The kit is
// looked at after the password was wrong: guesses of it slow down like those of
// any password, and cost as much time.
func (m *Manager) ownOrKit(ctx context.Context, from From, name, password string) (store.Profile, Method, error) {
	p, err := m.signin.Own(ctx, from.attempt(), name, clean(password))
	if !errors.Is(err, signin.ErrDenied) || !kitShaped(password) {
		return p, ByPassword, err
	}
	p, ok, wrong := m.spendKit(name, password)
	if wrong != nil {
		return store.Profile{}, ByRecovery, wrong
	}
	if ok {
		return p, ByRecovery, nil
	}
	return store.Profile{}, ByPassword, err
}

// kitShaped keeps everybody else's typing errors from the store.
func kitShaped(typed string) bool {
	code := plainCode(typed)
	return len(code) == recoveryLength && strings.Trim(code, recoveryABC) == ""
}

// spendKit uses up a code of the kit of whoever has an address.
func (m *Manager) spendKit(name, code string) (p store.Profile, ok bool, err error) {
	path, err := mail.ParsePath(strings.TrimSpace(name))
	if err != nil {
		return p, false, nil
	}
	a, err := m.store.Account(path)
	if errors.Is(err, store.ErrNotFound) {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	if p, err = a.Profile(); err != nil || p.Disabled {
		return p, false, err
	}
	err = m.change(a.ID, func(f *factors) error {
		if !f.Kit {
			return errWrong
		}
		return f.spendRecovery(plainCode(code))
	})
	if errors.Is(err, errWrong) {
		return p, false, nil
	}
	return p, err == nil, err
}
