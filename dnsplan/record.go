// Package dnsplan knows which DNS records a domain needs for its mail, what is
// there now, and what has to change. It plans as values, compares by meaning
// and asks the zone's own servers; it publishes nothing itself.
package dnsplan

import (
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// A Rank says how much mail depends on a record.
type Rank string

// The ranks.
const (
	Required    Rank = "required"    // without it mail does not arrive or is refused
	Recommended Rank = "recommended" // safer, or easier for people
	Optional    Rank = "optional"
)

// A Kind is what a record is for. Records of one kind are compared alike.
type Kind string

// The kinds.
const (
	KindHost     Kind = "host" // addresses of the mail host
	KindMX       Kind = "mx"
	KindSPF      Kind = "spf"   // RFC 7208
	KindDKIM     Kind = "dkim"  // RFC 6376
	KindDMARC    Kind = "dmarc" // RFC 7489
	KindReports  Kind = "dmarc-reports"
	KindSTS      Kind = "mta-sts" // RFC 8461
	KindTLSRPT   Kind = "tls-rpt" // RFC 8460
	KindSRV      Kind = "srv"     // RFC 6186, RFC 8314
	KindAlias    Kind = "helper"  // a helper's name: that of another host, or its addresses
	KindCAA      Kind = "caa"     // RFC 8659, RFC 8657
	KindTLSA     Kind = "tlsa"    // RFC 7672
	KindExtra    Kind = "extra"   // what a smarthost asks for; compared as text
	KindUnwanted Kind = "unwanted"
)

// A Record is what should be said of a name: of one type, for one purpose.
//
// Names are absolute, in A-labels and lower case, without a final dot. Values
// are as resolver.Records gives them: "10 mail.example.org", the text of a TXT
// record with its strings joined, `0 issue "ca.example"`; a host "." stands
// for none.
type Record struct {
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	Values []string      `json:"values,omitempty"` // none: no record of this type may stand at the name
	TTL    time.Duration `json:"ttl"`
	Rank   Rank          `json:"rank"`
	Kind   Kind          `json:"kind"`

	// Purpose says in one sentence what the record is for.
	Purpose Text `json:"purpose"`

	// Ours says that the name stands for our mail alone, so that a value of
	// others there may be replaced. Records that are only ours by their kind,
	// such as SPF at the domain itself, are told apart by that.
	Ours bool `json:"ours"`

	// Drop are values, or of SPF terms, that were ours once and have to go.
	Drop []string `json:"drop,omitempty"`
}

// Display is a name as people write it, with the letters of their language.
func Display(name string) string {
	u, err := idna.Display.ToUnicode(name)
	if err != nil {
		return name
	}
	return u
}

// toASCII brings a name into the form of Record.Name. Names of services, with
// their underscores, pass.
func toASCII(name string) (string, error) {
	name = strings.TrimSuffix(strings.TrimSpace(name), ".")
	a, err := naming.ToASCII(name)
	return strings.ToLower(a), err
}

// naming maps as people type (case, full width, 。 for a dot) but lets pass
// what is no host name.
var naming = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.VerifyDNSLength(true))
