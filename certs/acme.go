package certs

import (
	"context"
	"crypto/x509"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"homemail/words"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"golang.org/x/net/idna"
)

// ACME says how to get certificates from a CA, RFC 8555. Of the functions only
// Names and Allowed have to be there. They may be called at the same time.
type ACME struct {
	Directory string         // the CA's directory, as https://acme-v02.api.letsencrypt.org/directory
	Roots     *x509.CertPool // that sign the CA's own certificate; nil for the system's
	Email     func() string  // of the owner, for the CA; may be nil
	Profile   string         // of certificate, for CAs that have several; may be empty

	Names      func() []string                              // that certificates are wanted for, the most important one first
	Allowed    func() error                                 // nil if the owner has claimed the server and agreed to the CA's terms; else best a *words.Reason
	PointsHere func(ctx context.Context, name string) error // nil if the name leads to us; else why not, best a *words.Reason
	Reachable  func() Reach                                 // which ports of ours the CA can reach; nil if that is not known

	// DNS returns the zone that a name is in if its records can be changed, or
	// nil.
	DNS func(name string) *Zone

	ClockDoubt func() string // why the clock is not trusted, "" if it is
	Built      time.Time     // of the program: an earlier time is wrong
}

// A DNSProvider adds records to a zone and takes them away; a provider of package
// dnsplan/publish is one.
type DNSProvider = certmagic.DNSProvider

// LetsEncrypt is the directory of the CA that is asked if the owner wants no other.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// A Port is what is known about whether the world can reach a port of ours.
type Port int

const (
	Unknown Port = iota
	Reachable
	Closed
)

// Reach is what is known about the ports that a CA connects to. A port that we
// do not listen on is Closed.
type Reach struct{ HTTP, TLS Port } // 80 and 443

// ways are the kinds of challenge, the best first: what needs the fewest parts
// to work.
var ways = [...]string{acme.ChallengeTypeTLSALPN01, acme.ChallengeTypeHTTP01, acme.ChallengeTypeDNS01}

// way chooses the kind of challenge of the next order: of those that may work
// the one that failed least often, then the surest, then by the order above. A
// CA takes one kind per order, and we make one order an hour.
func (k *keeper) way(name string, failed map[string]int) (string, error) {
	var r Reach
	if k.o.Reachable != nil {
		r = k.o.Reachable()
	}
	state := map[string]Port{acme.ChallengeTypeTLSALPN01: r.TLS, acme.ChallengeTypeHTTP01: r.HTTP, acme.ChallengeTypeDNS01: Closed}
	if k.zone(name) != nil {
		state[acme.ChallengeTypeDNS01] = Reachable
	}
	may := slices.DeleteFunc(slices.Clone(ways[:]), func(w string) bool { return state[w] == Closed })
	if len(may) == 0 {
		return "", errNoWay
	}
	slices.SortStableFunc(may, func(a, b string) int {
		if d := failed[a] - failed[b]; d != 0 {
			return d
		}
		return sure(state[a]) - sure(state[b])
	})
	return may[0], nil
}

func sure(p Port) int {
	if p == Reachable {
		return 0
	}
	return 1
}

var errNoWay = words.Because(nil, "certs.no-way")

func (k *keeper) email() string {
	if k.o.Email == nil {
		return ""
	}
	return k.o.Email()
}

func (k *keeper) zone(name string) *Zone {
	if k.o.DNS == nil {
		return nil
	}
	return k.o.DNS(name)
}

const maxNames = 100 // beyond them a household has no names; a CA gives 50 certificates a week for a domain

// wanted lists the names in the form that the DNS has them, without doubles.
func (k *keeper) wanted() (names []string) {
	for _, n := range k.o.Names() {
		n = ascii(n)
		if n != "" && !slices.Contains(names, n) && len(names) < maxNames {
			names = append(names, n)
		}
	}
	return names
}

// ascii is a host name as in the DNS and in certificates, "" if it is none.
func ascii(name string) string {
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil || name == "" {
		return ""
	}
	return strings.ToLower(name)
}

// public tells whether a CA may give a certificate for a name.
func public(name string) bool {
	_, err := netip.ParseAddr(name)
	return err != nil && strings.Contains(name, ".") && certmagic.SubjectQualifiesForPublicCert(name)
}

// caName is the CA's name in sentences.
func (k *keeper) caName() string {
	if u, err := url.Parse(k.o.Directory); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return k.o.Directory
}

// AccountURI is our account at the CA, for CAA records that allow no other, RFC
// 8657 §3. It is "" while there is none.
func (s *Source) AccountURI() string {
	if s.keeper == nil {
		return ""
	}
	a, err := s.keeper.storedAccount(context.Background())
	if err != nil {
		return ""
	}
	return a.Location
}
