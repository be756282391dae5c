package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"homemail/address"
	"homemail/check"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/mail"
	"homemail/store"
	"homemail/words"
	"homemail/zones"
)

// Publishing is what a House needs to change the DNS.
type Publishing struct {
	Zones     *zones.Book
	Publisher *publish.Publisher

	// Addresses are those of the house as last settled, and Updaters how the
	// places stand that are told them. Nil says that nobody looks.
	Addresses func() address.Addrs
	Updaters  func() []address.Status

	// Local are the addresses of this computer's interfaces; nil is none. One that
	// is public is the house's while none is settled.
	Local func() []netip.Addr

	// IPv6 reports whether it was proven that mail comes in over IPv6. Nil is
	// not proven: then an IPv6 address is published only where there already is
	// one, or nothing else.
	IPv6 func() bool
}

// PlanPush asks what has to be changed at a domain's DNS providers.
type PlanPush struct {
	Domain    string       `json:"domain"`
	Addresses []netip.Addr `json:"addresses"` // as in PlanDNS
	Force     bool         `json:"force"`     // of the MX: though other records are not right
}

// Push is what has to be changed. It is to be shown, and then to be given back
// as it is.
type Push struct {
	Domain    string            `json:"domain"`
	Changes   []publish.Changes `json:"changes"`             // of each zone that we may change
	Elsewhere []dnsplan.Record  `json:"elsewhere,omitempty"` // in zones that we may not
	Notes     []string          `json:"notes,omitempty"`     // in English
	Told      []words.Text      `json:"told,omitempty"`      // Notes, in every language
}

// ApplyPush asks to do exactly what was shown.
type ApplyPush struct {
	Changes []publish.Changes `json:"changes"`
}

// Pushed is what was and what was not done in one zone.
type Pushed struct {
	Zone    string         `json:"zone"`
	Report  publish.Report `json:"report"`
	Changed bool           `json:"changed"` // nothing was done, as the zone has changed meanwhile: to be planned again
	Error   string         `json:"error,omitempty"`
	Wrong   words.Text     `json:"wrong,omitzero"` // Error, in every language
}

// planPush plans the changes but for the MX.
func (h *House) planPush(ctx context.Context, q PlanPush) (out Push, err error) {
	plan, err := h.planDNS(ctx, PlanDNS{Domain: q.Domain, Addresses: h.orPublic(ctx, q.Addresses)})
	if err != nil {
		return out, err
	}
	out = Push{Domain: plan.Domain, Changes: []publish.Changes{}, Elsewhere: plan.Records, Notes: plan.Notes, Told: plan.Told}
	open, err := h.zonesOf(plan.Records)
	if err != nil {
		return out, err
	}
	if len(open) == 0 && len(plan.Records) > 0 {
		return out, words.Because(noZone(plan.Domain), "admin.no-zone-next", "domain", plan.Domain)
	}
	for _, z := range open {
		c, err := h.Publishing.Publisher.Plan(ctx, z, plan.Records)
		if err != nil {
			return out, err
		}
		out.Elsewhere = slices.DeleteFunc(slices.Clone(out.Elsewhere), func(r dnsplan.Record) bool {
			return !slices.ContainsFunc(c.Elsewhere, func(e dnsplan.Record) bool { return e.Name == r.Name && e.Type == r.Type })
		})
		c.Elsewhere = nil // of all zones together
		c.MX = nil
		c.ByHand = slices.DeleteFunc(c.ByHand, func(r dnsplan.Result) bool { return r.Record.Type == "MX" })
		out.Changes = append(out.Changes, c)
	}
	return out, nil
}

func noZone(domain string) error {
	return words.Because(fmt.Errorf("%w: %w", store.ErrInvalid, zones.ErrNoZone), "admin.no-zone", "domain", domain)
}

