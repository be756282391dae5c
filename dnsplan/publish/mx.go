package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"homemail/dnsplan"
)

// keepMX is how long the MX that was is kept at the least. Nothing removes it
// by the clock alone, which a board may have wrong: a later switch overwrites
// it.
const keepMX = 30 * 24 * time.Hour

// A FormerMX is where a domain's mail went before it was switched to us.
type FormerMX struct {
	Values []string      `json:"values"` // none, if there was no MX
	TTL    time.Duration `json:"ttl"`    // of the set
	Ours   []string      `json:"ours"`   // what was set in its place
	At     time.Time     `json:"at"`
}

// ErrNoFormer says that no MX of a domain is kept.
var ErrNoFormer = errors.New("it is not known where the mail went before")

func mxPath(domain string) string { return "publish/mx/" + domain }

// SwitchMX does the step that moves the mail here. What the MX was is kept
// before anything is changed.
func (p *Publisher) SwitchMX(ctx context.Context, z Zone, c Changes) (Report, error) {
	for _, s := range c.MX {
		if s.Type != "MX" {
			return Report{NotDone: c.MX}, fmt.Errorf("%s %s is no MX record", s.Name, s.Type)
		}
	}
	leave, err := z.Turn.take(ctx)
	if err != nil {
		return Report{NotDone: c.MX}, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	now, err := read(ctx, z)
	if err != nil {
		return Report{NotDone: c.MX}, err
	}
	todo, err := now.todo(c.MX)
	if err != nil {
		return Report{NotDone: c.MX}, err
	}
	for _, s := range todo {
		if err := p.keepFormer(s, now.ttl(s.Name, "MX")); err != nil {
			return Report{NotDone: c.MX}, fmt.Errorf("what the MX was cannot be kept, so it was not changed: %w", err)
		}
	}
	return p.apply(ctx, z, c.Zone, c.MX)
}

// keepFormer keeps what an MX was, unless we ourselves have set some of that not
// long ago: a switch may have been broken off half way.
func (p *Publisher) keepFormer(s Step, ttl time.Duration) error {
	old, err := p.FormerMX(s.Name)
	if err != nil && !errors.Is(err, ErrNoFormer) {
		return err
	}
	now := time.Now()
	begun := slices.ContainsFunc(s.Was, func(v string) bool { return slices.Contains(old.Ours, v) })
	if err == nil && now.Sub(old.At) < keepMX && begun {
		old.Ours = s.after()
		return p.putFormer(s.Name, old)
	}
	return p.putFormer(s.Name, FormerMX{Values: s.Was, TTL: ttl, Ours: s.after(), At: now.UTC().Round(0)})
}

func (p *Publisher) putFormer(domain string, f FormerMX) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return p.o.Store.PutState(mxPath(domain), b)
}

// FormerMX returns where a domain's mail went before it was switched to us.
func (p *Publisher) FormerMX(domain string) (FormerMX, error) {
	b, err := p.o.Store.State(mxPath(canonical(domain)))
	if p.o.NotFound != nil && errors.Is(err, p.o.NotFound) {
		return FormerMX{}, ErrNoFormer
	}
	if err != nil {
		return FormerMX{}, err
	}
	var f FormerMX
	if err := json.Unmarshal(b, &f); err != nil {
		return FormerMX{}, fmt.Errorf("the former MX of %s: %w", domain, err)
	}
	return f, nil
}

// PlanRestoreMX returns the change that lets a domain's mail go where it went
// before.
func (p *Publisher) PlanRestoreMX(ctx context.Context, z Zone, domain string) (Changes, error) {
	domain, z.Name = canonical(domain), canonical(z.Name)
	f, err := p.FormerMX(domain)
	if err != nil {
		return Changes{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	now, err := read(ctx, z)
	if err != nil {
		return Changes{}, err
	}
	c := Changes{Zone: z.Name}
	was := now.values(domain, "MX")
	if same(was, f.Values) {
		return c, nil
	}
	ch := dnsplan.Change{Action: dnsplan.Replace, Name: domain, Type: "MX", TTL: f.TTL, Kind: dnsplan.KindMX, Last: true}
	for _, v := range was {
		if !slices.Contains(f.Values, v) {
			ch.Del = append(ch.Del, v)
		}
	}
	for _, v := range f.Values {
		if !slices.Contains(was, v) {
			ch.Add = append(ch.Add, v)
		}
	}
	switch {
	case len(ch.Del) == 0:
		ch.Action = dnsplan.Add
	case len(ch.Add) == 0:
		ch.Action = dnsplan.Remove
	}
	if ch.TTL == 0 {
		ch.TTL = now.ttl(domain, "MX")
	}
	c.MX = []Step{now.step(ch)}
	return c, nil
}

// RestoreMX lets a domain's mail go where it went before the switch, as
// PlanRestoreMX has planned it.
func (p *Publisher) RestoreMX(ctx context.Context, z Zone, c Changes) (Report, error) {
	for _, s := range c.MX {
		if s.Type != "MX" {
			return Report{NotDone: c.MX}, fmt.Errorf("%s %s is no MX record", s.Name, s.Type)
		}
	}
	leave, err := z.Turn.take(ctx)
	if err != nil {
		return Report{NotDone: c.MX}, err
	}
	defer leave()
	return p.apply(ctx, z, c.Zone, c.MX)
}
