package check

import "time"

// How old results may become at rest. The DNS is asked some 40 questions for
// all checks together.
const (
	often   = 5 * time.Minute // asks nobody outside
	hourly  = time.Hour
	sixth   = 6 * time.Hour // strangers' lists
	daily   = 24 * time.Hour
	sourced = 55 * time.Minute // is ready before those that are hourly use it
)

// The names that other code speaks of.
const (
	route, dns, dnsTrue, dnssec              = "route", "dns", "dns-true", "dnssec"
	prober, router, address4, address6, nat  = "probe", "router", "address4", "address6", "nat"
	out25, out465, out587, out993            = "out25", "out465", "out587", "out993"
	in25, in80, in443, in465, in993          = "in25", "in80", "in443", "in465", "in993"
	ptr, helo, blocklist, domain             = "ptr", "helo", "blocklist", "domain"
	clock, disk, certificate, queue, hairpin = "clock", "disk", "certificate", "queue", "hairpin"
)

// Visitors names the check of whether strangers look like people of the house. Its
// data has their address as "address" if they do.
const Visitors = "visitors"

// steps is the tree, each check after those that it depends on.
var steps = []step{
	{route, nil, nil, 2 * time.Second, often, (*Checker).route},
	{dns, []string{route}, nil, 10 * time.Second, hourly, (*Checker).dns},
	{dnsTrue, []string{dns}, nil, 8 * time.Second, sixth, (*Checker).dnsTrue},
	{dnssec, []string{dns}, nil, 8 * time.Second, sixth, (*Checker).dnssec},
	{router, []string{route}, nil, 10 * time.Second, hourly - 10*time.Minute, (*Checker).router},
	{prober, []string{dns}, nil, 20 * time.Second, sourced, (*Checker).prober},
	{address4, []string{route}, []string{router, prober}, 2 * time.Second, hourly, (*Checker).address4},
	{address6, []string{route}, []string{prober}, 2 * time.Second, hourly, (*Checker).address6},
	{nat, []string{route}, []string{router, prober, address4}, 2 * time.Second, hourly, (*Checker).nat},
	{out25, []string{dns}, nil, 16 * time.Second, hourly, out(25)},
	{out465, []string{dns}, nil, 16 * time.Second, sixth, out(465)},
	{out587, []string{dns}, nil, 16 * time.Second, sixth, out(587)},
	{out993, []string{dns}, nil, 16 * time.Second, sixth, out(993)},
	{in25, []string{prober}, nil, time.Second, hourly, in(25)},
	{in80, []string{prober}, nil, time.Second, hourly, in(80)},
	{in443, []string{prober}, nil, time.Second, hourly, in(443)},
	{in465, []string{prober}, nil, time.Second, hourly, in(465)},
	{in993, []string{prober}, nil, time.Second, hourly, in(993)},
	{Visitors, nil, []string{prober}, time.Second, hourly, (*Checker).visitors},
	{ptr, []string{dns, address4}, []string{nat, address6}, 12 * time.Second, sixth, (*Checker).ptr},
	{helo, []string{ptr}, []string{address4}, 6 * time.Second, sixth, (*Checker).helo},
	{blocklist, []string{dnsTrue, address4}, []string{address6}, 12 * time.Second, sixth, (*Checker).blocklist},
	{domain, []string{dns}, nil, 20 * time.Second, daily, (*Checker).domain},
	{clock, nil, []string{prober}, time.Second, often, (*Checker).clock},
	{disk, nil, nil, 2 * time.Second, often, (*Checker).disk},
	{certificate, nil, []string{clock}, 2 * time.Second, often, (*Checker).certificate},
	{queue, nil, nil, 5 * time.Second, often, (*Checker).queue},
	{hairpin, []string{address4}, []string{in25, in443, in465, in993}, 10 * time.Second, sixth, (*Checker).hairpin},
}