// zonesOf opens the zones that records are in, of those that are known.
func (h *House) zonesOf(records []dnsplan.Record) (list []publish.Zone, err error) {
	for _, r := range records {
		z, err := h.Publishing.Zones.For(r.Name)
		if errors.Is(err, zones.ErrNoZone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list, func(o publish.Zone) bool { return o.Name == z.Name }) {
			list = append(list, z)
		}
	}
	return list, nil
}

// applyPush does what was shown, zone by zone. One that fails holds up no other.
func (h *House) applyPush(ctx context.Context, q ApplyPush) ([]Pushed, error) {
	if h.DNS == nil {
		return nil, errNoDNS
	}
	out := []Pushed{}
	for _, c := range q.Changes {
		out = append(out, h.change(c, func(z publish.Zone) (publish.Report, error) { return h.Publishing.Publisher.Apply(ctx, z, c) }))
	}
	return out, nil
}

// change does something to the zone that changes are of.
func (h *House) change(c publish.Changes, do func(publish.Zone) (publish.Report, error)) Pushed {
	out := Pushed{Zone: c.Zone, Report: publish.Report{NotDone: slices.Concat(c.Steps, c.MX)}}
	z, err := h.Publishing.Zones.For(c.Zone)
	if err == nil && z.Name != c.Zone {
		err = noZone(c.Zone)
	}
	if err == nil {
		out.Report, err = do(z)
		h.DNS.Flush(c.Zone) // what was not there may be now
		h.wakeCerts()
	}
	if err != nil {
		out.Error, out.Wrong, out.Changed = err.Error(), Told(err).Text, errors.Is(err, publish.ErrChanged)
	}
	return out
}

// planMX plans the step that moves a domain's mail here, if all else is right.
func (h *House) planMX(ctx context.Context, q PlanPush) (out Push, err error) {
	plan, err := h.planDNS(ctx, PlanDNS{Domain: q.Domain, Addresses: h.orPublic(ctx, q.Addresses), Compare: !q.Force})
	if err != nil {
		return out, err
	}
	out = Push{Domain: plan.Domain, Changes: []publish.Changes{}, Notes: plan.Notes, Told: plan.Told}
	if len(plan.Records) == 0 {
		return out, nil
	}
	wrong := notReady(plan.Results)
	if !slices.ContainsFunc(plan.Records, func(r dnsplan.Record) bool { return r.Kind == dnsplan.KindHost }) {
		wrong = append(wrong, h.Host+" A (our address is not known)")
	}
	if len(wrong) > 0 && !q.Force {
		return out, words.Because(store.ErrInvalid, "admin.mx-early", "list", strings.Join(wrong, ", "), "domain", plan.Domain)
	}
	if !q.Force {
		if err := h.mayTakeMail(plan.Domain); err != nil {
			return out, err
		}
	}
	z, err := h.Publishing.Zones.For(plan.Domain)
	if err != nil {
		return out, err
	}
	c, err := h.Publishing.Publisher.Plan(ctx, z, plan.Records)
	if err != nil {
		return out, err
	}
	c.Steps, c.Elsewhere, c.Unable = nil, nil, nil
	c.ByHand = slices.DeleteFunc(c.ByHand, func(r dnsplan.Result) bool { return r.Record.Type != "MX" })
	out.Changes = append(out.Changes, c)
	return out, nil
}

// notReady are the records, beside the MX, without which mail does not arrive
// or is refused, and which are not right.
func notReady(results []dnsplan.Result) (list []string) {
	for _, r := range results {
		if r.Record.Rank == dnsplan.Required && r.Record.Kind != dnsplan.KindMX && r.State != dnsplan.Correct {
			list = append(list, fmt.Sprintf("%s %s (%s)", dnsplan.Display(r.Record.Name), r.Record.Type, r.State.Text().EN))
		}
	}
	return list
}

// lately is how old a check may be that keeps mail from coming here: two times
// of its renewal at rest.
const lately = 2 * time.Hour

