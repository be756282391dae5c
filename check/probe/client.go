package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
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
	// is asked if one does not answer.
	URLs []string

	// StandIn has the client listen at ports where nobody does while it is looked
	// at. Leave it false where servers are to start at that moment.
	StandIn bool

	Dial   Dial                                               // to the probes; nil means net.Dialer
	Listen func(network, addr string) (net.Listener, error)   // nil means net.Listen
	HTTPS  func(dial Dial) http.RoundTripper                  // nil means a new http.Transport
	Log    func(ctx context.Context, msg string, args ...any) // of probes that fail; nil means nowhere
	Allow  func(netip.Addr) bool                              // addresses that we may be told we have; nil means Public
}

// A Client asks probes. It is an http.Handler too: mounted at TokenPath on port
// 80 and 443 it shows the token of the question that is out.
type Client struct {
	o ClientOptions

	mu     sync.Mutex
	tokens map[string]bool
}

// NewClient returns a Client. It connects to nobody.
func NewClient(o ClientOptions) (*Client, error) {
	for _, u := range o.URLs {
		p, err := url.Parse(u)
		if err != nil || p.Scheme != "https" && p.Scheme != "http" || p.Host == "" || p.User != nil || p.RawQuery != "" {
			return nil, fmt.Errorf("%q is not the address of a probe; right would be https://mail.example.org", u)
		}
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	if o.HTTPS == nil {
		o.HTTPS = func(dial Dial) http.RoundTripper {
			return &http.Transport{DialContext: dial, DisableKeepAlives: true, TLSHandshakeTimeout: askTime, MaxResponseHeaderBytes: maxReport}
		}
	}
	if o.Allow == nil {
		o.Allow = Public
	}
	return &Client{o: o, tokens: make(map[string]bool)}, nil
}

// ServeHTTP shows a token that is out.
func (c *Client) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.URL.Path, TokenPath)
	c.mu.Lock()
	ok := c.tokens[token]
	c.mu.Unlock()
	if !ok {
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
	c.set(token, true)
	defer c.set(token, false)
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

func (c *Client) set(token string, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on {
		c.tokens[token] = true
	} else {
		delete(c.tokens, token)
	}
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
	for _, u := range c.o.URLs {
		var b []byte
		if b, err = c.one(ctx, network, method, strings.TrimSuffix(u, "/")+path, body); err == nil {
			err = take(b)
		}
		if err == nil {
			return nil
		}
		err = fmt.Errorf("probe %s: %w", u, err)
		if c.o.Log != nil {
			c.o.Log(ctx, "a probe did not help", "url", u, "network", network, "err", err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// one asks one probe over a connection of its own, and follows it nowhere.
func (c *Client) one(ctx context.Context, network, method, url string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) { return c.o.Dial(ctx, network, addr) }
	client := http.Client{
		Transport:     c.o.HTTPS(dial),
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
