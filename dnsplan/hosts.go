package dnsplan

import (
	"context"
	"slices"
	"strings"
)

// A Form is how a DNS host's page wants something to be typed.
type Form string

// The forms of names.
const (
	ShortName Form = "short" // "_dmarc", and nothing or "@" for the domain itself
	FullName  Form = "full"  // "_dmarc.example.org"
)

// The forms of texts.
const (
	OneString Form = "one"    // as it is, however long: the page splits it
	Quoted    Form = "quoted" // in quotes, and in parts of at most 255 characters
)

// A DNSHost is the company at which a domain's records are entered. In Japan it
// is often not the one where the domain was registered.
type DNSHost struct {
	Name     string   `json:"name"`               // "" if it is none that we know: then NS says it
	Japanese string   `json:"name_ja,omitempty"`  // the name in Japanese, where it is another one
	NS       []string `json:"ns"`                 // the zone's name servers
	Zone     string   `json:"zone"`               // the zone, as the host's page lists it
	Provider string   `json:"provider,omitempty"` // id of the provider that can publish there, "" for none
	URL      string   `json:"url,omitempty"`      // of the page where records, or domains, are listed
	Names    Form     `json:"names"`
	Texts    Form     `json:"texts"`
}

// TypedName is a record's name as the host's page wants it; of the domain
// itself, in the short form, "@", for which some pages want nothing at all.
func (h DNSHost) TypedName(name string) string {
	switch {
	case h.Names == FullName || h.Zone == "":
		return name
	case name == h.Zone:
		return "@"
	}
	return strings.TrimSuffix(name, "."+h.Zone)
}

// TypedValue is a record's value as the host's page wants it.
func (h DNSHost) TypedValue(rtype, value string) string {
	if rtype == "TXT" && h.Texts == Quoted {
		return TXTStrings(value)
	}
	return value
}

// dnsHost is a row of the table of DNS hosts. A suffix stands for itself and for
// names below it; one that ends in "-" starts a label: "awsdns-".
type dnsHost struct {
	suffixes string
	DNSHost
}

// Host names the DNS host of a domain by its name servers. The host is not
// known, and the error nil, if nobody in the table has such name servers.
func (c *Comparer) Host(ctx context.Context, domain string) (DNSHost, error) {
	name, err := toASCII(domain)
	if err != nil {
		return DNSHost{}, err
	}
	z := c.newRun().zone(ctx, name)
	if z.err != nil {
		return DNSHost{}, z.err
	}
	var ns []string
	for _, sv := range z.servers {
		ns = append(ns, sv.name)
	}
	h := hostOf(ns)
	h.NS, h.Zone = ns, z.name
	return h, nil
}

// hostOf finds the host that most of the name servers are of.
func hostOf(ns []string) DNSHost {
	best, most := DNSHost{Names: ShortName, Texts: OneString}, 0
	for _, row := range dnsHosts() {
		n := 0
		for _, name := range ns {
			if slices.ContainsFunc(strings.Fields(row.suffixes), func(s string) bool { return ofHost(name, s) }) {
				n++
			}
		}
		if n > most {
			best, most = row.DNSHost, n
		}
	}
	best.Names, best.Texts = orForm(best.Names, ShortName), orForm(best.Texts, OneString)
	return best
}

func orForm(f, standard Form) Form {
	if f == "" {
		return standard
	}
	return f
}

func ofHost(name, suffix string) bool {
	name = canonicalDomain(name)
	if strings.HasSuffix(suffix, "-") || strings.HasSuffix(suffix, ".") { // in the middle
		return strings.Contains(name, "."+suffix)
	}
	return name == suffix || strings.HasSuffix(name, "."+suffix)
}

