package dnsplan

import (
	"net/netip"
	"strings"

	"homemail/words"
)

// cloudflare are the addresses of Cloudflare's proxies for the web, from
// https://www.cloudflare.com/ips/. A name behind them takes no mail.
func cloudflare() []netip.Prefix {
	var out []netip.Prefix
	for p := range strings.FieldsSeq("173.245.48.0/20 103.21.244.0/22 103.22.200.0/22 103.31.4.0/22 141.101.64.0/18 108.162.192.0/18 190.93.240.0/20 188.114.96.0/20 " +
		"197.234.240.0/22 198.41.128.0/17 162.158.0.0/15 104.16.0.0/13 104.24.0.0/14 172.64.0.0/13 131.0.72.0/22 " +
		"2400:cb00::/32 2606:4700::/32 2803:f800::/32 2405:b500::/32 2405:8100::/32 2a06:98c0::/29 2c0f:f248::/32") {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// proxied says what has happened where a name leads to a proxy for the web:
// the record is right, and a switch beside it is not.
func (res *Result) proxied() {
	if res.State == Correct || len(res.Now) == 0 || res.Record.Type != "A" && res.Record.Type != "AAAA" && res.Record.Type != "CNAME" {
		return
	}
	nets := cloudflare()
	for _, now := range res.Now {
		a, err := netip.ParseAddr(now)
		if err != nil || !within(nets, a) {
			return
		}
	}
	res.Why = words.Say("dnsplan.why.proxy", "name", Display(res.Record.Name)).Text()
}

func within(nets []netip.Prefix, a netip.Addr) bool {
	for _, p := range nets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
