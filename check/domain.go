package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"homemail/check/probe"
)

const (
	renewSoon  = 45 * 24 * time.Hour
	youngAge   = 30 * 24 * time.Hour // large receivers take little mail from a domain that is younger
	maxDomains = 5                   // that are asked for in one run
	maxRDAP    = 512 << 10           // a domain of a registry that tells much is 30 kB
	maxHops    = 4                   // redirects: the bootstrap server, the registry, and one each
	rdapTime   = 8 * time.Second
)

// errNoRDAP says that a registry has no RDAP, or does not know the domain: the
// bootstrap server answers the same in both cases.
var errNoRDAP = errors.New("the registry does not tell")

// A registration is what RDAP says of a domain, RFC 9083 §5.3.
type registration struct {
	Events []struct {
		Action string `json:"eventAction"`
		Date   string `json:"eventDate"`
	} `json:"events"`
	Status []string `json:"status"`
}

// domain asks for the days of each domain, and tells of the one that is worst.
func (c *Checker) domain(ctx context.Context, _ results) found {
	var worst found
	order := []string{"", "good", "young", codeUnknown, "held", "soon", "expired"}
	rank := func(code string) int {
		for i, o := range order {
			if o == code {
				return i
			}
		}
		return 0
	}
	var lines []string
	seen := map[string]bool{}
	for _, d := range c.o.Domains() {
		name, err := registrable(d)
		if err != nil || seen[name] || len(seen) == maxDomains {
			continue
		}
		seen[name] = true
		f := c.registered(ctx, name)
		lines = append(lines, name+": "+f.detail)
		if rank(f.code) > rank(worst.code) {
			worst = f
		}
	}
	if worst.code == "" {
		return found{code: codeUnset}
	}
	worst.detail = strings.Join(lines, "\n")
	return worst
}

// registrable is the domain that somebody pays for: example.co.jp of
// mail.example.co.jp.
func registrable(domain string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(domain, "."))
	if err != nil {
		return "", err
	}
	return publicsuffix.EffectiveTLDPlusOne(ascii)
}

func (c *Checker) registered(ctx context.Context, name string) found {
	ctx, cancel := context.WithTimeout(ctx, rdapTime)
	defer cancel()
	reg, err := c.rdap(ctx, name)
	if err != nil {
		return found{code: codeUnknown, detail: err.Error(), data: map[string]string{"domain": name}}
	}
	return domainFound(name, reg, time.Now())
}

func domainFound(name string, reg registration, now time.Time) found {
	f := found{code: "good", data: map[string]string{"domain": name}}
	var born, ends time.Time
	for _, e := range reg.Events {
		t, err := time.Parse(time.RFC3339, e.Date)
		switch {
		case err != nil:
		case e.Action == "registration":
			born = t
		case e.Action == "expiration":
			ends = t
		}
	}
	f.detail = fmt.Sprintf("registered %s, until %s, %v", day(born), day(ends), reg.Status)
	f.data["until"], f.data["since"] = day(ends), day(born)
	left := ends.Sub(now)
	f.data["days"] = fmt.Sprint(max(0, int(left.Hours()/24)))
	f.data["age"] = fmt.Sprint(max(0, int(now.Sub(born).Hours()/24)))
	hold := false
	for _, s := range reg.Status { // RFC 8056 §2
		s = strings.ToLower(s)
		hold = hold || strings.HasSuffix(s, " hold") || s == "redemption period" || s == "pending delete"
	}
	switch {
	case ends.IsZero() && !hold:
		f.code = codeUnknown
	case !ends.IsZero() && left <= 0:
		f.code = "expired"
	case hold:
		f.code = "held"
	case left < renewSoon:
		f.code = "soon"
	case !born.IsZero() && now.Sub(born) < youngAge:
		f.code = "young"
	}
	return f
}

func day(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return t.UTC().Format(time.DateOnly)
}

// rdap asks the bootstrap server, which sends us on to the registry's, RFC 9224.
func (c *Checker) rdap(ctx context.Context, name string) (reg registration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.known.RDAP, "/")+"/domain/"+name, nil)
	if err != nil {
		return reg, err
	}
	req.Header.Set("Accept", "application/rdap+json")
	res, err := c.o.HTTP.Do(req)
	if err != nil {
		return reg, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return reg, errNoRDAP
	case res.StatusCode != http.StatusOK:
		return reg, fmt.Errorf("%s answers %d", req.URL.Host, res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxRDAP+1))
	if err == nil && len(b) > maxRDAP {
		err = errors.New("the registry tells too much")
	}
	if err == nil {
		err = json.Unmarshal(b, &reg)
	}
	return reg, err
}

// outside returns an HTTP client that goes over HTTPS to addresses of the
// Internet only: a redirect of a stranger's must not lead into the house (SSRF).
func (c *Checker) outside() *http.Client {
	return &http.Client{
		Timeout: rdapTime,
		Transport: &http.Transport{
			DialContext:            c.dialOutside,
			DisableKeepAlives:      true,
			TLSHandshakeTimeout:    connectTime,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= maxHops || req.URL.Scheme != "https" {
				return errors.New("redirects too often, or away from HTTPS")
			}
			return nil
		},
	}
}

// dialOutside connects to the address that it has looked at, not to a name that
// may change in between.
func (c *Checker) dialOutside(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := c.o.DNS.IP(ctx, host)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("%s has no public address", host)
	for _, ip := range ips.List[:min(len(ips.List), 2*perTarget)] {
		if !probe.Public(ip) {
			continue
		}
		var conn net.Conn
		dialing, cancel := context.WithTimeout(ctx, connectTime/2)
		conn, err = c.o.Dial(dialing, network, net.JoinHostPort(ip.Unmap().String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}
