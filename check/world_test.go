package check

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"homemail/check/probe"
	"homemail/internal/mailtest"
)

const (
	ourHost = "mail.example.test"
	ourIP   = "203.0.113.7"
	ourIP6  = "2001:db8:1::7"
	gmailIP = "198.51.100.1"
	mxIP    = "198.51.100.2"
)

// A world is everything that a check can ask, as a value. The one of newWorld
// is a house where all is well.
type world struct {
	opt    Options
	zone   mailtest.Zone
	ports  map[string]string // "198.51.100.1:25" to the greeting, "silent", "refuse"; what is not there refuses
	probe  *fakeProbe
	router *Router
	rdap   string
	status int
}

func newWorld() *world {
	w := &world{
		zone: mailtest.Zone{
			"MX gmail.test":        {"5 mx.gmail.test"},
			"A mx.gmail.test":      {gmailIP},
			"MX outlook.test":      {"5 mx.outlook.test"},
			"A mx.outlook.test":    {mxIP},
			"A " + ourHost:         {ourIP},
			"PTR " + ourIP:         {ourHost},
			"A 2.0.0.127.zen.test": {"127.0.0.2", "127.0.0.10"},
			"A 2.0.0.127.cop.test": {"127.0.0.2"},
			"TXT signed.test":      {"SECURE", "x"},
			"A smtp.gmail.test":    {gmailIP},
			"A smtp.other.test":    {mxIP},
		},
		ports: map[string]string{
			gmailIP + ":25": "220 mx.gmail.test ESMTP", mxIP + ":25": "220 x.outlook.test Microsoft",
			gmailIP + ":465": "", mxIP + ":465": "", gmailIP + ":587": "", mxIP + ":587": "", gmailIP + ":993": "", mxIP + ":993": "",
			ourIP + ":25": "220 " + ourHost + " ESMTP", "127.0.0.1:25": "220 " + ourHost + " ESMTP",
		},
		probe:  newProbe(),
		router: &Router{Model: "TEST-1", External: netip.MustParseAddr(ourIP)},
		status: http.StatusOK,
		rdap:   rdapOf(time.Now().AddDate(-3, 0, 0), time.Now().AddDate(1, 0, 0)),
	}
	submission := []Target{{Host: "smtp.gmail.test"}, {Host: "smtp.other.test"}}
	w.opt = Options{
		Host: ourHost, Domains: domains("example.com"),
		Routes:    func() (bool, bool, error) { return true, true, nil },
		Addresses: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.168.1.10")}, nil },
		Clock:     why(""),
		Disk:      func() (int64, int64, error) { return 100 << 30, 1 << 30, nil },
		Queue:     func() (int, time.Duration, error) { return 1, time.Minute, nil },
		Cert:      func() (Certificate, error) { return Certificate{Leaf: leaf(60), Issued: true}, nil },
		Known: &Known{
			Out: map[uint16][]Target{
				25:  {{Host: "gmail.test", MX: true, Banner: "gmail.test"}, {Host: "outlook.test", MX: true, Banner: "outlook.test"}},
				465: submission, 587: submission, 993: submission,
			},
			Lists: []List{
				{Zone: "zen.test", Leave: "https://zen.test/", Codes: builtIn.Lists[0].Codes, Refused: builtIn.Lists[0].Refused},
				{Zone: "cop.test", Leave: "https://cop.test/", Codes: builtIn.Lists[1].Codes},
			},
			Nowhere: "test",
			RDAP:    "https://rdap.test",
		},
	}
	return w
}

// checker builds the Checker of a world as it is now.
func (w *world) checker() *Checker {
	o := w.opt
	if o.DNS == nil {
		o.DNS = w.zone
	}
	if o.Dial == nil {
		o.Dial = w.dial
	}
	if w.probe != nil {
		o.Probe = w.probe
	}
	if w.router != nil {
		o.Router = func(context.Context) (Router, error) { return *w.router, nil }
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: w.status, Body: io.NopCloser(strings.NewReader(w.rdap))}, nil
		})}
	}
	return New(o)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func domains(list ...string) func() []string { return func() []string { return list } }

type why string

func (w why) Why() string { return string(w) }

func leaf(days int) *x509.Certificate {
	return &x509.Certificate{DNSNames: []string{ourHost}, NotAfter: time.Now().Add(time.Duration(days)*24*time.Hour + time.Hour)}
}

func rdapOf(born, ends time.Time, status ...string) string {
	return fmt.Sprintf(`{"objectClassName":"domain","status":[%s],"events":[{"eventAction":"registration","eventDate":%q},{"eventAction":"expiration","eventDate":%q}]}`,
		strings.Join(status, ","), born.Format(time.RFC3339), ends.Format(time.RFC3339))
}

// dial connects to the ports of the world.
func (w *world) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	said, ok := w.ports[addr]
	switch {
	case !ok || said == "refuse":
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	case said == "silent":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	a, b := net.Pipe()
	go func() {
		defer b.Close()
		if said != "" {
			io.WriteString(b, said+"\r\n")
		}
		bufio.NewReader(b).ReadString('\n')
	}()
	return a, nil
}

// A fakeProbe sees what it is told to.
type fakeProbe struct {
	from  []netip.Addr      // that the house saw
	echo  map[string]string // network to address
	ports []uint16
	seen  map[string]map[uint16]probe.Seen
	skew  time.Duration
	err   error
	asked atomic.Int64
}

func newProbe() *fakeProbe {
	mine := make(map[uint16]probe.Seen)
	for _, p := range probe.Ports {
		mine[p] = probe.Seen{Reached: probe.Open, Line: "220 " + ourHost + " ESMTP"}
	}
	return &fakeProbe{
		echo:  map[string]string{"tcp4": ourIP},
		ports: []uint16{40000, 51234, 33333, 60001},
		seen:  map[string]map[uint16]probe.Seen{"tcp4": mine},
	}
}

func (p *fakeProbe) Echo(ctx context.Context, network string) (probe.Echo, error) {
	a, ok := p.echo[network]
	if p.err != nil || !ok {
		return probe.Echo{}, errors.Join(p.err, errors.New("no "+network))
	}
	n := int(p.asked.Add(1))
	return probe.Echo{Address: netip.MustParseAddr(a), Port: p.ports[n%len(p.ports)], Time: time.Now().Add(-p.skew)}, nil
}

func (p *fakeProbe) Reach(ctx context.Context, network string, ports []uint16) (probe.Report, error) {
	seen, ok := p.seen[network]
	if p.err != nil || !ok {
		return probe.Report{}, errors.Join(p.err, errors.New("no "+network))
	}
	return probe.Report{Echo: probe.Echo{Address: netip.MustParseAddr(p.echo[network])}, Ports: maps.Clone(seen), Token: noToken, From: p.from}, nil
}

func (p *fakeProbe) see(network string, port uint16, s probe.Seen) {
	if p.seen[network] == nil {
		p.seen[network] = make(map[uint16]probe.Seen)
	}
	p.seen[network][port] = s
}

// one runs all checks and returns the result of one.
func (w *world) one(t *testing.T, name string) Result {
	t.Helper()
	list, err := w.checker().Test(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no result of %s", name)
	return Result{}
}
