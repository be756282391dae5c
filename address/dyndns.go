package address

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Service is one that speaks dyndns2, the protocol of the former DynDNS:
// https://help.dyn.com/remote-access-api/.
type Service struct {
	ID   string
	Name string
	URL  string // of /nic/update
	V6   string // how IPv6 is told: "" not at all, "myipv6" by a parameter, "myip" in one list with IPv4

	// FromConnection says that there is no parameter: the service takes the
	// address, of IPv4, that it is asked from.
	FromConnection bool

	Refresh time.Duration // the name is lost without updates; 0 for never
}

// Services are those whose documents say what is said here.
func Services() []Service {
	return []Service{
		{ID: "dedyn", Name: "deSEC (dedyn.io)", URL: "https://update.dedyn.io/nic/update", V6: "myipv6"},
		{ID: "dyfi", Name: "dy.fi", URL: "https://www.dy.fi/nic/update", FromConnection: true, Refresh: 5*24*time.Hour + 7*time.Hour}, // lost after 7 days; to be done on the sixth
		{ID: "dyn", Name: "Dyn", URL: "https://members.dyndns.org/nic/update"},
		{ID: "dynu", Name: "Dynu", URL: "https://api.dynu.com/nic/update", V6: "myipv6"},
		{ID: "noip", Name: "No-IP", URL: "https://dynupdate.no-ip.com/nic/update", V6: "myip"},
	}
}

// Custom is a service of which only the server is known, as "dns.example.net" or
// as a URL, which has to be of HTTPS: a password goes there.
func Custom(server string) (Service, error) {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return Service{}, err
	case u.Scheme != "https":
		return Service{}, errors.New("the dynamic DNS service has to be asked over https")
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return Service{}, fmt.Errorf("%q is no address of a dynamic DNS service", u.Redacted())
	case u.Path == "" || u.Path == "/":
		u.Path = "/nic/update"
	}
	return Service{ID: "custom", Name: u.Host, URL: u.String()}, nil
}

const (
	leastDyndns   = 10 * time.Minute // between updates: more is abuse, by the protocol's own rules
	serverTrouble = 30 * time.Minute // after 911 or dnserr, by the same
	unknownAnswer = time.Hour
	maxDyndns     = 4 << 10 // bytes of an answer, which is a word or two
	dyndnsTime    = 30 * time.Second
)

// Dyndns is an Updater of one name at a dyndns2 service.
type Dyndns struct {
	Service        Service
	Host           string
	User, Password string
	Agent          string       // for User-Agent: program and version
	Client         *http.Client // nil for one of its own
}

// Name is the service's and the host's.
func (d *Dyndns) Name() string { return "dyndns " + d.Service.ID + " " + d.Host }

// Limits are those of the protocol and the service.
func (d *Dyndns) Limits() Limits { return Limits{leastDyndns, d.Service.Refresh} }

// Part is IPv4 alone where the service has no other.
func (d *Dyndns) Part(a Addrs) Addrs {
	if d.Service.V6 == "" {
		a.V6 = netip.Addr{}
	}
	return a
}

// Update tells the service the addresses. Where it knows them, it does so only
// to keep the name: all else would be abuse.
func (d *Dyndns) Update(ctx context.Context, was []Addrs, now Addrs) error {
	if d.Service.Refresh == 0 && len(was) == 1 && was[0] == now {
		return nil
	}
	req, err := d.request(ctx, now)
	if err != nil {
		return &Stopped{err}
	}
	client := http.Client{Timeout: dyndnsTime, Transport: d.transport()}
	if d.Client != nil {
		client = *d.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the password would go along
	resp, err := client.Do(req)
	if err != nil {
		return &Later{err, leastDyndns}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDyndns))
	if err != nil {
		return &Later{err, leastDyndns}
	}
	return answer(resp, string(body))
}

func (d *Dyndns) request(ctx context.Context, now Addrs) (*http.Request, error) {
	q := url.Values{"hostname": {d.Host}}
	if !d.Service.FromConnection && now.V4.IsValid() {
		q.Set("myip", now.V4.String())
	}
	if now.V6.IsValid() && d.Service.V6 == "myipv6" {
		q.Set("myipv6", now.V6.String())
	}
	if now.V6.IsValid() && d.Service.V6 == "myip" {
		q.Set("myip", strings.TrimPrefix(q.Get("myip")+","+now.V6.String(), ","))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Service.URL+"?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if req.URL.Scheme != "https" {
		return nil, errors.New("the dynamic DNS service has to be asked over https")
	}
	agent := d.Agent
	if agent == "" {
		agent = "homemail"
	}
	req.Header.Set("User-Agent", agent) // services block who does not say
	req.SetBasicAuth(d.User, d.Password)
	return req, nil
}

// transport goes by IPv4 where the service looks from where it is asked.
func (d *Dyndns) transport() http.RoundTripper {
	if !d.Service.FromConnection {
		return nil
	}
	dial := &net.Dialer{Timeout: dyndnsTime}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return dial.DialContext(ctx, "tcp4", addr)
		},
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, // one request in days
	}
}

// words are what the services say that only the owner can mend.
var words = map[string]string{
	"badauth":  "the user name or the password is wrong",
	"!donator": "this needs a paid account",
	"notfqdn":  "the host name is not complete",
	"nohost":   "the account has no such host name",
	"numhost":  "too many host names",
	"abuse":    "the service has blocked the host name for too many updates",
	"badagent": "the service does not take this program",
	"!yours":   "the host name is of another account",
	"badip":    "the service does not take this address",
}

// answer is what an answer means. What we do not know is tried again, seldom.
func answer(resp *http.Response, body string) error {
	word, rest, _ := strings.Cut(strings.TrimSpace(firstLine(body)), " ")
	word = strings.ToLower(word)
	text, ownersTurn := words[word]
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		wait := unknownAnswer
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			wait = max(time.Duration(min(n, int(farAway/time.Second)))*time.Second, leastDyndns)
		}
		return &Later{errors.New("the dynamic DNS service is asked too often"), wait}
	case resp.StatusCode >= 500 || word == "911" || word == "dnserr":
		return &Later{errors.New("the dynamic DNS service has trouble"), serverTrouble}
	case word == "good" && strings.TrimSpace(rest) == "127.0.0.1":
		return &Stopped{errors.New(words["badagent"])} // it says good and has done nothing
	case resp.StatusCode == http.StatusOK && (word == "good" || word == "nochg"):
		return nil
	case ownersTurn:
		return &Stopped{errors.New(text)}
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return &Stopped{errors.New(words["badauth"])}
	}
	if len(word) > 40 {
		word = word[:40]
	}
	return &Later{fmt.Errorf("the dynamic DNS service answers %d %q", resp.StatusCode, word), unknownAnswer}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimLeft(s, "\r\n "), "\n")
	return line
}
