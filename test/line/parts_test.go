package line

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"homemail/check"
	"homemail/check/probe"
	"homemail/internal/mailtest"
)

// Who is where.
const (
	host       = "mail.example.test"
	mxOne      = "198.51.100.1"
	mxTwo      = "198.51.100.2"
	mxOne6     = "2001:db8:2::1"
	mxTwo6     = "2001:db8:2::2"
	probe4     = "198.51.100.9"
	probe6     = "2001:db8:2::9"
	probePort  = "8080"
	homeAddr   = "192.168.1.10"
	homeAddr6  = "2001:db8:1::10"
	realAddr   = "203.0.113.7"
	sharedAddr = "203.0.113.50"
	mapAddr    = "203.0.113.60"
)

// says is in the environment of a house what its router says its address is.
const says = "HOMEMAIL_LINE_ROUTER"

// serveWorld plays two providers and a friend's probe until it is killed.
func serveWorld() error {
	greet := func(addr, line string) error {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go greetings(l, line)
		return nil
	}
	err := greet(":25", "220 mx.all.test ESMTP") // both providers are on this machine
	for _, port := range []string{":465", ":587", ":993"} {
		err = errors.Join(err, greet(port, ""))
	}
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":"+probePort)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return (&http.Server{Handler: probe.NewServer(probe.ServerOptions{}), ReadHeaderTimeout: 5 * time.Second}).Serve(l)
}

func greetings(l net.Listener, line string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			if line != "" {
				io.WriteString(conn, line+"\r\n")
			}
			io.Copy(io.Discard, conn)
		}()
	}
}

// A report is what the house prints.
type report struct {
	Results []check.Result
	Mode    check.Recommendation
	Took    time.Duration
}

// checkHouse runs the check as homemail does, with a mail server at port 25,
// and prints what it found.
func checkHouse(router string) error {
	l, err := net.Listen("tcp", ":25")
	if err != nil {
		return err
	}
	go greetings(l, "220 "+host+" ESMTP")
	client, err := probe.NewClient(probe.ClientOptions{
		URLs: []string{"http://probe.test:" + probePort}, StandIn: true, Plain: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			to := probe4
			if network == "tcp6" {
				to = probe6
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(to, probePort))
		},
	})
	if err != nil {
		return err
	}
	mx := []check.Target{{Host: "one.test", MX: true, Banner: "all.test"}, {Host: "two.test", MX: true, Banner: "all.test"}}
	to := []check.Target{{Host: "mx.one.test"}, {Host: "mx.two.test"}}
	o := check.Options{
		Host: host, DNS: names, Probe: client,
		Known: &check.Known{
			Out:     map[uint16][]check.Target{25: mx, 465: to, 587: to, 993: to},
			Lists:   []check.List{{Zone: "zen.test", Codes: map[netip.Addr]string{netip.MustParseAddr("127.0.0.2"): "listed"}}},
			Nowhere: "test",
		},
	}
	if router != "" {
		o.Router = func(context.Context) (check.Router, error) {
			return check.Router{Model: "nft", External: netip.MustParseAddr(router)}, nil
		}
	}
	c := check.New(o)
	began := time.Now()
	list, err := c.Test(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report{list, check.Recommend(list), time.Since(began)})
}

// names are right for the house that has an address of its own.
var names = mailtest.Zone{
	"MX one.test":          {"5 mx.one.test"},
	"MX two.test":          {"5 mx.two.test"},
	"A mx.one.test":        {mxOne},
	"A mx.two.test":        {mxTwo},
	"AAAA mx.one.test":     {mxOne6},
	"AAAA mx.two.test":     {mxTwo6},
	"A " + host:            {realAddr},
	"PTR " + realAddr:      {host},
	"A 2.0.0.127.zen.test": {"127.0.0.2"},
}

// brief is the results in a line each, for a test that fails.
func (r report) brief() string {
	var b strings.Builder
	for _, x := range r.Results {
		fmt.Fprintf(&b, "%-12s %-15s %-10s %q %v\n", x.Name, x.State, x.Code, x.Detail, x.Data)
	}
	return b.String()
}
