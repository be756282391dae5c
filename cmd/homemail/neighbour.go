package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/internal/mailtest"
)

// neighbourDomain is the only domain outside that try knows.
const neighbourDomain = "elsewhere.test"

// A neighbour is another mail server, for try: all there is outside of the
// house. It knows nobody called nobody.
type neighbour struct {
	l      net.Listener
	server *smtp.Server
	got    chan string // what came in
}

// newNeighbour opens a neighbour's door on a port of this computer alone.
func newNeighbour() (*neighbour, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &neighbour{l: l, got: make(chan string, 16)}
	n.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return visitor{n}, nil }))
	n.server.Domain = "mx." + neighbourDomain
	n.server.ErrorLog = log.New(io.Discard, "", 0)
	n.server.ReadTimeout, n.server.WriteTimeout = demoTime, demoTime
	n.server.MaxMessageBytes = 1 << 20
	return n, nil
}

func (n *neighbour) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { n.server.Close() })()
	if err := n.server.Serve(n.l); ctx.Err() == nil && !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

// world is one in which there is this computer and nothing else.
func (n *neighbour) world() world {
	dialer := &net.Dialer{Timeout: demoTime}
	return world{
		names: mailtest.Zone{
			"MX " + neighbourDomain:   {"10 mx." + neighbourDomain},
			"A mx." + neighbourDomain: {"127.0.0.1"},
		}.Cached(),
		dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if to, err := netip.ParseAddrPort(addr); err != nil || !to.Addr().IsLoopback() {
				return nil, fmt.Errorf("try does not go to %s: there is nothing outside", addr)
			}
			return dialer.DialContext(ctx, network, addr)
		},
		port:  n.l.Addr().(*net.TCPAddr).Port,
		allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		local: func() []netip.Addr { return nil },
	}
}

// A visitor is somebody who brings mail to a neighbour.
type visitor struct{ n *neighbour }

func (visitor) Mail(string, *smtp.MailOptions) error { return nil }
func (visitor) Reset()                               {}
func (visitor) Logout() error                        { return nil }

func (visitor) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "There is nobody of that name"}
	}
	return nil
}

func (v visitor) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	select {
	case v.n.got <- string(b):
	case <-time.After(demoTime):
	}
	return nil
}
