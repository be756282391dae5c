package admin

import (
	"context"
	"errors"

	"homemail/bridge"
	"homemail/mail"
	"homemail/store"
	"homemail/words"
)

// AddBridge is the request to fetch mail from an account elsewhere. It is tried
// first, and what does not work is not kept.
type AddBridge struct {
	bridge.Account
	For      mail.Path `json:"for"` // whose mail it is here
	Password string    `json:"password"`
	Untried  bool      `json:"untried"`
	Replace  bool      `json:"replace,omitempty"` // change the one for this address and person, if there is one
}

// Bridge is an account elsewhere and how it is doing.
type Bridge struct {
	bridge.Account
	For    mail.Path     `json:"for"`
	Status bridge.Status `json:"status"`
}

// NewBridge tells what came of AddBridge.
type NewBridge struct {
	ID     string        `json:"id"`
	Report bridge.Report `json:"report"`
}

// addBridge keeps an account elsewhere, lets its owner write as its address,
// and sends that mail through the smarthost that belongs to it.
func (h *House) addBridge(ctx context.Context, q AddBridge) (out NewBridge, err error) {
	a, err := h.Store.Account(q.For)
	if err != nil {
		return out, err
	}
	q.Into = a.ID
	if !q.Untried {
		if out.Report, err = h.Bridge.Check(ctx, q.Account, q.Password); err != nil {
			return out, words.Because(err, "admin.not-kept", "why", bridge.Tell(q.Account, err), "said", err)
		}
	}
	if q.SendVia != "" {
		if err := h.Book.SetSender(q.Address, q.SendVia); err != nil {
			return out, err
		}
	}
	if out.ID, err = h.putBridge(q); err != nil {
		return out, err
	}
	return out, a.Update(func(p *store.Profile) error {
		p.AddSendAs(q.Address)
		return nil
	})
}

// putBridge keeps an account elsewhere, in the place of the one before if that is
// wanted: what was fetched with it is not fetched again then.
func (h *House) putBridge(q AddBridge) (id string, err error) {
	list, err := h.Bridge.List()
	if err != nil {
		return "", err
	}
	for _, a := range list {
		if q.Replace && a.Address.Key() == q.Address.Key() && a.Into == q.Into {
			q.ID = a.ID
			return a.ID, h.Bridge.Change(q.Account, q.Password)
		}
	}
	return h.Bridge.Add(q.Account, q.Password)
}

func (h *House) listBridges(context.Context, Empty) ([]Bridge, error) {
	accounts, err := h.Bridge.List()
	if err != nil {
		return nil, err
	}
	states, err := h.Bridge.Statuses()
	list := []Bridge{}
	for _, a := range accounts {
		b := Bridge{Account: a}
		for _, s := range states {
			if s.ID == a.ID {
				b.Status = s
			}
		}
		if into, err := h.Store.AccountByID(a.Into); err == nil {
			if p, err := into.Profile(); err == nil {
				b.For = p.Address
			}
		}
		list = append(list, b)
	}
	return list, err
}

// BridgeID names an account elsewhere.
type BridgeID struct {
	ID string `json:"id"`
}

// find returns an account elsewhere by its id or its address.
func (h *House) findBridge(id string) (bridge.Account, error) {
	list, err := h.Bridge.List()
	if err != nil {
		return bridge.Account{}, err
	}
	for _, a := range list {
		if a.ID == id || a.Address.Key() == mail.Path(id).Key() {
			return a, nil
		}
	}
	return bridge.Account{}, words.Because(store.ErrNotFound, "admin.no-bridge", "id", id)
}

// removeBridge also ends that its owner writes as its address.
func (h *House) removeBridge(_ context.Context, q BridgeID) (Empty, error) {
	found, err := h.findBridge(q.ID)
	if err != nil {
		return Empty{}, err
	}
	if err := h.Bridge.Remove(found.ID); err != nil {
		return Empty{}, err
	}
	if err := h.Book.SetSender(found.Address, ""); err != nil {
		return Empty{}, err
	}
	a, err := h.Store.AccountByID(found.Into)
	if errors.Is(err, store.ErrNotFound) {
		return Empty{}, nil
	}
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, a.Update(func(p *store.Profile) error {
		p.DropSendAs(found.Address)
		return nil
	})
}

// BridgePassword is the request to sign in elsewhere with another password.
type BridgePassword struct {
	ID       string `json:"id"`
	Password string `json:"password"`
	Untried  bool   `json:"untried"`
}

// setBridgePassword keeps a new password. To remove the account and add it
// again would do it too, but fetch every message again.
func (h *House) setBridgePassword(ctx context.Context, q BridgePassword) (Empty, error) {
	found, err := h.findBridge(q.ID)
	if err != nil {
		return Empty{}, err
	}
	if q.Password == "" {
		return Empty{}, words.Because(store.ErrInvalid, "admin.no-password")
	}
	if !q.Untried {
		if _, err := h.Bridge.Check(ctx, found, q.Password); err != nil {
			return Empty{}, words.Because(err, "admin.not-kept", "why", bridge.Tell(found, err), "said", err)
		}
	}
	return Empty{}, h.Bridge.Change(found, q.Password)
}

func (h *House) fetchBridge(_ context.Context, q BridgeID) (Empty, error) {
	found, err := h.findBridge(q.ID)
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, h.Bridge.FetchNow(found.ID)
}

func (h *House) pauseBridge(_ context.Context, q BridgeID) (Empty, error) {
	return h.setPaused(q.ID, true)
}

func (h *House) resumeBridge(_ context.Context, q BridgeID) (Empty, error) {
	return h.setPaused(q.ID, false)
}

func (h *House) setPaused(id string, on bool) (Empty, error) {
	found, err := h.findBridge(id)
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, h.Bridge.Pause(found.ID, on)
}
