package line

import (
	"bufio"
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

	"github.com/miekg/dns"

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

// serveInternet plays the servers that homemail knows, and a DNS at probe4, until
// it is killed. The probe is another program.
func serveInternet() error {
	said := map[string]string{mxOne: "220 mx.google.com ESMTP", mxTwo: "220 x.prod.outlook.com ESMTP"}
	for addr, line := range said {
		for port, greeting := range map[string]string{"25": line, "465": "", "587": "", "993": ""} {
			l, err := net.Listen("tcp", net.JoinHostPort(addr, port))
			if err != nil {
				return err
			}
			go greetings(l, greeting)
		}
	}
	conn, err := net.ListenPacket("udp", net.JoinHostPort(probe4, "53"))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return (&dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(answer)}).ActivateAndServe()
}

// records are what the DNS has; everything else does not exist.
var records = map[string]string{
	"gmail.com. MX": "5 mx.google.test.", "outlook.com. MX": "5 mx.outlook.test.",
	"mx.google.test. A": mxOne, "mx.outlook.test. A": mxTwo,
	"smtp.gmail.com. A": mxOne, "imap.gmail.com. A": mxOne,
	"smtp.mail.yahoo.com. A": mxTwo, "smtp.office365.com. A": mxTwo, "outlook.office365.com. A": mxTwo,
	"probe.test. A": probe4, host + ". A": realAddr,
	"7.113.0.203.in-addr.arpa. PTR": host + ".",
	"2.0.0.127.zen.spamhaus.org. A": "127.0.0.2",
	"2.0.0.127.bl.spamcop.net. A":   "127.0.0.2",
	"2.0.0.127.psbl.surriel.com. A": "127.0.0.2",
}

func answer(w dns.ResponseWriter, q *dns.Msg) {
	r := new(dns.Msg)
	r.SetReply(q)
	name, kind := strings.ToLower(q.Question[0].Name), dns.TypeToString[q.Question[0].Qtype]
	if v, ok := records[name+" "+kind]; ok {
		if rr, err := dns.NewRR(name + " 60 IN " + kind + " " + v); err == nil {
			r.Answer = []dns.RR{rr}
		}
	} else if _, other := records[name+" A"]; !other {
		r.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(r)
}

// knockTime is far more than a server needs that nothing holds up, on a slow
// computer too.
const knockTime = 10 * time.Second

// knockAt reads a greeting of SMTP, and leaves.
func knockAt(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, knockTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(knockTime))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "220 ") {
		err = fmt.Errorf("%q", line)
	}
	io.WriteString(conn, "QUIT\r\n")
	return err
}
