package mailauth

import (
	"context"
	"net/netip"
	"strings"

	"homemail/mail"
)

// maxPTR is how many names of an address are confirmed.
const maxPTR = 3

// checkIPRev asks for the names of an address and for the addresses of those,
// RFC 8601 §3. Addresses that no reverse zone is open for have no result.
func (c *Checker) checkIPRev(ctx context.Context, remote netip.Addr) mail.Check {
	remote = remote.Unmap().WithZone("")
	if !remote.IsGlobalUnicast() || remote.IsPrivate() {
		return mail.Check{Result: mail.ResultNone}
	}
	names, err := c.o.Resolver.LookupAddr(ctx, remote.String())
	switch {
	case err != nil && !isNotFound(err):
		return mail.Check{Result: mail.ResultTempError, Reason: "reverse lookup failed"}
	case len(names) == 0: // RFC 8601 §2.7.3
		return mail.Check{Result: mail.ResultPermError, Reason: "no PTR record"}
	}
	network := "ip6"
	if remote.Is4() {
		network = "ip4"
	}
	check := mail.Check{Result: mail.ResultFail, Reason: "no name leads back"}
	for _, name := range names[:min(len(names), maxPTR)] {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if !isHost(name) {
			continue
		}
		addrs, err := c.o.Resolver.LookupNetIP(ctx, network, name)
		if err != nil && !isNotFound(err) {
			check = mail.Check{Result: mail.ResultTempError, Reason: "forward lookup failed"}
		}
		for _, a := range addrs {
			if a.Unmap() == remote {
				return mail.Check{Result: mail.ResultPass, Domain: name}
			}
		}
	}
	return check
}
