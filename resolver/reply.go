package resolver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// What we take of strangers' answers. A recursive server has looked at them
// before us; but it passes on what it is told.
const (
	maxCNAMEs  = 8    // a chain in good faith has one to three
	maxRecords = 1000 // in one message: the largest in good faith have some 50

	minTTL      = 5 * time.Second  // so that one message costs one question, whatever the zone says
	maxTTL      = 24 * time.Hour   // so that a mistake of last week's is over
	maxNegative = 15 * time.Minute // a record that is set up just now is seen soon; RFC 2308 §5 allows 3 hours
	failedFor   = 30 * time.Second // SERVFAIL; RFC 9520 §3.2 asks for 1 s to 5 min
	silentFor   = minTTL           // no answer at all: the line may be back any moment

	validatesFor = 10 * time.Minute // whether the servers validate
)

const (
	textNoName   = "no such name"
	textNoRecord = "no such record"
)

// A question is a name, absolute, lower case and in the library's
// presentation format, and a type; the class is always IN.
type question struct {
	name   string
	qtype  uint16
	direct bool // of what the server holds itself: no recursion, and only with the AA bit
}

// newQuestion is false for a name that no message can hold. Names are taken for
// what they are, byte for byte: a backslash or a blank, which macros of SPF may
// bring, is not looked for, as no host or domain has one.
func newQuestion(name string, qtype uint16) (question, bool) {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return question{}, false
		}
	}
	if name == "" {
		return question{}, false
	}
	name = strings.ToLower(name)
	if simple(name) {
		return question{name: dns.Fqdn(name), qtype: qtype}, true
	}
	// There and back: checked, and with the library's escapes.
	var wire [255]byte // RFC 1035 §2.3.4
	n, err := dns.PackDomainName(dns.Fqdn(name), wire[:], 0, nil, false)
	if err != nil {
		return question{}, false
	}
	name, _, err = dns.UnpackDomainName(wire[:n], 0)
	return question{name: name, qtype: qtype}, err == nil
}

// simple reports whether a name is as most are, and needs no closer look: it
// has nothing to escape, and no more than a message can hold, RFC 1035 §2.3.4.
func simple(name string) bool {
	name = strings.TrimSuffix(name, ".")
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return label > 0 && len(name) <= 253
}

// literal reads an address where a host may stand.
func literal(host string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(host, "."))
	return addr.Unmap(), err == nil
}

// special answers for names that no server is asked for, RFC 6761 §6.
func special(q question) (reply, bool) {
	rep := reply{name: q.name, ttl: maxTTL}
	switch _, isAddr := literal(q.name); {
	case isAddr, under(q.name, "invalid."), under(q.name, "onion."): // onion: RFC 7686 §2
		rep.err = noSuch(textNoName, q.name)
	case !under(q.name, "localhost."):
		return reply{}, false
	case q.qtype == dns.TypeA:
		rep.rrs = []dns.RR{&dns.A{A: net.IPv4(127, 0, 0, 1)}}
	case q.qtype == dns.TypeAAAA:
		rep.rrs = []dns.RR{&dns.AAAA{AAAA: net.IPv6loopback}}
	default:
		rep.err = noSuch(textNoRecord, q.name)
	}
	return rep, true
}

// under reports whether a name is the zone or below it.
func under(name, zone string) bool {
	rest, ok := strings.CutSuffix(name, zone)
	return ok && (rest == "" || strings.HasSuffix(rest, "."))
}

// A reply is what we keep of an answer.
type reply struct {
	rrs    []dns.RR // of the type that was asked for, at the end of the CNAMEs
	name   string   // there
	secure bool
	ttl    time.Duration
	size   int // in bytes, about
	err    *net.DNSError
}

// read takes from a message what answers the question. The message has been
// found to be an answer to it, and size bytes long.
func read(m *dns.Msg, q question, server string, size int) reply {
	rep := reply{name: q.name, size: size, ttl: failedFor}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		rep.err = temporary("server says "+rcode(m.Rcode), q, server, false)
		return rep
	}
	ttl := uint32(maxTTL / time.Second)
	for range maxCNAMEs + 1 {
		next := ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, rep.name) {
				continue
			}
			if cname, ok := rr.(*dns.CNAME); ok && q.qtype != dns.TypeCNAME {
				next = strings.ToLower(cname.Target)
				ttl = min(ttl, h.Ttl)
			} else if h.Rrtype == q.qtype {
				rep.rrs = append(rep.rrs, rr)
				ttl = min(ttl, h.Ttl)
			}
		}
		if len(rep.rrs) > 0 || next == "" {
			return finish(m, q, server, rep, time.Duration(ttl)*time.Second)
		}
		rep.name = next
	}
	rep.err = temporary(fmt.Sprintf("more than %d CNAMEs", maxCNAMEs), q, server, false)
	return rep
}

// finish says what it means that the CNAMEs have ended here.
func finish(m *dns.Msg, q question, server string, rep reply, ttl time.Duration) reply {
	rep.secure = m.AuthenticatedData
	switch {
	case m.Rcode == dns.RcodeNameError:
		rep.rrs, rep.err = nil, noSuch(textNoName, q.name)
	case len(rep.rrs) > 0:
		rep.ttl = min(max(ttl, minTTL), maxTTL)
		return rep
	case !m.RecursionAvailable && !m.Authoritative: // a referral: nobody has looked
		rep.err = temporary("server does not recurse", q, server, false)
		rep.secure = false
		return rep
	default:
		rep.err = noSuch(textNoRecord, q.name)
	}
	rep.err.Server = server
	rep.ttl = min(max(negative(m), minTTL), maxNegative, max(ttl, minTTL))
	return rep
}

// negative is how long there is no such record, RFC 2308 §5.
func negative(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
		}
	}
	return 0 // without a SOA it is not to be kept
}

func rcode(n int) string {
	if s, ok := dns.RcodeToString[n]; ok {
		return s
	}
	return "RCODE" + strconv.Itoa(n)
}

func noSuch(text, name string) *net.DNSError {
	return &net.DNSError{Err: text, Name: plain(name), IsNotFound: true}
}

func temporary(text string, q question, server string, timeout bool) *net.DNSError {
	return &net.DNSError{Err: text, Name: plain(q.name), Server: server, IsTemporary: true, IsTimeout: timeout}
}

func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// NXDomain reports whether an error of a Resolver says that the name itself is
// not there, and not only that it has no record of the type.
func NXDomain(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound && e.Err == textNoName
}

// unescape undoes the presentation format (RFC 1035 §5.1) in which the library
// gives us the strings of a TXT record: \DDD and \X.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			if i+2 < len(s) {
				if n, err := strconv.ParseUint(s[i:i+3], 10, 8); err == nil {
					b = append(b, byte(n))
					i += 2
					continue
				}
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
