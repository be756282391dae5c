package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// challenges are those that a CA may be asking about right now. Nothing else is
// ever answered.
type challenges struct {
	mu   sync.RWMutex
	http map[string]acme.Challenge   // by token
	alpn map[string]*tls.Certificate // by name
}

func newChallenges() *challenges {
	return &challenges{http: map[string]acme.Challenge{}, alpn: map[string]*tls.Certificate{}}
}

// httpSolver answers HTTP-01, RFC 8555 §8.3, through the web server on port 80.
type httpSolver struct{ *challenges }

func (s httpSolver) Present(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http[c.Token] = c
	return nil
}

func (s httpSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.http, c.Token)
	return nil
}

const challengePath = "/.well-known/acme-challenge/"

// ACMEHandler answers HTTP-01 challenges on port 80 and gives everything else
// to next.
func (s *Source) ACMEHandler(next http.Handler) http.Handler {
	if s.keeper == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ours := strings.CutPrefix(r.URL.Path, challengePath)
		if !ours {
			next.ServeHTTP(w, r)
			return
		}
		s.keeper.challenges.answer(w, r, token)
	})
}

func (s *challenges) answer(w http.ResponseWriter, r *http.Request, token string) {
	s.mu.RLock()
	c, live := s.http[token]
	s.mu.RUnlock()
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	// Only for the name that it is about: RFC 8555 §11.1, and DNS rebinding.
	if !live || r.Method != http.MethodGet && r.Method != http.MethodHead || !strings.EqualFold(host, c.Identifier.Value) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream") // RFC 8555 §8.3
	io.WriteString(w, c.KeyAuthorization)
}

// alpnSolver answers TLS-ALPN-01, RFC 8737, through the web server on port 443.
type alpnSolver struct{ *challenges }

func (s alpnSolver) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alpn[c.Identifier.Value] = cert
	return nil
}

func (s alpnSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.alpn, c.Identifier.Value)
	return nil
}

var errNoChallenge = errors.New("no ACME challenge is under way for that name")

// WebTLSConfig is TLSConfig for the web server on port 443. It speaks HTTP, and
// answers TLS-ALPN-01 challenges while there are any.
func (s *Source) WebTLSConfig() *tls.Config {
	c := s.TLSConfig()
	c.NextProtos = []string{"h2", "http/1.1"}
	if s.keeper == nil {
		return c
	}
	c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		// RFC 8737 §3: the CA offers this protocol alone.
		if len(h.SupportedProtos) != 1 || h.SupportedProtos[0] != acmez.ACMETLS1Protocol {
			return nil, nil
		}
		live := s.keeper.challenges
		live.mu.RLock()
		defer live.mu.RUnlock()
		cert := live.alpn[strings.ToLower(h.ServerName)]
		if cert == nil {
			return nil, errNoChallenge
		}
		return &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12, NextProtos: h.SupportedProtos}, nil
	}
	return c
}

// solver makes what answers a challenge of one kind.
func (k *keeper) solver(way, name string) (acmez.Solver, error) {
	switch way {
	case acme.ChallengeTypeHTTP01:
		return httpSolver{k.challenges}, nil
	case acme.ChallengeTypeTLSALPN01:
		return alpnSolver{k.challenges}, nil
	case acme.ChallengeTypeDNS01:
		if z := k.zone(name); z != nil {
			return &dnsSolver{zone: z, blind: blindTime, patience: seenTime, left: leftovers{k.storage.state}}, nil
		}
	}
	return nil, fmt.Errorf("there is no way to answer a challenge %q for %s", way, name)
}

// A providerError is what a DNS provider said when a challenge's record was to
// be made.
type providerError struct{ error }

func (e providerError) Unwrap() error { return e.error }