// mayTakeMail tells why a domain's mail would not arrive though all records are
// right: it was seen not to come in, or there is nobody to get it.
func (h *House) mayTakeMail(domain string) error {
	if h.Checker != nil {
		for _, r := range h.Checker.Results() {
			if r.Name == "in25" && r.State == check.Bad && time.Since(r.Tested).Abs() < lately {
				return words.Because(store.ErrInvalid, "admin.mx-unreached", "why", r.Means)
			}
		}
	}
	here := func(p mail.Path) bool { return p.Domain() == domain }
	people, err := h.Store.Accounts()
	if err != nil {
		return err
	}
	aliases, err := h.Store.Aliases()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(people, func(p store.Profile) bool { return here(p.Address) }) && !slices.ContainsFunc(aliases, func(a store.Alias) bool { return here(a.Address) }) {
		return words.Because(store.ErrInvalid, "admin.mx-nobody", "domain", domain, "shown", dnsplan.Display(domain))
	}
	return nil
}

func (h *House) switchMX(ctx context.Context, q ApplyPush) ([]Pushed, error) {
	return h.applyMX(q, func(z publish.Zone, c publish.Changes) (publish.Report, error) {
		return h.Publishing.Publisher.SwitchMX(ctx, z, c)
	})
}

// planRestoreMX plans to let a domain's mail go where it went before.
func (h *House) planRestoreMX(ctx context.Context, q Domain) (out Push, err error) {
	if h.DNS == nil {
		return out, errNoDNS
	}
	domain, err := zones.Canonical(q.Domain)
	if err != nil {
		return out, err
	}
	z, err := h.Publishing.Zones.For(domain)
	if err != nil {
		return out, err
	}
	c, err := h.Publishing.Publisher.PlanRestoreMX(ctx, z, domain)
	notes := h.restoreNotes(domain)
	return Push{Domain: domain, Changes: []publish.Changes{c}, Notes: english(notes), Told: notes}, err
}

// restoreNotes tells what would keep others' mail from where it went before.
func (h *House) restoreNotes(domain string) []words.Text {
	switch why, err := h.heldToPolicy(domain); {
	case err != nil:
		return []words.Text{Told(err).Text}
	case !why.IsZero():
		return []words.Text{why.Text()}
	}
	return nil
}

func (h *House) restoreMX(ctx context.Context, q ApplyPush) ([]Pushed, error) {
	return h.applyMX(q, func(z publish.Zone, c publish.Changes) (publish.Report, error) {
		return h.Publishing.Publisher.RestoreMX(ctx, z, c)
	})
}

func (h *House) applyMX(q ApplyPush, do func(publish.Zone, publish.Changes) (publish.Report, error)) ([]Pushed, error) {
	if h.DNS == nil {
		return nil, errNoDNS
	}
	out := []Pushed{}
	for _, c := range q.Changes {
		c.Steps = nil
		out = append(out, h.change(c, func(z publish.Zone) (publish.Report, error) { return do(z, c) }))
	}
	return out, nil
}

// MX is where a domain's mail goes, and where it went before it was switched.
type MX struct {
	Domain string            `json:"domain"`
	Now    []string          `json:"now"`
	Former *publish.FormerMX `json:"former,omitempty"`
	Error  string            `json:"error,omitempty"` // why Now is not known
}

func (h *House) showMX(ctx context.Context, q Domain) (out MX, err error) {
	if h.DNS == nil {
		return out, errNoDNS
	}
	if out.Domain, err = zones.Canonical(q.Domain); err != nil {
		return out, err
	}
	f, err := h.Publishing.Publisher.FormerMX(out.Domain)
	switch {
	case err == nil:
		out.Former = &f
	case !errors.Is(err, publish.ErrNoFormer):
		return out, err
	}
	if out.Now, err = dnsplan.NewComparer(dnsplan.Options{DNS: h.DNS}).MX(ctx, out.Domain); err != nil {
		out.Error = err.Error()
	}
	return out, nil
}

