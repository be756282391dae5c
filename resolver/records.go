package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// textLame is a server that the zone names and that does not hold it.
const textLame = "server is not authoritative"

// recordTypes are those that Records and Ask can bring.
var recordTypes = map[string]uint16{
	"A": dns.TypeA, "AAAA": dns.TypeAAAA, "CAA": dns.TypeCAA, "CNAME": dns.TypeCNAME, "DS": dns.TypeDS, "MX": dns.TypeMX,
	"NS": dns.TypeNS, "SOA": dns.TypeSOA, "SRV": dns.TypeSRV, "TLSA": dns.TypeTLSA, "TXT": dns.TypeTXT,
}

// Records returns the records of a name as text, of a type such as "MX". It is
// as in a zone file, with names in lower case and without final dots but for
// the root, "."; a TXT record is its text with the strings joined, and the value
// of a CAA record stands for itself between its quotes.
func (r *Resolver) Records(ctx context.Context, name, rtype string) (Answer[string], error) {
	qtype, ok := recordTypes[rtype]
	if !ok {
		return Answer[string]{}, fmt.Errorf("records of type %q are not known here", rtype)
	}
	return texts(r.ask(ctx, name, qtype))
}

// Ask is Records of one server, by what that server holds itself: without
// recursion, without a cache, and an error if it is not authoritative. CNAMEs
// are followed as far as that server's answer does; Name says where they end.
func (r *Resolver) Ask(ctx context.Context, at netip.AddrPort, name, rtype string) (Answer[string], error) {
	qtype, ok := recordTypes[rtype]
	if !ok {
		return Answer[string]{}, fmt.Errorf("records of type %q are not known here", rtype)
	}
	q, ok := newQuestion(name, qtype)
	if !ok {
		return Answer[string]{}, noSuch(textNoName, name)
	}
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return Answer[string]{}, temporary("too many questions at once", q, "", true)
	}
	q.direct = true
	sv := server{addr: at.String()}
	var rep reply
	var err error
	for round := range 2 { // a datagram may be lost, and the second goes without EDNS
		if rep, err = r.try(ctx, sv, q, round == 0); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return Answer[string]{Name: plain(q.name)}, temporary(err.Error(), q, sv.addr, isTimeout(err))
	}
	rep.secure = false // nobody has validated
	return texts(rep)
}

func texts(rep reply) (Answer[string], error) {
	a := Answer[string]{Secure: rep.secure, Name: plain(rep.name), TTL: rep.ttl}
	if rep.err != nil {
		err := *rep.err // the caller's own
		return a, &err
	}
	a.List = make([]string, 0, len(rep.rrs))
	for _, rr := range rep.rrs {
		a.List = append(a.List, text(rr))
	}
	return a, nil
}

// text is what a record says, as Records returns it.
func text(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.A:
		return rr.A.String()
	case *dns.AAAA:
		if v4 := rr.AAAA.To4(); v4 != nil { // ::ffff:192.0.2.1 is not 192.0.2.1
			return "::ffff:" + v4.String()
		}
		return rr.AAAA.String()
	case *dns.CNAME:
		return host(rr.Target)
	case *dns.NS:
		return host(rr.Ns)
	case *dns.MX:
		return fmt.Sprintf("%d %s", rr.Preference, host(rr.Mx))
	case *dns.SRV:
		return fmt.Sprintf("%d %d %d %s", rr.Priority, rr.Weight, rr.Port, host(rr.Target))
	case *dns.TXT:
		return unescape(strings.Join(rr.Txt, ""))
	case *dns.CAA:
		return fmt.Sprintf(`%d %s "%s"`, rr.Flag, strings.ToLower(rr.Tag), unescape(rr.Value))
	case *dns.TLSA:
		return fmt.Sprintf("%d %d %d %s", rr.Usage, rr.Selector, rr.MatchingType, strings.ToLower(rr.Certificate))
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

func host(name string) string {
	if name == "." {
		return name
	}
	return plain(name)
}
