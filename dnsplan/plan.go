package dnsplan

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"homemail/mail"
	"homemail/words"
)

const (
	ttlMoves = 5 * time.Minute // of what follows our address, and of the MX, so that a mistake is soon over
	ttlStays = time.Hour

	keepFree = 2 // SPF lookups that are left for what others will add
)

// Plan returns the records that a domain needs, the most important first. In
// the modes Bridge and Home it needs none.
func Plan(in Input) ([]Record, error) {
	in, err := in.normal()
	if err != nil || in.Mode == Bridge || in.Mode == Home {
		return nil, err
	}
	p := &plan{in: in}
	p.host()
	p.mx()
	p.spf()
	p.dkim()
	p.dmarc()
	p.mtasts()
	p.tlsrpt()
	p.srv()
	p.helpers()
	p.caa()
	p.tlsa()
	slices.SortStableFunc(p.records, func(a, b Record) int { return rankOrder[a.Rank] - rankOrder[b.Rank] })
	return p.records, p.err
}

var rankOrder = map[Rank]int{Required: 0, Recommended: 1, Optional: 2}

type plan struct {
	in      Input
	records []Record
	err     error
}

func (p *plan) add(r Record) {
	r.TTL = cmp.Or(r.TTL, ttlStays)
	r.Purpose = cmp.Or(r.Purpose, purpose(r.Kind))
	p.records = append(p.records, r)
}

// host are the addresses of the mail host. At the domain itself others may
// have theirs: what stands there is not replaced without being asked.
func (p *plan) host() {
	var v4, v6 []string
	for _, a := range p.in.Addrs {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a.String())
		} else if !p.in.NoIPv6 {
			v6 = append(v6, a.String())
		}
	}
	ttl := ttlMoves
	if p.in.Fixed {
		ttl = ttlStays
	}
	r := Record{Name: p.in.Host, Kind: KindHost, Rank: Required, TTL: ttl, Ours: p.in.Host != p.in.Domain}
	if len(v4) > 0 {
		r.Type, r.Values = "A", v4
		p.add(r)
	}
	if len(v6) > 0 {
		r.Type, r.Values = "AAAA", v6
		p.add(r)
	} else if p.in.NoIPv6 {
		r.Type, r.Values, r.Kind = "AAAA", nil, KindUnwanted
		r.Purpose = words.Say("dnsplan.purpose.no-ipv6").Text()
		p.add(r)
	}
}

func (p *plan) mx() {
	p.add(Record{Name: p.in.Domain, Type: "MX", Values: []string{"10 " + p.in.Host}, Kind: KindMX, Rank: Required, TTL: ttlMoves, Ours: true})
}

// spf says who sends: the mail host if it does, and smarthosts. Addresses that
// change cannot stand in it, so the host's name does.
func (p *plan) spf() {
	var need []string
	end := "~all"
	for _, inc := range p.in.SPFIncludes {
		need = append(need, "include:"+inc)
	}
	switch {
	case p.in.Mode == Direct && p.in.Fixed && len(p.in.Addrs) > 0:
		need = append(need, addrTerms(p.in.Addrs)...)
	case p.in.Mode == Direct && p.in.Existing.SPFLookups+len(need) >= maxSPFLookups-keepFree && len(p.in.Addrs) > 0:
		need = append(need, addrTerms(p.in.Addrs)...) // a name would be one lookup too many
	case p.in.Mode == Direct:
		need = append(need, "a:"+p.in.Host)
	case len(need) == 0:
		end = "?all" // sent by a smarthost of which nobody knows how it sends
	}
	m := MergeSPF(p.in.Existing.SPF, need, p.in.SPFForget, end)
	p.add(Record{Name: p.in.Domain, Type: "TXT", Values: []string{m.Text}, Kind: KindSPF, Rank: Required, Drop: p.in.SPFForget})
}

func addrTerms(list []netip.Addr) []string {
	var out []string
	for _, a := range list {
		if a = a.Unmap(); a.Is4() {
			out = append(out, "ip4:"+a.String())
		} else {
			out = append(out, "ip6:"+a.String())
		}
	}
	return out
}

func (p *plan) dkim() {
	for _, k := range p.in.DKIM {
		p.given(Record{Name: k.Name, Type: "TXT", Values: []string{k.Value}, Kind: KindDKIM, Rank: Required, Ours: true})
	}
	for _, r := range p.in.Extra {
		r.Kind, r.Rank = cmp.Or(r.Kind, KindExtra), cmp.Or(r.Rank, Required)
		p.given(r)
	}
}

// given is a record that somebody else has made.
func (p *plan) given(r Record) {
	name, err := under(r.Name, p.in.Domain)
	if err != nil || r.Type == "" || slices.Contains(r.Values, "") || len(r.Values) == 0 {
		p.err = cmp.Or(p.err, fmt.Errorf("%w: record %q", ErrInput, r.Name))
		return
	}
	r.Name = name
	p.add(r)
}

// dmarc asks for reports. Where these go to another domain, that one has to
// agree (RFC 7489 §7.1).
func (p *plan) dmarc() {
	if p.in.DMARCReports.IsNull() {
		p.err = cmp.Or(p.err, fmt.Errorf("%w: no address for reports", ErrInput))
		return
	}
	text := MergeDMARC(p.in.Existing.DMARC, p.in.DMARCPolicy, mailto(p.in.DMARCReports))
	p.add(Record{Name: "_dmarc." + p.in.Domain, Type: "TXT", Values: []string{text}, Kind: KindDMARC, Rank: Required})
	if to := p.in.DMARCReports.Domain(); organisation(to) != organisation(p.in.Domain) {
		p.add(Record{Name: p.in.Domain + "._report._dmarc." + to, Type: "TXT", Values: []string{"v=DMARC1"}, Kind: KindReports, Rank: Recommended, Ours: true})
	}
}

