package address

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"homemail/dnsplan"
	"homemail/dnsplan/publish"
)

// Publisher changes a zone; *publish.Publisher is one.
type Publisher interface {
	Plan(ctx context.Context, z publish.Zone, records []dnsplan.Record) (publish.Changes, error)
	Apply(ctx context.Context, z publish.Zone, c publish.Changes) (publish.Report, error)
}

// Records is an Updater of a zone's records. Only those are changed in which
// the addresses stand.
type Records struct {
	Zone      publish.Zone
	Publisher Publisher

	// Plan returns all records that the zone should have if these are the
	// addresses: that of dnsplan.
	Plan func(ctx context.Context, addrs []netip.Addr) ([]dnsplan.Record, error)
}

// Name is the zone's.
func (r *Records) Name() string { return "zone " + r.Zone.Name }

// Limits leave a provider's interface some rest.
func (r *Records) Limits() Limits { return Limits{Least: time.Minute} }

// Part is all: what stands in a zone is decided by Plan.
func (r *Records) Part(a Addrs) Addrs { return a }

// Update changes the records that differ between the plans with the addresses
// that were and the plan with those that are.
func (r *Records) Update(ctx context.Context, was []Addrs, now Addrs) error {
	want, err := r.Plan(ctx, now.List())
	if err != nil {
		return err
	}
	var before []dnsplan.Record // of all plans; several may be of one name
	for _, w := range was {
		if w == (Addrs{}) {
			continue // anything
		}
		plan, err := r.Plan(ctx, w.List())
		if err != nil {
			return err
		}
		before = append(before, plan...)
	}
	moved := differing(before, want)
	if len(moved) == 0 {
		return nil
	}
	c, err := r.Publisher.Plan(ctx, r.Zone, moved)
	if err != nil {
		return err
	}
	c.MX = nil
	var blocked []string
	c.Steps = slices.DeleteFunc(c.Steps, func(s publish.Step) bool {
		foreign := !ours(s, before)
		if foreign {
			blocked = append(blocked, s.Name+" "+s.Type)
		}
		return foreign
	})
	for _, res := range c.ByHand {
		blocked = append(blocked, res.Record.Name+" "+res.Record.Type)
	}
	if _, err := r.Publisher.Apply(ctx, r.Zone, c); err != nil {
		return err
	}
	if len(blocked) > 0 {
		return &Later{fmt.Errorf("%w: %s", ErrInTheWay, strings.Join(blocked, ", ")), time.Hour}
	}
	return nil
}

// ErrInTheWay says that what stands at a name is not ours to replace.
var ErrInTheWay = errors.New("something that is not ours stands there")

// differing are the records of want that are not the same in one of those
// before. Without any before, they are all those with addresses.
func differing(before, want []dnsplan.Record) []dnsplan.Record {
	var out []dnsplan.Record
	for _, w := range want {
		old := alike(before, w)
		same := !slices.ContainsFunc(old, func(o dnsplan.Record) bool { return !slices.Equal(o.Values, w.Values) })
		if same && (len(old) > 0 || !isAddress(w.Type)) {
			continue
		}
		for _, o := range old {
			if isAddress(w.Type) {
				w.Ours = true // by what it replaces, see ours
			} else if w.Kind == dnsplan.KindSPF {
				w.Drop = append(slices.Clone(w.Drop), lost(o.Values, w.Values)...)
			}
		}
		out = append(out, w)
	}
	for _, b := range before {
		if isAddress(b.Type) && len(alike(want, b)) == 0 && len(alike(out, b)) == 0 {
			b.Values, b.Kind, b.Ours = nil, dnsplan.KindUnwanted, true
			out = append(out, b)
		}
	}
	return out
}

func isAddress(rtype string) bool { return rtype == "A" || rtype == "AAAA" }

// alike are records of the same name, type and purpose; a host's addresses that
// are not wanted are of a host.
func alike(list []dnsplan.Record, r dnsplan.Record) (out []dnsplan.Record) {
	for _, l := range list {
		if l.Name == r.Name && l.Type == r.Type && (l.Kind == r.Kind || isAddress(l.Type)) {
			out = append(out, l)
		}
	}
	return out
}

// lost are the terms of SPF that do not stand in the new record any more.
func lost(old, now []string) []string {
	have := strings.Fields(strings.Join(now, " "))
	var out []string
	for _, t := range strings.Fields(strings.Join(old, " ")) {
		if !slices.Contains(have, t) && (strings.Contains(t, "ip4:") || strings.Contains(t, "ip6:")) {
			out = append(out, t)
		}
	}
	return out
}

// ours reports whether a step takes away only addresses that we had published,
// at names that are not ours alone.
func ours(s publish.Step, before []dnsplan.Record) bool {
	if !isAddress(s.Type) || len(s.Del) == 0 {
		return true
	}
	old := alike(before, dnsplan.Record{Name: s.Name, Type: s.Type})
	if len(old) == 0 {
		return true // publish has judged it
	}
	var had []string
	for _, o := range old {
		if o.Ours {
			return true
		}
		had = append(had, o.Values...)
	}
	for _, v := range s.Del {
		if !slices.Contains(had, v) {
			return false
		}
	}
	return true
}