// dnsHosts are the hosts whose name servers are known for certain: the names
// are the company's own, or stand in its documents or in public zones.
func dnsHosts() []dnsHost {
	return []dnsHost{
		{"ns.cloudflare.com", DNSHost{Name: "Cloudflare", Provider: "cloudflare", URL: "https://dash.cloudflare.com/"}},
		{"awsdns-", DNSHost{Name: "Amazon Route 53", Provider: "route53", URL: "https://console.aws.amazon.com/route53/", Texts: Quoted}},
		{"desec.io desec.org", DNSHost{Name: "deSEC", Provider: "desec", URL: "https://desec.io/domains", Texts: Quoted}},
		{"gandi.net", DNSHost{Name: "Gandi", Provider: "gandi", URL: "https://admin.gandi.net/domain"}},
		{"porkbun.com", DNSHost{Name: "Porkbun", Provider: "porkbun", URL: "https://porkbun.com/account/domainsSpeedy"}},
		{"ns.hetzner.com ns.hetzner.de", DNSHost{Name: "Hetzner", Provider: "hetzner", URL: "https://dns.hetzner.com/"}},
		{"ovh.net ovh.ca anycast.me", DNSHost{Name: "OVHcloud", Provider: "ovh", URL: "https://www.ovh.com/manager/"}},
		{"digitalocean.com", DNSHost{Name: "DigitalOcean", Provider: "digitalocean", URL: "https://cloud.digitalocean.com/networking/domains"}},
		{"registrar-servers.com", DNSHost{Name: "Namecheap", Provider: "namecheap", URL: "https://ap.www.namecheap.com/domains/list/"}},
		{"domaincontrol.com", DNSHost{Name: "GoDaddy", URL: "https://dcc.godaddy.com/"}},
		{"googledomains.com", DNSHost{Name: "Google Cloud DNS or Squarespace", URL: "https://account.squarespace.com/domains"}},
		{"squarespacedns.com", DNSHost{Name: "Squarespace", URL: "https://account.squarespace.com/domains"}},
		{"azure-dns.com azure-dns.net azure-dns.org azure-dns.info", DNSHost{Name: "Azure DNS", URL: "https://portal.azure.com/"}},
		{"ui-dns.com ui-dns.org ui-dns.biz ui-dns.de", DNSHost{Name: "IONOS", URL: "https://my.ionos.com/domains"}},
		{"dns-parking.com", DNSHost{Name: "Hostinger", URL: "https://hpanel.hostinger.com/"}},
		{"vercel-dns.com", DNSHost{Name: "Vercel", URL: "https://vercel.com/dashboard/domains"}},
		{"dnsimple.com", DNSHost{Name: "DNSimple", URL: "https://dnsimple.com/"}},
		{"linode.com", DNSHost{Name: "Linode (Akamai)", URL: "https://cloud.linode.com/domains"}},
		{"dnsv.jp onamae.com", DNSHost{Name: "Onamae.com", Japanese: "お名前.com", URL: "https://navi.onamae.com/domain"}},
		{"xserver.jp", DNSHost{Name: "Xserver", Japanese: "エックスサーバー", URL: "https://secure.xserver.ne.jp/"}},
		{"xdomain.ne.jp", DNSHost{Name: "Xserver Domain", Japanese: "XServerドメイン", URL: "https://secure.xserver.ne.jp/"}},
		{"dns.ne.jp", DNSHost{Name: "Sakura Internet", Japanese: "さくらインターネット", URL: "https://secure.sakura.ad.jp/"}},
		{"sakura.ne.jp", DNSHost{Name: "Sakura Cloud", Japanese: "さくらのクラウド", URL: "https://secure.sakura.ad.jp/cloud/"}},
		{"muumuu-domain.com", DNSHost{Name: "Muumuu Domain", Japanese: "ムームードメイン", URL: "https://muumuu-domain.com/"}},
		{"lolipop.jp", DNSHost{Name: "Lolipop", Japanese: "ロリポップ!", URL: "https://user.lolipop.jp/"}},
		{"value-domain.com", DNSHost{Name: "Value-Domain", Japanese: "バリュードメイン", URL: "https://www.value-domain.com/"}},
		{"conoha.io", DNSHost{Name: "ConoHa", URL: "https://manage.conoha.jp/"}},
		{"mydns.jp", DNSHost{Name: "MyDNS.JP", URL: "https://www.mydns.jp/"}},
		{"secure.ne.jp", DNSHost{Name: "KDDI DNS Hosting", Japanese: "KDDI DNSホスティングサービス"}},
		{"cpi.ad.jp", DNSHost{Name: "CPI"}},
	}
}
