package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"homemail/mail"
	"homemail/outbound"
	"homemail/relay"
	"homemail/relay/preset"
	"homemail/store"
	"homemail/words"
)

// Route is how mail for a domain leaves; the domain "default" stands for all
// others.
type Route struct {
	Domain    string    `json:"domain"`
	Way       relay.Way `json:"way"`
	Smarthost string    `json:"smarthost,omitempty"`
	After     int       `json:"after,omitempty"` // tries that go direct before the smarthost is asked
}

// SenderRoute is the smarthost of an address that is hosted elsewhere.
type SenderRoute struct {
	Address   mail.Path `json:"address"`
	Smarthost string    `json:"smarthost"` // "" for none
}

// Routes are all ways out.
type Routes struct {
	Domains []Route       `json:"domains"`
	Senders []SenderRoute `json:"senders"`
}

// Domain names a domain.
type Domain struct {
	Domain string `json:"domain"`
}

// Name names a smarthost.
type Name struct {
	Name string `json:"name"`
}

// SaveSmarthost is the request to keep a smarthost. It is tried first, and what
// does not work is not kept.
type SaveSmarthost struct {
	outbound.Smarthost
	Password string    `json:"password"`
	Sender   mail.Path `json:"sender"`  // to try it with
	Untried  bool      `json:"untried"` // keep it without trying it
	Default  bool      `json:"default"` // all mail leaves through it from now on
}

// Forward is the request to forward an account's mail.
type Forward struct {
	Address mail.Path   `json:"address"`
	To      []mail.Path `json:"to"` // none ends it
	Only    bool        `json:"only"`
}

// defaultRoute is how people call the route of all domains without their own.
const defaultRoute = "default"

func routeDomain(s string) string {
	if s == defaultRoute {
		return ""
	}
	return s
}

func (h *House) setRoute(_ context.Context, q SetRoute) (Empty, error) {
	domain, r := routeDomain(q.Domain), relay.Route{Way: q.Way, Smarthost: q.Smarthost, After: q.After}
	if err := h.mayLeaveRoute(domain, r, q.Force); err != nil {
		return Empty{}, err
	}
	return h.rerouted(h.Book.SetRoute(domain, r))
}

func (h *House) removeRoute(_ context.Context, q RemoveRoute) (Empty, error) {
	domain := routeDomain(q.Domain)
	if err := h.mayLeaveRoute(domain, relay.Route{}, q.Force); err != nil {
		return Empty{}, err
	}
	return h.rerouted(h.Book.RemoveRoute(domain))
}

func (h *House) setSender(_ context.Context, q SenderRoute) (Empty, error) {
	return h.rerouted(h.Book.SetSender(q.Address, q.Smarthost))
}

// rerouted has what waited for a way out tried after a change of the ways.
func (h *House) rerouted(err error) (Empty, error) {
	if err == nil {
		err = h.Queue.Rerouted()
	}
	return Empty{}, err
}

