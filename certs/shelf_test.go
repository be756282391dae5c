package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/libdns"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

func certOf(leaf *x509.Certificate) *tls.Certificate { return &tls.Certificate{Leaf: leaf} }

func fakeIssue(ca *fakeCA) func(*attempt) certmagic.Issuer {
	return func(a *attempt) certmagic.Issuer { return fakeOrder{a, ca} }
}

type noProvider struct{}

func (noProvider) AppendRecords(context.Context, string, []libdns.Record) ([]libdns.Record, error) {
	return nil, errors.New("no")
}

func (noProvider) DeleteRecords(context.Context, string, []libdns.Record) ([]libdns.Record, error) {
	return nil, errors.New("no")
}

func anyProvider(string) *Zone { return &Zone{Provider: noProvider{}} }

func TestPick(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	mk := func(name string, months int) *tls.Certificate {
		return certOf(&x509.Certificate{DNSNames: []string{name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, months, 0)})
	}
	const mx, sts = "mail.a.test", "mta-sts.a.test"
	own, ownOld, ownOther := mk(mx, 1), mk(mx, -1), mk("other.test", 1)
	ca, caOld, caSTS, caSTSOld, self := mk(mx, 1), mk(mx, -1), mk(sts, 1), mk(sts, -1), mk("localhost", 100)
	m := func(pairs ...*tls.Certificate) map[string]*tls.Certificate {
		all := map[string]*tls.Certificate{}
		for _, c := range pairs {
			all[c.Leaf.DNSNames[0]] = c
		}
		return all
	}
	for i, tt := range []struct {
		own, self *tls.Certificate
		acme      map[string]*tls.Certificate
		name      string
		want      *tls.Certificate
	}{
		{nil, self, nil, mx, self},
		{nil, self, nil, "", self},
		{nil, self, m(ca, caSTS), mx, ca},
		{nil, self, m(ca, caSTS), sts, caSTS},
		{nil, self, m(ca, caSTS), "", ca},
		{nil, self, m(ca, caSTS), "unknown.test", ca},
		{nil, self, m(caSTS), mx, caSTS},
		{nil, self, m(caOld, caSTS), "", caSTS},
		{nil, self, m(caOld, caSTS), mx, caOld},
		{nil, self, m(caOld), mx, caOld},
		{nil, self, m(caOld), "", caOld},
		{nil, self, m(caSTSOld), "", caSTSOld},
		{own, nil, m(ca, caSTS), mx, own},
		{own, nil, m(ca, caSTS), sts, caSTS},
		{own, nil, m(ca, caSTS), "", own},
		{ownOld, nil, m(ca), mx, ca},
		{ownOld, nil, m(caOld), mx, ownOld},
		{ownOld, nil, nil, "", ownOld},
		{ownOther, nil, m(ca), mx, ca},
		{ownOther, nil, nil, mx, ownOther},
	} {
		s := &shelf{own: tt.own, self: tt.self, acme: tt.acme, host: mx}
		if got := s.pick(tt.name, now); got != tt.want {
			t.Errorf("%d: for %q %v until %v", i, tt.name, got.Leaf.DNSNames, got.Leaf.NotAfter)
		}
	}
}

func acmeSource(t *testing.T) *Source {
	return open(t, Options{Dir: t.TempDir(), Host: testHost, State: newMemory(), ACME: &ACME{
		Names: func() []string { return []string{testHost} }, Allowed: func() error { return nil },
	}})
}

// TestHTTPChallenge: only live tokens are answered, for their own name.
func TestHTTPChallenge(t *testing.T) {
	s := acmeSource(t)
	h := s.ACMEHandler(http.RedirectHandler("https://elsewhere.test/", http.StatusMovedPermanently))
	c := acme.Challenge{Token: "tok", KeyAuthorization: "tok.thumb", Identifier: acme.Identifier{Type: "dns", Value: testHost}}
	get := func(method, url string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, url, nil))
		return w.Code, w.Body.String()
	}
	const url = "http://" + testHost + challengePath + "tok"
	if code, _ := get("GET", url); code != http.StatusNotFound {
		t.Error("before:", code)
	}
	solver := httpSolver{s.keeper.challenges}
	solver.Present(t.Context(), c)
	for u, want := range map[string]int{
		url: 200, "http://Mail.Example.Test:80" + challengePath + "tok": 200,
		"http://192.0.2.1" + challengePath + "tok": 404, url + "x": 404, url + "/": 404,
		"http://" + testHost + "/": 301, "http://" + testHost + "/.well-known/acme": 301,
	} {
		if code, body := get("GET", u); code != want || code == 200 && body != c.KeyAuthorization {
			t.Errorf("%s: %d %q", u, code, body)
		}
	}
	if code, _ := get("POST", url); code != http.StatusNotFound {
		t.Error("POST:", code)
	}
	solver.CleanUp(t.Context(), c)
	if code, _ := get("GET", url); code != http.StatusNotFound {
		t.Error("after:", code)
	}
}

// TestALPNChallenge: the web's door answers while a challenge is live, a mail
// door never, and others see nothing of it.
func TestALPNChallenge(t *testing.T) {
	s := acmeSource(t)
	c := acme.Challenge{Type: acme.ChallengeTypeTLSALPN01, KeyAuthorization: "tok.thumb", Identifier: acme.Identifier{Type: "dns", Value: testHost}}
	probe := &tls.Config{InsecureSkipVerify: true, ServerName: testHost, NextProtos: []string{acmez.ACMETLS1Protocol}}
	common := &tls.Config{InsecureSkipVerify: true, ServerName: testHost, NextProtos: []string{"h2", "http/1.1"}}
	if _, err := shakeWith(s.WebTLSConfig(), probe); err == nil {
		t.Error("answered before there was a challenge")
	}
	solver := alpnSolver{s.keeper.challenges}
	if err := solver.Present(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	state, err := shakeWith(s.WebTLSConfig(), probe)
	if err != nil || state.NegotiatedProtocol != acmez.ACMETLS1Protocol || len(state.PeerCertificates[0].DNSNames) != 1 {
		t.Errorf("%v, %q", err, state.NegotiatedProtocol)
	}
	state, err = shakeWith(s.WebTLSConfig(), common)
	if err != nil || state.NegotiatedProtocol != "h2" || !state.PeerCertificates[0].Equal(s.Leaf()) {
		t.Errorf("%v, %q", err, state.NegotiatedProtocol)
	}
	if state, err = shakeWith(s.TLSConfig(), probe); err == nil && !state.PeerCertificates[0].Equal(s.Leaf()) {
		t.Error("a mail door answers challenges")
	}
	solver.CleanUp(t.Context(), c)
	if _, err := shakeWith(s.WebTLSConfig(), probe); err == nil {
		t.Error("answered after the challenge")
	}
}

// TestSwapUnderLoad replaces certificates while clients come, each of whom gets
// a whole one.
func TestSwapUnderLoad(t *testing.T) {
	s, ca := acmeSource(t), newCA(t)
	var certs []*tls.Certificate
	for range 2 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := ca.sign([]string{testHost}, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(chain)
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, &tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key, Leaf: leaf})
	}
	quit, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
				s.replace(func(t *shelf) *shelf {
					return t.with(func(m map[string]*tls.Certificate) { m[testHost] = certs[i%2] })
				})
			}
		}
	}()
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for range 50 {
				if _, err := shake(s, &tls.Config{InsecureSkipVerify: true, ServerName: testHost}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	close(quit)
	<-stopped
}
