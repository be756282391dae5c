package admin

import (
	"context"
	"fmt"
	"net/netip"

	"homemail/dnsplan"
	"homemail/mail"
	"homemail/relay"
	"homemail/relay/preset"
	"homemail/sign"
	"homemail/store"
	"homemail/words"
)

// PlanDNS asks which records a domain needs, and how they are.
type PlanDNS struct {
	Domain    string       `json:"domain"`
	Addresses []netip.Addr `json:"addresses"` // of the house, as the world sees it; none asks the DNS for what stands there now
	Compare   bool         `json:"compare"`   // look how they are
}

// DNSPlan is the records that a domain needs.
type DNSPlan struct {
	Domain  string           `json:"domain"`
	Mode    dnsplan.Mode     `json:"mode"`
	Host    dnsplan.DNSHost  `json:"dns_host"`
	Records []dnsplan.Record `json:"records"`
	Results []dnsplan.Result `json:"results,omitempty"` // one for each record, if it was asked for
	Changes []dnsplan.Change `json:"changes,omitempty"`
	Zone    string           `json:"zone"`            // the records as lines of a zone file
	Notes   []string         `json:"notes,omitempty"` // in English
	Told    []words.Text     `json:"told,omitempty"`  // Notes, in every language
}

// errNoDNS is what a house says that has no outside, as that of try.
var errNoDNS = words.Because(store.ErrInvalid, "admin.no-dns")

// planDNS plans a domain's records, and looks at them.
func (h *House) planDNS(ctx context.Context, q PlanDNS) (out DNSPlan, err error) {
	p, err := mail.ParsePath("x@" + q.Domain)
	if err != nil || !h.Store.IsLocal(p.Domain()) {
		return out, words.Because(store.ErrInvalid, "admin.not-ours", "domain", q.Domain)
	}
	if h.DNS == nil {
		return out, errNoDNS
	}
	c := dnsplan.NewComparer(dnsplan.Options{DNS: h.DNS, Store: h.Store})
	in, err := h.dnsInput(ctx, c, p.Domain(), q.Addresses)
	if err != nil {
		return out, err
	}
	out = DNSPlan{Domain: in.Domain, Mode: in.Mode, Records: []dnsplan.Record{}}
	if len(in.Addrs) == 0 && in.Mode != dnsplan.Bridge && in.Mode != dnsplan.Home {
		out.Told = append(out.Told, h.addressNote())
	}
	if out.Records, err = dnsplan.Plan(in); err != nil {
		return out, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	out.Zone = dnsplan.Zone(out.Records, "")
	if out.Host, err = c.Host(ctx, in.Domain); err != nil {
		out.Told = append(out.Told, words.Say("admin.note.dns-host", "said", err).Text())
	}
	out.Notes = english(out.Told)
	if q.Compare {
		out.Results = c.Compare(ctx, out.Records)
		out.Changes = dnsplan.Diff(out.Results)
	}
	return out, nil
}

// addressNote tells why the address records are missing in a plan.
func (h *House) addressNote() words.Text {
	if h.unsettled() {
		return words.Say("admin.note.address-yet").Text()
	}
	return words.Say("admin.note.address").Text()
}

// dnsInput gathers what a plan is made of.
func (h *House) dnsInput(ctx context.Context, c *dnsplan.Comparer, domain string, addrs []netip.Addr) (in dnsplan.Input, err error) {
	in = dnsplan.Input{Domain: domain, Host: h.Host, Mode: h.mode(), Addrs: addrs, DMARCReports: mail.Path("postmaster@" + domain), Ports: h.Ports}
	if in.Mode == dnsplan.Bridge || in.Mode == dnsplan.Home {
		return in, nil
	}
	if err := h.policyInput(&in); err != nil {
		return in, err
	}
	if in.SPFIncludes, err = h.spfIncludes(); err != nil {
		return in, err
	}
	set, err := h.Keys.Make(domain)
	if err != nil {
		return in, err
	}
	for _, k := range set.Keys {
		name, value, err := sign.Record(k)
		if err != nil {
			return in, err
		}
		in.DKIM = append(in.DKIM, dnsplan.TXT{Name: name, Value: value})
	}
	in.Addrs = h.orPublic(ctx, in.Addrs)
	if in.Existing, err = c.Existing(ctx, domain); err != nil {
		return in, words.Because(err, "admin.dns-unread", "said", err)
	}
	in.Signed, err = c.Signed(ctx, h.Host)
	if err != nil {
		in.Signed = false // then the records that need it are left out
	}
	h.certificateInput(ctx, c, &in)
	return in, nil
}

// policyInput adds how strict the owner wants the domain to be.
func (h *House) policyInput(in *dnsplan.Input) error {
	in.Web = h.CA.Helpers != nil && h.CA.Helpers()
	if h.Reports == nil {
		return nil
	}
	p, err := h.Reports.Policy(in.Domain)
	if err != nil {
		return err
	}
	in.DMARCPolicy = p.DMARC
	if in.Web {
		in.STSMode = p.STS
	}
	return nil
}

func (h *House) mode() dnsplan.Mode { return Mode(h.Book.Routes()) }

// Mode is how a house is connected, by its ways out.
func Mode(r relay.Routes) dnsplan.Mode {
	switch {
	case r.Default.Way == relay.Direct || r.Default.Way == relay.DirectThenVia:
		return dnsplan.Direct
	case r.Default.Way == relay.Via:
		return dnsplan.Smarthost
	case len(r.BySender) > 0:
		return dnsplan.Bridge
	}
	return dnsplan.Home
}

// spfIncludes are what the smarthosts in use ask to be put into SPF.
func (h *House) spfIncludes() (list []string, err error) {
	hosts, err := h.Book.Smarthosts()
	for _, s := range hosts {
		if p, ok := preset.Find(s.Preset); ok && p.SPF != "" {
			list = append(list, p.SPF)
		}
	}
	return list, err
}