func (h *House) listRoutes(context.Context, Empty) (Routes, error) {
	r := h.Book.Routes()
	out := Routes{Domains: []Route{{defaultRoute, r.Default.Way, r.Default.Smarthost, r.Default.After}}, Senders: []SenderRoute{}}
	for domain, route := range r.ByDomain {
		out.Domains = append(out.Domains, Route{domain, route.Way, route.Smarthost, route.After})
	}
	slices.SortFunc(out.Domains[1:], func(a, b Route) int { return compare(a.Domain, b.Domain) })
	for address, smarthost := range r.BySender {
		out.Senders = append(out.Senders, SenderRoute{address, smarthost})
	}
	slices.SortFunc(out.Senders, func(a, b SenderRoute) int { return compare(string(a.Address), string(b.Address)) })
	return out, nil
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (h *House) listPresets(context.Context, Empty) ([]preset.Preset, error) {
	return preset.All(), nil
}

func (h *House) listSmarthosts(context.Context, Empty) ([]outbound.Smarthost, error) {
	list, err := h.Book.Smarthosts()
	if list == nil {
		list = []outbound.Smarthost{}
	}
	return list, err
}

func (h *House) removeSmarthost(_ context.Context, q Name) (Empty, error) {
	return Empty{}, h.Book.RemoveSmarthost(q.Name)
}

// saveSmarthost tries a smarthost and keeps it.
func (h *House) saveSmarthost(ctx context.Context, q SaveSmarthost) (relay.Report, error) {
	var report relay.Report
	if !q.Untried {
		sender := q.Sender
		if sender.IsNull() {
			sender = mail.Path(q.User)
		}
		var err error
		if report, err = h.try(ctx, h.Book.Trial(q.Smarthost, q.Password), sender); err != nil {
			return report, words.Because(err, "admin.smarthost-not-kept", "why", err)
		}
	}
	if err := h.Book.SaveSmarthost(q.Smarthost, q.Password); err != nil {
		return report, err
	}
	var err error
	if q.Default {
		err = h.Book.SetRoute("", relay.Route{Way: relay.Via, Smarthost: q.Name})
	}
	_, err = h.rerouted(err)
	return report, err
}

// TrySmarthost asks whether a smarthost works for a sender.
type TrySmarthost struct {
	Name   string    `json:"name"`
	Sender mail.Path `json:"sender"`
}

func (h *House) trySmarthost(ctx context.Context, q TrySmarthost) (relay.Report, error) {
	s, err := h.Book.Smarthost(q.Name)
	if err != nil {
		return relay.Report{}, err
	}
	if q.Sender.IsNull() {
		q.Sender = mail.Path(s.User)
	}
	return h.try(ctx, s, q.Sender)
}

// try signs in to a smarthost and offers it mail, but sends none.
func (h *House) try(ctx context.Context, s relay.Smarthost, sender mail.Path) (relay.Report, error) {
	if _, err := mail.ParsePath(string(sender)); err != nil {
		return relay.Report{}, words.Because(fmt.Errorf("%w: %w", store.ErrInvalid, err), "admin.which-sender", "said", err)
	}
	report := h.Relay.Check(ctx, s, sender, "")
	if !report.OK {
		return report, words.Because(nil, "admin.smarthost", "why", trouble(s, sender, report.Failed), "said", report.Why.Reply)
	}
	return report, nil
}

// trouble says what went wrong to whoever sets a smarthost up. The words of
// delivery reports would not do: they are for people who wrote a message.
func trouble(s relay.Smarthost, sender mail.Path, step string) words.Message {
	switch step {
	case relay.StepConnect:
		return words.Say("admin.smarthost.connect", "host", s.Host, "port", s.Port)
	case relay.StepTLS:
		return words.Say("admin.smarthost.tls", "host", s.Host, "port", s.Port)
	case relay.StepLogin:
		return words.Say("admin.smarthost.login", "host", s.Host)
	case relay.StepSender:
		return words.Say("admin.smarthost.sender", "host", s.Host, "sender", sender)
	}
	return words.Say("admin.smarthost.other")
}

// forward lets an account's mail go elsewhere too.
func (h *House) forward(_ context.Context, q Forward) (Empty, error) {
	a, err := h.Store.Account(q.Address)
	if err != nil {
		return Empty{}, err
	}
	for i, to := range q.To {
		p, err := mail.ParsePath(string(to))
		switch {
		case err != nil:
			return Empty{}, words.Because(fmt.Errorf("%w: %w", store.ErrInvalid, err), "admin.bad-address", "address", to, "said", err)
		case p.Key() == q.Address.Key():
			return Empty{}, words.Because(store.ErrInvalid, "admin.forward-self", "address", p)
		case h.Store.IsLocal(p.Domain()):
			if _, err := h.Store.Resolve(p.Key()); errors.Is(err, store.ErrNotFound) {
				return Empty{}, words.Because(store.ErrInvalid, "admin.no-address", "address", p)
			}
		}
		q.To[i] = p
	}
	return Empty{}, a.Update(func(p *store.Profile) error {
		p.Forward, p.ForwardOnly = q.To, q.Only && len(q.To) > 0
		return nil
	})
}
