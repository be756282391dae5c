package dnsplan

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"homemail/mail"
)

// A Mode is how the house is connected to the world's mail.
type Mode string

// The modes.
const (
	Direct    Mode = "direct"    // mail comes and goes by itself
	Smarthost Mode = "smarthost" // comes by itself, goes through another's server
	Bridge    Mode = "bridge"    // both through a mailbox elsewhere: needs no records
	Home      Mode = "home"      // only inside the house: needs no records
)

// A TXT is a TXT record that somebody else has made, such as a key of DKIM.
type TXT struct{ Name, Value string }

// Ports are the ports of the services that programs look for by SRV records; 0
// says that a service is off, and so do the records then (RFC 6186 §3.4).
type Ports struct {
	Submissions, Submission uint16 // 465 with TLS from the start, 587 with STARTTLS
	IMAPS, IMAP             uint16
	POP3S, POP3             uint16
	HTTPS                   uint16 // of autodiscover
}

// A CA is who may make certificates for the mail host.
type CA struct {
	Domain  string // that stands for it in CAA records, such as "letsencrypt.org"
	Account string // URI of our account there, RFC 8657; "" for none yet
}

// Existing is what stands in the DNS now and is kept in part.
type Existing struct {
	SPF    []string // the records of SPF, and of nothing else
	DMARC  []string
	TLSRPT []string

	SPFLookups int // that SPF needs now, with what is included; 0 for not counted
}

// Input is what a plan is made of. Names may be in any form that people type.
type Input struct {
	Domain string
	Host   string // of the mail server, also the target of helpers
	Mode   Mode

	// Addrs are the public addresses of Host. IPv6 only if it was proven that
	// mail comes in over it. Fixed says that they stay: they may stand in SPF.
	Addrs []netip.Addr
	Fixed bool

	// NoIPv6 says that mail was tried over IPv6 and does not come in: no AAAA
	// record may stand.
	NoIPv6 bool

	SPFIncludes []string // of smarthosts
	SPFForget   []string // terms that were ours once: old addresses, old smarthosts
	DKIM        []TXT    // Name may be relative to Domain
	Extra       []Record // what a smarthost asks for beside: Name as in DKIM, Type, Values

	DMARCReports mail.Path
	DMARCPolicy  string    // "none" (also ""), "quarantine" or "reject"
	TLSReports   mail.Path // "" for those of DMARC

	STSMode string // "" for no MTA-STS, else "testing", "enforce" or "none"
	Web     bool   // helpers are served over HTTPS: autoconfig, autodiscover
	Ports   Ports
	CA      CA

	// CAForbidden says that CAA records keep the CA from making certificates for
	// Host (see MayIssue): then ours is required.
	CAForbidden bool

	// TLSA are the SHA-256 digests of the public keys of our certificate, now
	// and next. They are planned only where the zone is signed.
	TLSA   [][]byte
	Signed bool

	Existing Existing
}

// ErrInput is an Input that no plan can be made of.
var ErrInput = errors.New("no DNS plan can be made of this")

// normal checks an Input and brings its names into one form.
func (in Input) normal() (Input, error) {
	if in.Mode == Bridge || in.Mode == Home { // whatever it is called
		return in, nil
	}
	var err error
	name := func(what string, s *string) {
		a, e := toASCII(*s)
		if e == nil && !strings.Contains(a, ".") {
			e = errors.New("it has only one part")
		}
		if e == nil && !isHost(a) {
			e = errors.New("it has characters that no host name has")
		}
		if e != nil && err == nil {
			err = fmt.Errorf("%w: %s %q: %v", ErrInput, what, *s, e)
		}
		*s = a
	}
	name("domain", &in.Domain)
	name("mail host", &in.Host)
	for _, a := range in.Addrs {
		if a = a.Unmap(); !a.IsGlobalUnicast() || a.Zone() != "" {
			err = errors.Join(err, fmt.Errorf("%w: %s is no public address", ErrInput, a))
		}
	}
	switch in.DMARCPolicy {
	case "":
		in.DMARCPolicy = "none"
	case "none", "quarantine", "reject":
	default:
		err = errors.Join(err, fmt.Errorf("%w: DMARC policy %q", ErrInput, in.DMARCPolicy))
	}
	if in.Mode != Direct && in.Mode != Smarthost {
		err = errors.Join(err, fmt.Errorf("%w: mode %q", ErrInput, in.Mode))
	}
	if in.TLSReports.IsNull() {
		in.TLSReports = in.DMARCReports
	}
	return in, err
}

// isHost reports whether a name has only letters, digits, hyphens and dots.
func isHost(name string) bool {
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && !strings.HasPrefix(name, "-") && !strings.Contains(name, "..")
}

// under is a name below a domain; one that is written in full stays.
func under(name, domain string) (string, error) {
	a, err := toASCII(name)
	if err == nil && a != domain && !strings.HasSuffix(a, "."+domain) {
		a += "." + domain
	}
	return a, err
}
