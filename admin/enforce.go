package admin

import (
	"context"
	"time"

	"homemail/dnsplan"
	"homemail/mail"
	"homemail/relay"
	"homemail/reports"
	"homemail/store"
	"homemail/words"
)

// SetRoute is the request for a route.
type SetRoute struct {
	Route
	Force bool `json:"force,omitempty"` // though others hold to a policy of MTA-STS
}

// RemoveRoute is the request to have no route for a domain of its own.
type RemoveRoute struct {
	Domain string `json:"domain"`
	Force  bool   `json:"force,omitempty"` // as in SetRoute
}

// RemoveDomain is the request to take no more mail for a domain.
type RemoveDomain struct {
	Address mail.Path `json:"address"`         // the domain
	Force   bool      `json:"force,omitempty"` // as in SetRoute
}

func (h *House) removeDomain(_ context.Context, q RemoveDomain) (Empty, error) {
	name := string(q.Address)
	if p, err := mail.ParsePath("x@" + name); err == nil && !q.Force && h.Store.IsLocal(p.Domain()) {
		if err := h.mayLeave(p.Domain()); err != nil {
			return Empty{}, err
		}
	}
	return Empty{}, h.Store.RemoveDomain(name)
}

// mayLeaveRoute tells whether a change of the default route, to a zero one if it
// is removed, would end the policies of MTA-STS while others hold to them: a house
// that sends nothing by itself is not where mail comes in, and serves none.
func (h *House) mayLeaveRoute(domain string, to relay.Route, force bool) error {
	if domain != "" || force {
		return nil
	}
	r := h.Book.Routes()
	before := Mode(r)
	r.Default = to
	if !takesMail(before) || takesMail(Mode(r)) {
		return nil
	}
	domains, err := h.Store.Domains()
	if err != nil {
		return err
	}
	for _, d := range domains {
		if err := h.mayLeave(d); err != nil {
			return err
		}
	}
	return nil
}

func takesMail(m dnsplan.Mode) bool { return m == dnsplan.Direct || m == dnsplan.Smarthost }

// mayLeave tells what would keep a domain's mail from any other server than this.
func (h *House) mayLeave(domain string) error {
	why, err := h.heldToPolicy(domain)
	if err != nil || why.IsZero() {
		return err
	}
	return words.Because(store.ErrInvalid, "admin.force", "why", why)
}

// heldToPolicy tells that others hold to a policy of MTA-STS by which a domain's
// mail goes to this house alone, and what to do; "" if nobody does.
func (h *House) heldToPolicy(domain string) (words.Message, error) {
	if h.Reports == nil {
		return words.Message{}, nil
	}
	p, err := h.Reports.Policy(domain)
	if err != nil {
		return words.Message{}, words.Because(err, "admin.sts-unread", "domain", domain, "said", err)
	}
	return held(dnsplan.Display(domain), p, time.Now()), nil
}

// held is the sentence of heldToPolicy. Others hold to a policy until it ends,
// though it is not served any more: RFC 8461 §5.1. So the way out is to serve one
// of mode none, and to wait: §8.3.
func held(d string, p reports.Policy, now time.Time) words.Message {
	end := p.STSEnforced.Add(dnsplan.STSHeld)
	switch {
	case p.STS == "enforce":
		return words.Say("admin.sts-held", "domain", d)
	case !p.STSEnforced.IsZero() && now.Before(end):
		return words.Say("admin.sts-recent", "domain", d, "until", end.Local().Format(time.DateOnly))
	}
	return words.Message{}
}
