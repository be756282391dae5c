package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"homemail/mail"
	"homemail/session"
	"homemail/store"
	"homemail/words"
)

// sessionOperations has what can be asked for about who signs in on the web.
func sessionOperations() map[string]operation {
	return map[string]operation{
		"owner.list":     op((*House).listOwners),
		"owner.add":      op((*House).addOwner),
		"owner.remove":   op((*House).removeOwner),
		"owner.reset":    op((*House).resetOwner),
		"password.reset": op((*House).resetPassword),
		"session.list":   op((*House).listSessions),
		"session.end":    op((*House).endSessions),
		"ban.list":       op((*House).listBans),
		"ban.lift":       op((*House).liftBan),
	}
}

// sessions is a manager for this operation alone. All that it changes is in the
// store, where that of the pages looks at each request.
func (h *House) sessions() *session.Manager {
	return session.New(h.Store, session.Options{SignIn: h.SignIn})
}

// Person is somebody as the lists of owners have them.
type Person struct {
	Address  mail.Path `json:"address"`
	Name     string    `json:"name,omitempty"`
	Disabled bool      `json:"disabled,omitempty"`
	// Password says that there is one for the web.
	Password bool            `json:"password"`
	Factors  session.Factors `json:"factors"`
}

func (h *House) listOwners(context.Context, Empty) ([]Person, error) {
	m := h.sessions()
	ids, err := m.Owners.List()
	list := []Person{}
	for _, id := range ids {
		p, err := h.profile(id)
		if err != nil {
			return nil, err
		}
		f, err := m.Factors(id)
		if err != nil {
			return nil, fmt.Errorf("the second factors of %s: %w", p.Address, err)
		}
		list = append(list, Person{p.Address, p.Name, p.Disabled, p.Password != "", f})
	}
	return list, err
}

func (h *House) profile(id mail.AccountID) (store.Profile, error) {
	a, err := h.Store.AccountByID(id)
	if err != nil {
		return store.Profile{}, err
	}
	return a.Profile()
}

func (h *House) addOwner(_ context.Context, q Address) (Empty, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, h.sessions().Owners.Add(a.ID)
}

func (h *House) removeOwner(_ context.Context, q Address) (Empty, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, h.sessions().Owners.Remove(a.ID)
}

// spareOwner refuses to take the last owner away, who is about to be disabled
// or removed.
func (h *House) spareOwner(id mail.AccountID) error { return h.sessions().Owners.Spare(id) }

// Reset is the request for a new password, with all sessions ended.
type Reset struct {
	Address mail.Path `json:"address,omitempty"` // of an owner: the only one, if empty
	// SecondFactor removes codes, recovery codes and passkeys too.
	SecondFactor bool `json:"second_factor"`
}

// NewPassword is a password for the web, shown this once.
type NewPassword struct {
	Address  mail.Path `json:"address"`
	Password string    `json:"password"`
}

// resetOwner is the way back into the house for who can reach its console.
func (h *House) resetOwner(ctx context.Context, q Reset) (NewPassword, error) {
	owners, err := h.listOwnerProfiles()
	if err != nil {
		return NewPassword{}, err
	}
	var names []string
	var found *store.Profile
	for _, p := range owners {
		names = append(names, string(p.Address))
		if p.Address == q.Address.Key() || q.Address == "" && len(owners) == 1 {
			found = &p
		}
	}
	switch {
	case len(owners) == 0:
		return NewPassword{}, words.Because(store.ErrInvalid, "admin.no-owner")
	case found == nil && q.Address == "":
		return NewPassword{}, words.Because(store.ErrInvalid, "admin.which-owner", "list", strings.Join(names, ", "))
	case found == nil:
		return NewPassword{}, words.Because(store.ErrInvalid, "admin.not-owner", "address", q.Address, "list", strings.Join(names, ", "))
	case found.Disabled:
		return NewPassword{}, words.Because(store.ErrInvalid, "admin.disabled", "address", found.Address)
	}
	return h.resetPassword(ctx, Reset{found.Address, q.SecondFactor})
}

func (h *House) listOwnerProfiles() (list []store.Profile, err error) {
	ids, err := h.sessions().Owners.List()
	for _, id := range ids {
		p, err := h.profile(id)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, err
}

// resetPassword gives anybody a new password, whom an owner will tell it.
func (h *House) resetPassword(ctx context.Context, q Reset) (NewPassword, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return NewPassword{}, err
	}
	m, out := h.sessions(), NewPassword{q.Address.Key(), session.Generate4Words()}
	if err := m.SetPassword(ctx, a.ID, out.Password); err != nil {
		return NewPassword{}, err
	}
	if q.SecondFactor { // last: the password of before must never do alone
		if err := m.ClearFactors(a.ID); err != nil {
			return NewPassword{}, err
		}
	}
	return out, m.EndAll(a.ID)
}

// WebSession is somebody who is signed in on the web.
type WebSession struct {
	ID       string         `json:"id"`
	Address  mail.Path      `json:"address"`
	Role     session.Role   `json:"role"`
	Method   session.Method `json:"method"`
	Created  time.Time      `json:"created"`
	Seen     time.Time      `json:"seen"` // to the hour
	Remote   string         `json:"remote"`
	Browser  string         `json:"browser,omitempty"`
	Remember bool           `json:"remember"`
}

// listSessions lists those of an address, or all.
func (h *House) listSessions(_ context.Context, q Address) ([]WebSession, error) {
	id := mail.AccountID(0)
	if q.Address != "" {
		a, err := h.Store.Account(q.Address)
		if err != nil {
			return nil, err
		}
		id = a.ID
	}
	sessions, err := h.sessions().List(id)
	list := []WebSession{}
	for _, s := range sessions {
		list = append(list, WebSession{s.ID, s.Address, s.Role, s.Method, s.Created, s.Seen, s.Remote, s.Browser, s.Remember})
	}
	return list, err
}

// EndSessions names a session of an address; all of them without an ID.
type EndSessions struct {
	Address mail.Path `json:"address"`
	ID      string    `json:"id,omitempty"`
}

func (h *House) endSessions(_ context.Context, q EndSessions) (Empty, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Empty{}, err
	}
	if q.ID == "" {
		return Empty{}, h.sessions().EndAll(a.ID)
	}
	if err := h.sessions().End(a.ID, q.ID); err != nil {
		return Empty{}, fmt.Errorf("session %q of %s: %w", q.ID, q.Address, err)
	}
	return Empty{}, nil
}
