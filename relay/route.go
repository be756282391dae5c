package relay

import (
	"strings"

	"homemail/mail"
)

// A Way is how mail for a domain leaves the house.
type Way string

// The ways. The zero Way is no way: nothing leaves before somebody says how.
const (
	Off           Way = ""
	Direct        Way = "direct"                // to the servers of the domain
	Via           Way = "smarthost"             // through a smarthost
	DirectThenVia Way = "direct-then-smarthost" // direct, and when that has failed often enough, through a smarthost; so that being refused for what we are (5.7.x) is not the end
)

// A Route says how mail for a domain leaves.
type Route struct {
	Way       Way
	Smarthost string // its name, for Via and DirectThenVia
	After     int    // for DirectThenVia: how many tries go direct; 0 means one
}

// Routes say how mail for any domain leaves.
type Routes struct {
	Default Route
	// ByDomain has exceptions: "outlook.com" for that domain alone,
	// ".outlook.com" or "*.outlook.com" for all below it. The longest one that
	// fits counts.
	ByDomain map[string]Route
	// BySender has addresses of ours that are hosted elsewhere, in their key
	// form, and the smarthost there: its name comes before every other route.
	BySender   map[mail.Path]string
	Smarthosts map[string]Smarthost // by name
}

// What a hop's name begins with. The rest is a domain or a smarthost's name.
const (
	hopMX        = "mx"
	hopSmarthost = "smarthost"
	hopOff       = "off"
)

// For returns the route of a domain, in lower case and A-labels.
func (s Routes) For(domain string) Route {
	domain = strings.TrimSuffix(strings.ToLower(domain), ".")
	if route, ok := s.ByDomain[domain]; ok {
		return route
	}
	for rest := domain; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok || strings.HasPrefix(domain, "[") {
			return s.Default
		}
		if route, ok := s.ByDomain["."+parent]; ok {
			return route
		}
		if route, ok := s.ByDomain["*."+parent]; ok {
			return route
		}
		rest = parent
	}
}

// Hop names the next hop for what somebody of ours wrote ("" for mail of others)
// to a recipient's domain (see mail.Path.Domain), after
// so many tries that failed. Recipients whose hops have the same name may share
// a transaction. It asks nobody.
func (r *Relay) Hop(from mail.Path, domain string, tries int) string {
	routes := r.o.Routes()
	if len(routes.BySender) > 0 && from != "" {
		if name, ok := routes.BySender[from.Key()]; ok {
			return hopSmarthost + ":" + name
		}
	}
	route := routes.For(domain)
	direct := hopMX + ":" + strings.ToLower(domain)
	via := hopSmarthost + ":" + route.Smarthost
	switch route.Way {
	case Direct:
		return direct
	case Via:
		return via
	case DirectThenVia:
		if tries < max(route.After, 1) {
			return direct
		}
		return via
	}
	return hopOff + ":" + strings.ToLower(domain)
}
