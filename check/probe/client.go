package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrNone says that no probe is set up.
var ErrNone = errors.New("no probe is set up")

const askTime = lookTime + 6*time.Second // for a whole question: the server looks at all ports at once

// ClientOptions are the settings of a Client.
type ClientOptions struct {
	// URLs are the probes, the best first: "https://mail.example.org". The next
	// is asked if one does not answer. One that shows a certificate of its own
	// making has its key after the name, as Pin writes it.
	URLs []string

	// Plain takes http:// too, where nobody can sit in between: in tests.
	Plain bool

	// StandIn has the client listen at ports where nobody does while it is looked
	// at. Leave it false where servers are to start at that moment.
	StandIn bool

	Dial   Dial                                               // to the probes; nil means net.Dialer
	Listen func(network, addr string) (net.Listener, error)   // nil means net.Listen
	Log    func(ctx context.Context, msg string, args ...any) // of probes that fail; nil means nowhere
	Allow  func(netip.Addr) bool                              // addresses that we may be told we have; nil means Public
}

// A Client asks probes. It is an http.Handler too: mounted at TokenPath on port
// 80 and 443 it shows the token of the question that is out.
type Client struct {
	o    ClientOptions
	list []server

	mu     sync.Mutex
	tokens map[string][]netip.Addr // that are out, and who has asked for the page with each
}

// NewClient returns a Client. It connects to nobody.
func NewClient(o ClientOptions) (*Client, error) {
	c := &Client{o: o, tokens: make(map[string][]netip.Addr)}
	for _, u := range o.URLs {
		s, err := parseURL(u, o.Plain)
		if err != nil {
			return nil, err
		}
		c.list = append(c.list, s)
	}
	if o.Dial == nil {
		c.o.Dial = new(net.Dialer).DialContext
	}
	if o.Listen == nil {
		c.o.Listen = net.Listen
	}
	if o.Allow == nil {
		c.o.Allow = Public
	}
	return c, nil
}

// A server is a probe to be asked.
type server struct {
	url string // without a slash at its end
	pin string // its key, "" if it has a certificate of an authority's
}

// pinned stands before the key in the fragment of a probe's URL.
const pinned = "sha256="

// Pin is what follows the URL of a probe whose certificate nobody vouches for:
// its key is then all that counts. The key is given as for Key.
func Pin(spki []byte) string { return "#" + pinned + Key(spki) }

func parseURL(u string, plain bool) (s server, err error) {
	p, err := url.Parse(u)
	if err != nil || p.Scheme != "https" && !(plain && p.Scheme == "http") || p.Hostname() == "" || p.User != nil || p.RawQuery != "" {
		return s, fmt.Errorf("%q is not the address of a probe; right would be https://mail.example.org", u)
	}
	if p.Fragment != "" {
		var ok bool
		s.pin, ok = strings.CutPrefix(strings.ToLower(p.Fragment), pinned)
		if b, err := hex.DecodeString(s.pin); !ok || err != nil || len(b) != sha256.Size || p.Scheme != "https" {
			return s, fmt.Errorf("%q: what follows # is not a key; right would be #%s and 64 digits of 0 to 9 and a to f", u, pinned)
		}
	}
	p.Fragment = ""
	s.url = strings.TrimSuffix(p.String(), "/")
	return s, nil
}

// transport returns one that connects to a probe, and to that one only.
func (s server) transport(dial Dial) *http.Transport {
	t := &http.Transport{DialContext: dial, DisableKeepAlives: true, TLSHandshakeTimeout: askTime, MaxResponseHeaderBytes: maxReport}
	if s.pin != "" {
		t.TLSClientConfig = &tls.Config{
			InsecureSkipVerify: true, // nobody vouches for it: VerifyConnection does
			VerifyConnection: func(cs tls.ConnectionState) error {
				if key := Key(cs.PeerCertificates[0].RawSubjectPublicKeyInfo); key != s.pin {
					return fmt.Errorf("its key is %s, and not the one that the settings name", key)
				}
				return nil
			},
		}
	}
	return t
}

// ServeHTTP shows a token that is out.
func (c *Client) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.URL.Path, TokenPath)
	if !c.asked(token, r.RemoteAddr) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=us-ascii")
	io.WriteString(w, token+"\n")
}

// Echo asks which address and port of ours a probe sees. The network is "tcp4"
// or "tcp6". Each call is a new connection.
func (c *Client) Echo(ctx context.Context, network string) (e Echo, err error) {
	err = c.ask(ctx, network, http.MethodGet, EchoPath, nil, func(b []byte) error {
		e = Echo{}
		if err := json.Unmarshal(b, &e); err != nil {
			return err
		}
		return c.valid(e, network)
	})
	return e, err
}

// Reach asks for a look at ports of ours, of Ports.
func (c *Client) Reach(ctx context.Context, network string, ports []uint16) (rep Report, err error) {
	var raw [tokenBytes]byte
	rand.Read(raw[:])
	token := hex.EncodeToString(raw[:])
	c.mu.Lock()
	c.tokens[token] = nil
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		rep.From = c.tokens[token]
		delete(c.tokens, token)
	}()
	if c.o.StandIn {
		defer c.standIn(network, ports, token)()
	}
	body, err := json.Marshal(Request{ports, token})
	if err != nil {
		return rep, err
	}
	err = c.ask(ctx, network, http.MethodPost, ReachPath, body, func(b []byte) error {
		rep = Report{}
		if err := json.Unmarshal(b, &rep); err != nil {
			return err
		}
		for port, s := range rep.Ports {
			s.Line, s.Detail = printable(s.Line), printable(s.Detail)
			rep.Ports[port] = s
		}
		return c.valid(rep.Echo, network)
	})
	rep.Token = token
	return rep, err
}

// maxFrom is how many addresses are noted that have asked for one page: a probe
// asks for it twice.
const maxFrom = 8

// asked notes who asks for the page with a token, and reports whether it is out.
// Nobody knows it but the probe.
func (c *Client) asked(token, from string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, ok := c.tokens[token]
	at, err := netip.ParseAddrPort(from)
	if addr := at.Addr().Unmap().WithZone(""); ok && err == nil && len(list) < maxFrom && !slices.Contains(list, addr) {
		c.tokens[token] = append(list, addr)
	}
	return ok
}

// valid holds what a probe says of us against what can be.
func (c *Client) valid(e Echo, network string) error {
	if !c.o.Allow(e.Address) || e.Address.Is4() != (network == "tcp4") {
		return fmt.Errorf("it says that our address is %s", e.Address)
	}
	return nil
}

// ask asks the probes in turn until one gives an answer that take accepts.
func (c *Client) ask(ctx context.Context, network, method, path string, body []byte, take func([]byte) error) error {
	err := ErrNone
	for _, s := range c.list {
		var b []byte
		if b, err = c.one(ctx, network, method, s, path, body); err == nil {
			err = take(b)
		}
		if err == nil {
			return nil
		}
		err = fmt.Errorf("probe %s: %w", s.url, err)
		if c.o.Log != nil {
			c.o.Log(ctx, "a probe did not help", "url", s.url, "network", network, "err", err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// one asks one probe over a connection of its own, and follows it nowhere.
func (c *Client) one(ctx context.Context, network, method string, s server, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) { return c.o.Dial(ctx, network, addr) }
	client := http.Client{
		Transport:     s.transport(dial),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answers %d", res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxReport+1))
	if err == nil && len(b) > maxReport {
		err = errors.New("answers too much")
	}
	return b, err
}
