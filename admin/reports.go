package admin

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"homemail/dnsplan"
	"homemail/mail"
	"homemail/reports"
	"homemail/store"
	"homemail/words"
)

// SetPolicy asks for a domain's policies, and sets those that are not "".
type SetPolicy struct {
	Domain string `json:"domain"`
	DMARC  string `json:"dmarc,omitempty"`
	STS    string `json:"sts,omitempty"`
}

// DomainPolicy is what a domain asks of others, and what we think of that.
type DomainPolicy struct {
	Domain string           `json:"domain"`
	Policy reports.Policy   `json:"policy"`
	DMARC  reports.Proposal `json:"dmarc"`
	STS    reports.Proposal `json:"sts"`
}

// DomainReports is what the world says about a domain.
type DomainReports struct {
	reports.Overview
	NextDMARC reports.Proposal `json:"next_dmarc"`
	NextSTS   reports.Proposal `json:"next_sts"`
}

// Reporter says what the owner thinks of who sends reports: reports.Believed,
// reports.Ignored, or "" to leave it to us.
type Reporter struct {
	Reporter string `json:"reporter"`
	Trust    string `json:"trust"`
}

// MySource says that what sends in a domain's name is the owner's, or not.
type MySource struct {
	Domain string `json:"domain"`
	Source string `json:"source"` // an address or a network
	Mine   bool   `json:"mine"`
}

// ReportedDomain asks about a domain, or with "" about all.
type ReportedDomain struct {
	Domain string `json:"domain,omitempty"`
}

// errNoReports is what a house says that keeps no book of reports.
var errNoReports = words.Because(store.ErrInvalid, "admin.no-reports")

// ourDomain returns a domain of ours in the form that we keep it in.
func (h *House) ourDomain(name string) (string, error) {
	p, err := mail.ParsePath("x@" + name)
	if err != nil || !h.Store.IsLocal(p.Domain()) {
		return "", words.Because(store.ErrInvalid, "admin.not-ours", "domain", name)
	}
	if h.Reports == nil {
		return "", errNoReports
	}
	return p.Domain(), nil
}

func (h *House) domainPolicy(ctx context.Context, q SetPolicy) (out DomainPolicy, err error) {
	out.Domain, err = h.ourDomain(q.Domain)
	if err == nil && q.STS == "enforce" {
		err = h.mayEnforce(ctx, out.Domain)
	}
	if err == nil && q.DMARC+q.STS != "" {
		_, err = h.Reports.SetPolicy(out.Domain, q.DMARC, q.STS)
	}
	if err != nil {
		return out, err
	}
	now := time.Now()
	o, err := h.Reports.Look(out.Domain, now)
	out.Policy, out.DMARC, out.STS = o.Policy, o.ProposeDMARC(now), o.ProposeSTS(now)
	return out, err
}

// mayEnforce tells why MTA-STS would cost a domain mail: its policy names this
// house alone, and nobody who holds to it would bring mail to any other.
func (h *House) mayEnforce(ctx context.Context, domain string) error {
	if h.DNS == nil {
		return nil
	}
	others, err := dnsplan.NewComparer(dnsplan.Options{DNS: h.DNS}).Elsewhere(ctx, domain, h.Host)
	if err != nil {
		return words.Because(err, "admin.mx-unasked", "domain", domain, "said", err)
	}
	if len(others) > 0 {
		return words.Because(store.ErrInvalid, "admin.mx-others", "domain", domain, "list", strings.Join(others, ", "))
	}
	return nil
}

func (h *House) showReports(_ context.Context, q ReportedDomain) ([]DomainReports, error) {
	domains := []string{q.Domain}
	if q.Domain == "" {
		var err error
		if domains, err = h.Store.Domains(); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	list := []DomainReports{}
	for _, d := range domains {
		d, err := h.ourDomain(d)
		if err != nil {
			return nil, err
		}
		o, err := h.Reports.Look(d, now)
		if err != nil {
			return nil, err
		}
		list = append(list, DomainReports{o, o.ProposeDMARC(now), o.ProposeSTS(now)})
	}
	return list, nil
}

func (h *House) trustReporter(_ context.Context, q Reporter) (Empty, error) {
	if h.Reports == nil {
		return Empty{}, errNoReports
	}
	return Empty{}, h.Reports.Trust(q.Reporter, q.Trust)
}

func (h *House) setMine(_ context.Context, q MySource) (Empty, error) {
	d, err := h.ourDomain(q.Domain)
	if err != nil {
		return Empty{}, err
	}
	source, err := netip.ParsePrefix(q.Source)
	if a, bad := netip.ParseAddr(q.Source); bad == nil {
		source, err = netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()), nil
	}
	if err != nil {
		return Empty{}, words.Because(store.ErrInvalid, "admin.no-network", "address", q.Source)
	}
	return Empty{}, h.Reports.SetMine(d, source, q.Mine)
}
