package relay

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"homemail/internal/mailtest"
	"homemail/internal/smtptest"
	"homemail/mail"
	"homemail/queue"
	"homemail/relay/mtasts"
)

var _ queue.Transport = (*Relay)(nil)

// What servers say. All speak of themselves as mx.
const (
	greet   = "> 220 mx\n< EHLO box.example.org\n> 250-mx\n> 250 PIPELINING\n"
	greetS  = "> 220 mx\n< EHLO box.example.org\n> 250-mx\n> 250-STARTTLS\n> 250 PIPELINING\n"
	tlsOn   = greetS + "< STARTTLS\n> 220 go\ntls\n< EHLO box.example.org\n> 250-mx\n> 250-REQUIRETLS\n> 250-AUTH PLAIN\n> 250 PIPELINING\n"
	tlsOld  = greetS + "< STARTTLS\n> 220 go\ntls\n< EHLO box.example.org\n> 250-mx\n> 250 PIPELINING\n"
	takes   = "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> 250 ok\n> 354 go\n<data\n> 250 2.0.0 taken\n"
	quit    = "< QUIT\n> 221 bye\n"
	nothing = "hang" // accepts and is silent
)

// A world is all that a relay can reach.
type world struct {
	t       *testing.T
	zone    mailtest.Zone
	servers map[string]string   // a script by address, "[ip]:port"; more than one divided by "---"; "HANG" does not even connect
	certs   map[string][]string // DNS names in the certificate of an address; "mx.example.test" if none are given
	ca      *authority
	policy  policies
	routes  Routes
	options func(*Options)

	leafKey *ecdsa.PrivateKey // of all servers, if set

	mu     sync.Mutex
	dials  map[string]int
	played map[string][]smtptest.Played
	log    bytes.Buffer
	wg     sync.WaitGroup
}

type policies map[string]mtasts.Policy

func (p policies) Get(_ context.Context, domain string) (mtasts.Policy, error) {
	return p[domain], nil
}

func (w *world) relay() *Relay {
	w.dials, w.played = map[string]int{}, map[string][]smtptest.Played{}
	if w.ca == nil {
		w.ca = newAuthority(w.t)
	}
	if w.routes.Default == (Route{}) {
		w.routes.Default = Route{Way: Direct}
	}
	o := Options{
		Host: "box.example.org", Resolver: w.zone, Policy: w.policy, Dial: w.dial, Roots: w.ca.pool(),
		Routes: func() Routes { return w.routes }, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	if w.options != nil {
		w.options(&o)
	}
	return New(o)
}

func (w *world) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	w.mu.Lock()
	n := w.dials[addr]
	w.dials[addr]++
	w.mu.Unlock()
	text, ok := w.servers[addr]
	scripts := strings.Split(text, "---")
	script := scripts[min(n, len(scripts)-1)]
	switch {
	case !ok:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case script == "HANG":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	names := w.certs[addr]
	if names == nil {
		names = []string{"mx.example.test"}
	}
	config := &tls.Config{Certificates: []tls.Certificate{w.ca.issue(w.t, w.leafKey, names...)}}
	ours, theirs := net.Pipe()
	w.wg.Go(func() {
		p := smtptest.Lines(script).Play(theirs, config)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.played[addr] = append(w.played[addr], p)
	})
	return ours, nil
}

// send makes one attempt and returns the outcomes.
func (w *world) send(r *Relay, hop string, m mail.Handover) []mail.Outcome {
	w.t.Helper()
	var got []mail.Outcome
	n := 0
	r.Send(w.t.Context(), hop, m, func(outs []mail.Outcome) error {
		got = outs
		n++
		return nil
	})
	if n != 1 || len(got) != len(m.Envelope.To) {
		w.t.Errorf("settled %d times, %d outcomes", n, len(got))
	}
	for _, o := range got {
		if o.Fate != mail.Relayed && o.Reply.Text == "" && o.Reply.Code == 0 {
			w.t.Errorf("no reason given in %+v", o)
		}
	}
	return got
}

const body = "Subject: x\r\n\r\nhi\r\n"

func message(to ...mail.Path) mail.Handover {
	m := mail.Handover{ID: "q1", Envelope: mail.Envelope{From: "anna@example.org"}, Size: int64(len(body))}
	m.Open = func() (io.Reader, error) { return strings.NewReader(body), nil }
	for _, p := range to {
		m.Envelope.To = append(m.Envelope.To, mail.Recipient{Path: p})
	}
	return m
}

// brief writes outcomes as "permanent reply 5.1.1 550".
func brief(outs []mail.Outcome) string {
	var list []string
	for _, o := range outs {
		words := []string{string(o.Fate)}
		if o.Cause != "" {
			words = append(words, string(o.Cause))
		}
		if o.Fate != mail.Relayed && o.Reply.Enhanced != "" {
			words = append(words, o.Reply.Enhanced)
		}
		if o.Fate != mail.Relayed && o.Reply.Code != 0 {
			words = append(words, o.Reply.Text)
		}
		list = append(list, strings.Join(words, " "))
	}
	return strings.Join(list, ", ")
}

// bubble runs f where time is free, and waits for all servers.
func bubble(t *testing.T, w *world, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		f(t)
		w.wg.Wait()
	})
}

// An authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "a test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, key, key)
	return &authority{cert, key}
}

func sign(t testing.TB, c, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c.SerialNumber = big.NewInt(int64(time.Now().Nanosecond()) + 1)
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Unix(0, 0), time.Unix(1<<33, 0)
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a chain of two.
func (a *authority) issue(t testing.TB, key *ecdsa.PrivateKey, names ...string) tls.Certificate {
	t.Helper()
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	c := sign(t, &x509.Certificate{DNSNames: names}, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{c.Raw, a.cert.Raw}, PrivateKey: key, Leaf: c}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}
