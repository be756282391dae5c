package admin

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"homemail/caps"
	"homemail/lan"
	"homemail/mail"
	"homemail/session"
	"homemail/store"
	"homemail/words"
)

// Sending is an account that has written to the outside, and whether it may go
// on.
type Sending struct {
	Address mail.Path   `json:"address"`
	Hour    int         `json:"hour"` // recipients of the last hour
	Day     int         `json:"day"`
	New     int         `json:"new"` // of those of the day, such that it had never written to
	Pause   *caps.Pause `json:"pause,omitempty"`
}

func (h *House) listSending(context.Context, Empty) ([]Sending, error) {
	paused, err := h.Caps.Paused()
	if err != nil {
		return nil, err
	}
	profiles, err := h.Store.Accounts()
	list := []Sending{}
	for _, p := range profiles {
		s := Sending{Address: p.Address}
		s.Hour, s.Day, s.New = h.Caps.Usage(p.ID)
		for i := range paused {
			if paused[i].Account == p.ID {
				s.Pause = &paused[i]
			}
		}
		list = append(list, s)
	}
	return list, err
}

// PauseSending is the request to pause an account.
type PauseSending struct {
	Address mail.Path `json:"address"`
	Reason  string    `json:"reason"`
}

// pauseSending also holds what has not left yet.
func (h *House) pauseSending(_ context.Context, q PauseSending) (Count, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Count{}, err
	}
	if err := h.Caps.Pause(a.ID, q.Reason); err != nil {
		return Count{}, err
	}
	n, err := h.Queue.HoldAccount(a.ID, caps.HoldPrefix+q.Reason)
	return Count{n}, err
}

// resumeSending lets an account send again, and what waits.
func (h *House) resumeSending(_ context.Context, q Address) (Count, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Count{}, err
	}
	if err := h.Caps.Resume(a.ID); err != nil {
		return Count{}, err
	}
	n, err := h.Queue.ReleaseAccount(a.ID, caps.HoldPrefix)
	return Count{n}, err
}

// Machine is a device of the house that sends without signing in.
type Machine struct {
	Name    string    `json:"name"`
	Address string    `json:"address"` // an IP address, or a small network
	For     mail.Path `json:"for"`     // whom it writes for
	From    string    `json:"from"`    // store.RefuseFrom or store.RewriteFrom
	Local   bool      `json:"local"`   // it may write to addresses of this house only
	Created time.Time `json:"created,omitzero"`
}

// Caution is what an owner should know, "" if nothing.
type Caution struct {
	Caution string `json:"caution,omitempty"`
}

func (h *House) addMachine(_ context.Context, q Machine) (Caution, error) {
	a, err := h.Store.Account(q.For)
	if err != nil {
		return Caution{}, err
	}
	prefix, zone, err := lan.ParseAddress(q.Address)
	if err != nil {
		return Caution{}, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	d := lan.Device{Name: q.Name, Address: prefix, Zone: zone, Account: a.ID, From: q.From, Local: q.Local}
	return Caution{d.Caution()}, h.LAN.Add(d)
}

func (h *House) listMachines(context.Context, Empty) ([]Machine, error) {
	devices, err := h.LAN.List()
	list := []Machine{}
	for _, d := range devices {
		m := Machine{Name: d.Name, Address: addressText(d.Address, d.Zone), From: d.From, Local: d.Local, Created: d.Created}
		if a, err := h.Store.AccountByID(d.Account); err == nil {
			if p, err := a.Profile(); err == nil {
				m.For = p.Address
			}
		}
		list = append(list, m)
	}
	return list, err
}

func addressText(p netip.Prefix, zone string) string {
	switch {
	case !p.IsSingleIP():
		return p.String()
	case zone != "":
		return p.Addr().String() + "%" + zone
	}
	return p.Addr().String()
}

func (h *House) removeMachine(_ context.Context, q Name) (Empty, error) {
	return Empty{}, h.LAN.Remove(q.Name)
}

// Language is that of the house: of the first owner who has named one, or else of
// the first person; English if nobody has.
func (h *House) Language() string {
	ids, _ := session.NewOwners(h.Store).List()
	for _, id := range ids {
		if a, err := h.Store.AccountByID(id); err == nil {
			if p, err := a.Profile(); err == nil && p.Language != "" {
				return string(words.For(p.Language))
			}
		}
	}
	people, _ := h.Store.Accounts()
	for _, p := range people {
		if p.Language != "" && !p.Disabled {
			return string(words.For(p.Language))
		}
	}
	return string(words.English)
}