// organisation is the domain that somebody has registered, RFC 7489 §3.2.
func organisation(domain string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return domain
	}
	return org
}

// mailto is the URI of an address (RFC 6068) as it may stand in a list of tags:
// nothing in it ends a tag, an item or an address (RFC 7489 §6.3).
func mailto(p mail.Path) string {
	wire := p.Wire()
	at := strings.LastIndexByte(wire, '@')
	if at < 0 {
		return "mailto:" + wire
	}
	var b strings.Builder
	b.WriteString("mailto:")
	for _, c := range []byte(wire[:at]) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~+", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String() + wire[at:]
}

func (p *plan) mtasts() {
	if p.in.STSMode == "" {
		return
	}
	policy := STSPolicy(p.in.STSMode, p.in.Host)
	p.add(Record{Name: "_mta-sts." + p.in.Domain, Type: "TXT", Values: []string{"v=STSv1; id=" + STSID(policy) + ";"}, Kind: KindSTS, Rank: Recommended, Ours: true})
	p.alias("mta-sts", words.Say("dnsplan.purpose.sts-host").Text())
}

func (p *plan) tlsrpt() {
	text := mergeTLSRPT(p.in.Existing.TLSRPT, mailto(p.in.TLSReports))
	p.add(Record{Name: "_smtp._tls." + p.in.Domain, Type: "TXT", Values: []string{text}, Kind: KindTLSRPT, Rank: Recommended})
}

// srv says where programs find our services, and which there are not: RFC 6186
// §3 and, with TLS from the start, RFC 8314 §5.1.
func (p *plan) srv() {
	for _, s := range []struct {
		service string
		port    uint16
		prefer  int // RFC 6186 §3.2: of IMAP and POP, the one with the lower priority
	}{
		{"_submissions", p.in.Ports.Submissions, 0},
		{"_submission", p.in.Ports.Submission, 0},
		{"_imaps", p.in.Ports.IMAPS, 0},
		{"_imap", p.in.Ports.IMAP, 0},
		{"_pop3s", p.in.Ports.POP3S, 10},
		{"_pop3", p.in.Ports.POP3, 10},
	} {
		value := "0 0 0 ."
		if s.port != 0 {
			value = fmt.Sprintf("%d 1 %d %s", s.prefer, s.port, p.in.Host)
		}
		p.add(Record{Name: s.service + "._tcp." + p.in.Domain, Type: "SRV", Values: []string{value}, Kind: KindSRV, Rank: Recommended, Ours: true})
	}
}

func (p *plan) helpers() {
	if !p.in.Web {
		return
	}
	p.alias("autoconfig", words.Say("dnsplan.purpose.autoconfig").Text())
	p.alias("autodiscover", words.Say("dnsplan.purpose.autodiscover").Text())
	if port := p.in.Ports.HTTPS; port != 0 {
		p.add(Record{Name: "_autodiscover._tcp." + p.in.Domain, Type: "SRV", Values: []string{fmt.Sprintf("0 1 %d %s", port, p.in.Host)}, Kind: KindSRV, Rank: Optional, Ours: true,
			Purpose: words.Say("dnsplan.purpose.autodiscover-srv").Text()})
	}
}

// alias makes a helper's name follow the mail host's.
func (p *plan) alias(label string, purpose Text) {
	name := label + "." + p.in.Domain
	if name == p.in.Host {
		return
	}
	p.add(Record{Name: name, Type: "CNAME", Values: []string{p.in.Host}, Kind: KindAlias, Rank: Recommended, Ours: true, Purpose: purpose})
}

// caa says that only our account at our CA gets certificates for the mail host
// (RFC 8657 §3), and, by their CNAMEs, for the helpers (RFC 8659 §3). At a
// domain that is its own mail host it would stop the certificates of others'
// web pages, so there it is not proposed.
func (p *plan) caa() {
	r := Record{Name: p.in.Host, Type: "CAA", Values: []string{caaValue(p.in.CA)}, Kind: KindCAA, Rank: Optional, Ours: true}
	switch {
	case p.in.CA.Domain == "":
		return
	case p.in.CAForbidden:
		r.Rank = Required
		r.Purpose = words.Say("dnsplan.purpose.caa-own").Text()
	case p.in.CA.Account == "" || p.in.Host == p.in.Domain:
		return
	}
	p.add(r)
}

func caaValue(ca CA) string {
	if ca.Account == "" {
		return `0 issue "` + ca.Domain + `"`
	}
	return `0 issue "` + ca.Domain + "; accounturi=" + ca.Account + `"`
}

func (p *plan) tlsa() {
	if !p.in.Signed || len(p.in.TLSA) == 0 {
		return
	}
	var values []string
	for _, sum := range p.in.TLSA {
		if len(sum) != 32 {
			p.err = cmp.Or(p.err, fmt.Errorf("%w: a digest for TLSA with %d bytes", ErrInput, len(sum)))
			return
		}
		values = append(values, "3 1 1 "+hex.EncodeToString(sum)) // RFC 7672 §3.1.1
	}
	p.add(Record{Name: "_25._tcp." + p.in.Host, Type: "TLSA", Values: values, Kind: KindTLSA, Rank: Optional, Ours: true})
}
