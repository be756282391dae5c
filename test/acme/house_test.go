package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"

	"homemail/certs"
	"homemail/store"
)

const host = "mail.example.test"

// names are what a house with one domain wants certificates for.
var names = []string{host, "mta-sts.example.test", "autoconfig.example.test", "autodiscover.example.test"}

// A zone is an authoritative server for example.test, and what changes it.
type zone struct {
	addr string

	mu   sync.Mutex
	here bool // every name is at 127.0.0.1
	txt  map[string][]string
	deny error // what a change is answered with
}

// samePort listens on a port of UDP that is also free for TCP.
func samePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if l, err := net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			return pc, l
		}
		pc.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

func serveZone(t *testing.T) *zone {
	t.Helper()
	pc, l := samePort(t)
	z := &zone{addr: pc.LocalAddr().String(), txt: map[string][]string{}}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: z}, {Listener: l, Handler: z}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return z
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	name := strings.ToLower(q.Question[0].Name)
	add := func(list *[]dns.RR, text string) {
		if rr, err := dns.NewRR(text); err == nil {
			*list = append(*list, rr)
		}
	}
	const soa = "example.test. 1 IN SOA ns.example.test. root.example.test. 1 60 60 60 1"
	switch qtype := q.Question[0].Qtype; {
	case name == "example.test." && qtype == dns.TypeSOA:
		add(&m.Answer, soa)
	case name == "example.test." && qtype == dns.TypeNS:
		add(&m.Answer, "example.test. 1 IN NS ns.example.test.")
	case z.here && qtype == dns.TypeA && !strings.HasPrefix(name, "_"):
		add(&m.Answer, name+" 1 IN A 127.0.0.1")
	case qtype == dns.TypeTXT:
		for _, v := range z.txt[name] {
			add(&m.Answer, fmt.Sprintf("%s 1 IN TXT %q", name, v))
		}
	}
	if len(m.Answer) == 0 {
		add(&m.Ns, soa)
	}
	w.WriteMsg(m)
}

func (z *zone) publish() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.here = true
}

// AppendRecords and DeleteRecords make the zone a libdns provider.
func (z *zone) AppendRecords(_ context.Context, of string, list []libdns.Record) ([]libdns.Record, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.deny != nil {
		return nil, z.deny
	}
	for _, r := range list {
		name := strings.ToLower(libdns.AbsoluteName(r.RR().Name, of))
		z.txt[name] = append(z.txt[name], r.RR().Data)
	}
	return list, nil
}

func (z *zone) DeleteRecords(_ context.Context, of string, list []libdns.Record) ([]libdns.Record, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, r := range list {
		delete(z.txt, strings.ToLower(libdns.AbsoluteName(r.RR().Name, of)))
	}
	return list, nil
}

func (z *zone) left() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.txt)
}

// pointsHere asks the zone's server as the real check does.
func (z *zone) pointsHere(_ context.Context, name string) error {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	r, err := dns.Exchange(m, z.addr)
	if err != nil {
		return err
	}
	if len(r.Answer) == 0 {
		return fmt.Errorf("%s is not in the DNS yet", name)
	}
	return nil
}

// A house is a Source with its doors: one for mail, and the web server's two.
type house struct {
	*certs.Source
	mail, web, http string
	stop            func()
}

// ports are where a house is, so that a CA can be told before there is one.
type ports struct{ web, http string }

func openHouse(t *testing.T, dir string, at ports, o certs.ACME) *house {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	st, err := store.Open(dir, store.Options{Log: quiet, Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if o.Names == nil {
		o.Names = func() []string { return names }
	}
	if o.Allowed == nil {
		o.Allowed = func() error { return nil }
	}
	o.Profile = "default"
	s, err := certs.Open(certs.Options{Dir: dir, Host: host, Log: quiet, ACME: &o, State: st})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Source: s, web: at.web, http: at.http}
	mail := listen(t, "127.0.0.1:0")
	h.mail = mail.Addr().String()
	serve := []func(){
		serveTLS(tls.NewListener(mail, s.TLSConfig())),
		serveHTTP(tls.NewListener(listen(t, at.web), s.WebTLSConfig()), http.NotFoundHandler()),
		serveHTTP(listen(t, at.http), s.ACMEHandler(http.NotFoundHandler())),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		for _, stop := range serve {
			stop()
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serveTLS is a mail server as far as TLS goes.
func serveTLS(l net.Listener) (stop func()) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, "220 ready\r\n")
			}()
		}
	}()
	return func() { l.Close() }
}

func serveHTTP(l net.Listener, h http.Handler) (stop func()) {
	s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go s.Serve(l)
	return func() { s.Close() }
}

// shown does a handshake as a strict client would, and returns what it saw.
func shown(addr, name string, c *ca) (tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: c.issued, ServerName: name})
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

// everywhere is nil if both doors show good certificates for all names.
func (h *house) everywhere(c *ca) error {
	var errs error
	for _, addr := range []string{h.mail, h.web} {
		for _, name := range names {
			_, err := shown(addr, name, c)
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// await waits until something holds.
func await(t *testing.T, what string, limit time.Duration, ok func() bool) time.Duration {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return time.Since(begin)
		}
	}
	t.Fatalf("%s: not within %v", what, limit)
	return 0
}

// trouble is what the status says about a name.
func (h *house) trouble(name string) string {
	for _, st := range h.Status() {
		if st.Name == name {
			return st.Trouble.EN
		}
	}
	return ""
}

func (z *zone) zone(string) *certs.Zone {
	return &certs.Zone{Name: "example.test", Provider: z, Seen: func(_ context.Context, name, value string) (bool, error) {
		z.mu.Lock()
		defer z.mu.Unlock()
		return slices.Contains(z.txt[name+"."], value), nil
	}}
}
