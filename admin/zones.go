package admin

import (
	"context"
	"strings"
	"time"

	"homemail/address"
	"homemail/dnsplan"
	"homemail/store"
	"homemail/words"
	"homemail/zones"
)

// SetZone asks to keep who hosts a zone. The zone is read first, and what does
// not work is not kept.
type SetZone struct {
	Zone        string            `json:"zone"`
	Provider    string            `json:"provider"`
	Credentials map[string]string `json:"credentials"`
	Follow      bool              `json:"follow"` // keep its address records up to date without asking
}

// FollowZone says whether a zone's address records are kept up to date.
type FollowZone struct {
	Zone   string `json:"zone"`
	Follow bool   `json:"follow"`
}

// Notes are what an owner should know though nothing has failed.
type Notes struct {
	Notes []string     `json:"notes,omitempty"` // in English
	Told  []words.Text `json:"told,omitempty"`  // Notes, in every language
}

// Updater is how a place stands that is told the house's addresses.
type Updater struct {
	Done    string    `json:"done"` // the addresses that it has
	At      time.Time `json:"at,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	Stopped bool      `json:"stopped"` // needs its owner
	Error   string    `json:"error,omitempty"`
}

// ZoneState is a zone as an owner sees it.
type ZoneState struct {
	zones.Zone
	Updater *Updater `json:"updater,omitempty"`
}

// NameState is a name at a dyndns2 service as an owner sees it.
type NameState struct {
	zones.Name
	Updater *Updater `json:"updater,omitempty"`
}

// AddDyndns asks to keep a name at a dyndns2 service.
type AddDyndns struct {
	Host     string `json:"host"`
	Service  string `json:"service"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// verifyTime is for reading a zone once, at a provider that may be slow.
const verifyTime = time.Minute

func (h *House) setZone(ctx context.Context, q SetZone) (out Notes, err error) {
	if h.DNS == nil {
		return out, errNoDNS
	}
	z := zones.Zone{Name: q.Zone, Provider: q.Provider, Follow: q.Follow}
	open, err := h.Publishing.Zones.Try(z, q.Credentials)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	_, err = h.Publishing.Publisher.Plan(ctx, open, nil) // which reads it
	hint := h.zoneHint(ctx, open.Name, q.Provider)
	if err != nil {
		if !hint.IsZero() {
			return out, words.Because(err, "admin.zone-not-kept-hint", "said", err, "hint", hint)
		}
		return out, words.Because(err, "admin.zone-not-kept", "said", err)
	}
	if !hint.IsZero() {
		out.Told = []words.Text{hint.Text()}
		out.Notes = english(out.Told)
	}
	return out, h.Publishing.Zones.SetZone(z, q.Credentials)
}

// zoneHint says what the DNS says against a zone being at a provider.
func (h *House) zoneHint(ctx context.Context, zone, provider string) (hint words.Message) {
	host, err := dnsplan.NewComparer(dnsplan.Options{DNS: h.DNS}).Host(ctx, zone)
	switch {
	case err != nil:
		return hint
	case host.Zone != zone:
		return words.Say("admin.zone-inside", "zone", zone, "in", host.Zone)
	case host.Provider != "" && host.Provider != provider && provider != "rfc2136":
		return words.Say("admin.zone-elsewhere", "zone", zone, "at", host.Name)
	}
	return hint
}

func (h *House) listZones(context.Context, Empty) ([]ZoneState, error) {
	list, err := h.Publishing.Zones.Zones()
	out := []ZoneState{}
	for _, z := range list {
		out = append(out, ZoneState{z, h.updater("zone " + z.Name)})
	}
	return out, err
}

// updater finds how an updater stands by its name.
func (h *House) updater(name string) *Updater {
	if h.Publishing.Updaters == nil {
		return nil
	}
	for _, s := range h.Publishing.Updaters() {
		if s.Name != name {
			continue
		}
		u := &Updater{At: s.At, Next: s.Next, Stopped: s.Stopped != "", Error: s.Error}
		if s.Done != (address.Addrs{}) {
			u.Done = s.Done.String()
		}
		return u
	}
	return nil
}

func (h *House) removeZone(_ context.Context, q Name) (Empty, error) {
	return Empty{}, h.Publishing.Zones.RemoveZone(q.Name)
}

func (h *House) followZone(_ context.Context, q FollowZone) (Empty, error) {
	return Empty{}, h.Publishing.Zones.Follow(q.Zone, q.Follow)
}

func (h *House) addDyndns(_ context.Context, q AddDyndns) (Empty, error) {
	return Empty{}, h.Publishing.Zones.SetName(zones.Name{Host: q.Host, Service: q.Service, User: q.User}, q.Password)
}

func (h *House) listDyndns(context.Context, Empty) ([]NameState, error) {
	list, err := h.Publishing.Zones.Names()
	out := []NameState{}
	for _, n := range list {
		state := NameState{Name: n}
		if d, err := h.Publishing.Zones.Dyndns(n); err == nil {
			state.Updater = h.updater(d.Name())
		} else if n.Trouble == "" {
			state.Trouble = strings.TrimPrefix(err.Error(), n.Host+": ")
		}
		out = append(out, state)
	}
	return out, err
}

func (h *House) removeDyndns(_ context.Context, q Name) (Empty, error) {
	return Empty{}, h.Publishing.Zones.RemoveName(q.Name)
}

// publishOperations are those that change the DNS.
func publishOperations() map[string]operation {
	return map[string]operation{
		"zone.set":        publishing((*House).setZone),
		"zone.follow":     publishing((*House).followZone),
		"zone.list":       publishing((*House).listZones),
		"zone.remove":     publishing((*House).removeZone),
		"dyndns.add":      publishing((*House).addDyndns),
		"dyndns.list":     publishing((*House).listDyndns),
		"dyndns.remove":   publishing((*House).removeDyndns),
		"publish.plan":    publishing((*House).planPush),
		"publish.apply":   publishing((*House).applyPush),
		"mx.plan":         publishing((*House).planMX),
		"mx.switch":       publishing((*House).switchMX),
		"mx.restore-plan": publishing((*House).planRestoreMX),
		"mx.restore":      publishing((*House).restoreMX),
		"mx.show":         publishing((*House).showMX),
	}
}

// publishing is op, for a house that can.
func publishing[Q, A any](fn func(*House, context.Context, Q) (A, error)) operation {
	return op(func(h *House, ctx context.Context, q Q) (a A, err error) {
		if h.Publishing == nil {
			return a, words.Because(store.ErrInvalid, "admin.changes-no-dns")
		}
		return fn(h, ctx, q)
	})
}