// unsettled reports whether somebody looks for the house's addresses, and has not
// settled any: the server has just started, or the line is dead.
func (h *House) unsettled() bool {
	return h.Publishing != nil && h.Publishing.Addresses != nil && h.Publishing.Addresses() == address.Addrs{}
}

// currentAddresses are those last settled. While there are none, they are this
// computer's own, if it has a public one of IPv4: of IPv6 alone nobody knows yet
// whether there is no other.
func (h *House) currentAddresses() (out address.Addrs) {
	p := h.Publishing
	if p == nil {
		return out
	}
	if p.Addresses != nil {
		out = p.Addresses()
	}
	if out != (address.Addrs{}) || p.Local == nil {
		return out
	}
	for _, a := range p.Local() {
		switch a = a.Unmap(); {
		case !public(a):
		case a.Is4() && !out.V4.IsValid():
			out.V4 = a
		case a.Is6() && !out.V6.IsValid():
			out.V6 = a
		}
	}
	if !out.V4.IsValid() {
		return address.Addrs{}
	}
	return out
}

// public reports whether the world can know an address as ours.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(shared, func(p netip.Prefix) bool { return p.Contains(a) })
}

// shared are addresses that many have at once.
var shared = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), // RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),  // DS-Lite and 464XLAT, RFC 7335
}

// publicAddresses are those that a plan is made for if nobody says others: what
// stands now, and for want of that what the DNS says of our name.
func (h *House) publicAddresses(ctx context.Context) []netip.Addr {
	h.DNS.Flush(h.Host)
	there, err := h.DNS.IP(ctx, h.Host)
	if err != nil {
		there.List = nil
	}
	out := h.usable(h.currentAddresses().List(), there.List)
	for _, is4 := range []bool{true, false} { // a family that is not known is as it is there
		family := func(a netip.Addr) bool { return a.Unmap().Is4() == is4 }
		if slices.ContainsFunc(out, family) {
			continue
		}
		for _, a := range there.List {
			if family(a) {
				out = append(out, a)
			}
		}
	}
	return out
}

func (h *House) orPublic(ctx context.Context, addrs []netip.Addr) []netip.Addr {
	if len(addrs) > 0 || h.DNS == nil {
		return addrs
	}
	return h.publicAddresses(ctx)
}

// usable leaves an IPv6 address out that is not proven, unless one is in the DNS
// already or there is no other address: who tries it first would find nobody.
func (h *House) usable(addrs, there []netip.Addr) []netip.Addr {
	is4 := func(a netip.Addr) bool { return a.Unmap().Is4() }
	is6 := func(a netip.Addr) bool { return !is4(a) }
	proven := h.Publishing != nil && h.Publishing.IPv6 != nil && h.Publishing.IPv6()
	if proven || slices.ContainsFunc(there, is6) || !slices.ContainsFunc(addrs, is4) {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), is6)
}

// ZoneRecords are the records that a zone should have, of all our domains, if
// these are the addresses of the house.
func (h *House) ZoneRecords(ctx context.Context, zone string, addrs []netip.Addr) (list []dnsplan.Record, err error) {
	domains, err := h.Store.Domains()
	if err != nil {
		return nil, err
	}
	there, _ := h.DNS.IP(ctx, h.Host) // with an error there is none
	addrs = h.usable(addrs, there.List)
	c := dnsplan.NewComparer(dnsplan.Options{DNS: h.DNS})
	for _, d := range domains {
		in, err := h.dnsInput(ctx, c, d, addrs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		records, err := dnsplan.Plan(in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		for _, r := range records {
			known := slices.ContainsFunc(list, func(o dnsplan.Record) bool {
				return o.Name == r.Name && o.Type == r.Type && o.Kind == r.Kind
			})
			if !known && (r.Name == zone || strings.HasSuffix(r.Name, "."+zone)) {
				list = append(list, r)
			}
		}
	}
	return list, nil
}
